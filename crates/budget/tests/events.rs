//! What an operator hears, once each.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{Setup, attribute, call_of, streaming, subject_of};
use mainstay_budget::{Limit, LimitBook, Period};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Provider, Severity, Usage};

fn setup(limits: &[(&str, Limit)]) -> Setup {
    let book = LimitBook::default();
    for (subject, limit) in limits {
        book.set(subject_of(subject), [*limit]).unwrap();
    }
    Setup::over(&book, Scripted::repeating(Step::text("hi").usage(Usage::new(60, 40))))
}

// S6.2
#[tokio::test(start_paused = true)]
async fn at_eighty_percent_an_alert_is_raised_once_in_each_period() {
    let setup = setup(&[
        ("user:a", Limit::tokens(1_000, Period::Day)),
        ("org:x", Limit::tokens(100_000, Period::Day)),
    ]);
    for _ in 0..7 {
        setup.budgeted.ask(call_of(&["user:a", "org:x"])).await.unwrap();
    }
    assert_eq!(setup.heard.count("budget.soft_limit"), 0);
    setup.budgeted.ask(call_of(&["user:a", "org:x"])).await.unwrap();
    let events = setup.heard.all();
    let soft = events.iter().find(|event| event.name == "budget.soft_limit").unwrap();
    assert_eq!(soft.severity, Severity::Warning);
    let of = |name| attribute(soft, name);
    assert_eq!(
        (of("subject"), of("limit"), of("spent")),
        ("user:a".into(), "1000 tokens".into(), "800 tokens".into())
    );
    assert_eq!((of("period"), of("resets_at")), ("day".into(), "2026-11-22T00:00:00Z".into()));
    for _ in 0..5 {
        // Some of them are refused.
        let _answer = setup.budgeted.ask(call_of(&["user:a", "org:x"])).await;
    }
    assert_eq!(setup.heard.count("budget.soft_limit"), 1);
    setup.clock.pass(Duration::from_secs(24 * 3_600));
    for _ in 0..9 {
        let _answer = setup.budgeted.ask(call_of(&["user:a", "org:x"])).await;
    }
    assert_eq!(setup.heard.count("budget.soft_limit"), 2);
}

// S6.2: a call that lasted over midnight is of yesterday, and so is the line that it passes.
#[tokio::test(start_paused = true)]
async fn a_late_booking_of_a_period_that_is_over_uses_up_no_alert_of_this_one() {
    let book = LimitBook::default();
    book.set(subject_of("user:a"), [Limit::tokens(1_000, Period::Day)]).unwrap();
    let answer = [Piece::text("hi"), Piece::stop(), Piece::Usage(Usage::new(60, 40))];
    let setup = Setup::over(&book, Scripted::repeating(Step::stream(answer)));
    let ask = async || setup.budgeted.ask(streaming(call_of(&["user:a"]))).await;
    for _ in 0..7 {
        ask().await.unwrap().collect().await.unwrap();
    }
    let lasts = ask().await.unwrap();
    setup.clock.pass(Duration::from_secs(24 * 3_600));
    for _ in 0..7 {
        ask().await.unwrap().collect().await.unwrap();
    }
    assert_eq!(setup.heard.names(), ["budget.forecast"; 2], "of each day");
    lasts.collect().await.unwrap();
    let told = || {
        let told = setup.heard.all().into_iter().filter(|event| event.name == "budget.soft_limit");
        told.map(|event| attribute(&event, "resets_at")).collect::<Vec<_>>()
    };
    assert_eq!(told(), ["2026-11-22T00:00:00Z"], "yesterday's");
    ask().await.unwrap().collect().await.unwrap();
    assert_eq!(told(), ["2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"]);
}

// S6.2, M4
#[tokio::test(start_paused = true)]
async fn an_alert_is_raised_when_what_lost_holds_are_booked_at_passes_the_line() {
    let book = LimitBook::default();
    book.set(subject_of("user:a"), [Limit::tokens(1_000, Period::Forever).soft(200)]).unwrap();
    let setup = Setup::over(&book, Scripted::repeating(Step::stream([Piece::text("hi"), Piece::Stall])));
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(setup.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap());
    }
    setup.clock.pass(Duration::from_secs(25 * 3_600));
    setup.budget.maintain().await;
    let (spent, reserved) = setup.stands("user:a").await;
    assert!(spent >= 300 && reserved == 0, "{spent} {reserved}");
    assert_eq!((setup.heard.count("budget.hold_lost"), setup.heard.count("budget.soft_limit")), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn the_share_at_which_it_is_raised_can_be_set_and_none_raises_none() {
    let limits = [
        ("user:a", Limit::tokens(1_000, Period::Day).soft(100)),
        ("user:b", Limit::tokens(1_000, Period::Day).soft(None)),
    ];
    let setup = setup(&limits);
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    assert_eq!(setup.heard.count("budget.soft_limit"), 1);
    while setup.budgeted.ask(call_of(&["user:b"])).await.is_ok() {}
    assert_eq!(setup.heard.names(), ["budget.soft_limit"]);
}

// S6.2
#[tokio::test(start_paused = true)]
async fn the_first_refused_call_raises_an_alert_and_the_others_do_not() {
    let setup = setup(&[("user:a", Limit::tokens(300, Period::Day))]);
    let mut refused = 0;
    for _ in 0..20 {
        refused += u32::from(setup.budgeted.ask(call_of(&["user:a"])).await.is_err());
    }
    assert_eq!((refused, setup.heard.count("budget.hard_limit")), (18, 1));
    let hard = setup.heard.all().into_iter().find(|event| event.name == "budget.hard_limit").unwrap();
    assert_eq!((hard.severity, attribute(&hard, "spent")), (Severity::Alert, "200 tokens".into()));
    setup.clock.pass(Duration::from_secs(12 * 3_600));
    while setup.budgeted.ask(call_of(&["user:a"])).await.is_ok() {}
    assert_eq!(setup.heard.count("budget.hard_limit"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_will_not_last_is_foretold_once() {
    // Noon: half of the day has passed.
    let setup = setup(&[("user:a", Limit::tokens(1_000, Period::Day))]);
    for _ in 0..4 {
        setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    }
    assert_eq!(
        setup.budget.forecast(&subject_of("user:a")).await.unwrap(),
        None,
        "400 in half a day will last"
    );
    for _ in 0..2 {
        setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    }
    // 600 in 12 hours: the rest in 8 more.
    let at = setup.budget.forecast(&subject_of("user:a")).await.unwrap().unwrap();
    assert_eq!(at, common::NOON + 8 * 3_600_000);
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    assert_eq!(setup.heard.count("budget.forecast"), 1);
    let told = setup.heard.all().into_iter().find(|event| event.name == "budget.forecast").unwrap();
    assert_eq!(attribute(&told, "exhausted_at"), "2026-11-21T20:00:00Z");
    let standing = setup.standing("user:a").await;
    assert_eq!((standing.remaining(), standing.resets_at_ms), (300, Some(common::NOON + 12 * 3_600_000)));
}

//! A call without room is refused before anybody is asked, and takes nothing.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::error::Error as _;
use std::time::Duration;

use common::{Setup, call_of, streaming, subject_of};
use mainstay_budget::{
    BudgetExceeded, InvalidLimit, Limit, LimitBook, MemoryStore, Period, RowsQuery, WhenStoreFails, Zone,
};
use mainstay_metering::{Basis, Meter, NanoUsd};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{ErrorKind, Provider, Usage};
use tower::Layer;

fn answers() -> Scripted {
    Scripted::repeating(Step::text("hi").usage(Usage::new(10, 5)))
}

fn book(limits: &[(&str, Limit)]) -> LimitBook {
    let book = LimitBook::default();
    for (subject, limit) in limits {
        let mut all = book.limits(&subject_of(subject));
        all.push(*limit);
        book.set(subject_of(subject), all).unwrap();
    }
    book
}

// S6.2
#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_is_refused_and_everything_is_written_down() {
    let setup = Setup::over(&LimitBook::default(), answers());
    for _ in 0..3 {
        setup.budgeted.ask(call_of(&["user:a", "org:x"])).await.unwrap();
        setup.budgeted.ask(call_of(&[])).await.unwrap();
    }
    assert_eq!(setup.rows().await.len(), 6);
    assert!(setup.budget.remaining(&subject_of("user:a")).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_error_says_whose_limit_how_much_and_when_it_is_reset_and_nothing_of_others() {
    let limits =
        [("user:a", Limit::tokens(1_000, Period::Day)), ("org:secret", Limit::tokens(100_000, Period::Day))];
    let setup = Setup::over(&book(&limits), Scripted::repeating(Step::text("hi").usage(Usage::new(900, 60))));
    setup.budgeted.ask(call_of(&["org:secret", "user:a"])).await.unwrap();
    let error = setup.budgeted.ask(call_of(&["org:secret", "user:a"])).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::LimitReached, Some("budget_exceeded")));
    let told = error.source().unwrap().downcast_ref::<BudgetExceeded>().unwrap();
    assert_eq!((told.subject.as_str(), told.spent, told.reserved), ("user:a", 960, 0));
    assert!(told.needed > 100, "{}", told.needed);
    assert_eq!(told.resets_at_ms, Some(common::NOON + 12 * 3_600_000));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(12 * 3_600)));
    let message = error.message();
    for part in ["user:a", "1000 tokens per day", "spent 960 tokens", "2026-11-22T00:00:00Z"] {
        assert!(message.contains(part), "{part:?} in {message}");
    }
    assert!(!message.contains("secret"), "{message}");
    assert_eq!(setup.upstream.counts().calls, 1);
}

// Complaint 6: a refused call eats nothing.
#[tokio::test(start_paused = true)]
async fn a_refused_call_uses_up_no_request_and_no_place() {
    let limits = [
        ("user:a", Limit::requests(3, Period::ROLLING_MINUTE)),
        ("user:a", Limit::concurrent(1)),
        ("org:x", Limit::tokens(0, Period::Day)),
    ];
    let setup = Setup::over(&book(&limits), answers());
    for _ in 0..10 {
        setup.budgeted.ask(call_of(&["user:a", "org:x"])).await.unwrap_err();
    }
    for _ in 0..3 {
        setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    }
    let error = setup.budgeted.ask(call_of(&["user:a"])).await.unwrap_err();
    assert!(error.message().contains("limit 3 requests per rolling 60s"), "{}", error.message());
    setup.clock.pass(Duration::from_secs(62));
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
}

// M1, S6.1
#[tokio::test(start_paused = true)]
async fn a_call_is_refused_if_its_longest_answer_might_not_fit() {
    let setup = Setup::over(&book(&[("user:a", Limit::tokens(150, Period::Day))]), answers());
    let check = setup.budget.check(&call_of(&["user:a"])).await.unwrap();
    assert_eq!(check.output, 100);
    let mut long = call_of(&["user:a"]);
    long.request_mut().max_tokens = Some(140);
    assert_eq!(setup.budget.check(&long).await.unwrap_err().code(), Some("budget_exceeded"));
    assert_eq!(setup.stands("user:a").await, (0, 0), "to check is to take nothing");
    setup.budgeted.ask(long).await.unwrap_err();
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    assert_eq!(setup.standing("user:a").await.remaining(), 135);
}

#[tokio::test(start_paused = true)]
async fn every_subject_of_a_call_is_asked_and_one_without_room_is_enough() {
    let limits = ["user:a", "org:x", "feature:f"].map(|subject| (subject, Limit::tokens(500, Period::Day)));
    let setup = Setup::over(&book(&limits), answers());
    setup.budget.book().set(subject_of("org:x"), [Limit::tokens(50, Period::Day)]).unwrap();
    let error = setup.budgeted.ask(call_of(&["user:a", "org:x", "feature:f"])).await.unwrap_err();
    assert!(error.message().contains("org:x"));
    for subject in ["user:a", "org:x", "feature:f"] {
        assert_eq!(setup.stands(subject).await, (0, 0), "{subject}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_named_twice_pays_once() {
    let setup = Setup::over(&book(&[("user:a", Limit::tokens(1_000, Period::Day))]), answers());
    setup.budgeted.ask(call_of(&["user:a", "user:a"])).await.unwrap();
    assert_eq!(setup.stands("user:a").await, (15, 0));
}

#[tokio::test(start_paused = true)]
async fn a_new_period_begins_with_nothing_spent() {
    let setup = Setup::over(&book(&[("user:a", Limit::tokens(134, Period::Day))]), answers());
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap_err();
    setup.clock.pass(Duration::from_secs(12 * 3_600));
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    assert_eq!(setup.stands("user:a").await, (15, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_in_the_next_period_is_booked_in_the_one_it_began_in() {
    let streamed = Step::stream([Piece::text("hi"), Piece::stop(), Piece::Usage(Usage::new(10, 5))]);
    let setup =
        Setup::over(&book(&[("user:a", Limit::tokens(134, Period::Day))]), Scripted::repeating(streamed));
    let reply = setup.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
    setup.clock.pass(Duration::from_secs(12 * 3_600));
    reply.collect().await.unwrap();
    assert_eq!(setup.stands("user:a").await, (0, 0));
    assert_eq!(setup.the_row().await.at_ms, common::NOON);
}

#[tokio::test(start_paused = true)]
async fn each_subject_of_a_kind_has_an_account_of_its_own() {
    let book = LimitBook::default();
    book.set_kind("user", [Limit::tokens(134, Period::Day)]).unwrap();
    let setup = Setup::over(&book, answers());
    for user in ["user:a", "user:b"] {
        setup.budgeted.ask(call_of(&[user])).await.unwrap();
        setup.budgeted.ask(call_of(&[user])).await.unwrap_err();
    }
    setup.budgeted.ask(call_of(&["team:a"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn limits_are_changed_at_run_time_and_what_was_spent_stays() {
    let setup = Setup::over(&book(&[("user:a", Limit::tokens(134, Period::Day))]), answers());
    let book = setup.budget.book().clone();
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap_err();
    book.set(subject_of("user:a"), [Limit::tokens(200, Period::Day)]).unwrap();
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    assert_eq!(setup.stands("user:a").await, (30, 0));
    // Of two for the same time, the lower one counts; that of a key comes and goes.
    book.set_dynamic(subject_of("user:a"), [Limit::tokens(50, Period::Day)]).unwrap();
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap_err();
    book.set_dynamic(subject_of("user:a"), []).unwrap();
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    book.replace([("user:*".to_owned(), vec![Limit::tokens(45, Period::Day)])]).unwrap();
    assert_eq!(book.limits(&subject_of("user:a")), [Limit::tokens(45, Period::Day)]);
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap_err();
}

#[test]
fn a_limit_that_cannot_be_kept_is_refused_and_changes_nothing() {
    let book = LimitBook::default();
    let subject = subject_of("user:a");
    book.set(subject.clone(), [Limit::tokens(5, Period::Day)]).unwrap();
    let wrong = [
        (Limit::tokens(1 << 53, Period::Day), InvalidLimit::TooMuch),
        (Limit::usd(NanoUsd::MAX, Period::Day), InvalidLimit::TooMuch),
        (Limit::tokens(5, Period::Day).soft(0), InvalidLimit::Soft),
        (Limit::tokens(5, Period::Day).soft(1_001), InvalidLimit::Soft),
        (Limit::tokens(5, Period::Rolling(Duration::from_millis(10))), InvalidLimit::RollingTooShort),
        (
            Limit::tokens(5, Period::Day).when_store_fails(WhenStoreFails::Lease { share: 501 }),
            InvalidLimit::Share,
        ),
    ];
    for (limit, error) in wrong {
        assert_eq!(book.set(subject.clone(), [limit]), Err(error));
    }
    assert!(book.replace([("nobody".to_owned(), vec![])]).is_err());
    assert!(book.set_kind("user:", []).is_err());
    assert!(Zone::named("Europe/Atlantis").is_err());
    assert_eq!(book.limits(&subject), [Limit::tokens(5, Period::Day)]);
}

// Complaint 5: no silent zero. S6.2: without a limit nothing is refused.
#[tokio::test(start_paused = true)]
async fn a_model_without_a_price_is_refused_to_who_has_a_limit_if_the_meter_says_so() {
    let upstream = answers();
    let book = book(&[
        ("user:a", Limit::tokens(1_000, Period::Day)),
        ("user:b", Limit::usd(NanoUsd::from_dollars(1), Period::Day)),
        ("user:c", Limit::requests(10, Period::Day)),
    ]);
    let layer =
        mainstay_budget::BudgetLayer::builder(Meter::default(), MemoryStore::new(), book).build().unwrap();
    let budgeted = layer.layer(upstream.clone());
    for limited in ["user:a", "user:b"] {
        let error = budgeted.ask(call_of(&[limited])).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Configuration, Some("unknown_price")));
    }
    assert_eq!(upstream.counts().calls, 0);
    for free in [&["user:c"][..], &[]] {
        budgeted.ask(call_of(free)).await.unwrap();
    }
    let rows = layer.budget().rows(&RowsQuery::default()).await.unwrap().rows;
    assert!(rows.iter().all(|row| row.basis == Basis::Unpriced && row.usage.total() == 15), "{rows:?}");
}

#[tokio::test(start_paused = true)]
async fn the_dearest_of_those_that_may_answer_is_reserved() {
    let limit = Limit::usd(NanoUsd::from_dollars(1), Period::Day);
    let setup = Setup::with(&book(&[("user:a", limit)]), answers(), |builder| {
        builder.candidates(|_| {
            let cheap = ("openai".into(), "gpt-4o-mini".into());
            std::sync::Arc::from([cheap, ("openai".into(), "o1-pro".into())])
        })
    });
    let both = setup.budget.check(&call_of(&["user:a"])).await.unwrap();
    // o1-pro: 600 dollars for a million tokens of output.
    assert!(both.cost >= NanoUsd::from_nanos(100 * 600_000), "{:?}", both.cost);
}

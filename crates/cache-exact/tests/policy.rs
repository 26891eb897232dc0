//! Which calls are cached (S4.3), and how a call overrides it.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{call, counting, lab, lab_with, streaming};
use mainstay_cache_exact::{CachePolicy, ExactCacheConfig, ExactCacheLayer, NotCached, StandardPolicy};
use mainstay_provider_core::chat::{Message, Tool};
use mainstay_provider_core::{CacheStatus, Call, ChatRequest, ErrorKind};
use serde_json::json;

fn changed(change: impl FnOnce(&mut ChatRequest)) -> Call {
    let mut call = call("What is a mainstay?");
    change(call.request_mut());
    call
}

fn kinds() -> [(&'static str, Call); 9] {
    let tool = Tool::function("f", "", json!({}));
    [
        ("random", changed(|request| request.temperature = None)),
        ("random", changed(|request| request.temperature = Some(0.7))),
        ("tools", changed(|request| request.tools.push(tool))),
        ("tools", changed(|request| drop(request.extra.insert("functions", json!([{"name": "f"}]))))),
        ("tools", changed(|request| drop(request.extra.insert("web_search_options", json!({}))))),
        ("several_answers", changed(|request| request.n = Some(2))),
        ("time_sensitive", call("What is the latest version of Rust?")),
        ("time_sensitive", call("What's the weather TODAY in Paris?")),
        ("time_sensitive", call("Who is president now?")),
    ]
}

// S4.3
#[tokio::test]
async fn calls_that_want_another_answer_each_time_are_not_cached() {
    for (why, call) in kinds() {
        let lab = lab(counting());
        for _ in 0..2 {
            let reply = lab.ask(call.clone()).await;
            assert_eq!(reply.head.cache, CacheStatus::Bypass, "{why}");
        }
        assert_eq!(lab.calls(), 2, "{why}");
        let stats = lab.cache.stats();
        assert_eq!(
            stats.not_cached.iter().map(|(why, count)| (why.as_str(), *count)).collect::<Vec<_>>(),
            [(why, 2)]
        );
        assert_eq!((stats.entries, stats.misses), (0, 0));
    }
}

#[tokio::test]
async fn one_answer_at_temperature_0_about_what_does_not_change_is_cached() {
    let long_talk = format!("Sum this up: {} The current in the wire grows now.", "word ".repeat(60));
    let calls = [
        call("What is a mainstay?"),
        call("Is knowledge power?"),
        call(&long_talk),
        changed(|request| request.n = Some(1)),
        changed(|request| request.messages = vec![Message::system("Today is Monday."), Message::user("Hi.")]),
    ];
    for call in calls {
        let lab = lab(counting());
        assert_eq!((lab.status(call.clone()).await, lab.status(call).await), ("miss", "hit"));
    }
}

#[tokio::test]
async fn each_kind_can_be_allowed() {
    let config = ExactCacheConfig::new();
    for (why, call) in kinds() {
        let mut config = config.clone();
        match why {
            "random" => config.any_temperature = true,
            "tools" => config.tools = true,
            "several_answers" => config.several_answers = true,
            _ => config.time_sensitive = true,
        }
        let lab = lab_with(ExactCacheLayer::builder().config(config), counting());
        assert_eq!((lab.status(call.clone()).await, lab.status(call).await), ("miss", "hit"), "{why}");
    }
}

#[tokio::test]
async fn a_policy_of_ones_own_has_its_way() {
    struct NotForBob;
    impl CachePolicy for NotForBob {
        fn judge(&self, call: &Call) -> Result<(), NotCached> {
            if call.request().user.as_deref() == Some("bob") { Err(NotCached::Other) } else { Ok(()) }
        }
    }
    let lab = lab_with(ExactCacheLayer::builder().policy(NotForBob), counting());
    let of = |user: &str| changed(|request| request.user = Some(user.into()));
    assert_eq!((lab.status(of("ann")).await, lab.status(of("ann")).await), ("miss", "hit"));
    assert_eq!((lab.status(of("bob")).await, lab.status(of("bob")).await), ("bypass", "bypass"));
    assert!(
        StandardPolicy::new()
            .any_temperature()
            .tools()
            .several_answers()
            .time_sensitive()
            .judge(&of("bob"))
            .is_ok()
    );
}

#[tokio::test]
async fn no_cache_asks_anew_and_replaces_the_entry() {
    let lab = lab(counting());
    lab.text(call("a")).await;
    let mut anew = call("a");
    anew.context_mut().cache.no_cache = true;
    let reply = lab.ask(anew).await;
    assert_eq!(reply.head.cache, CacheStatus::Bypass);
    assert_eq!(reply.collect().await.unwrap().text(), "answer 2");
    assert_eq!(lab.text(call("a")).await, "answer 2");
    assert_eq!(lab.cache.stats().bypassed, 1);
}

#[tokio::test]
async fn no_store_keeps_nothing() {
    let lab = lab(counting());
    let mut secret = call("a");
    secret.context_mut().cache.no_store = true;
    for call in [secret.clone(), streaming(secret.clone())] {
        assert_eq!(lab.status(call).await, "miss");
    }
    assert_eq!(lab.cache.stats().entries, 0);
    // But it may be given what is there.
    lab.text(call("a")).await;
    assert_eq!(lab.status(secret.clone()).await, "hit");
    secret.context_mut().cache.no_cache = true;
    assert_eq!(lab.status(secret).await, "bypass");
}

#[tokio::test]
async fn only_if_cached_asks_nobody() {
    let lab = lab(counting());
    let mut only = call("a");
    only.context_mut().cache.only_if_cached = true;
    let error = mainstay_provider_core::Provider::ask(&lab.service, only.clone()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status(), error.code()),
        (ErrorKind::Unavailable, Some(504), Some("not_in_cache"))
    );
    let mut random = only.clone();
    random.request_mut().temperature = None;
    assert_eq!(lab.kind(random).await, ErrorKind::Unavailable);
    let mut neither = only.clone();
    neither.context_mut().cache.no_cache = true;
    assert_eq!(lab.kind(neither).await, ErrorKind::Unavailable);
    assert_eq!(lab.calls(), 0);
    lab.text(call("a")).await;
    assert_eq!(lab.text(only).await, "answer 1");
}

#[tokio::test]
async fn force_caches_what_the_policy_would_not() {
    for (why, mut call) in kinds() {
        let lab = lab(counting());
        call.context_mut().cache.force = true;
        assert_eq!((lab.status(call.clone()).await, lab.status(call).await), ("miss", "hit"), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn max_age_takes_nothing_older_and_says_how_long_the_answer_is_fresh() {
    let lab = lab(counting());
    lab.text(call("a")).await;
    tokio::time::advance(Duration::from_secs(100)).await;
    let within = |seconds: u64| {
        let mut call = call("a");
        call.context_mut().cache.max_age = Some(Duration::from_secs(seconds));
        call
    };
    assert_eq!(lab.text(within(100)).await, "answer 1");
    assert_eq!(lab.text(within(99)).await, "answer 2");
    tokio::time::advance(Duration::from_secs(98)).await;
    assert_eq!(lab.text(call("a")).await, "answer 2");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(lab.text(call("a")).await, "answer 3", "fresh for 99 s only, as its call asked");
    // A caller cannot have it kept beyond the longest time.
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    assert_eq!(lab.text(within(0)).await, "answer 4");
    let mut long = call("b");
    long.context_mut().cache.max_age = Some(30 * DAY);
    assert_eq!(lab.text(long.clone()).await, "answer 5");
    tokio::time::advance(DAY).await;
    assert_eq!(lab.text(long).await, "answer 6");
}

#[tokio::test(start_paused = true)]
async fn max_stale_takes_what_expired_not_too_long_ago() {
    let lab = lab_with(ExactCacheLayer::builder().ttl(Duration::from_secs(10)), counting());
    lab.text(call("a")).await;
    tokio::time::advance(Duration::from_secs(15)).await;
    let stale = |seconds: u64| {
        let mut call = call("a");
        call.context_mut().cache.max_stale = Some(Duration::from_secs(seconds));
        call
    };
    let reply = lab.ask(stale(5)).await;
    assert_eq!(reply.head.cache, CacheStatus::Stale { age: Duration::from_secs(15) });
    assert_eq!(lab.cache.stats().stale_hits, 1);
    assert_eq!(lab.text(stale(4)).await, "answer 2");
}

#[tokio::test]
async fn before_another_cache_only_if_cached_is_for_the_last_to_refuse() {
    let lab = lab_with(ExactCacheLayer::builder().before_another_cache(true), counting());
    let mut only = call("a");
    only.context_mut().cache.only_if_cached = true;
    // What stands below here is no cache, and so it answers.
    assert_eq!(lab.text(only.clone()).await, "answer 1");
    only.request_mut().temperature = None;
    assert_eq!(lab.text(only).await, "answer 2");
    lab.text(call("b")).await;
    let mut only = call("b");
    only.context_mut().cache.only_if_cached = true;
    assert_eq!(lab.status(only).await, "hit");
}

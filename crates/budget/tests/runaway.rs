//! One runaway loop can never spend more than its limit, however many calls run at once (S6.3).
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Setup, call_of, streaming};
use mainstay_budget::{Limit, LimitBook, Period};
use mainstay_metering::NanoUsd;
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Call, Provider, Usage};

/// The most that the call of these tests may use: it is what its answers use, so that the limit is reached exactly.
async fn most(call: &Call) -> (u64, NanoUsd, Step) {
    let probe = Setup::over(&LimitBook::default(), Scripted::new([]));
    let reserve = probe.budget.check(call).await.unwrap();
    let usage = Usage::new(reserve.input, reserve.output);
    let step = Step::stream([Piece::text("hi"), Piece::stop(), Piece::Usage(usage)]);
    (reserve.tokens(), reserve.cost, step)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_calls_as_fast_as_they_come_stop_exactly_at_the_limit() {
    let call = streaming(call_of(&["user:loop"]));
    let (tokens, cost, step) = most(&call).await;
    let limits = [
        Limit::tokens(tokens * 500, Period::Month),
        Limit::usd(NanoUsd::from_nanos(cost.as_nanos() * 700), Period::Month),
    ];
    let book = LimitBook::default();
    book.set_kind("user", limits).unwrap();
    let setup = Arc::new(Setup::over(&book, Scripted::repeating(step)));
    let admitted = Arc::new(AtomicUsize::new(0));
    let loops: Vec<_> = (0..100)
        .map(|_| {
            let (setup, admitted, call) = (setup.clone(), admitted.clone(), call.clone());
            tokio::spawn(async move {
                for _ in 0..100 {
                    if let Ok(reply) = setup.budgeted.ask(call.clone()).await {
                        admitted.fetch_add(1, Ordering::SeqCst);
                        reply.collect().await.unwrap();
                    }
                }
            })
        })
        .collect();
    for one in loops {
        one.await.unwrap();
    }
    assert_eq!(admitted.load(Ordering::SeqCst), 500);
    assert_eq!(setup.upstream.counts().calls, 500);
    assert_eq!(setup.stands("user:loop").await, (tokens * 500, 0));
    let stats = setup.budget.stats();
    assert_eq!((stats.admitted, stats.refused, stats.settled), (500, 9_500, 500));
}

// M2
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_calls_at_once_a_budget_for_five_admits_five() {
    let call = streaming(call_of(&["user:loop"]));
    let (_, cost, _) = most(&call).await;
    let book = LimitBook::default();
    book.set_kind("user", [Limit::usd(NanoUsd::from_nanos(cost.as_nanos() * 5), Period::Month)]).unwrap();
    let stalls = Step::stream([Piece::text("hi"), Piece::Stall]);
    let setup = Arc::new(Setup::over(&book, Scripted::repeating(stalls)));
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(setup.budgeted.ask(call.clone()))).collect();
    let mut replies = Vec::new();
    for call in calls {
        replies.extend(call.await.unwrap());
    }
    assert_eq!((replies.len(), setup.upstream.counts().calls), (5, 5));
}

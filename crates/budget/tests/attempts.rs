//! What attempts use beside the answer is paid for too (T9).
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{call_of, streaming, subject_of, with_spending};
use mainstay_budget::{
    AttemptMeterLayer, AttemptMetered, Budget, BudgetLayer, Budgeted, Limit, LimitBook, MemoryStore, Period,
    RowStatus, RowsQuery,
};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{BoxFuture, Call, Error, ErrorKind, Provider, Reply, Timer, Usage};
use tower::{Layer, Service};

/// Asks the deployments one after the other until one answers; or all at once, and takes the first answer.
#[derive(Clone)]
struct Tries {
    deployments: Vec<AttemptMetered<Scripted>>,
    at_once: bool,
}

impl Service<Call> for Tries {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Self { deployments, at_once } = self.clone();
        Box::pin(async move {
            if at_once {
                let all = deployments.iter().map(|one| Box::pin(one.ask(call.clone())));
                return futures_util::future::select_all(all).await.0;
            }
            let mut last = Err(Error::new(ErrorKind::Internal, "there is none"));
            for deployment in deployments {
                last = deployment.ask(call.clone()).await;
                if last.is_ok() {
                    break;
                }
            }
            last
        })
    }
}

struct Setup {
    budgeted: Budgeted<Tries>,
    budget: Budget,
}

impl Setup {
    fn new(at_once: bool, steps: impl IntoIterator<Item = Step>) -> Self {
        Self::of_tokens(10_000, at_once, steps)
    }

    /// With a limit of so many tokens. A call reserves a little more than 100.
    fn of_tokens(limit: u64, at_once: bool, steps: impl IntoIterator<Item = Step>) -> Self {
        let book = LimitBook::default();
        book.set_kind("user", [Limit::tokens(limit, Period::Day), Limit::requests(10, Period::Day)]).unwrap();
        let deployment = |(number, step)| {
            let meter = AttemptMeterLayer::new("openai").deployment(format!("eu-{number}"));
            meter.layer(Scripted::repeating(step))
        };
        let deployments = steps.into_iter().enumerate().map(deployment).collect();
        let layer = BudgetLayer::builder(common::meter(), MemoryStore::new(), book).build().unwrap();
        Self { budgeted: layer.layer(Tries { deployments, at_once }), budget: layer.budget().clone() }
    }

    /// Each row: deployment, status, tokens, requests, whether estimated.
    async fn rows(&self) -> Vec<(String, RowStatus, u64, u64, bool)> {
        let rows = self.budget.rows(&RowsQuery::default()).await.unwrap().rows;
        let row = |row: &std::sync::Arc<mainstay_budget::UsageRow>| {
            let deployment = row.deployment.as_deref().unwrap_or_default().to_owned();
            (deployment, row.status, row.usage.total(), row.requests, row.estimated)
        };
        rows.iter().map(row).collect()
    }

    /// Spent and reserved, of tokens and of requests.
    async fn stands(&self) -> [(u64, u64); 2] {
        let standings = self.budget.remaining(&subject_of("user:a")).await.unwrap();
        [0, 1].map(|unit: usize| (standings[unit].spent, standings[unit].reserved))
    }

    async fn assert_counters_are_the_rows(&self) {
        let standings = self.budget.remaining(&subject_of("user:a")).await.unwrap();
        let rows = self.rows().await;
        let (tokens, requests) = rows.iter().fold((0, 0), |sum, row| (sum.0 + row.2, sum.1 + row.3));
        assert_eq!((standings[0].spent, standings[0].reserved), (tokens, 0));
        assert_eq!((standings[1].spent, standings[1].reserved), (requests, 0));
    }
}

fn good() -> Step {
    Step::text("hi").usage(Usage::new(10, 5))
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_row_and_only_what_was_read_is_paid() {
    let timed_out = Step::fail_with(ErrorKind::Timeout(Timer::FirstToken));
    let setup = Setup::new(false, [Step::fail_with(ErrorKind::RateLimited), timed_out, good()]);
    let (call, spending) = with_spending(call_of(&["user:a"]));
    setup.budgeted.ask(call).await.unwrap();
    let rows = setup.rows().await;
    let (limited, late, answered) = (&rows[0], &rows[1], &rows[2]);
    assert_eq!(*limited, ("eu-0".into(), RowStatus::Failed, 0, 0, false));
    assert_eq!((late.0.as_str(), late.1, late.4), ("eu-1", RowStatus::Failed, true));
    assert!(late.2 > 3 && late.2 < 100, "its input: {}", late.2);
    assert_eq!(*answered, ("eu-2".into(), RowStatus::Settled, 15, 1, false));
    let spent = spending.spent().unwrap();
    assert_eq!((spent.tokens(), spent.estimated), (15 + late.2, true));
    setup.assert_counters_are_the_rows().await;
}

// T9
#[tokio::test(start_paused = true)]
async fn the_loser_of_a_hedge_is_paid_for() {
    let setup = Setup::new(true, [Step::hang(), good().after(Duration::from_secs(1))]);
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    let rows = setup.rows().await;
    assert_eq!((rows[0].0.as_str(), rows[0].1), ("eu-0", RowStatus::Cancelled));
    assert!(rows[0].2 > 3 && rows[0].2 < 100);
    assert_eq!(rows[1], ("eu-1".into(), RowStatus::Settled, 15, 1, false));
    setup.assert_counters_are_the_rows().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_metered_where_it_comes_from() {
    let streamed = Step::stream([Piece::text("hi"), Piece::stop(), Piece::Usage(Usage::new(10, 5))]);
    let setup = Setup::new(false, [Step::fail_with(ErrorKind::Overloaded), streamed]);
    let reply = setup.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
    assert!(setup.rows().await.is_empty());
    reply.collect().await.unwrap();
    assert_eq!(setup.rows().await[1], ("eu-1".into(), RowStatus::Settled, 15, 1, false));
    setup.assert_counters_are_the_rows().await;
}

// M3
#[tokio::test(start_paused = true)]
async fn a_stream_dropped_midway_has_a_row_with_what_was_delivered() {
    let streamed = Step::stream([Piece::text("A mainstay holds the mast."), Piece::Stall]);
    let setup = Setup::new(false, [streamed]);
    let mut chunks = setup.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap().into_stream();
    chunks.next().await.unwrap().unwrap();
    drop(chunks);
    let rows = setup.rows().await;
    assert_eq!((rows[0].1, rows[0].3, rows[0].4), (RowStatus::Cancelled, 1, true));
    assert!(rows[0].2 > 10, "{}", rows[0].2);
    setup.assert_counters_are_the_rows().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_in_mid_attempt_has_paid_for_what_was_tried() {
    let setup = Setup::new(false, [Step::fail_with(ErrorKind::Timeout(Timer::Total)), Step::hang()]);
    let call = tokio::spawn(setup.budgeted.ask(call_of(&["user:a"])));
    tokio::task::yield_now().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let rows = setup.rows().await;
    assert_eq!(rows.iter().map(|row| row.1).collect::<Vec<_>>(), [RowStatus::Failed, RowStatus::Cancelled]);
    assert!(rows.iter().all(|row| row.2 > 3));
    setup.assert_counters_are_the_rows().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_everywhere_at_the_door_costs_nothing() {
    let setup =
        Setup::new(false, [Step::fail_with(ErrorKind::Overloaded), Step::fail_with(ErrorKind::Network)]);
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap_err();
    let rows = setup.rows().await;
    assert!(
        rows.len() == 2 && rows.iter().all(|row| (row.1, row.2, row.3) == (RowStatus::Failed, 0, 0)),
        "{rows:?}"
    );
    setup.assert_counters_are_the_rows().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_around_it_a_call_goes_through_untouched() {
    let metered = AttemptMeterLayer::new("openai").layer(Scripted::repeating(good()));
    let (call, spending) = with_spending(call_of(&["user:a"]));
    metered.ask(call).await.unwrap();
    assert_eq!(spending.spent(), None);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_used_twice_serves_one_call() {
    let setup = Setup::new(false, [good()]);
    let (call, spending) = with_spending(call_of(&["user:a"]));
    setup.budgeted.ask(call.clone()).await.unwrap();
    setup.budgeted.ask(call).await.unwrap();
    assert_eq!(spending.spent().unwrap().tokens(), 15);
    assert_eq!(setup.rows().await.len(), 2);
    setup.assert_counters_are_the_rows().await;
}

// M2: spent + reserved <= limit, however many attempts a call makes.
#[tokio::test(start_paused = true)]
async fn an_attempt_beside_another_reserves_for_itself_until_the_end_of_the_call() {
    let setup = Setup::new(true, [Step::hang(), Step::hang(), good().after(Duration::from_secs(1))]);
    let call = tokio::spawn(setup.budgeted.ask(call_of(&["user:a"])));
    tokio::task::yield_now().await;
    let [(spent, tokens), requests] = setup.stands().await;
    assert!(spent == 0 && (300..400).contains(&tokens), "{spent} {tokens}");
    assert_eq!(requests, (0, 1), "it is one call");
    call.await.unwrap().unwrap();
    setup.assert_counters_are_the_rows().await;
    let stats = setup.budget.stats();
    assert_eq!((stats.admitted, stats.settled, stats.held), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_has_no_room_after_one_that_is_paid_for_is_refused() {
    let timed_out = Step::fail_with(ErrorKind::Timeout(Timer::FirstToken));
    let setup = Setup::of_tokens(200, false, [timed_out, good()]);
    let error = setup.budgeted.ask(call_of(&["user:a"])).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::LimitReached, Some("budget_exceeded")));
    let rows = setup.rows().await;
    assert!(rows[0].2 > 3);
    assert_eq!(rows[1], ("eu-1".into(), RowStatus::Failed, 0, 1, false), "the last row counts the call");
    setup.assert_counters_are_the_rows().await;
    assert_eq!(setup.budget.stats().refused, 0, "the call was let through");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_after_those_that_were_turned_away_needs_nothing_more() {
    let away = || Step::fail_with(ErrorKind::RateLimited);
    let setup = Setup::of_tokens(200, false, [away(), away(), away(), good()]);
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    setup.assert_counters_are_the_rows().await;
}

#[tokio::test(start_paused = true)]
async fn attempts_of_calls_at_once_never_pass_the_limit_whatever_becomes_of_them() {
    const LIMIT: u64 = 700;
    for seed in 0..300 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let step = |chance: &mut fastrand::Rng| {
            let step = match chance.u8(0..5) {
                0 => Step::fail_with(ErrorKind::Timeout(Timer::FirstToken)),
                1 => Step::fail_with(ErrorKind::MalformedResponse),
                2 => Step::fail_with(ErrorKind::Overloaded),
                _ => Step::text("hi").usage(Usage::new(10, chance.u64(0..=90))),
            };
            step.after(Duration::from_millis(chance.u64(0..20)))
        };
        let at_once = chance.bool();
        let setup = Setup::of_tokens(LIMIT, at_once, (0..4).map(|_| step(&mut chance)).collect::<Vec<_>>());
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let (begins, lasts) = (chance.u64(0..30), chance.u64(1..60));
                let budgeted = setup.budgeted.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(begins)).await;
                    let answer = budgeted.ask(call_of(&["user:a"]));
                    drop(tokio::time::timeout(Duration::from_millis(lasts), answer).await);
                })
            })
            .collect();
        while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
            let [(spent, reserved), _] = setup.stands().await;
            assert!(spent + reserved <= LIMIT, "seed {seed}: {spent} + {reserved}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        setup.assert_counters_are_the_rows().await;
    }
}

//! What a process keeps for itself of a limit: it outlasts its period when the store is away, and is given back whatever happens
//! (S1, G3).
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;
#[path = "common/faulty.rs"]
mod faulty;

use std::sync::Arc;
use std::time::Duration;

use common::{NOON, call_of, meter, streaming, subject_of};
use faulty::{Fault, Faulty};
use mainstay_budget::{
    Budget, BudgetLayer, BudgetStore, Budgeted, Limit, LimitBook, Period, RowsQuery, WhenStoreFails,
};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Provider, Usage};
use tokio::time::{sleep, timeout};
use tower::Layer;

const MS: fn(u64) -> Duration = Duration::from_millis;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY_MS: u64 = 86_400_000;

/// One process. Each of its calls uses 100 tokens.
struct Process {
    budgeted: Budgeted<Scripted>,
    budget: Budget,
}

impl Process {
    fn over(
        store: Arc<dyn BudgetStore>,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
        limit: Limit,
    ) -> Self {
        Self::limited(store, clock, vec![limit])
    }

    fn limited(
        store: Arc<dyn BudgetStore>,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
        limits: Vec<Limit>,
    ) -> Self {
        let book = LimitBook::default();
        book.set_kind("user", limits).unwrap();
        let layer = BudgetLayer::builder_over(meter(), store, book).clock(clock).build().unwrap();
        let answer = Step::stream([Piece::text("hi"), Piece::stop(), Piece::Usage(Usage::new(60, 40))]);
        Self { budgeted: layer.layer(Scripted::repeating(answer)), budget: layer.budget().clone() }
    }

    fn new(store: &Faulty, limit: Limit) -> Self {
        Self::over(Arc::new(store.clone()), store.clock(), limit)
    }

    async fn ask(&self) -> bool {
        match self.budgeted.ask(streaming(call_of(&["user:a"]))).await {
            Ok(reply) => reply.collect().await.is_ok(),
            Err(_) => false,
        }
    }

    /// How many of so many calls go through.
    async fn admitted(&self, calls: usize) -> u64 {
        let mut admitted = 0;
        for _ in 0..calls {
            admitted += u64::from(self.ask().await);
        }
        admitted
    }

    async fn stands(&self) -> (u64, u64) {
        let standing = self.budget.remaining(&subject_of("user:a")).await.unwrap().remove(0);
        (standing.spent, standing.reserved)
    }
}

fn leased(limit: Limit, share: u16) -> Limit {
    limit.when_store_fails(WhenStoreFails::Lease { share })
}

// S1
#[tokio::test(start_paused = true)]
async fn an_outage_over_midnight_finds_a_share_of_the_new_day_and_never_passes_its_limit() {
    let store = Faulty::new();
    let limit = leased(Limit::tokens(10_000, Period::Day), 100);
    let process = Process::new(&store, limit);
    // The other reaches the store when this one does not.
    let other = Process::over(store.inside(), store.clock(), limit);
    sleep(11 * HOUR + 30 * MINUTE).await;
    assert!(process.ask().await);
    sleep(MINUTE).await;
    store.set(Fault::Refuses);
    sleep(40 * MINUTE).await;
    let (admitted, by_the_other) = (process.admitted(50).await, other.admitted(200).await);
    assert!((8..=10).contains(&admitted), "a tenth of 10,000 is ten calls: {admitted}");
    assert!((88..=90).contains(&by_the_other), "and the others have the rest: {by_the_other}");
    store.set(Fault::None);
    sleep(MINUTE).await;
    process.budget.flush(MINUTE).await.unwrap();
    assert_eq!(other.stands().await, ((admitted + by_the_other) * 100, 0));
    let days = |from: u64| RowsQuery { from_ms: from, to_ms: from + DAY_MS, ..RowsQuery::default() };
    let midnight = NOON + DAY_MS / 2;
    let rows = store.inside().rows(&days(midnight)).await.unwrap().rows;
    assert_eq!(rows.len() as u64, admitted + by_the_other, "each call is booked in its own day");
    assert_eq!(store.inside().rows(&days(midnight - DAY_MS)).await.unwrap().rows.len(), 1);
}

// S1
#[tokio::test(start_paused = true)]
async fn a_limit_of_a_minute_goes_on_for_some_minutes_without_the_store() {
    let store = Faulty::new();
    let process = Process::new(&store, leased(Limit::requests(100, Period::Minute), 100));
    assert!(process.ask().await);
    sleep(Duration::from_secs(30)).await;
    store.set(Fault::Refuses);
    for minute in 0..7 {
        let admitted = process.admitted(30).await;
        let expected = if minute <= 5 { 9..=10 } else { 0..=0 };
        assert!(expected.contains(&admitted), "minute {minute}: {admitted}");
        sleep(MINUTE).await;
    }
}

// G3
#[tokio::test(start_paused = true)]
async fn a_share_that_is_taken_while_the_process_ends_is_given_back() {
    // From before the first look at the account to after its share is taken.
    for millis in (0..400).step_by(10) {
        let store = Faulty::new();
        store.set(Fault::Slow(MS(40)));
        let process = Process::new(&store, leased(Limit::tokens(10_000, Period::Day), 100));
        assert!(process.ask().await);
        sleep(MS(millis)).await;
        process.budget.flush(MINUTE).await.unwrap();
        store.set(Fault::None);
        assert_eq!(process.stands().await, (100, 0), "after {millis} ms");
        sleep(MINUTE).await;
        assert_eq!(process.stands().await, (100, 0), "after {millis} ms, later");
    }
}

// G3
#[tokio::test(start_paused = true)]
async fn a_share_that_is_given_up_for_a_call_is_given_back_though_the_call_is_dropped() {
    for millis in (0..200).step_by(10) {
        let store = Faulty::new();
        let process = Process::new(&store, leased(Limit::tokens(1_000, Period::Day), 500));
        assert!(process.ask().await);
        sleep(MINUTE).await;
        assert_eq!(process.admitted(4).await, 4);
        assert!(process.stands().await.1 >= 400, "half of it is kept");
        store.set(Fault::Slow(MS(40)));
        let _left = timeout(MS(millis), process.ask()).await;
        store.set(Fault::None);
        process.budget.flush(MINUTE).await.unwrap();
        assert_eq!(process.stands().await.1, 0, "after {millis} ms");
    }
}

// S1: the store is well, so what it says counts, and nothing is refused because it were away.
#[tokio::test(start_paused = true)]
async fn a_process_gives_back_what_it_holds_of_every_limit_of_a_call_before_it_refuses() {
    let store = Faulty::new();
    let periods = [Period::Hour, Period::Day, Period::Month];
    let limits = periods.map(|period| leased(Limit::requests(10, period), 500)).to_vec();
    let process = Process::limited(Arc::new(store.clone()), store.clock(), limits);
    assert!(process.ask().await);
    sleep(MINUTE).await;
    assert_eq!(process.stands().await, (1, 4), "a half of what is left is kept");
    assert_eq!(process.admitted(9).await, 9, "none is refused before the limit");
    assert_eq!((process.admitted(1).await, process.budget.stats().store.unwrap().closed), (0, 0));
}

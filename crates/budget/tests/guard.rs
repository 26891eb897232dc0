//! A store that is slow, frozen or gone: at most 50 ms, then nothing, and each limit's own policy (S1, S2, S3).
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;
#[path = "common/faulty.rs"]
mod faulty;

use std::time::Duration;

use common::{Heard, attribute, call_of, meter, streaming, subject_of};
use faulty::{Fault, Faulty};
use mainstay_budget::{
    Budget, BudgetLayer, Budgeted, Limit, LimitBook, Period, RowStatus, RowsQuery, WhenStoreFails,
};
use mainstay_metering::NanoUsd;
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{
    BoxFuture, EmbedCall, EmbedReply, EmbedRequest, Error, ErrorKind, Provider, Usage,
};
use tokio::time::{Instant, sleep};
use tower::Layer;

/// One process.
struct Process {
    budgeted: Budgeted<Scripted>,
    budget: Budget,
    heard: Heard,
}

impl Process {
    fn new(store: &Faulty, limit: Limit) -> Self {
        let answer = Step::stream([Piece::text("hi"), Piece::stop(), Piece::Usage(Usage::new(60, 40))]);
        Self::over(store, limit, answer)
    }

    fn over(store: &Faulty, limit: Limit, answer: Step) -> Self {
        let (book, heard, clock) = (LimitBook::default(), Heard::default(), store.clock());
        book.set_kind("user", [limit]).unwrap();
        let layer = BudgetLayer::builder(meter(), store.clone(), book).events(heard.events()).clock(clock);
        let layer = layer.build().unwrap();
        let budgeted = layer.layer(Scripted::repeating(answer));
        Self { budgeted, budget: layer.budget().clone(), heard }
    }

    async fn ask(&self) -> Result<(), mainstay_provider_core::Error> {
        let reply = self.budgeted.ask(streaming(call_of(&["user:a"]))).await?;
        reply.collect().await.map(drop)
    }

    /// How many calls go through, one after the other, up to so many.
    async fn admitted(&self, calls: usize) -> usize {
        let mut admitted = 0;
        for _ in 0..calls {
            admitted += usize::from(self.ask().await.is_ok());
        }
        admitted
    }

    async fn settled(&self) {
        self.budget.flush(Duration::from_secs(10)).await.unwrap();
    }
}

fn tokens(policy: WhenStoreFails) -> Limit {
    Limit::tokens(10_000, Period::Day).when_store_fails(policy)
}

async fn took<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let done = work.await;
    (done, begun.elapsed())
}

const MS: fn(u64) -> Duration = Duration::from_millis;

// S2
#[tokio::test(start_paused = true)]
async fn a_frozen_store_costs_the_first_calls_50_ms_and_the_others_nothing() {
    for policy in [WhenStoreFails::Closed, WhenStoreFails::Open] {
        let store = Faulty::new();
        let process = Process::new(&store, tokens(policy));
        process.ask().await.unwrap();
        process.settled().await;
        store.set(Fault::Frozen);
        for number in 0..10 {
            let (answer, time) = took(process.ask()).await;
            let most = if number < 3 { 50 } else { 0 };
            assert!(time <= MS(most), "{policy:?}, call {number}: {time:?}");
            assert_eq!(answer.is_ok(), policy == WhenStoreFails::Open);
        }
        assert_eq!(process.heard.count("budget.store_down"), 1);
        let stats = process.budget.stats().store.unwrap();
        assert!(stats.is_away && stats.timeouts >= 3 && stats.outages == 1, "{stats:?}");
        assert!(process.budget.is_store_away());
        store.set(Fault::None);
        sleep(MS(1_100)).await;
        let _looked = process.ask().await;
        sleep(MS(100)).await;
        assert!(!process.budget.is_store_away(), "{policy:?}");
    }
}

// S3: what is reserved now is visible, in the store or from a share of it.
#[tokio::test(start_paused = true)]
async fn figures_say_how_many_calls_hold_something_now() {
    let store = Faulty::new();
    let policy = WhenStoreFails::Lease { share: 500 };
    let process = Process::over(&store, tokens(policy), Step::stream([Piece::text("hi"), Piece::Stall]));
    let held = || process.budget.stats().held;
    let first = process.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
    sleep(MS(1_000)).await;
    store.set(Fault::Refuses);
    let second = process.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
    assert_eq!(held(), 2);
    process.budgeted.ask(streaming(call_of(&["user:without-share"]))).await.unwrap_err();
    let _unlimited = process.budgeted.ask(streaming(call_of(&["org:unlimited"]))).await.unwrap();
    assert_eq!(held(), 2, "who is refused, or has no limit, holds nothing");
    drop(first);
    assert_eq!(held(), 1);
    drop(second);
    assert_eq!((held(), process.budget.stats().owed), (0, 3), "what is over is owed");
}

// S3: how far the books are behind is visible: how much waits, and for how long; what was spent is known all the same.
#[tokio::test(start_paused = true)]
async fn figures_say_how_far_the_books_are_behind() {
    let store = Faulty::new();
    let process = Process::new(&store, tokens(WhenStoreFails::Open));
    process.ask().await.unwrap();
    process.settled().await;
    let stats = process.budget.stats();
    assert_eq!((stats.owed, stats.owed_for), (0, Duration::ZERO));
    let of_one = stats.spent;
    assert!(of_one > NanoUsd::ZERO);
    store.set(Fault::Refuses);
    assert_eq!(process.admitted(3).await, 3);
    sleep(MS(2_000)).await;
    assert_eq!(process.admitted(4).await, 4);
    sleep(MS(1_000)).await;
    let stats = process.budget.stats();
    assert_eq!((stats.owed, stats.spent), (7, NanoUsd::from_nanos(8 * of_one.as_nanos())));
    assert!((MS(3_000)..MS(3_200)).contains(&stats.owed_for), "{stats:?}");
    store.set(Fault::None);
    process.settled().await;
    let stats = process.budget.stats();
    assert_eq!((stats.owed, stats.owed_for), (0, Duration::ZERO), "{stats:?}");
}

// S2: who reaches for the store at the start of the process knows then, and nobody has to call for its return to be seen.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_from_the_start_is_known_to_be_and_so_is_its_return() {
    let store = Faulty::new();
    for fault in [Fault::Refuses, Fault::Frozen] {
        store.set(fault);
        let process = Process::new(&store, tokens(WhenStoreFails::Open));
        let is_away = || process.budget.stats().store.unwrap().is_away;
        assert!(!is_away(), "nobody has asked it");
        process.budget.ping().await.unwrap_err();
        assert!(is_away());
        assert_eq!(process.heard.count("budget.store_down"), 1);
        sleep(MS(10_000)).await;
        assert!(is_away());
        store.set(Fault::None);
        sleep(MS(9_000)).await;
        assert!(!is_away(), "{fault:?}");
        assert_eq!(process.heard.count("budget.store_back"), 1);
    }
    let process = Process::new(&store, tokens(WhenStoreFails::Open));
    process.budget.ping().await.unwrap();
    assert!(!process.budget.stats().store.unwrap().is_away);
}

// S1: whoever has always something to settle is not without a share for that.
#[tokio::test(start_paused = true)]
async fn a_process_that_is_never_idle_keeps_a_share_for_itself() {
    let store = Faulty::new();
    let policy = WhenStoreFails::Lease { share: 100 };
    let process = Process::new(&store, Limit::requests(1_000_000, Period::Day).when_store_fails(policy));
    store.set(Fault::Slow(MS(20)));
    // Four that begin one after the other: one of their settlements is always on its way.
    let after = async |pause: u64| {
        sleep(MS(pause)).await;
        process.ask().await.unwrap();
    };
    for _ in 0..500 {
        tokio::join!(after(0), after(6), after(12), after(18));
        assert!(process.budget.stats().owed > 0, "it is idle");
    }
    let stats = process.budget.stats();
    assert_eq!(stats.store.unwrap().leases, 1, "{stats:?}");
    store.set(Fault::Refuses);
    assert!(process.admitted(50).await >= 47, "{:?}", process.budget.stats());
}

// S1: closed for hard caps.
#[tokio::test(start_paused = true)]
async fn closed_lets_nothing_through_and_says_why_and_opens_when_the_store_is_back() {
    let store = Faulty::new();
    let process = Process::new(&store, tokens(WhenStoreFails::Closed));
    process.ask().await.unwrap();
    process.settled().await;
    store.set(Fault::Refuses);
    for _ in 0..20 {
        let error = process.ask().await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, Some("budget_store_unavailable")));
        assert!(error.message().contains("user:a"));
    }
    assert_eq!(process.budget.stats().store.unwrap().closed, 20);
    store.set(Fault::None);
    sleep(MS(1_100)).await;
    let _looked = process.ask().await;
    sleep(MS(100)).await;
    process.ask().await.unwrap();
    assert_eq!(process.heard.count("budget.store_back"), 1);
    process.settled().await;
    assert_eq!(store.balance("user:a|tokens|day").await, (200, 0));
}

#[tokio::test(start_paused = true)]
async fn open_lets_everything_through_and_books_it_when_the_store_is_back() {
    let store = Faulty::new();
    let process = Process::new(&store, tokens(WhenStoreFails::Open));
    assert_eq!(process.admitted(5).await, 5);
    for fault in [Fault::Frozen, Fault::Refuses, Fault::AnswersLost] {
        store.set(fault);
        assert_eq!(process.admitted(40).await, 40, "{fault:?}: what passes the limit too");
        assert!(process.budget.stats().owed > 0);
        store.set(Fault::None);
        sleep(Duration::from_secs(40)).await;
        process.settled().await;
    }
    assert_eq!(store.balance("user:a|tokens|day").await, (12_500, 0));
    assert_eq!(store.tokens_in_rows().await, 12_500);
    assert!(process.ask().await.is_err(), "now the limit counts again");
}

// S3: recovery reconciles leases.
#[tokio::test(start_paused = true)]
async fn a_lease_is_spent_to_its_end_and_no_further() {
    let store = Faulty::new();
    let process = Process::new(&store, tokens(WhenStoreFails::Lease { share: 200 }));
    assert_eq!(process.admitted(10).await, 10);
    sleep(Duration::from_secs(1)).await;
    process.settled_but_leases().await;
    sleep(Duration::from_secs(25)).await;
    assert_eq!(process.budget.stats().store.unwrap().leases, 1);
    let (spent, leased) = store.balance("user:a|tokens|day").await;
    assert_eq!(spent, 1_000);
    assert!((1_600..=2_000).contains(&leased), "a fifth of what is left: {leased}");
    store.set(Fault::Frozen);
    let admitted = process.admitted(100).await;
    // Each call may use some 124 tokens and uses 100.
    assert!((15..=20).contains(&admitted), "{admitted}");
    let stats = process.budget.stats().store.unwrap();
    assert!(stats.leased as usize == admitted && stats.closed == 100 - admitted as u64, "{stats:?}");
    store.set(Fault::None);
    sleep(Duration::from_secs(60)).await;
    process.settled().await;
    let total = 1_000 + admitted as u64 * 100;
    assert_eq!((store.balance("user:a|tokens|day").await, store.tokens_in_rows().await), ((total, 0), total));
}

#[tokio::test(start_paused = true)]
async fn several_processes_with_leases_never_pass_the_limit_together() {
    for seed in 0..100 {
        let store = Faulty::new();
        let limit = Limit::tokens(5_000, Period::Day).when_store_fails(WhenStoreFails::Lease { share: 300 });
        let processes: Vec<_> = (0..4).map(|_| Process::new(&store, limit)).collect();
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut admitted = 0;
        for _ in 0..12 {
            let fault = [Fault::None, Fault::Frozen, Fault::Refuses, Fault::AnswersLost][rng.usize(0..4)];
            store.set(fault);
            for _ in 0..rng.usize(0..30) {
                admitted += usize::from(processes[rng.usize(0..4)].ask().await.is_ok());
            }
            sleep(MS(rng.u64(0..40_000))).await;
            let (spent, reserved) = store.balance("user:a|tokens|day").await;
            assert!(admitted <= 50, "seed {seed}: {admitted} calls of 100 tokens on 5,000");
            assert!(spent + reserved <= 5_000, "seed {seed}: {spent} spent, {reserved} reserved");
        }
        store.set(Fault::None);
        sleep(Duration::from_secs(60)).await;
        for process in &processes {
            process.settled().await;
        }
        let total = admitted as u64 * 100;
        assert_eq!(store.balance("user:a|tokens|day").await, (total, 0), "seed {seed}");
        assert_eq!(store.tokens_in_rows().await, total, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_gives_its_own_lease_back_before_it_refuses() {
    let store = Faulty::new();
    let limit = Limit::tokens(1_000, Period::Day).when_store_fails(WhenStoreFails::Lease { share: 500 });
    let process = Process::new(&store, limit);
    process.ask().await.unwrap();
    sleep(Duration::from_secs(25)).await;
    assert!(store.balance("user:a|tokens|day").await.1 >= 400);
    assert_eq!(process.admitted(20).await, 8, "all but what a call might still use");
}

#[tokio::test(start_paused = true)]
async fn a_reservation_whose_answer_was_lost_is_given_back() {
    let store = Faulty::new();
    let process = Process::new(&store, tokens(WhenStoreFails::Closed));
    process.ask().await.unwrap();
    process.settled().await;
    store.set(Fault::AnswersLost);
    assert_eq!(process.admitted(3).await, 0);
    assert!(store.balance("user:a|tokens|day").await.1 > 0, "the store has it and nobody knows");
    store.set(Fault::None);
    sleep(Duration::from_secs(10)).await;
    process.settled().await;
    assert_eq!(store.balance("user:a|tokens|day").await, (100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_the_store_is_asked_gives_back_what_it_may_have_taken() {
    let store = Faulty::new();
    let process = Process::new(&store, tokens(WhenStoreFails::Closed));
    store.set(Fault::Slow(MS(20)));
    for wait in [0, 10, 19, 30] {
        let call = tokio::spawn(process.budgeted.ask(streaming(call_of(&["user:a"]))));
        sleep(MS(wait)).await;
        call.abort();
        let _aborted = call.await;
    }
    store.set(Fault::None);
    process.settled().await;
    let (spent, reserved) = store.balance("user:a|tokens|day").await;
    assert_eq!((spent, reserved), (store.tokens_in_rows().await, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_its_lease_is_renewed() {
    let store = Faulty::new();
    let late = Piece::Wait(Duration::from_secs(600));
    let step = Step::stream([
        Piece::text("a "),
        late,
        Piece::text("b"),
        Piece::stop(),
        Piece::Usage(Usage::new(60, 40)),
    ]);
    let process = Process::over(&store, tokens(WhenStoreFails::Closed), step);
    process.ask().await.unwrap();
    process.settled().await;
    assert_eq!(store.balance("user:a|tokens|day").await, (100, 0));
    let stats = process.budget.stats();
    assert_eq!((stats.lost, stats.late, stats.settled), (0, 0, 1));
}

// M4
#[tokio::test(start_paused = true)]
async fn what_a_crashed_process_held_is_booked_at_its_estimate_by_another() {
    let store = Faulty::new();
    let other = Process::new(&store, tokens(WhenStoreFails::Closed));
    other.ask().await.unwrap();
    {
        // A runtime that stops in the middle of everything, as a process does.
        let (store, limit) = (store.clone(), tokens(WhenStoreFails::Closed));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let stalls = Step::stream([Piece::text("hi"), Piece::Stall]);
                let crashed = Process::over(&store, limit, stalls);
                let reply = crashed.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
                // Nobody ever drops them.
                let _kept = (std::mem::ManuallyDrop::new(reply), std::mem::ManuallyDrop::new(crashed));
            });
        })
        .join()
        .unwrap();
    }
    let (spent, reserved) = store.balance("user:a|tokens|day").await;
    assert!(spent <= 100 && reserved > 100);
    sleep(Duration::from_secs(90)).await;
    let (spent, reserved) = store.balance("user:a|tokens|day").await;
    assert!(spent > 200 && reserved == 0, "{spent} {reserved}");
    assert_eq!(store.tokens_in_rows().await, spent);
    let lost = other.heard.all().into_iter().find(|event| event.name == "budget.hold_lost").unwrap();
    assert_eq!(attribute(&lost, "subjects"), "user:a");
    let rows = other.budget.rows(&RowsQuery::default()).await.unwrap().rows;
    assert_eq!(rows.iter().filter(|row| row.status == RowStatus::Lost).count(), 1);
}

#[derive(Clone)]
struct Vectors;

impl tower::Service<EmbedCall> for Vectors {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: EmbedCall) -> Self::Future {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn an_embedding_call_dropped_while_the_store_is_asked_gives_back_what_it_may_have_taken() {
    let (store, book) = (Faulty::new(), LimitBook::default());
    book.set_kind("user", [tokens(WhenStoreFails::Closed)]).unwrap();
    let layer = BudgetLayer::builder(meter(), store.clone(), book).clock(store.clock()).build().unwrap();
    store.set(Fault::Slow(MS(20)));
    for (wait, used) in [(0, false), (15, false), (30, true)] {
        let mut call = EmbedCall::new(EmbedRequest::new("test-model", vec!["mast".to_owned()]));
        call.context.data_mut().subjects = vec![subject_of("user:a")];
        let asked = tokio::spawn(tower::Service::call(&mut layer.layer(Vectors), call));
        sleep(MS(wait)).await;
        asked.abort();
        let _aborted = asked.await;
        layer.budget().flush(Duration::from_secs(5)).await.unwrap();
        let (spent, reserved) = store.balance("user:a|tokens|day").await;
        assert_eq!((spent > 0, reserved), (used, 0), "after {wait} ms");
    }
}

// G3
#[tokio::test(start_paused = true)]
async fn a_process_that_ends_books_everything_first_or_says_what_it_could_not() {
    let store = Faulty::new();
    let process = Process::new(&store, tokens(WhenStoreFails::Open));
    store.set(Fault::Slow(MS(30)));
    process.admitted(20).await;
    process.budget.flush(Duration::from_secs(5)).await.unwrap();
    assert_eq!(store.tokens_in_rows().await, 2_000);
    assert_eq!(process.budget.stats().owed, 0);
    store.set(Fault::Frozen);
    process.admitted(7).await;
    let (flushed, time) = took(process.budget.flush(Duration::from_secs(2))).await;
    assert_eq!(flushed.unwrap_err().left, 7);
    assert!(time <= MS(2_010), "{time:?}");
    assert_eq!(process.budget.stats().owed, 7, "nothing is forgotten");
}

impl Process {
    /// Waits until all calls are booked; leases stay.
    async fn settled_but_leases(&self) {
        while self.budget.stats().owed > 0 {
            sleep(MS(10)).await;
        }
        assert_eq!(self.budget.remaining(&subject_of("user:a")).await.unwrap().len(), 1);
    }
}

// S1: an outage of any length costs no memory for each call that it refuses, and what was used before is not pushed out.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_without_asking_the_store_leaves_nothing_to_be_booked() {
    let store = Faulty::new();
    let process = Process::new(&store, tokens(WhenStoreFails::Closed));
    let answered = process.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
    store.set(Fault::Refuses);
    assert_eq!(process.admitted(1_000).await, 0);
    answered.collect().await.unwrap();
    assert_eq!(process.budget.stats().owed, 1 + 3, "what was used, and what three calls may have reserved");
    store.set(Fault::None);
    sleep(Duration::from_secs(10)).await;
    process.settled().await;
    assert_eq!(store.balance("user:a|tokens|day").await, (100, 0));
}

// S6.2: an alert does not get lost with an answer.
#[tokio::test(start_paused = true)]
async fn a_soft_limit_that_is_passed_by_a_booking_whose_answer_was_lost_is_told_once() {
    let store = Faulty::new();
    let process = Process::new(&store, Limit::tokens(1_000, Period::Day));
    assert_eq!(process.admitted(7).await, 7);
    let answered = process.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
    process.settled().await;
    store.set(Fault::AnswersLost);
    answered.collect().await.unwrap();
    sleep(MS(40)).await;
    assert_eq!(store.balance("user:a|tokens|day").await, (800, 0), "it is booked, and nobody knows");
    sleep(MS(20)).await;
    store.set(Fault::None);
    sleep(Duration::from_secs(10)).await;
    process.settled().await;
    assert_eq!(process.heard.count("budget.soft_limit"), 1);
    assert_eq!((process.budget.stats().settled, process.budget.stats().owed), (8, 0));
}

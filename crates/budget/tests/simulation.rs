//! A thousand seeds of calls that are cancelled, fail, hang, break off and are hedged, over stores that are well and stores
//! that fail: never over the limit, nothing held in the end, rows equal to counters (M1-M6).
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "common/chance.rs"]
mod chance;
mod common;
#[path = "common/faulty.rs"]
mod faulty;

use std::sync::Arc;
use std::time::Duration;

use chance::step;
use common::{call_of, meter, streaming, subject_of};
use fastrand::Rng;
use faulty::{Fault, Faulty};
use mainstay_budget::{
    AttemptMeterLayer, Budget, BudgetLayer, BudgetStore, Limit, LimitBook, LostHold, MemoryStore, Period,
    RowsQuery, Unit, WhenStoreFails,
};
use mainstay_metering::NanoUsd;
use mainstay_provider_core::test_kit::Scripted;
use mainstay_provider_core::{BoxProvider, Call, Provider, Subject};
use tokio::time::{sleep, timeout};
use tower::Layer;

const SUBJECTS: [&str; 5] = ["user:a", "user:b", "org:x", "org:y", "feature:f"];

/// The longest that a provider thinks before one thing that it says.
const LONGEST: Duration = Duration::from_secs(3);

fn limits(rng: &mut Rng) -> Vec<Limit> {
    let period = [
        Period::Hour,
        Period::Day,
        Period::Month,
        Period::Forever,
        Period::Rolling(Duration::from_secs(600)),
    ];
    let policies = [WhenStoreFails::Closed, WhenStoreFails::Lease { share: 200 }];
    let any = |rng: &mut Rng| period[rng.usize(0..period.len())];
    let all = [
        Limit::tokens(rng.u64(150..3_000), any(rng)),
        Limit::usd(NanoUsd::from_nanos(rng.u64(300_000..5_000_000)), any(rng)),
        Limit::requests(rng.u64(1..30), any(rng)),
        Limit::concurrent(rng.u64(1..6)),
    ];
    let all = all.into_iter().filter(|_| rng.u32(0..3) > 0).collect::<Vec<_>>();
    all.into_iter().map(|limit| limit.when_store_fails(policies[rng.usize(0..2)])).collect()
}

struct World {
    provider: BoxProvider,
    budget: Budget,
    /// Looks at what the store keeps, whatever it answers the others.
    observer: Budget,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl World {
    fn new(
        rng: &mut Rng,
        store: Arc<dyn BudgetStore>,
        inside: Arc<dyn BudgetStore>,
        clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Self {
        let book = LimitBook::default();
        for subject in SUBJECTS {
            book.set(subject_of(subject), limits(rng)).unwrap();
        }
        let now = clock.clone();
        let observing = clock.clone();
        let observer = BudgetLayer::builder_over(meter(), inside, book.clone()).clock(move || observing());
        let layer = BudgetLayer::builder_over(meter(), store, book)
            .clock(move || now())
            .lost_holds(if rng.bool() { LostHold::Settle } else { LostHold::Release })
            .build()
            .unwrap();
        let own = std::sync::Mutex::new(rng.fork());
        let upstream = Scripted::by(move |_| step(&mut own.lock().unwrap(), LONGEST));
        let provider = if rng.bool() {
            layer.layer(upstream).boxed()
        } else {
            layer.layer(AttemptMeterLayer::new("openai").deployment("eu-1").layer(upstream)).boxed()
        };
        let observer = observer.build().unwrap().budget().clone();
        Self { provider, budget: layer.budget().clone(), observer, clock }
    }

    /// No limit is passed, whatever happens just now.
    async fn assert_within_limits(&self, seed: u64) {
        for subject in SUBJECTS {
            for standing in self.observer.remaining(&subject_of(subject)).await.unwrap() {
                let total = standing.spent + standing.reserved;
                assert!(total <= standing.limit.amount, "seed {seed}: {standing:?}");
            }
        }
    }

    /// Nothing is held any more, and what was booked in each period is what the rows say.
    async fn assert_settled(&self, seed: u64) {
        let rows =
            self.budget.rows(&RowsQuery { limit: usize::MAX, ..RowsQuery::default() }).await.unwrap().rows;
        for name in SUBJECTS {
            let subject = Subject::parse(name).unwrap();
            for standing in self.budget.remaining(&subject).await.unwrap() {
                let begins = self.begins(&standing.limit, standing.resets_at_ms);
                let own = rows.iter().filter(|row| row.subjects.contains(&subject) && row.at_ms >= begins);
                let booked: u64 = own
                    .map(|row| match standing.limit.unit {
                        Unit::Tokens => row.usage.total(),
                        Unit::Usd => row.cost.as_nanos(),
                        Unit::Requests => row.requests,
                        _ => 0,
                    })
                    .sum();
                assert_eq!((standing.spent, standing.reserved), (booked, 0), "seed {seed}: {standing:?}");
            }
        }
    }

    /// When the limit's period began.
    fn begins(&self, limit: &Limit, ends: Option<u64>) -> u64 {
        match (limit.period, ends) {
            (Period::Hour, Some(end)) => end - 3_600_000,
            (Period::Day, Some(end)) => end - 86_400_000,
            (Period::Rolling(length), _) => {
                let length = u64::try_from(length.as_millis()).unwrap();
                ((self.clock)() - length) / (length / 60) * (length / 60)
            }
            (Period::Month, Some(_)) => common::NOON - 20 * 86_400_000 - 12 * 3_600_000,
            _ => 0,
        }
    }
}

fn call(rng: &mut Rng) -> Call {
    let subjects: Vec<_> = SUBJECTS.into_iter().filter(|_| rng.bool()).collect();
    let mut call = call_of(&subjects);
    call.request_mut().max_tokens = Some(60);
    if rng.u32(0..4) > 0 { streaming(call) } else { call }
}

/// A caller: it may leave at any moment.
async fn caller(provider: BoxProvider, call: Call, patience: Duration) {
    let answered = async {
        if let Ok(reply) = provider.ask(call).await {
            let _answer = reply.collect().await;
        }
    };
    let _left = timeout(patience, answered).await;
}

/// One life; says how many calls went through and how many were refused.
async fn live(seed: u64, faulty: Option<Faulty>) -> (u64, u64) {
    let mut rng = Rng::with_seed(seed);
    let born = tokio::time::Instant::now();
    let clock = Arc::new(move || common::NOON + u64::try_from(born.elapsed().as_millis()).unwrap());
    let (store, inside): (Arc<dyn BudgetStore>, Arc<dyn BudgetStore>) = match &faulty {
        Some(faulty) => (Arc::new(faulty.clone()), faulty.inside()),
        None => {
            let store = Arc::new(MemoryStore::new());
            (store.clone(), store)
        }
    };
    let world = World::new(&mut rng, store, inside, clock);
    let mut callers = Vec::new();
    for _ in 0..rng.usize(10..40) {
        if let Some(faulty) = &faulty
            && rng.u32(0..6) == 0
        {
            let faults = [Fault::None, Fault::None, Fault::Frozen, Fault::Refuses, Fault::AnswersLost];
            faulty.set(faults[rng.usize(0..faults.len())]);
        }
        let patience = Duration::from_millis(rng.u64(0..5_000));
        callers.push(tokio::spawn(caller(world.provider.clone(), call(&mut rng), patience)));
        sleep(Duration::from_millis(rng.u64(0..1_500))).await;
        world.assert_within_limits(seed).await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    if let Some(faulty) = &faulty {
        faulty.set(Fault::None);
        sleep(Duration::from_secs(70)).await;
    }
    world.budget.flush(Duration::from_secs(30)).await.unwrap();
    world.assert_settled(seed).await;
    world.assert_within_limits(seed).await;
    let stats = world.budget.stats();
    (stats.admitted, stats.refused)
}

async fn thousand(faulty: impl Fn() -> Option<Faulty>) {
    let (mut admitted, mut refused) = (0, 0);
    for seed in 0..1_000 {
        let (went_through, were_refused) = live(seed, faulty()).await;
        (admitted, refused) = (admitted + went_through, refused + were_refused);
    }
    // A simulation in which nothing happens shows nothing.
    assert!(admitted > 5_000 && refused > 3_000, "{admitted} went through, {refused} were refused");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_seeds_in_process() {
    thousand(|| None).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_seeds_over_a_store_that_fails() {
    thousand(|| Some(Faulty::new())).await;
}

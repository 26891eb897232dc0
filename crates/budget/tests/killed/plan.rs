//! What a seed says: whose limits, how many callers, which processes, and when and how each of them ends.

use std::time::Duration;

use fastrand::Rng;
use mainstay_budget::{Durability, Limit, LimitBook, Period, WhenStoreFails};
use mainstay_metering::NanoUsd;
use mainstay_provider_core::Subject;

use crate::clock::Clock;
use crate::stores::Kind;

/// All that is drawn for one seed; the parent and its children draw the same.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) subjects: Vec<(Subject, Vec<Limit>)>,
    /// How many calls each process has under way at once.
    pub(crate) callers: usize,
    /// The longest pause of the provider.
    pub(crate) pause: Duration,
    /// So much faster than the machine's goes the time of day that periods are of.
    pub(crate) speed: u64,
    /// Whether each process has one thread or two.
    pub(crate) is_on_two_threads: bool,
    /// Whether attempts are metered.
    pub(crate) has_meter: bool,
    /// How long a hold lives on a shared store.
    pub(crate) lease: Duration,
    /// Whether holds are renewed before that: if not, many settlements come late.
    pub(crate) renews: bool,
    pub(crate) store_timeout: Duration,
    /// Of a journal.
    pub(crate) durability: Durability,
    pub(crate) compact_at: u64,
    /// The lives of each process, one after the other.
    pub(crate) processes: Vec<Vec<Life>>,
}

/// One life of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) end: End,
    /// Whether the time until its end runs from its first call on, or from when it was started.
    pub(crate) is_ready_first: bool,
    pub(crate) lasts: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGKILL.
    Killed,
    /// SIGTERM: calls under way come to their ends.
    Drained,
    /// SIGTERM: calls under way are dropped.
    Cancelled,
}

impl Plan {
    pub(crate) fn of(seed: u64, kind: Kind) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let names = ["user", "org", "team", "feature"];
        let subjects = (0..rng.usize(1..5)).map(|place| {
            let subject = Subject::new(names[place], &format!("s{seed}"));
            (subject, limits(rng))
        });
        Self {
            seed,
            subjects: subjects.collect(),
            callers: rng.usize(1..12),
            pause: Duration::from_micros(rng.u64(200..12_000)),
            speed: [1, 60, 1_000][rng.usize(0..3)],
            is_on_two_threads: rng.bool(),
            has_meter: rng.bool(),
            lease: Duration::from_millis(rng.u64(100..200)),
            renews: rng.u32(0..4) > 0,
            store_timeout: Duration::from_millis([50, 500][rng.usize(0..2)]),
            durability: if rng.u32(0..4) > 0 {
                Durability::Batch(Duration::from_millis(rng.u64(1..100)))
            } else {
                Durability::Each
            },
            compact_at: if rng.bool() { 16 << 20 } else { rng.u64(5_000..100_000) },
            processes: processes(rng, kind),
        }
    }

    pub(crate) fn book(&self) -> LimitBook {
        let book = LimitBook::default();
        for (subject, limits) in &self.subjects {
            book.set(subject.clone(), limits.clone()).unwrap();
        }
        book
    }

    /// The time of day in the world of this seed, of which nobody else has a part: from half a minute before
    /// midnight on. It began at `born_ms` of the machine's.
    pub(crate) fn clock(&self, born_ms: u64) -> Clock {
        const TWO_DAYS: u64 = 2 * 86_400_000;
        let begins = born_ms / TWO_DAYS * TWO_DAYS + self.seed % 100_000 * TWO_DAYS + 86_370_000;
        Clock { begins, born_ms, speed: self.speed }
    }

    /// The subjects of a call: one at least.
    pub(crate) fn some_subjects(&self, rng: &mut Rng) -> Vec<Subject> {
        let only = rng.usize(0..self.subjects.len());
        let each = self.subjects.iter().enumerate();
        each.filter(|(place, _)| *place == only || rng.bool())
            .map(|(_, (subject, _))| subject.clone())
            .collect()
    }
}

fn limits(rng: &mut Rng) -> Vec<Limit> {
    let periods = [
        Period::Minute,
        Period::Hour,
        Period::Day,
        Period::Month,
        Period::Forever,
        Period::Rolling(Duration::from_secs(60)),
        Period::Rolling(Duration::from_secs(6_000)),
    ];
    let any = |rng: &mut Rng| periods[rng.usize(0..periods.len())];
    let all = [
        Limit::tokens(rng.u64(150..20_000), any(rng)),
        Limit::usd(NanoUsd::from_nanos(rng.u64(300_000..30_000_000)), any(rng)),
        Limit::requests(rng.u64(1..300), any(rng)),
        Limit::concurrent(rng.u64(1..16)),
    ];
    let all = all.into_iter().filter(|_| rng.u32(0..3) > 0).collect::<Vec<_>>();
    let policies = [WhenStoreFails::Closed, WhenStoreFails::Lease { share: 200 }];
    all.into_iter().map(|limit| limit.when_store_fails(policies[rng.usize(0..2)])).collect()
}

/// A journal is one process's; a shared store has one to three, each of which may begin again.
fn processes(rng: &mut Rng, kind: Kind) -> Vec<Vec<Life>> {
    // On PostgreSQL the first calls take their time.
    let longest = if kind == Kind::Postgres { 160 } else { 80 };
    let lives = |rng: &mut Rng, count| (0..count).map(|_| life(rng, longest)).collect();
    if kind == Kind::Journal {
        let count = rng.usize(1..4);
        return vec![lives(rng, count)];
    }
    let each = |rng: &mut Rng| {
        let count = if rng.u32(0..4) == 0 { 2 } else { 1 };
        lives(rng, count)
    };
    (0..rng.usize(1..4)).map(|_| each(rng)).collect()
}

fn life(rng: &mut Rng, longest: u64) -> Life {
    let end = match rng.u32(0..10) {
        0 => End::Drained,
        1 | 2 => End::Cancelled,
        _ => End::Killed,
    };
    // Killed while it begins: nobody is there yet to hear a SIGTERM.
    let is_ready_first = end != End::Killed || rng.u32(0..8) > 0;
    Life { end, is_ready_first, lasts: Duration::from_millis(rng.u64(1..longest)) }
}

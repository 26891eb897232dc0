//! Many seeds on several threads, and what came of them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::fault::Fault;
use super::log::{Invariant, Report, Violation};
use super::sabotage::Sabotage;
use super::{Mode, world};

/// Which worlds.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) from: u64,
    pub(super) seeds: u64,
    pub(super) modes: &'static [Mode],
    pub(super) prints: bool,
    pub(super) twice: bool,
    pub(super) jobs: Option<usize>,
    pub(super) sabotage: Option<Sabotage>,
}

/// What came of them.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) worlds: u64,
    pub(super) failures: Vec<Failure>,
    seen: BTreeMap<&'static str, u64>,
    compared: u64,
    took: Duration,
}

/// A world in which something did not hold.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) seed: u64,
    pub(super) mode: Mode,
    pub(super) violations: Vec<Violation>,
}

impl Failure {
    /// The first violation of an invariant that was broken.
    fn violation(&self, invariant: Invariant) -> &Violation {
        let first = self.violations.iter().find(|violation| violation.invariant == invariant);
        first.unwrap_or(&self.violations[0])
    }
}

/// What the threads share.
struct Shared {
    order: Order,
    next: AtomicU64,
    sum: Mutex<Sum>,
    /// What each thread is at, since when.
    at: Mutex<BTreeMap<usize, (u64, Mode, Instant)>>,
}

/// Lives through all of them.
pub(super) fn run(order: &Order) -> Result<Sum> {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if order.prints { 1 } else { order.jobs.unwrap_or(threads) };
    let shared = Arc::new(Shared {
        order: order.clone(),
        next: AtomicU64::new(0),
        sum: Mutex::default(),
        at: Mutex::default(),
    });
    let threads: Vec<_> = (0..threads.max(1))
        .map(|thread| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.work(thread))
        })
        .collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        std::thread::sleep(Duration::from_millis(20));
        shared.none_hangs()?;
    }
    for thread in threads {
        match thread.join() {
            Ok(result) => result?,
            Err(_panicked) => bail!("the simulation itself panicked, see above"),
        }
    }
    let mut sum = std::mem::take(&mut *shared.sum.lock().unwrap_or_else(PoisonError::into_inner));
    sum.failures.sort_unstable_by_key(|failure| (failure.seed, failure.mode.name()));
    sum.took = began.elapsed();
    Ok(sum)
}

impl Shared {
    fn work(&self, thread: usize) -> Result<()> {
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.order.seeds {
                self.at(thread, None);
                return Ok(());
            }
            for mode in self.order.modes {
                self.live(thread, self.order.from + seed, *mode)?;
            }
        }
    }

    fn live(&self, thread: usize, seed: u64, mode: Mode) -> Result<()> {
        self.at(thread, Some((seed, mode, Instant::now())));
        let Order { prints, sabotage, twice, .. } = self.order;
        let mut report = world::live(seed, mode, prints, sabotage)?;
        let compares = twice || (!prints && seed.is_multiple_of(ONE_IN));
        if compares {
            let again = world::live(seed, mode, false, sabotage)?;
            if again.hash != report.hash {
                let what = format!("the traces are {:016x} and {:016x}", report.hash, again.hash);
                report.violations.push(Violation { invariant: Invariant::Determinism, what });
            }
        }
        if prints {
            println!("trace {:016x}", report.hash);
        }
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.add(seed, mode, report);
        sum.compared += u64::from(compares);
        Ok(())
    }

    fn at(&self, thread: usize, what: Option<(u64, Mode, Instant)>) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Some(what) => at.insert(thread, what),
            None => at.remove(&thread),
        };
    }

    /// A world whose tasks wake each other for ever stands still, and its clock with it.
    fn none_hangs(&self) -> Result<()> {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        for (seed, mode, since) in at.values() {
            if since.elapsed() > LONGEST {
                bail!("seed {seed} hangs: its clock stands still\n  {}", replay(*seed, *mode));
            }
        }
        Ok(())
    }
}

impl Sum {
    fn add(&mut self, seed: u64, mode: Mode, report: Report) {
        self.worlds += 1;
        for (what, count) in report.seen {
            *self.seen.entry(what).or_default() += count;
        }
        if !report.violations.is_empty() {
            self.failures.push(Failure { seed, mode, violations: report.violations });
        }
    }

    /// In how many worlds each invariant was broken, and the first of them.
    fn broken(&self) -> BTreeMap<Invariant, (u64, &Failure)> {
        let mut broken = BTreeMap::new();
        for failure in &self.failures {
            let invariants: BTreeSet<_> =
                failure.violations.iter().map(|violation| violation.invariant).collect();
            for invariant in invariants {
                broken.entry(invariant).or_insert((0, failure)).0 += 1;
            }
        }
        broken
    }

    /// What the simulation is there for, and did not see.
    pub(super) fn unseen(&self) -> Vec<&'static str> {
        let faults = Fault::MIX.iter().map(|(_, fault)| fault.name());
        faults.chain(WANTED).filter(|what| !self.seen.contains_key(what)).collect()
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.seen {
            writeln!(f, "{count:>12}  {what}")?;
        }
        for Failure { seed, mode, violations } in self.failures.iter().take(MOST_TOLD) {
            writeln!(f, "\nseed {seed} in {} mode:", mode.name())?;
            for Violation { invariant, what } in violations.iter().take(3) {
                writeln!(f, "  {}: {what}", invariant.name())?;
            }
            writeln!(f, "  {}", replay(*seed, *mode))?;
        }
        if self.failures.len() > MOST_TOLD {
            writeln!(f, "\nand {} more", self.failures.len() - MOST_TOLD)?;
        }
        for (invariant, (worlds, first)) in self.broken() {
            let Violation { what, .. } = first.violation(invariant);
            writeln!(f, "\nbroken in {worlds} worlds: {}\n  {what}", invariant.name())?;
            writeln!(f, "  {}", replay(first.seed, first.mode))?;
        }
        write!(
            f,
            "\n{} worlds in {:.1} s, {} of them twice; {} broke a promise",
            self.worlds,
            self.took.as_secs_f64(),
            self.compared,
            self.failures.len()
        )
    }
}

fn replay(seed: u64, mode: Mode) -> String {
    format!("cargo xtask sim --seed {seed} --mode {} --trace", mode.name())
}

/// Of so many seeds one is lived through twice.
const ONE_IN: u64 = 100;
const MOST_TOLD: usize = 10;
/// A world takes a fraction of a second.
const LONGEST: Duration = Duration::from_secs(60);

/// Without these a run has not seen what it is there for.
const WANTED: [&str; 15] = [
    "breaker.closed",
    "breaker.cooling",
    "breaker.half_open",
    "breaker.opened",
    "breaker.parked",
    "callers that left",
    "clock jumps",
    "limit_reached",
    "panics that reached a caller",
    "rescue.held_back",
    "rescue.restarted",
    "rescue.resumed",
    "retry.shortened",
    "retry.waiting",
    "router.hedged",
];

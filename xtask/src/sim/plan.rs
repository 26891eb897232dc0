//! A world as data, drawn from its seed: who serves, what stands before them, what goes wrong, who calls.

use std::ops::Range;
use std::time::Duration;

use mainstay_rescue::{HoldBack, RescuePolicy};
use mainstay_retry::{Jitter, Shorten};
use mainstay_router::strategy;
use mainstay_timeout::Timers;

use super::Mode;
use super::chance::Chance;
use super::fault::{Fault, LONGEST_HINT, Phase};

/// One world.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) models: Vec<ModelPlan>,
    pub(super) deployments: Vec<DeploymentPlan>,
    pub(super) retry: RetryPlan,
    pub(super) rescue: RescuePlan,
    pub(super) hedging: Option<HedgingPlan>,
    /// The seeds of what draws by itself.
    pub(super) seed: u64,
    /// All calls: those under faults; those while it heals, if it does; those that must succeed then; and a few that ask
    /// each deployment by itself.
    pub(super) calls: Vec<CallPlan>,
    pub(super) healing: Range<usize>,
    pub(super) healed: Range<usize>,
    pub(super) spare: Range<usize>,
    /// When the clock jumps, and how far.
    pub(super) jumps: Vec<(Duration, Duration)>,
    /// When an operator keeps a deployment open, and for how long.
    pub(super) forced: Vec<(usize, Duration, Duration)>,
    /// How long calls come while faults do.
    pub(super) span: Duration,
}

/// A logical model.
#[derive(Debug)]
pub(super) struct ModelPlan {
    pub(super) name: &'static str,
    pub(super) strategy: &'static str,
    pub(super) fallbacks: Vec<usize>,
    pub(super) longer: Vec<usize>,
    pub(super) other_policy: Vec<usize>,
}

/// A deployment: the layers around a provider, and what the provider is like.
#[derive(Debug)]
pub(super) struct DeploymentPlan {
    pub(super) name: String,
    pub(super) model: usize,
    pub(super) order: u32,
    pub(super) weight: f64,
    pub(super) price: Option<f64>,
    pub(super) prefill: Prefill,
    /// Whether it answers each attempt in other words.
    pub(super) varies: bool,
    /// Whether it reasons before it answers.
    pub(super) reasons: bool,
    /// Whether its events come as bytes that need not be taken apart.
    pub(super) raw: bool,
    /// The characters of a piece of text at most.
    pub(super) piece: usize,
    /// Its longest prompt in tokens.
    pub(super) window: Option<u64>,
    /// Whether it says what its window is.
    pub(super) tells_window: bool,
    /// Whether it refuses what others answer.
    pub(super) filters: bool,
    pub(super) first_token: Duration,
    pub(super) gap: Duration,
    /// What the provider allows, and whether its headers say so.
    pub(super) requests_per_minute: Option<u64>,
    pub(super) tells_limits: bool,
    pub(super) limit: Option<LimitPlan>,
    pub(super) bulkhead: Option<BulkheadPlan>,
    pub(super) breaker: BreakerPlan,
    pub(super) timers: Timers,
    pub(super) phases: Vec<Phase>,
}

/// What becomes of an assistant message that stands last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefill {
    /// It is refused, and the router knows.
    Refused,
    /// It is refused, and the router believes otherwise.
    RefusedAfterAll,
    /// The answer goes on from it.
    Continued,
    /// The answer repeats it and goes on.
    Repeated,
}

#[derive(Debug)]
pub(super) struct LimitPlan {
    pub(super) requests: Option<u64>,
    pub(super) tokens: Option<u64>,
    pub(super) max_wait: Duration,
    pub(super) max_queue: usize,
    pub(super) predict: bool,
    pub(super) learn: bool,
}

#[derive(Debug)]
pub(super) struct BulkheadPlan {
    pub(super) max_parallel: usize,
    pub(super) max_queue: usize,
    pub(super) max_wait: Duration,
}

#[derive(Debug)]
pub(super) struct BreakerPlan {
    pub(super) failures: Option<u32>,
    pub(super) allowed_fails: Option<u32>,
    pub(super) rate: Option<f64>,
    pub(super) recovery: Duration,
    pub(super) max_recovery: Duration,
    pub(super) probes: u32,
    pub(super) lease: Duration,
    pub(super) park_recheck: Option<Duration>,
    pub(super) slow: bool,
    pub(super) pool: bool,
}

#[derive(Debug)]
pub(super) struct RetryPlan {
    pub(super) attempts: u32,
    pub(super) base: Duration,
    pub(super) max_delay: Duration,
    pub(super) max_retry_after: Duration,
    pub(super) min_attempt: Duration,
    pub(super) jitter: Jitter,
    pub(super) share: f64,
    pub(super) burst: u32,
    pub(super) shorten: Shorten,
}

#[derive(Debug)]
pub(super) struct RescuePlan {
    pub(super) policies: &'static [RescuePolicy],
    pub(super) rescues: u32,
    pub(super) within: Duration,
    pub(super) hold_back: Option<HoldBack>,
    /// Whether it draws on the budget of the retries.
    pub(super) draws: bool,
}

#[derive(Debug)]
pub(super) struct HedgingPlan {
    pub(super) floor: Duration,
    pub(super) extra: f64,
}

/// One call.
#[derive(Debug, Clone)]
pub(super) struct CallPlan {
    pub(super) id: usize,
    pub(super) at: Duration,
    pub(super) model: usize,
    pub(super) stream: bool,
    pub(super) words: usize,
    /// How many turns the conversation had before.
    pub(super) turns: usize,
    pub(super) deadline: Option<Duration>,
    pub(super) leave: Leave,
    pub(super) reader: Reader,
    pub(super) prior_attempts: u32,
    pub(super) session: Option<u32>,
    pub(super) max_tokens: Option<u64>,
    /// A filter minds its content.
    pub(super) is_delicate: bool,
    /// No provider understands it.
    pub(super) is_wrong: bool,
    /// Nothing fails any more when it is made, so neither may it.
    pub(super) must_succeed: bool,
}

/// When a caller leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    Never,
    /// After a time.
    After(Duration),
    /// When it has been looked at so often: at every place where a call can wait, some seed leaves.
    Polls(u32),
    /// After so many chunks.
    Chunks(u32),
}

/// How a caller reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Plain,
    /// All at once.
    Collects,
    /// A whole answer as chunks too.
    AsStream,
    /// With a pause after each chunk.
    Slow(Duration),
    /// Gives up each read after this time and reads again, which must lose nothing.
    Impatient(Duration),
}

const MODELS: [&str; 2] = ["main", "other"];
const SECOND: Duration = Duration::from_secs(1);
const BETWEEN_HEALING_CALLS: Duration = Duration::from_secs(4);
/// Of each model.
const CALLS_THAT_MUST_SUCCEED: usize = 8;
pub(super) const MOST_PROBES: u32 = 3;

impl Plan {
    /// The world of a seed.
    pub(super) fn of(seed: u64, mode: Mode) -> Self {
        let seed = Chance::of(seed, mode.name()).seed();
        let mut chance = Chance::of(seed, "shape");
        let span = chance.seconds(60.0, 400.0);
        let models = models(&mut chance);
        let mut deployments = deployments(models.len(), span, &mut chance, seed);
        if mode == Mode::Liveness {
            let healthy = Phase { from: span, fault: Fault::Healthy, share: 1.0 };
            deployments.iter_mut().for_each(|deployment| deployment.phases.push(healthy));
        }
        let retry = RetryPlan::drawn(&mut chance);
        let hedging = chance.maybe(0.35, |chance| HedgingPlan {
            floor: chance.seconds(0.2, 1.0),
            extra: chance.real(0.05, 0.5),
        });
        let jumps = match chance.number(0..=5) {
            few @ 1..=3 => (0..few).map(|_| (part(span, &mut chance), chance.seconds(30.0, 600.0))).collect(),
            _ => Vec::new(),
        };
        let mut forced = Vec::new();
        if chance.happens(0.15) {
            let which = chance.number(0..=deployments.len() - 1);
            forced.push((which, part(span, &mut chance), chance.seconds(5.0, 60.0)));
        }
        let rescue = RescuePlan::drawn(&mut chance);
        let calls = calls(&models, span, hedging.is_some(), &mut Chance::of(seed, "calls"));
        let nobody = calls.len()..calls.len();
        let (healing, healed, spare) = (nobody.clone(), nobody.clone(), nobody);
        let mut plan = Self {
            mode,
            models,
            deployments,
            retry,
            rescue,
            hedging,
            seed,
            calls,
            healing,
            healed,
            spare,
            jumps,
            forced,
            span,
        };
        if mode == Mode::Liveness {
            plan.heal(&mut Chance::of(seed, "healing"));
        }
        plan
    }

    /// Adds the calls that come when the faults have stopped.
    fn heal(&mut self, chance: &mut Chance) {
        let heals_for = self.longest_healing();
        let models = self.models.len();
        let mut add = |calls: &mut Vec<CallPlan>, at, model, must_succeed| {
            let mut call = CallPlan::plain(calls.len(), at, model, chance);
            call.must_succeed = must_succeed;
            if must_succeed && matches!(call.reader, Reader::Slow(_)) {
                call.reader = Reader::Plain;
            }
            calls.push(call);
        };
        let from = self.calls.len();
        let mut at = Duration::ZERO;
        while at < heals_for {
            (0..models).for_each(|model| add(&mut self.calls, at, model, false));
            at += BETWEEN_HEALING_CALLS;
        }
        self.healing = from..self.calls.len();
        (0..CALLS_THAT_MUST_SUCCEED).for_each(|_| {
            (0..models).for_each(|model| add(&mut self.calls, Duration::ZERO, model, true));
        });
        self.healed = self.healing.end..self.calls.len();
        for deployment in &self.deployments {
            (0..MOST_PROBES).for_each(|_| add(&mut self.calls, Duration::ZERO, deployment.model, false));
        }
        self.spare = self.healed.end..self.calls.len();
    }

    /// How long a call may last: every wait and every timer of every attempt, each as long as it can be. Clock jumps and
    /// the caller's own pauses come on top.
    pub(super) fn longest_call(&self) -> Duration {
        let retry = &self.retry;
        let most =
            |of: fn(&DeploymentPlan) -> Duration| self.deployments.iter().map(of).max().unwrap_or_default();
        let total = most(|deployment| deployment.timers.total);
        let gates: Duration = self.deployments.iter().map(DeploymentPlan::longest_gate).sum();
        let asked = retry.attempts + self.deployments.len() as u32 + 4;
        let pause = retry.max_delay.max(retry.max_retry_after + retry.max_delay / 2);
        // Waiting for a limit of our own is no attempt; all of it together is as long as what a provider is obeyed for.
        let leg = asked * (gates + total) + retry.attempts * pause + retry.max_retry_after;
        (self.rescue.rescues + 1) * leg + SECOND
    }

    /// From the last fault on, how long it may take until every call succeeds again.
    pub(super) fn longest_healing(&self) -> Duration {
        let hint = Duration::from_secs_f64(LONGEST_HINT * 1.1);
        let each = self.deployments.iter().map(|deployment| {
            let breaker = &deployment.breaker;
            let closed = breaker.max_recovery.max(hint).max(breaker.park_recheck.unwrap_or_default());
            deployment.timers.total + closed + breaker.lease + breaker.probes * 3 * SECOND
        });
        // A minute of rate limits, and what was under way.
        each.max().unwrap_or_default() + 90 * SECOND
    }
}

impl DeploymentPlan {
    fn longest_gate(&self) -> Duration {
        let limit = self.limit.as_ref().map_or(Duration::ZERO, |limit| limit.max_wait);
        limit + self.bulkhead.as_ref().map_or(Duration::ZERO, |bulkhead| bulkhead.max_wait)
    }

    /// What its provider suffers from, and the share of attempts that get it.
    pub(super) fn phase(&self, now: Duration) -> (Fault, f64) {
        let phase = self.phases.iter().rev().find(|phase| phase.from <= now);
        phase.map_or((Fault::Healthy, 1.0), |phase| (phase.fault, phase.share))
    }
}

fn models(chance: &mut Chance) -> Vec<ModelPlan> {
    let count = chance.number(1..=2);
    (0..count)
        .map(|model| {
            let other: Vec<usize> = (0..count).filter(|other| *other != model).collect();
            let mut named =
                |probability| if chance.happens(probability) { other.clone() } else { Vec::new() };
            let (fallbacks, longer, other_policy) = (named(0.8), named(0.4), named(0.5));
            let strategy = chance.one_of(&strategy::NAMES);
            ModelPlan { name: MODELS[model], strategy, fallbacks, longer, other_policy }
        })
        .collect()
}

fn deployments(models: usize, span: Duration, chance: &mut Chance, seed: u64) -> Vec<DeploymentPlan> {
    let count = chance.number(2..=4);
    let shared = chance.happens(0.3).then(|| phases(span, &mut Chance::of(seed, "outage of all")));
    (0..count)
        .map(|number| {
            // Each model has one at least.
            let model = if number < models { number } else { chance.number(0..=models - 1) };
            let mut deployment = deployment(number, model, chance);
            deployment.phases = match &shared {
                Some(shared) if chance.happens(0.8) => shared.clone(),
                _ => phases(span, &mut Chance::of(seed, &deployment.name)),
            };
            deployment
        })
        .collect()
}

fn deployment(number: usize, model: usize, chance: &mut Chance) -> DeploymentPlan {
    let timers = timers(chance);
    let (limited, hulled) = chance.one_of(&[(true, false), (true, false), (false, true), (true, true)]);
    DeploymentPlan {
        name: format!("d{number}/{}", MODELS[model]),
        model,
        order: if chance.happens(0.15) { 2 } else { 1 },
        weight: chance.real(0.5, 4.0),
        price: chance.maybe(0.5, |chance| chance.real(0.1, 20.0)),
        prefill: chance.by_weight(&[
            (4, Prefill::Refused),
            (1, Prefill::RefusedAfterAll),
            (4, Prefill::Continued),
            (2, Prefill::Repeated),
        ]),
        varies: chance.happens(0.3),
        reasons: chance.happens(0.1),
        raw: chance.happens(0.5),
        piece: chance.number(4..=40),
        window: chance.one_of(&[None, None, Some(600), Some(2_500)]),
        tells_window: chance.happens(0.7),
        filters: chance.happens(0.5),
        first_token: chance.seconds(0.05, 0.5),
        gap: chance.seconds(0.002, 0.04),
        requests_per_minute: chance.maybe(0.4, |chance| chance.number(60..=300) as u64),
        tells_limits: chance.happens(0.5),
        limit: limited.then(|| LimitPlan {
            requests: chance.maybe(0.5, |chance| chance.number(40..=300) as u64),
            tokens: chance.maybe(0.3, |chance| chance.number(30_000..=200_000) as u64),
            max_wait: if chance.happens(0.3) { Duration::ZERO } else { chance.seconds(0.1, 3.0) },
            max_queue: chance.number(0..=20),
            predict: chance.happens(0.8),
            learn: chance.happens(0.8),
        }),
        bulkhead: hulled.then(|| BulkheadPlan {
            max_parallel: chance.number(1..=12),
            max_queue: chance.number(0..=12),
            max_wait: if chance.happens(0.3) { Duration::ZERO } else { chance.seconds(0.1, 3.0) },
        }),
        breaker: breaker(timers, chance),
        timers,
        phases: Vec::new(),
    }
}

fn timers(chance: &mut Chance) -> Timers {
    let mut timers = Timers::default();
    timers.first_token = chance.seconds(2.0, 10.0);
    timers.idle = chance.seconds(3.0, 20.0);
    timers.total = chance.seconds(15.0, 60.0);
    timers
}

fn breaker(timers: Timers, chance: &mut Chance) -> BreakerPlan {
    let (in_a_row, a_minute, rate) = chance.one_of(&[
        (true, false, false),
        (true, false, false),
        (false, true, false),
        (false, false, true),
        (true, false, true),
    ]);
    let recovery = chance.seconds(3.0, 60.0);
    BreakerPlan {
        failures: in_a_row.then(|| chance.count(1..=6)),
        allowed_fails: a_minute.then(|| chance.count(0..=5)),
        rate: rate.then(|| chance.real(0.2, 0.8)),
        recovery,
        max_recovery: if chance.happens(0.3) { recovery * chance.count(2..=4) } else { recovery },
        probes: if chance.happens(0.7) { 1 } else { chance.count(2..=MOST_PROBES) },
        // As long as the longest call, or too short for it: then a probe is given up.
        lease: if chance.happens(0.7) { timers.total } else { chance.seconds(5.0, 60.0) },
        park_recheck: chance.maybe(0.4, |chance| chance.seconds(10.0, 120.0)),
        slow: chance.happens(0.3),
        pool: chance.happens(0.2),
    }
}

/// What a provider goes through, to the end of the faults.
fn phases(span: Duration, chance: &mut Chance) -> Vec<Phase> {
    let mut phases = Vec::new();
    let mut from = Duration::ZERO;
    while from < span {
        let fault = chance.by_weight(&Fault::MIX);
        let share = chance.one_of(&[1.0, 1.0, 0.5, 0.2]);
        phases.push(Phase { from, fault, share });
        from += chance.seconds(5.0, 60.0);
    }
    phases
}

impl RetryPlan {
    fn drawn(chance: &mut Chance) -> Self {
        let base = chance.seconds(0.1, 1.0);
        let max_delay = chance.seconds(1.0, 30.0);
        // Half of the worlds are of the default stack.
        let is_standard = chance.happens(0.5);
        let jitter = chance.one_of(&[Jitter::None, Jitter::Proportional, Jitter::Full, Jitter::Decorrelated]);
        Self {
            attempts: if is_standard { 3 } else { chance.count(1..=5) },
            base,
            max_delay,
            max_retry_after: chance.seconds(1.0, 30.0),
            min_attempt: if chance.happens(0.7) { Duration::ZERO } else { chance.seconds(0.1, 2.0) },
            jitter: if is_standard { Jitter::Full } else { jitter },
            // Next to nothing in some: there nobody gets an attempt that he has not paid for.
            share: match (is_standard, chance.happens(0.3)) {
                (true, _) => 0.1,
                (false, true) => 0.0001,
                (false, false) => chance.real(0.02, 0.2),
            },
            burst: if is_standard { 10 } else { chance.count(1..=20) },
            shorten: if chance.happens(0.8) { Shorten::DropOldest } else { Shorten::Off },
        }
    }
}

impl RescuePlan {
    fn drawn(chance: &mut Chance) -> Self {
        use RescuePolicy::{Fail, Restart, Resume};
        let policies: &[&[RescuePolicy]] = &[
            &[Resume, Restart, Fail],
            &[Resume, Restart, Fail],
            &[Restart, Resume],
            &[Resume],
            &[Restart],
            &[Fail],
        ];
        Self {
            policies: chance.one_of(policies),
            rescues: chance.count(1..=3),
            within: chance.seconds(5.0, 30.0),
            hold_back: chance.maybe(0.3, |chance| {
                HoldBack::new()
                    .chunks(chance.number(1..=16))
                    .bytes(chance.number(1..=512))
                    .time(chance.seconds(0.02, 0.5))
            }),
            draws: chance.happens(0.7),
        }
    }
}

fn calls(models: &[ModelPlan], span: Duration, hedged: bool, chance: &mut Chance) -> Vec<CallPlan> {
    // Nothing is hedged before a hundred streams have begun.
    let count = if hedged { chance.number(250..=400) } else { chance.number(100..=250) };
    let mut times: Vec<Duration> = (0..count).map(|_| part(span, chance)).collect();
    if chance.happens(0.3) {
        // A crowd.
        let at = part(span, chance);
        times.iter_mut().take(60).for_each(|time| *time = at + chance.seconds(0.0, 2.0));
    }
    times.sort_unstable();
    let hurry = if chance.happens(0.2) { 1.0 } else { 0.25 };
    let fickle = if chance.happens(0.2) { 0.6 } else { 0.25 };
    let plain = |(id, at)| CallPlan::plain(id, at, chance.number(0..=models.len() - 1), chance);
    let mut calls: Vec<CallPlan> = times.into_iter().enumerate().map(plain).collect();
    for call in &mut calls {
        call.deadline = chance.maybe(hurry, |chance| chance.seconds(0.1, 60.0));
        call.turns = if chance.happens(0.1) { chance.number(4..=16) } else { 0 };
        call.prior_attempts = if chance.happens(0.05) { chance.count(1..=3) } else { 0 };
        call.is_delicate = chance.happens(0.05);
        call.is_wrong = chance.happens(0.02);
        if chance.happens(fickle) {
            call.leave = match chance.number(0..=2) {
                0 => Leave::After(chance.seconds(0.0, 30.0).mul_f64(chance.real(0.0, 1.0))),
                1 => Leave::Polls(chance.count(1..=60)),
                _ => Leave::Chunks(chance.count(0..=20)),
            };
        }
    }
    calls
}

impl CallPlan {
    /// A call that asks nothing out of the ordinary.
    pub(super) fn plain(id: usize, at: Duration, model: usize, chance: &mut Chance) -> Self {
        Self {
            id,
            at,
            model,
            stream: chance.happens(0.7),
            words: chance.number(3..=40),
            turns: 0,
            deadline: None,
            leave: Leave::Never,
            reader: match chance.number(0..=9) {
                0 => Reader::Slow(chance.seconds(0.0, 2.0)),
                1 => Reader::Impatient(chance.seconds(0.001, 0.1)),
                2 => Reader::Collects,
                3 => Reader::AsStream,
                _ => Reader::Plain,
            },
            prior_attempts: 0,
            session: chance.maybe(0.5, |chance| chance.count(0..=9)),
            max_tokens: chance.maybe(0.5, |chance| chance.number(50..=500) as u64),
            is_delicate: false,
            is_wrong: false,
            must_succeed: false,
        }
    }
}

/// Some time of it.
fn part(of: Duration, chance: &mut Chance) -> Duration {
    of.mul_f64(chance.real(0.0, 1.0))
}

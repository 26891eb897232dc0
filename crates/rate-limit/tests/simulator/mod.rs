//! A provider with rate limits, the processes that call it, and what became of their calls: hours in seconds, on paused
//! time, the same for the same seed. Shared by `examples/simulate.rs` and `tests/simulation.rs`.
#![allow(dead_code, reason = "the example and the tests each use their part")]
#![allow(clippy::unwrap_used, reason = "a simulation that panics has failed")]

mod provider;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_provider_core::{BoxProvider, Call, ErrorKind, Provider};
use mainstay_rate_limit::{RateLimitHandle, RateLimitLayer};
pub(crate) use provider::Refill;
use provider::{Simulated, Size};
use tokio::time::Instant;
use tower::Layer;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    /// How many processes call, each with a limiter of its own. They do not know of each other.
    pub(crate) gateways: usize,
    pub(crate) refill: Refill,
    /// Whether the provider tells its limits in headers.
    pub(crate) headers: bool,
    /// Whether a 429 says for how long.
    pub(crate) hint: bool,
    /// Whether the limits are configured, divided among the gateways.
    pub(crate) configured: bool,
    pub(crate) tokens_per_minute: u64,
    pub(crate) requests_per_minute: u64,
    /// The load, as a share of the token limit.
    pub(crate) offered: f64,
    /// When the limits are halved, and nobody is told.
    pub(crate) halved_after: Option<Duration>,
    /// What is not yet measured.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) seed: u64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            gateways: 1,
            refill: Refill::Steady,
            headers: true,
            hint: true,
            configured: false,
            tokens_per_minute: 2_400_000,
            requests_per_minute: 4_000,
            offered: 0.95,
            halved_after: None,
            warm_up: Duration::from_secs(120),
            measured: Duration::from_secs(20 * 60),
            seed: 1,
        }
    }
}

/// What the processes do about limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// Wait after a 429, as long as it says, else longer each time.
    Reactive,
    /// The same, with the layer of this crate.
    Limited,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Requests that reached the provider while it was measured.
    pub(crate) requests: u64,
    /// Those that it answered with a 429.
    pub(crate) throttled: u64,
    /// The share of the provider's token limit that callers asked for while it was measured.
    pub(crate) offered: f64,
    /// The share of it that was served.
    pub(crate) utilisation: f64,
    /// Calls that were given up after a minute without an answer.
    pub(crate) given_up: u64,
    /// From a call's coming to the sending of the attempt that was answered: the median and the 99th percentile.
    pub(crate) wait_p50: Duration,
    pub(crate) wait_p99: Duration,
}

impl Outcome {
    pub(crate) fn throttled_share(&self) -> f64 {
        self.throttled as f64 / self.requests.max(1) as f64
    }
}

/// How long a caller tries.
const PATIENCE: Duration = Duration::from_secs(60);
/// The load goes up and down between these shares of its mean, anew every so often.
const CALM: f64 = 0.5;
const BUSY: f64 = 1.5;
const SPELL: Duration = Duration::from_secs(30);

/// Simulates it, on a runtime of its own with paused time.
pub(crate) fn run(scenario: Scenario, client: Client) -> Outcome {
    run_watched(scenario, client, |_, _| {})
}

/// As [`run`]; `watch` sees the limiters every second.
pub(crate) fn run_watched(
    scenario: Scenario,
    client: Client,
    watch: impl FnMut(Duration, &[RateLimitHandle]) + 'static,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread needs nothing");
    runtime.block_on(tokio::task::LocalSet::new().run_until(simulate(scenario, client, watch)))
}

async fn simulate(
    scenario: Scenario,
    client: Client,
    mut watch: impl FnMut(Duration, &[RateLimitHandle]) + 'static,
) -> Outcome {
    let start = Instant::now();
    let provider = Simulated::new(scenario, start);
    let mut handles = Vec::new();
    let waits: Arc<Mutex<Waits>> = Arc::default();
    let mut chance = fastrand::Rng::with_seed(scenario.seed);
    let spells: Arc<[f64]> = spells(&scenario, &mut chance).into();
    // Some gateways have twice the load of others.
    let weight = |gateway: usize| 1.0 + (gateway % 2) as f64;
    let weights: f64 = (0..scenario.gateways).map(weight).sum();
    let a_second = scenario.offered * scenario.tokens_per_minute as f64 / Size::MEAN / 60.0;
    for gateway in 0..scenario.gateways {
        let (service, handle) = gateway_service(&scenario, client, provider.clone(), gateway);
        handles.extend(handle);
        let load = Load {
            scenario,
            start,
            service,
            spells: spells.clone(),
            a_second: a_second * weight(gateway) / weights,
            waits: waits.clone(),
            chance: fastrand::Rng::with_seed(scenario.seed * 1_000 + gateway as u64),
        };
        tokio::task::spawn_local(load.come());
    }
    let end = start + scenario.warm_up + scenario.measured;
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    while Instant::now() < end {
        seconds.tick().await;
        watch(start.elapsed(), &handles);
    }
    let counted = provider.counted();
    let limits = provider.limits();
    let possible = limits.tokens as f64 * scenario.measured.as_secs_f64() / 60.0;
    let mut waits = std::mem::take(&mut *waits.lock().unwrap());
    waits.answered.sort_unstable();
    let rank = |share: f64| {
        let last = waits.answered.len().saturating_sub(1);
        waits.answered.get((last as f64 * share) as usize).copied().unwrap_or_default()
    };
    Outcome {
        requests: counted.requests,
        throttled: counted.throttled,
        offered: waits.offered as f64 / possible,
        utilisation: counted.tokens as f64 / possible,
        given_up: waits.given_up,
        wait_p50: rank(0.5),
        wait_p99: rank(0.99),
    }
}

fn gateway_service(
    scenario: &Scenario,
    client: Client,
    provider: Simulated,
    gateway: usize,
) -> (BoxProvider, Option<RateLimitHandle>) {
    if client == Client::Reactive {
        return (provider.boxed(), None);
    }
    let mut builder = RateLimitLayer::builder()
        .estimator(|call: &Call| Size::of(call).guessed_input)
        .seed(scenario.seed * 100 + gateway as u64);
    if scenario.configured {
        builder = builder
            .requests_per_minute(scenario.requests_per_minute)
            .tokens_per_minute(scenario.tokens_per_minute)
            .replicas(scenario.gateways as u64);
    }
    let layer = builder.build().expect("the settings are right");
    let handle = layer.handle();
    (layer.layer(provider).boxed(), Some(handle))
}

/// How much busier than the mean each spell is; the mean of those that are measured is 1.
fn spells(scenario: &Scenario, chance: &mut fastrand::Rng) -> Vec<f64> {
    let spells = |time: Duration| (time.as_secs() / SPELL.as_secs()) as usize;
    let (before, count) = (spells(scenario.warm_up), spells(scenario.warm_up + scenario.measured));
    let spells: Vec<f64> = (0..count).map(|_| CALM + (BUSY - CALM) * chance.f64()).collect();
    let mean = spells[before..].iter().sum::<f64>() / (count - before) as f64;
    spells.iter().map(|spell| spell / mean).collect()
}

#[derive(Default)]
struct Waits {
    /// Tokens of all calls that came.
    offered: u64,
    answered: Vec<Duration>,
    given_up: u64,
}

/// The calls that come to one gateway.
struct Load {
    scenario: Scenario,
    start: Instant,
    service: BoxProvider,
    spells: Arc<[f64]>,
    a_second: f64,
    waits: Arc<Mutex<Waits>>,
    chance: fastrand::Rng,
}

impl Load {
    async fn come(mut self) {
        // Timers are late by up to a millisecond; the next call does not come later for that.
        let mut next = self.start;
        loop {
            let spell = ((next - self.start).as_secs() / SPELL.as_secs()) as usize;
            let rate = self.a_second * self.spells.get(spell).copied().unwrap_or(1.0);
            let gap = -(1.0 - self.chance.f64()).ln() / rate;
            next += Duration::from_secs_f64(gap);
            tokio::time::sleep_until(next).await;
            let size = Size::random(&mut self.chance);
            let chance = self.chance.fork();
            let (service, waits) = (self.service.clone(), self.waits.clone());
            let measured = self.start.elapsed() >= self.scenario.warm_up;
            self.waits.lock().unwrap().offered += if measured { size.total() } else { 0 };
            tokio::task::spawn_local(async move {
                let wait = answer(service, size, chance).await;
                let mut waits = waits.lock().unwrap();
                match wait {
                    _ if !measured => {}
                    Some(wait) => waits.answered.push(wait),
                    None => waits.given_up += 1,
                }
            });
        }
    }
}

/// One call, tried until it is answered. The wait until its last attempt was sent.
async fn answer(service: BoxProvider, size: Size, mut chance: fastrand::Rng) -> Option<Duration> {
    let came = Instant::now();
    for attempt in 0_u32.. {
        let sent = Instant::now();
        let error = match service.ask(size.call()).await {
            Ok(reply) => {
                let head = reply.head.started.unwrap_or(sent);
                reply.collect().await.unwrap();
                return Some(head - came);
            }
            Err(error) => error,
        };
        assert!(matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::LimitReached), "{error}");
        let backoff = Duration::from_secs(1) * 2_u32.pow(attempt.min(5));
        let wait = error.retry_after().unwrap_or(backoff).max(Duration::from_millis(10));
        let wait = wait.mul_f64(1.0 + 0.1 * chance.f64());
        if came.elapsed() + wait > PATIENCE {
            return None;
        }
        tokio::time::sleep(wait).await;
    }
    None
}

//! A world of servers with chance and load, on paused time: what a call meets depends on its number and its server, not
//! on who asks or when, so that two routers can be compared on the same calls.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_provider_core::test_kit::{Piece, Step};
use mainstay_provider_core::{Availability, Call, Error, ErrorKind, Next, Provider, ReportAvailability};
use mainstay_router::{Deployment, Router};
use tokio::time::Instant;

/// A server whose first token takes `typical`, lognormally spread.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    state: Arc<Mutex<State>>,
}

struct State {
    typical: f64,
    spread: f64,
    /// How many times slower just now.
    factor: f64,
    /// The share of calls that is ten times slower.
    stragglers: f64,
    failure: Option<(Duration, ErrorKind)>,
    hangs: bool,
    up: bool,
    calls: u64,
    asked_at: Vec<Instant>,
}

impl Server {
    pub(crate) fn new(name: &'static str, typical_ms: f64) -> Self {
        let state = State {
            typical: typical_ms / 1_000.0,
            spread: 0.3,
            factor: 1.0,
            stragglers: 0.0,
            failure: None,
            hangs: false,
            up: true,
            calls: 0,
            asked_at: Vec::new(),
        };
        Self { name, state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn slower(&self, factor: f64) {
        self.state.lock().unwrap().factor = factor;
    }

    pub(crate) fn straggle(&self, share: f64) {
        self.state.lock().unwrap().stragglers = share;
    }

    pub(crate) fn fail_after(&self, failure: Option<(Duration, ErrorKind)>) {
        self.state.lock().unwrap().failure = failure;
    }

    pub(crate) fn hang(&self, hangs: bool) {
        self.state.lock().unwrap().hangs = hangs;
    }

    pub(crate) fn set_up(&self, up: bool) {
        self.state.lock().unwrap().up = up;
    }

    pub(crate) fn calls(&self) -> u64 {
        self.state.lock().unwrap().calls
    }

    pub(crate) fn factor(&self) -> f64 {
        self.state.lock().unwrap().factor
    }

    /// When it was asked, in seconds since `begin`.
    pub(crate) fn asked_in(&self, begin: Instant, from: u64, to: u64) -> usize {
        let state = self.state.lock().unwrap();
        let seconds = |at: &Instant| at.duration_since(begin).as_secs();
        state.asked_at.iter().filter(|at| (from..to).contains(&seconds(at))).count()
    }

    pub(crate) fn deployment(&self) -> Deployment {
        let server = self.clone();
        let provider = tower::service_fn(move |call: Call| server.step(&call));
        Deployment::new(self.name, provider).availability(self.clone())
    }

    fn step(
        &self,
        call: &Call,
    ) -> impl Future<Output = Result<mainstay_provider_core::Reply, Error>> + Send + use<> {
        let step = {
            let mut state = self.state.lock().unwrap();
            state.calls += 1;
            state.asked_at.push(Instant::now());
            match state.failure {
                _ if state.hangs => Step::hang(),
                Some((after, kind)) => Step::fail_with(kind).after(after),
                None => {
                    let rest = [
                        Piece::text("a "),
                        Piece::Wait(Duration::from_secs(1)),
                        Piece::text("b"),
                        Piece::stop(),
                    ];
                    Step::stream(rest).after(state.first_token(self.name, call))
                }
            }
        };
        let scripted = mainstay_provider_core::test_kit::Scripted::new([step]);
        scripted.ask(call.clone())
    }
}

impl State {
    fn first_token(&self, name: &str, call: &Call) -> Duration {
        let number: u64 = call.context().id.parse().unwrap();
        let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let by_name =
            name.bytes().fold(seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let straggles = fastrand::Rng::with_seed(by_name).f64() < self.stragglers;
        // Box and Muller's.
        let mut chance = fastrand::Rng::with_seed(seed);
        let (one, other) = (1.0 - chance.f64(), chance.f64());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos();
        let seconds = self.typical * (self.spread * normal).exp() * self.factor;
        Duration::from_secs_f64(if straggles { seconds * 10.0 } else { seconds })
    }
}

impl ReportAvailability for Server {
    fn availability(&self, _now: Instant) -> Availability {
        if self.state.lock().unwrap().up {
            Availability::Ready
        } else {
            Availability::Unavailable { until: None }
        }
    }
}

/// What became of one call.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) begun: f64,
    pub(crate) first_token: f64,
    pub(crate) deployment: Option<String>,
    pub(crate) attempts: u32,
}

/// Sends streaming calls at chance moments, so many a second on average, until `seconds` have passed; `at` is called each
/// second. A failure goes where the router says it could, if that is at once. Answers are read to their end.
pub(crate) async fn drive(
    router: &Router,
    seed: u64,
    per_second: f64,
    seconds: u64,
    mut at: impl FnMut(u64),
) -> Vec<Outcome> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let begin = Instant::now();
    let (mut elapsed, mut number, mut next_second) = (0.0, 0u64, 0);
    let mut tasks = Vec::new();
    loop {
        elapsed += -(1.0 - chance.f64()).ln() / per_second;
        while next_second <= seconds && (next_second as f64) <= elapsed {
            tokio::time::sleep_until(begin + Duration::from_secs(next_second)).await;
            at(next_second);
            next_second += 1;
        }
        if elapsed > seconds as f64 {
            break;
        }
        tokio::time::sleep_until(begin + Duration::from_secs_f64(elapsed)).await;
        number += 1;
        let mut call = super::streaming();
        call.context_mut().id = (seed * 10_000_000 + number).to_string().into();
        let router = router.clone();
        tasks.push(tokio::spawn(one(router, call, begin)));
    }
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

async fn one(router: Router, call: Call, begin: Instant) -> Outcome {
    let begun = Instant::now();
    let reply = loop {
        // Nobody waits longer than this for a first token.
        let asked = tokio::time::timeout(Duration::from_secs(60), router.ask(call.clone())).await;
        match asked {
            Ok(Err(error)) if matches!(error.next(), Some(Next::Peer | Next::Fallback)) => {}
            Ok(result) => break result.ok(),
            Err(_) => break None,
        }
    };
    let first_token = begun.elapsed().as_secs_f64();
    let begun = begun.duration_since(begin).as_secs_f64();
    let attempts = call.context().attempts.len();
    let deployment = reply.as_ref().and_then(|reply| reply.head.deployment.as_deref().map(str::to_owned));
    if let Some(reply) = reply {
        reply.collect().await.unwrap();
    }
    Outcome { begun, first_token, deployment, attempts }
}

pub(crate) fn quantile(outcomes: &[Outcome], from: f64, share: f64) -> f64 {
    let mut times: Vec<f64> =
        outcomes.iter().filter(|one| one.begun >= from).map(|one| one.first_token).collect();
    times.sort_by(f64::total_cmp);
    times[((times.len() as f64 * share) as usize).min(times.len() - 1)]
}

//! The provider.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream;
use mainstay_provider_core::chat::Delta;
use mainstay_provider_core::{
    BoxFuture, Call, ChatChunk, Error, ErrorKind, FinishReason, RateLimit, RateLimits, Reply, ReplyHead,
    Usage,
};
use tokio::time::Instant;
use tower::Service;

use super::Scenario;

/// How the provider gives back what was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refill {
    /// Bit by bit; the reset is when all will be back (OpenAI, Anthropic, Groq).
    Steady,
    /// All at once at the end of each minute.
    Minute,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
}

/// How large a call is, and what its caller takes it for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    input: u64,
    output: u64,
    pub(crate) guessed_input: u64,
    guessed_output: u64,
}

impl Size {
    /// Of input and output together.
    pub(crate) const MEAN: f64 = 1_100.0;

    pub(crate) fn random(chance: &mut fastrand::Rng) -> Self {
        let mut about = |least: f64, more: f64| {
            let tokens = least - more * (1.0 - chance.f64()).ln();
            let guess = tokens * (0.8 + 0.4 * chance.f64());
            (tokens.min(10_000.0) as u64, guess.min(10_000.0) as u64)
        };
        let (input, guessed_input) = about(200.0, 600.0);
        let (output, guessed_output) = about(50.0, 250.0);
        Self { input, output, guessed_input, guessed_output }
    }

    pub(crate) fn call(self) -> Call {
        let mut call = Call::ask("sim-1", "hello");
        call.request_mut().stream = Some(true);
        call.request_mut().max_tokens = Some(self.guessed_output);
        call.context_mut().extensions.insert(self);
        call
    }

    /// The size of a call made by [`Size::call`].
    pub(crate) fn of(call: &Call) -> Self {
        *call.context().extensions.get().unwrap()
    }

    pub(crate) fn total(self) -> u64 {
        self.input + self.output
    }

    fn usage(self) -> Usage {
        Usage::new(self.input, self.output)
    }
}

/// What it counted while it was measured.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) requests: u64,
    pub(crate) throttled: u64,
    pub(crate) tokens: u64,
}

/// The provider. It counts requests and tokens when a call arrives, and tells what is left then.
#[derive(Clone)]
pub(crate) struct Simulated(Arc<Mutex<State>>);

struct State {
    scenario: Scenario,
    start: Instant,
    limits: Limits,
    /// What is left.
    requests: f64,
    tokens: f64,
    at: Instant,
    counted: Counted,
    chance: fastrand::Rng,
}

const ONE_WAY: Duration = Duration::from_millis(25);

impl Simulated {
    pub(crate) fn new(scenario: Scenario, now: Instant) -> Self {
        let Scenario { requests_per_minute: requests, tokens_per_minute: tokens, .. } = scenario;
        Self(Arc::new(Mutex::new(State {
            scenario,
            start: now,
            limits: Limits { requests, tokens },
            requests: requests as f64,
            tokens: tokens as f64,
            at: now,
            counted: Counted::default(),
            chance: fastrand::Rng::with_seed(scenario.seed + 77),
        })))
    }

    pub(crate) fn counted(&self) -> Counted {
        self.0.lock().unwrap().counted
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.lock().unwrap().limits
    }
}

impl State {
    fn advance(&mut self, now: Instant) {
        if self.scenario.halved_after.is_some_and(|after| now >= self.start + after) {
            self.scenario.halved_after = None;
            let Scenario { requests_per_minute: requests, tokens_per_minute: tokens, .. } = self.scenario;
            self.limits = Limits { requests: requests / 2, tokens: tokens / 2 };
        }
        let Limits { requests, tokens } = self.limits;
        match self.scenario.refill {
            Refill::Steady => {
                let minutes = (now - self.at).as_secs_f64() / 60.0;
                self.requests = (self.requests + minutes * requests as f64).min(requests as f64);
                self.tokens = (self.tokens + minutes * tokens as f64).min(tokens as f64);
            }
            Refill::Minute => {
                let minute = |at: Instant| (at - self.start).as_secs() / 60;
                if minute(now) > minute(self.at) {
                    (self.requests, self.tokens) = (requests as f64, tokens as f64);
                }
            }
        }
        self.at = now;
    }

    /// A call arrives.
    fn arrive(&mut self, size: Size, now: Instant) -> Result<RateLimits, Error> {
        self.advance(now);
        let cost = size.total() as f64;
        let fits = self.requests >= 1.0 && self.tokens >= cost;
        if fits {
            self.requests -= 1.0;
            self.tokens -= cost;
        }
        if now >= self.start + self.scenario.warm_up {
            self.counted.requests += 1;
            self.counted.throttled += u64::from(!fits);
            self.counted.tokens += if fits { cost as u64 } else { 0 };
        }
        let limits = self.headers(now);
        if fits {
            return Ok(limits);
        }
        let mut error = Error::new(ErrorKind::RateLimited, "slow down").with_status(429);
        if !limits.is_empty() {
            error = error.with_rate_limits(limits);
        }
        if self.scenario.hint {
            let wait = self.free(1.0, cost, now).as_secs_f64().ceil();
            error = error.with_retry_after(Duration::from_secs_f64(wait));
        }
        Err(error)
    }

    fn headers(&self, now: Instant) -> RateLimits {
        let mut limits = RateLimits::default();
        if !self.scenario.headers {
            return limits;
        }
        let told = |limit: u64, left: f64| {
            let missing = (limit as f64 - left) / limit as f64;
            let reset = match self.scenario.refill {
                Refill::Steady => Duration::from_secs_f64(60.0 * missing),
                Refill::Minute => self.minute_ends(now),
            };
            RateLimit { limit: Some(limit), remaining: Some(left.max(0.0) as u64), reset: Some(reset) }
        };
        limits.requests = told(self.limits.requests, self.requests);
        limits.tokens = told(self.limits.tokens, self.tokens);
        limits
    }

    fn free(&self, requests: f64, tokens: f64, now: Instant) -> Duration {
        let minutes = |need: f64, left: f64, limit: u64| (need - left).max(0.0) / limit as f64;
        match self.scenario.refill {
            Refill::Steady => Duration::from_secs_f64(
                60.0 * minutes(requests, self.requests, self.limits.requests).max(minutes(
                    tokens,
                    self.tokens,
                    self.limits.tokens,
                )),
            ),
            Refill::Minute => self.minute_ends(now),
        }
    }

    fn minute_ends(&self, now: Instant) -> Duration {
        let in_minute = (now - self.start).as_nanos() % 60_000_000_000;
        Duration::from_nanos(60_000_000_000 - in_minute as u64)
    }
}

impl Service<Call> for Simulated {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (state, size, began) = (self.0.clone(), Size::of(&call), Instant::now());
        Box::pin(async move {
            tokio::time::sleep(ONE_WAY).await;
            let (arrived, first_token) = {
                let mut state = state.lock().unwrap();
                let first_token = Duration::from_millis(state.chance.u64(150..900));
                (state.arrive(size, Instant::now()), first_token)
            };
            tokio::time::sleep(ONE_WAY).await;
            let limits = arrived?;
            let mut head = ReplyHead::new("sim", "sim-1").started(began);
            head.rate_limits = (!limits.is_empty()).then_some(limits);
            // Eighty tokens a second.
            let writing = Duration::from_millis(size.output * 1_000 / 80);
            let empty = || ChatChunk::empty("answer", "sim-1");
            let text = empty().with_delta(Delta::text("word"), None);
            let mut last = empty().with_delta(Delta::default(), Some(FinishReason::Stop));
            last.usage = Some(size.usage().into());
            let chunks = [(first_token, text), (writing, last)];
            let stream = stream::unfold(chunks.into_iter(), |mut chunks| async move {
                let (wait, chunk) = chunks.next()?;
                tokio::time::sleep(wait).await;
                Some((Ok(chunk.into()), chunks))
            });
            Reply::stream(head, stream).await
        })
    }
}

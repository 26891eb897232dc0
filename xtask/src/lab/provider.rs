//! A provider with a rate limit: what decides, and the provider without a network.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use fastrand::Rng;
use mainstay_provider_core::{
    BoxFuture, Call, ChatResponse, Error, ErrorKind, FinishReason, Message, Reply, ReplyHead,
};
use tokio::time::Instant;
use tower::Service;

use super::storm::Hint;

/// How long an answer takes, and a refusal. A tenth more or less, as it comes.
pub(super) const ANSWER: Duration = Duration::from_millis(300);
pub(super) const REFUSAL: Duration = Duration::from_millis(20);

/// Requests per second, and how many of them may come at once.
pub(super) const RATE: f64 = 10.0;

/// A token bucket, as providers have them.
#[derive(Clone)]
pub(super) struct Bucket(Arc<Mutex<State>>);

struct State {
    tokens: f64,
    last: Instant,
    chance: Rng,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(seed: u64) -> Self {
        let chance = Rng::with_seed(seed);
        Self(Arc::new(Mutex::new(State { tokens: RATE, last: Instant::now(), chance })))
    }

    /// Whether a request that comes now is answered, and how long it takes to say so.
    pub(super) fn ask(&self) -> (bool, Duration) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let since = (now - state.last).as_secs_f64();
        state.tokens = (state.tokens + since * RATE).min(RATE);
        state.last = now;
        let answered = state.tokens >= 1.0;
        state.tokens -= f64::from(u8::from(answered));
        let time = if answered { ANSWER } else { REFUSAL };
        (answered, time.mul_f64(0.9 + state.chance.f64() * 0.2))
    }
}

/// The provider without a network.
#[derive(Clone)]
pub(super) struct RateLimited {
    pub(super) bucket: Bucket,
    pub(super) hint: Hint,
}

impl Service<Call> for RateLimited {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _call: Call) -> Self::Future {
        let (answered, time) = self.bucket.ask();
        let hint = self.hint.wait();
        Box::pin(async move {
            tokio::time::sleep(time).await;
            if answered {
                return Ok(answer());
            }
            let refusal = Error::new(ErrorKind::RateLimited, "too many requests").with_status(429);
            Err(match hint {
                Some(wait) => refusal.with_retry_after(wait),
                None => refusal,
            })
        })
    }
}

/// An answer of no interest.
pub(super) fn answer() -> Reply {
    let answer = ChatResponse::new("lab", Message::assistant("done"), FinishReason::Stop);
    Reply::whole(ReplyHead::new("lab", "lab"), answer)
}

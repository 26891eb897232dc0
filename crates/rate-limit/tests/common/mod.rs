//! A deployment that does what a test says, behind a limiter.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{
    BoxFuture, Call, Error, ErrorKind, Event, Events, Provider, RateLimit as Told, RateLimits, Reply,
    ReportHeadroom, Usage,
};
use mainstay_rate_limit::{Dimension, RateLimit, RateLimitBuilder, RateLimitHandle, RateLimitLayer};
use tokio::time::Instant;
use tower::{Layer, Service as _};

/// A deployment behind a limiter. A call takes as many input tokens as its prompt says, and is answered with 50.
pub(crate) struct Setup {
    pub(crate) limited: RateLimit<Scripted>,
    pub(crate) handle: RateLimitHandle,
    pub(crate) upstream: Scripted,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Setup {
    pub(crate) fn new(builder: RateLimitBuilder) -> Self {
        Self::over(builder, Scripted::by(|call| used(input(call), 50)))
    }

    pub(crate) fn over(builder: RateLimitBuilder, upstream: Scripted) -> Self {
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let sink = events.clone();
        let layer = builder
            .deployment("eu-1")
            .estimator(input)
            .seed(1)
            .events(Events::to(move |event| sink.lock().unwrap().push(event)))
            .build()
            .expect("the test's settings are right");
        let handle = layer.handle();
        Self { limited: layer.layer(upstream.clone()), handle, upstream, events }
    }

    /// Asks, and reads the answer to its end.
    pub(crate) async fn call(&self, call: Call) -> Result<(), Error> {
        self.limited.ask(call).await?.collect().await.map(drop)
    }

    /// Asks once more, and expects an answer.
    pub(crate) async fn pass(&self) {
        self.call(tokens(100)).await.expect("there is a place");
    }

    /// Asks once more, and expects a refusal of ours; gives the wait that it names.
    pub(crate) async fn refused(&self) -> Duration {
        self.refusal(tokens(100)).await
    }

    pub(crate) async fn refusal(&self, call: Call) -> Duration {
        let before = self.upstream.counts().calls;
        let error = self.call(call).await.expect_err("there is no place");
        assert_eq!(error.kind(), ErrorKind::LimitReached);
        assert_eq!(error.deployment(), Some("eu-1"));
        assert_eq!(self.upstream.counts().calls, before, "the deployment was not asked");
        error.retry_after().expect("a refusal says when to come again")
    }

    /// Asks, and hands out the future polled once.
    pub(crate) async fn begin(&self, call: Call) -> BoxFuture<Result<Reply, Error>> {
        let mut handle = self.limited.clone();
        std::future::poll_fn(|task| handle.poll_ready(task)).await.unwrap();
        let mut reply = handle.call(call);
        let polled =
            std::future::poll_fn(|task| std::task::Poll::Ready(reply.as_mut().poll(task).is_ready()));
        assert!(!polled.await, "it waits");
        reply
    }

    pub(crate) fn spent(&self, of: Dimension) -> u64 {
        self.handle.dimension(of).spent
    }

    pub(crate) fn headroom(&self) -> f32 {
        self.handle.headroom(Instant::now())
    }

    /// The names of the events since the last look.
    pub(crate) fn events(&self) -> Vec<&'static str> {
        self.take_events().iter().map(|event| event.name).collect()
    }

    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

/// The input tokens of a call made by [`tokens`].
fn input(call: &Call) -> u64 {
    call.request().messages[0].text().parse().unwrap_or(100)
}

pub(crate) fn limiter() -> RateLimitBuilder {
    RateLimitLayer::builder()
}

/// A call with so many input tokens, that wants no more than 50 back.
pub(crate) fn tokens(input: u64) -> Call {
    let mut call = Call::ask("sim-1", input.to_string());
    call.request_mut().max_tokens = Some(50);
    call
}

pub(crate) fn streaming(mut call: Call) -> Call {
    call.request_mut().stream = Some(true);
    call
}

/// An answer that used so much.
pub(crate) fn used(input: u64, output: u64) -> Step {
    Step::text("yes").usage(Usage::new(input, output))
}

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub(crate) async fn pass(time: f64) {
    tokio::time::sleep(seconds(time)).await;
}

/// What a header tells: so much of so much is left, back in so many seconds.
pub(crate) fn told(remaining: u64, limit: u64, reset: f64) -> Told {
    Told { limit: Some(limit), remaining: Some(remaining), reset: Some(seconds(reset)) }
}

pub(crate) fn requests(told: Told) -> RateLimits {
    let mut limits = RateLimits::default();
    limits.requests = told;
    limits
}

/// An answer with these headers.
pub(crate) fn telling(limits: RateLimits) -> Step {
    Step::text("yes").head(move |head| head.rate_limits = Some(limits))
}

pub(crate) fn throttled() -> Error {
    Error::new(ErrorKind::RateLimited, "slow down").with_status(429)
}

//! A layer over a scripted provider, and what is seen of both.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{Call, Error, ErrorKind, Event, Events, Provider, Reply};
use mainstay_retry::{Retry, RetryBuilder, RetryLayer};
use tokio::time::Instant;
use tower::Layer;

/// A provider behind a retry layer.
pub(crate) struct Setup {
    pub(crate) retry: Retry<Scripted>,
    pub(crate) upstream: Scripted,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Setup {
    pub(crate) fn new(builder: RetryBuilder, steps: impl IntoIterator<Item = Step>) -> Self {
        Self::over(builder, Scripted::new(steps))
    }

    pub(crate) fn over(builder: RetryBuilder, upstream: Scripted) -> Self {
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let sink = events.clone();
        let events_to = Events::to(move |event| sink.lock().unwrap().push(event));
        let layer = builder.events(events_to).seed(7).build().expect("the test's settings are right");
        Self { retry: layer.layer(upstream.clone()), upstream, events }
    }

    /// The bare layer.
    pub(crate) fn bare(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::new(RetryLayer::builder(), steps)
    }

    pub(crate) fn standard(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::new(RetryBuilder::standard(), steps)
    }

    /// Calls it and reads the answer; how long it took.
    pub(crate) async fn call(&self, call: Call) -> (Result<String, Error>, Duration) {
        let begin = Instant::now();
        let answer = async { Ok(self.retry.ask(call).await?.collect().await?.text().into_owned()) };
        (answer.await, begin.elapsed())
    }

    pub(crate) async fn ask(&self) -> Result<Reply, Error> {
        self.retry.ask(whole()).await
    }

    /// How many calls reached the provider.
    pub(crate) fn calls(&self) -> usize {
        self.upstream.counts().calls
    }

    /// The names of the events since the last look.
    pub(crate) fn events(&self) -> Vec<&'static str> {
        self.take_events().iter().map(|event| event.name).collect()
    }

    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

/// The value of one particular of an event.
pub(crate) fn attribute<'a>(event: &'a Event, name: &str) -> &'a str {
    event.attributes.iter().find(|(given, _)| *given == name).map_or("", |(_, value)| value)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn whole() -> Call {
    Call::ask("sim-1", "hello")
}

pub(crate) fn streaming() -> Call {
    let mut call = whole();
    call.request_mut().stream = Some(true);
    call
}

pub(crate) fn fails(kind: ErrorKind) -> Step {
    Step::fail_with(kind)
}

pub(crate) fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "on purpose")
}

pub(crate) fn rate_limited(wait: Duration) -> Step {
    Step::fail(error(ErrorKind::RateLimited).with_status(429).with_retry_after(wait))
}

pub(crate) fn answers() -> Step {
    Step::text("done")
}

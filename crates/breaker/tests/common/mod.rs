//! A deployment that does what a test says, and counts the calls that reach it.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use mainstay_breaker::{Breaker, BreakerBuilder, BreakerHandle, BreakerLayer};
use mainstay_provider_core::chat::Delta;
use mainstay_provider_core::{
    BoxFuture, BoxProvider, Call, ChatChunk, ChatResponse, ChunkResult, Error, ErrorKind, Event, Events,
    FinishReason, Message, Provider, Reply, ReplyHead,
};
use tokio::sync::Semaphore;
use tower::{Layer, Service as _, service_fn};

pub(crate) const RECOVERY: Duration = Duration::from_secs(60);

/// What the deployment does with its next call.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Answer,
    AnswerAfter(Duration),
    /// As many answer as it has permits.
    AnswerWhen(Arc<Semaphore>),
    Fail(ErrorKind),
    FailAfter(Duration, ErrorKind),
    Error(Error),
    Panic,
    Hang,
    Stream(Vec<Step>),
}

/// What a stream does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Text,
    Finish,
    Wait(Duration),
    Fail(ErrorKind),
    Panic,
    Hang,
    /// It ends without a finish reason.
    Cut,
}

/// A deployment behind a breaker.
pub(crate) struct Setup {
    pub(crate) breaker: Breaker<BoxProvider>,
    pub(crate) handle: BreakerHandle,
    act: Arc<Mutex<Act>>,
    calls: Arc<AtomicU32>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Setup {
    pub(crate) fn new(builder: BreakerBuilder) -> Self {
        let (act, calls) = (Arc::new(Mutex::new(Act::Answer)), Arc::new(AtomicU32::new(0)));
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let sink = events.clone();
        let layer: BreakerLayer = builder
            .deployment("eu-1")
            .events(Events::to(move |event| sink.lock().unwrap().push(event)))
            .build()
            .expect("the test's settings are right");
        let deployment = deployment(act.clone(), calls.clone());
        Self { breaker: layer.layer(deployment), handle: layer.handle(), act, calls, events }
    }

    pub(crate) fn default() -> Self {
        Self::new(BreakerLayer::builder())
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self::new(BreakerLayer::builder().seed(seed))
    }

    /// Sends a call, whose end is yet to come; the deployment does `act`.
    pub(crate) async fn send(&self, act: Act) -> BoxFuture<Result<Reply, Error>> {
        self.set(act);
        let mut handle = self.breaker.clone();
        std::future::poll_fn(|task| handle.poll_ready(task)).await.expect("it is always ready");
        handle.call(streaming())
    }

    /// From now on the deployment does this.
    pub(crate) fn set(&self, act: Act) {
        *self.act.lock().unwrap() = act;
    }

    /// Calls it, the answer read to its end; the deployment does `act`.
    pub(crate) async fn call(&self, act: Act) -> Result<(), ErrorKind> {
        self.ask(act).await.map(drop).map_err(|error| error.kind())
    }

    pub(crate) async fn ask(&self, act: Act) -> Result<String, Error> {
        self.set(act);
        let reply = self.breaker.ask(streaming()).await?;
        Ok(reply.collect().await?.text().into_owned())
    }

    pub(crate) async fn fail(&self, times: u32) {
        for _ in 0..times {
            self.call(Act::Fail(ErrorKind::ServerError)).await.unwrap_err();
        }
    }

    /// Opens it by failures in a row.
    pub(crate) async fn trip(&self) {
        while !self.is_refusing().await {
            self.fail(1).await;
        }
    }

    /// Whether a call is refused without touching the deployment. One that is not fails there without counting.
    pub(crate) async fn is_refusing(&self) -> bool {
        let before = self.calls();
        let kind = self.call(Act::Fail(ErrorKind::InvalidRequest)).await.unwrap_err();
        assert_eq!(kind == ErrorKind::Unavailable, self.calls() == before);
        kind == ErrorKind::Unavailable
    }

    /// How many calls reached the deployment.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    /// The names of the events since the last look.
    pub(crate) fn events(&self) -> Vec<&'static str> {
        self.take_events().iter().map(|event| event.name).collect()
    }

    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

pub(crate) async fn pass(time: Duration) {
    tokio::time::advance(time).await;
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn streaming() -> Call {
    let mut call = Call::ask("sim-1", "hello");
    call.request_mut().stream = Some(true);
    call
}

pub(crate) fn rate_limited(wait: impl Into<Option<Duration>>) -> Act {
    let error = Error::new(ErrorKind::RateLimited, "slow down").with_status(429);
    Act::Error(match wait.into() {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    })
}

pub(crate) fn deployment(act: Arc<Mutex<Act>>, calls: Arc<AtomicU32>) -> BoxProvider {
    service_fn(move |_: Call| -> BoxFuture<Result<Reply, Error>> {
        calls.fetch_add(1, Ordering::SeqCst);
        let act = act.lock().unwrap().clone();
        Box::pin(perform(act))
    })
    .boxed()
}

async fn perform(act: Act) -> Result<Reply, Error> {
    match act {
        Act::Answer => Ok(whole()),
        Act::AnswerAfter(time) => {
            tokio::time::sleep(time).await;
            Ok(whole())
        }
        Act::AnswerWhen(permits) => {
            permits.acquire().await.unwrap().forget();
            Ok(whole())
        }
        Act::Fail(kind) => Err(Error::new(kind, "on purpose")),
        Act::FailAfter(time, kind) => {
            tokio::time::sleep(time).await;
            Err(Error::new(kind, "on purpose"))
        }
        Act::Error(error) => Err(error),
        Act::Panic => panic!("on purpose"),
        Act::Hang => pending().await,
        Act::Stream(steps) => Reply::stream(ReplyHead::new("sim", "sim-1"), chunks(steps)).await,
    }
}

fn whole() -> Reply {
    let answer = ChatResponse::new("sim-1", Message::assistant("done"), FinishReason::Stop);
    Reply::whole(ReplyHead::new("sim", "sim-1"), answer)
}

fn chunks(steps: Vec<Step>) -> impl futures_util::Stream<Item = ChunkResult> + Send {
    let chunk = || ChatChunk::empty("answer-1", "sim-1");
    stream::unfold(steps.into_iter(), move |mut steps| async move {
        loop {
            let item = match steps.next()? {
                Step::Text => Ok(chunk().with_delta(Delta::text("word "), None).into()),
                Step::Finish => Ok(chunk().with_delta(Delta::default(), Some(FinishReason::Stop)).into()),
                Step::Fail(kind) => Err(Error::new(kind, "on purpose")),
                Step::Panic => panic!("on purpose"),
                Step::Hang => pending().await,
                Step::Cut => return None,
                Step::Wait(time) => {
                    tokio::time::sleep(time).await;
                    continue;
                }
            };
            return Some((item, steps));
        }
    })
}

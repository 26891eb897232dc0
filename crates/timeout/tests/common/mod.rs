//! A provider that does what a test says, and tells whether its work was dropped.
#![allow(dead_code, reason = "each test file uses its part")]

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_util::{Stream, stream};
use mainstay_provider_core::chat::{ChunkChoice, Delta};
use mainstay_provider_core::{
    BoxFuture, BoxProvider, Call, ChatChunk, ChatResponse, ChunkResult, Error, ErrorKind, Extra,
    FinishReason, Message, Provider, Reply, ReplyHead,
};
use mainstay_timeout::{TimeoutBuilder, TimeoutLayer};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::{Layer, service_fn};

/// What the provider does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Wait(Duration),
    Ping,
    Text(&'static str),
    TextOf(u32, &'static str),
    Finish,
    FinishOf(u32),
    Fail,
    /// It says nothing more and does not close.
    Hang,
}

pub(crate) fn seconds(seconds: u64) -> Step {
    Step::Wait(Duration::from_secs(seconds))
}

/// How much of the provider's work is under way.
#[derive(Clone, Default)]
pub(crate) struct Work(Arc<AtomicUsize>);

impl Work {
    pub(crate) fn open(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn begin(&self) -> Busy {
        self.0.fetch_add(1, Ordering::SeqCst);
        Busy(self.clone())
    }
}

struct Busy(Work);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A provider that streams these steps.
pub(crate) fn streams(steps: Vec<Step>, work: &Work) -> BoxProvider {
    let work = work.clone();
    service_fn(move |_: Call| -> BoxFuture<Result<Reply, Error>> {
        let chunks =
            stream::unfold((steps.clone().into_iter(), work.begin()), |(mut steps, busy)| async move {
                loop {
                    match steps.next()? {
                        Step::Wait(time) => tokio::time::sleep(time).await,
                        Step::Hang => pending().await,
                        step => return Some((item(&step), (steps, busy))),
                    }
                }
            });
        Box::pin(Reply::stream(ReplyHead::new("sim", "sim-1"), chunks))
    })
    .boxed()
}

/// A provider that gives a whole answer after a time.
pub(crate) fn answers_after(time: Duration, work: &Work) -> BoxProvider {
    let work = work.clone();
    service_fn(move |_: Call| -> BoxFuture<Result<Reply, Error>> {
        let busy = work.begin();
        Box::pin(async move {
            let _busy = busy;
            tokio::time::sleep(time).await;
            Ok(Reply::whole(
                ReplyHead::new("sim", "sim-1"),
                ChatResponse::new("sim-1", Message::assistant("done"), FinishReason::Stop),
            ))
        })
    })
    .boxed()
}

fn item(step: &Step) -> ChunkResult {
    let chunk = ChatChunk::empty("answer-1", "sim-1");
    let of = |index, delta, finish_reason| {
        let mut chunk = ChatChunk::empty("answer-1", "sim-1");
        let extra = Extra::default();
        chunk.choices.push(ChunkChoice { index, delta, finish_reason, logprobs: None, extra });
        Ok(chunk.into())
    };
    match step {
        Step::Ping => Ok(chunk.into()),
        Step::Text(text) => of(0, Delta::text(*text), None),
        Step::TextOf(index, text) => of(*index, Delta::text(*text), None),
        Step::Finish => of(0, Delta::default(), Some(FinishReason::Stop)),
        Step::FinishOf(index) => of(*index, Delta::default(), Some(FinishReason::Stop)),
        Step::Fail => Err(Error::new(ErrorKind::Network, "reset")),
        Step::Wait(_) | Step::Hang => unreachable!("no item"),
    }
}

pub(crate) fn streaming() -> Call {
    let mut call = Call::ask("sim-1", "hello");
    call.request_mut().stream = Some(true);
    call
}

pub(crate) fn whole() -> Call {
    Call::ask("sim-1", "hello")
}

pub(crate) fn with(builder: TimeoutBuilder, inner: BoxProvider) -> BoxProvider {
    builder.build().expect("the test's timers are right").layer(inner).boxed()
}

pub(crate) fn with_defaults(inner: BoxProvider) -> BoxProvider {
    TimeoutLayer::default().layer(inner).boxed()
}

/// The same step without end, and never a pause: the task's time slice is always used up.
pub(crate) struct Flood {
    step: Step,
    // A channel of tokio takes part in the time slices.
    slices: (UnboundedSender<()>, UnboundedReceiver<()>),
}

impl Flood {
    pub(crate) fn new(step: Step) -> Self {
        Self { step, slices: unbounded_channel() }
    }
}

impl Stream for Flood {
    type Item = ChunkResult;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let (send, receive) = &mut self.slices;
        send.send(()).expect("the receiver is here");
        receive.poll_recv(task).map(|_| Some(item(&self.step)))
    }
}

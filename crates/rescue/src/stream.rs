//! A stream that is watched over: it is passed on as it comes, and when it breaks off another takes its place.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use futures_core::Stream;
use mainstay_provider_core::{
    BoxFuture, ChatChunk, ChunkResult, Chunks, Error, Provider, Reply, Usage, Wire,
};

use crate::config::RescuePolicy;
use crate::plan::{Name, Plan, is_rescued};
use crate::rescue::rescue;
use crate::seam::Seam;
use crate::sent::Sent;

/// A stream that is rescued when it breaks off.
pub(crate) struct Watched<S> {
    /// What goes out before anything else is read; the caller has it as far as [`Sent`] knows.
    ready: VecDeque<Wire<ChatChunk>>,
    reading: Option<Box<Reading<S>>>,
    rescue: Option<BoxFuture<Result<Rescued<S>, Error>>>,
}

/// A stream that is being read, and what is needed to replace it.
pub(crate) struct Reading<S> {
    pub(crate) leg: Leg,
    pub(crate) sent: Sent,
    pub(crate) plan: Plan<S>,
}

/// A stream that takes the place of one that broke off, and its first chunks.
pub(crate) struct Rescued<S> {
    pub(crate) ready: VecDeque<Wire<ChatChunk>>,
    pub(crate) reading: Box<Reading<S>>,
}

/// How many chunks of which nothing is left for the caller are read before others get their turn.
const MOST_AT_ONCE: usize = 64;

/// One stream of those that an answer is made of.
pub(crate) struct Leg {
    pub(crate) chunks: Chunks,
    pub(crate) name: Name,
    /// How it was come by; `None` for the first.
    pub(crate) by: Option<RescuePolicy>,
    pub(crate) seam: Option<Seam>,
    /// What it used, as far as it says.
    pub(crate) usage: Option<Usage>,
}

impl Leg {
    /// The stream of a reply; the caller knows nothing of any before.
    pub(crate) fn of(reply: Reply) -> Self {
        let name = Name::of(&reply.head);
        Self { chunks: reply.into_stream(), name, by: None, seam: None, usage: None }
    }

    /// The next chunk as the caller gets it, if anything is left of it.
    pub(crate) fn pass(&mut self, chunk: Wire<ChatChunk>, sent: &mut Sent) -> Option<Wire<ChatChunk>> {
        self.note_usage(&chunk);
        let chunk = match &mut self.seam {
            None => chunk,
            Some(seam) => seam.pass(chunk)?,
        };
        sent.see(&chunk);
        Some(chunk)
    }

    /// The error that broke it, as one of the whole answer: what a later stream had of it is not the answer so far, which
    /// [`Reply::collect`] puts together when the error has none.
    pub(crate) fn broken_by(&self, mut error: Error) -> Error {
        if self.by.is_some() {
            error.take_partial();
        }
        error
    }

    /// Notes the usage that a chunk tells.
    pub(crate) fn note_usage(&mut self, chunk: &Wire<ChatChunk>) {
        if chunk.as_plain().is_none() && chunk.usage.is_some() {
            self.usage = chunk.usage();
        }
    }
}

impl<S> Reading<S> {
    fn poll_chunk(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        for _ in 0..MOST_AT_ONCE {
            let next = Pin::new(&mut self.leg.chunks).poll_next(task);
            let Poll::Ready(Some(Ok(chunk))) = &next else { return next };
            if self.leg.seam.is_none() {
                // The way of every chunk of a stream that does not break off: looked at, not touched.
                self.leg.note_usage(chunk);
                self.sent.see(chunk);
                return next;
            }
            if let Poll::Ready(Some(Ok(chunk))) = next
                && let Some(chunk) = self.leg.pass(chunk, &mut self.sent)
            {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    fn may_be_rescued(&self, error: &Error) -> bool {
        is_rescued(error.kind()) && !self.sent.is_finished() && self.plan.rules.rescues_begun()
    }
}

impl<S: Provider> Watched<S> {
    /// The reply with its stream watched over.
    pub(crate) fn around(reply: Reply, plan: Plan<S>) -> Reply {
        let name = Name::of(&reply.head);
        reply.map_stream(|chunks| {
            let leg = Leg { chunks, name, by: None, seam: None, usage: None };
            let sent = Sent::nothing(plan.rules.keep);
            Self::beginning(VecDeque::new(), Reading { leg, sent, plan })
        })
    }

    /// A stream of which this much was read ahead.
    pub(crate) fn beginning(ready: VecDeque<Wire<ChatChunk>>, reading: Reading<S>) -> Self {
        Self { ready, reading: Some(Box::new(reading)), rescue: None }
    }

    /// The stream that is read broke off.
    fn broke_off(&mut self, error: Error) -> Option<ChunkResult> {
        let Some(reading) = self.reading.take() else { return Some(Err(error)) };
        let error = reading.leg.broken_by(error);
        if !reading.may_be_rescued(&error) {
            return Some(Err(error));
        }
        self.rescue = Some(Box::pin(rescue(*reading, error)));
        None
    }
}

impl<S: Provider> Stream for Watched<S> {
    type Item = ChunkResult;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let this = self.get_mut();
        loop {
            if let Some(chunk) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if let Some(reading) = &mut this.reading {
                match reading.poll_chunk(task) {
                    Poll::Ready(Some(Err(error))) => match this.broke_off(error) {
                        Some(end) => return Poll::Ready(Some(end)),
                        None => continue,
                    },
                    next => return next,
                }
            }
            let Some(rescue) = &mut this.rescue else { return Poll::Ready(None) };
            let rescued = ready!(rescue.as_mut().poll(task));
            this.rescue = None;
            match rescued {
                Ok(Rescued { ready, reading }) => {
                    this.ready = ready;
                    this.reading = Some(reading);
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

//! The timers of a stream that has begun.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream;
use mainstay_provider_core::chat::{ChunkChoice, Delta};
use mainstay_provider_core::{
    ChatChunk, ChunkResult, Chunks, Error, ErrorKind, Extra, FinishReason, Timer, Wire,
};
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::config::Timers;

/// A stream with an idle timer and an end.
pub(crate) struct Timed {
    /// Gone when the stream has ended.
    inner: Option<Chunks>,
    alarm: Alarm,
    timers: Timers,
    total: Instant,
    /// Since when the caller waits for the next chunk. A caller that takes its time does not wait, and a provider is
    /// not idle because nobody asks it.
    waiting_since: Option<Instant>,
    choices: Choices,
    /// Whether any content has gone out. The beginning of an answer was read before its reply was given, so it is there.
    began: bool,
    /// The first chunk, whose id and model the last one has too.
    first: Option<Wire<ChatChunk>>,
    name: (Arc<str>, Arc<str>),
}

impl Timed {
    pub(crate) fn new(
        inner: Chunks,
        alarm: Alarm,
        timers: Timers,
        total: Instant,
        name: (Arc<str>, Arc<str>),
    ) -> Self {
        Self {
            inner: Some(inner),
            alarm,
            timers,
            total,
            waiting_since: None,
            choices: Choices::default(),
            began: false,
            first: None,
            name,
        }
    }

    fn poll_alarm(&mut self, now: Instant, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let finished = self.choices.are_finished();
        let longest = if finished { self.timers.after_finish } else { self.timers.idle };
        let idle = *self.waiting_since.get_or_insert(now) + longest;
        std::task::ready!(self.alarm.poll_at(idle.min(self.total), now, task));
        Poll::Ready(if idle < self.total && !finished { Some(Err(self.idle(longest))) } else { self.cut() })
    }

    /// The end by the clock: what came is the answer, and it is marked when it is not all of it (S8.2).
    fn cut(&mut self) -> Option<ChunkResult> {
        self.inner = None;
        if self.choices.are_finished() {
            return None;
        }
        if !self.began {
            return Some(Err(
                self.failed(Timer::Total, "the time was up before any of the answer could be read")
            ));
        }
        let mut last = ChatChunk::empty("", "");
        if let Some(first) = &self.first {
            last.id.clone_from(&first.id);
            last.model.clone_from(&first.model);
            last.created = first.created;
        }
        last.choices = self.choices.open().map(timed_out).collect();
        Some(Ok(Wire::from(last)))
    }

    fn idle(&mut self, longest: Duration) -> Error {
        self.inner = None;
        let message =
            format!("the answer stopped: nothing came for {longest:?}; what arrived is not the whole answer");
        self.failed(Timer::Idle, message)
    }

    fn failed(&self, timer: Timer, message: impl Into<String>) -> Error {
        let (provider, model) = self.name.clone();
        Error::new(ErrorKind::Timeout(timer), message).at(provider, model)
    }

    fn see(&mut self, chunk: &Wire<ChatChunk>) {
        self.waiting_since = None;
        self.choices.see(chunk);
        self.began |= chunk.has_content();
        if self.first.is_none() {
            self.first = Some(chunk.clone());
        }
    }
}

impl Stream for Timed {
    type Item = ChunkResult;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let now = Instant::now();
        // A caller that comes late still gets the beginning, and the mark that it is no more than that.
        if now >= this.total && this.began {
            return Poll::Ready(this.cut());
        }
        let next = match Pin::new(inner).poll_next(task) {
            Poll::Ready(next) => next,
            Poll::Pending => return this.poll_alarm(now, task),
        };
        match &next {
            Some(Ok(chunk)) => this.see(chunk),
            Some(Err(_)) | None => this.inner = None,
        }
        Poll::Ready(next)
    }
}

/// Each choice that has begun, and whether it has its finish reason.
#[derive(Default)]
struct Choices {
    begun: BTreeMap<u32, bool>,
    /// One that is known to be among them.
    last: Option<u32>,
}

impl Choices {
    fn see(&mut self, chunk: &Wire<ChatChunk>) {
        if let Some(plain) = chunk.as_plain() {
            // Nearly every chunk is of the choice that the one before it was of.
            if self.last != Some(plain.index) {
                self.begun.entry(plain.index).or_default();
                self.last = Some(plain.index);
            }
            return;
        }
        for choice in &chunk.choices {
            *self.begun.entry(choice.index).or_default() |= choice.finished().is_some();
        }
    }

    fn are_finished(&self) -> bool {
        !self.begun.is_empty() && self.begun.values().all(|finished| *finished)
    }

    fn open(&self) -> impl Iterator<Item = u32> {
        self.begun.iter().filter(|(_, finished)| !**finished).map(|(index, _)| *index)
    }
}

fn timed_out(index: u32) -> ChunkChoice {
    let finish_reason = Some(FinishReason::Timeout);
    ChunkChoice { index, delta: Delta::default(), finish_reason, logprobs: None, extra: Extra::default() }
}

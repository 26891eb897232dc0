//! The stream of one who shares an answer.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;
use mainstay_provider_core::chat::{ChunkChoice, Delta};
use mainstay_provider_core::{ChatChunk, ChunkResult, Error, ErrorKind, Extra, FinishReason, Timer, Wire};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Member;
use super::baton::Found;
use super::lost;
use super::tape::Next;

/// Reads an answer from its beginning: what has passed at once, then what comes.
pub(crate) struct Following {
    /// Gone when there is nothing more to read.
    member: Option<Member>,
    at: usize,
    /// The deadline of one who joined: the upstream call knows only that of the caller who began it.
    until: Option<Until>,
}

impl Following {
    pub(crate) fn new(member: Member, deadline: Option<Instant>) -> Self {
        let until = deadline.filter(|_| !member.leads()).map(Until::new);
        Self { member: Some(member), at: 0, until }
    }

    fn poll_tape(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let Some(Member { flight, number, .. }) = &self.member else { return Poll::Ready(None) };
        let number = *number;
        let mut gone = false;
        loop {
            match flight.tape.read(number, self.at) {
                Next::Chunk(chunk) => {
                    self.at += 1;
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Next::End(ended) => return Poll::Ready(ended.err().map(Err)),
                Next::Wait if gone => return Poll::Ready(Some(Err(lost()))),
                Next::Wait => {}
            }
            match flight.upstream.take(number, task.waker()) {
                Found::Mine(upstream) => std::task::ready!(flight.drive(number, upstream)),
                Found::Gone => gone = true,
                // Something may have come between the two looks.
                Found::Held => match flight.tape.read(number, self.at) {
                    Next::Wait => return Poll::Pending,
                    Next::Chunk(chunk) => {
                        self.at += 1;
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    Next::End(_) => {}
                },
            }
        }
    }
}

impl Stream for Following {
    type Item = ChunkResult;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let this = self.get_mut();
        let next = match this.poll_tape(task) {
            Poll::Ready(next) => next,
            Poll::Pending => {
                let Some(until) = &mut this.until else { return Poll::Pending };
                std::task::ready!(until.sleep.as_mut().poll(task));
                this.member = None;
                return Poll::Ready(this.until.take().and_then(Until::cut));
            }
        };
        match &next {
            Some(Ok(chunk)) => {
                if let Some(until) = &mut this.until {
                    until.see(chunk);
                }
            }
            Some(Err(_)) | None => this.member = None,
        }
        Poll::Ready(next)
    }
}

/// The end of one reader's time, and what has to be said then.
struct Until {
    sleep: Pin<Box<Sleep>>,
    /// Each choice that has begun, and whether it has its finish reason.
    choices: BTreeMap<u32, bool>,
    has_content: bool,
    first: Option<Wire<ChatChunk>>,
}

impl Until {
    fn new(deadline: Instant) -> Self {
        let sleep = Box::pin(sleep_until(deadline));
        Self { sleep, choices: BTreeMap::new(), has_content: false, first: None }
    }

    fn see(&mut self, chunk: &Wire<ChatChunk>) {
        self.has_content |= chunk.has_content();
        if self.first.is_none() {
            self.first = Some(chunk.clone());
        }
        match chunk.as_plain() {
            Some(plain) => {
                self.choices.entry(plain.index).or_default();
            }
            None => {
                for choice in &chunk.choices {
                    *self.choices.entry(choice.index).or_default() |= choice.finished().is_some();
                }
            }
        }
    }

    /// What came is the answer, and it is marked when it is not all of it (S8.2).
    fn cut(self) -> Option<ChunkResult> {
        if !self.has_content {
            return Some(Err(timed_out()));
        }
        let open = self.choices.iter().filter(|(_, finished)| !**finished);
        let choices: Vec<ChunkChoice> = open
            .map(|(index, _)| ChunkChoice {
                index: *index,
                delta: Delta::default(),
                finish_reason: Some(FinishReason::Timeout),
                logprobs: None,
                extra: Extra::default(),
            })
            .collect();
        if choices.is_empty() {
            return None;
        }
        let mut last = ChatChunk::empty("", "");
        if let Some(first) = &self.first {
            last.id.clone_from(&first.id);
            last.model.clone_from(&first.model);
            last.created = first.created;
        }
        last.choices = choices;
        Some(Ok(last.into()))
    }
}

pub(crate) fn timed_out() -> Error {
    Error::new(ErrorKind::Timeout(Timer::Total), "the answer that this call shared did not come in its time")
}

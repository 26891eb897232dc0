//! The end of an answer: the one place where it is observed.

use std::fmt;

use tokio::time::Instant;

use crate::chat::{Assembler, ChatChunk, ChatResponse, FinishReason};
use crate::error::Error;
use crate::lossless::Wire;
use crate::usage::Usage;

/// How an answer ended, with what was learned on the way. Given once to each hook of
/// [`Reply::on_end`](crate::Reply::on_end).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct End {
    /// How it ended.
    pub outcome: Outcome,
    /// Tokens used, if the provider said so before the end.
    pub usage: Option<Usage>,
    /// Why the first choice stopped, if it did.
    pub finish_reason: Option<FinishReason>,
    /// How many chunks with content were handed to the caller; 1 for a whole answer.
    pub content_chunks: u64,
    /// When it ended.
    pub at: Instant,
    /// The answer, as far as it came: if the hook asked for it ([`Keep::Answer`]).
    pub answer: Option<ChatResponse>,
    /// Every chunk as it came: if the hook asked for it ([`Keep::Chunks`]).
    pub chunks: Option<Vec<Wire<ChatChunk>>>,
}

/// How an answer ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// The caller has all of it.
    Complete,
    /// It broke off.
    Failed(Error),
    /// The caller dropped it before its end.
    Dropped,
}

/// What of the answer a hook wants at the end. Asking for nothing costs no memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Keep {
    /// Usage and finish reason only.
    #[default]
    Nothing,
    /// The assembled answer too.
    Answer,
    /// Every chunk as it came too, and the assembled answer.
    Chunks,
}

impl End {
    pub(crate) fn of_whole(answer: &Wire<ChatResponse>, keep: Keep) -> Self {
        Self {
            outcome: Outcome::Complete,
            usage: answer.usage(),
            finish_reason: answer.finish_reason().cloned(),
            content_chunks: 1,
            at: Instant::now(),
            answer: (keep >= Keep::Answer).then(|| ChatResponse::clone(answer)),
            chunks: None,
        }
    }

    /// Whether the caller has all of it.
    pub fn is_complete(&self) -> bool {
        matches!(self.outcome, Outcome::Complete)
    }
}

pub(crate) struct Hook(Box<dyn FnOnce(&End) + Send>);

impl Hook {
    pub(crate) fn new(hook: impl FnOnce(&End) + Send + 'static) -> Self {
        Self(Box::new(hook))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// Sees every chunk of a stream and calls the hooks once.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    hooks: Vec<Hook>,
    keep: Keep,
    usage: Option<Usage>,
    finish_reason: Option<FinishReason>,
    /// Choices that have begun and not finished; almost always at most one.
    open_choices: Vec<u32>,
    content_chunks: u64,
    answer: Assembler,
    chunks: Vec<Wire<ChatChunk>>,
    ended: bool,
}

impl Watch {
    pub(crate) fn add(&mut self, keep: Keep, hook: Hook) {
        self.keep = self.keep.max(keep);
        self.hooks.push(hook);
    }

    pub(crate) fn see(&mut self, chunk: &Wire<ChatChunk>) {
        if chunk.usage.is_some() {
            self.usage = chunk.usage();
        }
        for choice in &chunk.choices {
            let open = self.open_choices.iter().position(|index| *index == choice.index);
            match (&choice.finish_reason, open) {
                (Some(reason), open) => {
                    if choice.index == 0 || self.finish_reason.is_none() {
                        self.finish_reason = Some(reason.clone());
                    }
                    open.map(|at| self.open_choices.swap_remove(at));
                }
                // A chunk after the end (Azure's late annotations) does not open the choice again.
                (None, None) if self.finish_reason.is_none() => self.open_choices.push(choice.index),
                (None, _) => {}
            }
        }
        self.content_chunks += u64::from(chunk.has_content());
        if self.keep >= Keep::Answer {
            self.answer.push(chunk);
        }
        if self.keep >= Keep::Chunks {
            self.chunks.push(chunk.clone());
        }
    }

    /// Whether every choice that began has its finish reason.
    pub(crate) fn is_complete(&self) -> bool {
        self.finish_reason.is_some() && self.open_choices.is_empty()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) || self.hooks.is_empty() {
            return;
        }
        let end = End {
            outcome,
            usage: self.usage,
            finish_reason: self.finish_reason.take(),
            content_chunks: self.content_chunks,
            at: Instant::now(),
            answer: (self.keep >= Keep::Answer).then(|| std::mem::take(&mut self.answer).finish()),
            chunks: (self.keep >= Keep::Chunks).then(|| std::mem::take(&mut self.chunks)),
        };
        for Hook(hook) in std::mem::take(&mut self.hooks) {
            hook(&end);
        }
    }
}

//! The end of an answer: the one place where it is observed.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use tokio::time::Instant;

use crate::chat::{Assembler, ChatChunk, ChatResponse, Delta, FinishReason, TokenUsage, replay};
use crate::error::Error;
use crate::usage::Usage;
use crate::wire::Wire;

/// How an answer ended, with what was learned on the way. Given once to each hook of
/// [`Reply::on_end`](crate::Reply::on_end).
#[derive(Clone)]
#[non_exhaustive]
pub struct End {
    /// How it ended.
    pub outcome: Outcome,
    /// Tokens used, if the provider said so before the end. A caller that leaves after the last finish reason, and
    /// before the chunk with the usage, has a complete answer without it.
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
    /// All that was written, of all choices together: if the hook asked for just that ([`Keep::Text`]).
    pub written: Option<Written>,
    /// What broke after every choice had its finish reason (a reset before `[DONE]`): the answer is complete, the
    /// caller never sees this.
    pub late_error: Option<Error>,
    /// The text of a whole answer, if it is as the provider wrote it and the hook asked for the answer.
    pub(crate) raw: Option<Bytes>,
}

/// How an answer ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// Every choice has its finish reason and the caller has all of it.
    Complete,
    /// It broke off.
    Failed(Error),
    /// The caller dropped it before every choice had its finish reason.
    Dropped,
}

/// What was written, and what the provider said of it: enough to reckon what it cost.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Written {
    /// Texts, refusals, reasoning, and names and arguments of tool calls, of all choices, as they came. Not to be read: to be
    /// counted.
    pub text: String,
    /// The last usage that the provider told, in its own words.
    pub usage: Option<TokenUsage>,
}

impl Written {
    fn push_delta(&mut self, delta: &Delta) {
        let texts = [&delta.content, &delta.refusal, &delta.reasoning_content];
        texts.into_iter().flatten().for_each(|text| self.text.push_str(text));
        if delta.reasoning_content.is_none() {
            let thinking = delta.thinking_blocks.iter().filter_map(|block| block.thinking.as_deref());
            thinking.for_each(|text| self.text.push_str(text));
        }
        for function in delta.tool_calls.iter().filter_map(|call| call.function.as_ref()) {
            [&function.name, &function.arguments]
                .into_iter()
                .flatten()
                .for_each(|text| self.text.push_str(text));
        }
    }

    fn of_whole(answer: &ChatResponse) -> Self {
        let mut written = Self { text: String::new(), usage: answer.usage.clone() };
        for chunk in replay(answer.clone()) {
            chunk.choices.iter().for_each(|choice| written.push_delta(&choice.delta));
        }
        written
    }
}

/// What was written is somebody's data: only its length is shown.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").field("bytes", &self.text.len()).field("usage", &self.usage).finish()
    }
}

/// What of the answer a hook wants at the end. Asking for nothing costs no memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Keep {
    /// Usage and finish reason only.
    #[default]
    Nothing,
    /// All that was written too, as one text to be counted: cheaper than the answer, as its pieces are not taken apart.
    Text,
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
            written: (keep == Keep::Text).then(|| Written::of_whole(answer)),
            late_error: None,
            raw: answer.raw().filter(|_| keep >= Keep::Answer).cloned(),
        }
    }

    /// Whether the caller has all of it.
    pub fn is_complete(&self) -> bool {
        matches!(self.outcome, Outcome::Complete)
    }
}

/// The answer is somebody's data: only how it ended is shown.
impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End")
            .field("outcome", &self.outcome)
            .field("usage", &self.usage)
            .field("finish_reason", &self.finish_reason)
            .field("content_chunks", &self.content_chunks)
            .field("late_error", &self.late_error)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Hook(Box<dyn FnOnce(&End) + Send>);

impl Hook {
    pub(crate) fn new(hook: impl FnOnce(&End) + Send + 'static) -> Self {
        Self(Box::new(hook))
    }
}

/// What a caught panic carried.
pub(crate) type Panicked = Box<dyn Any + Send>;

/// Sees every chunk of a stream and calls the hooks once.
#[derive(Default)]
pub(crate) struct Watch {
    hooks: Vec<Hook>,
    usage: Option<Usage>,
    finish_reason: Option<FinishReason>,
    /// Each choice that has begun, and whether it has its finish reason.
    choices: BTreeMap<u32, bool>,
    /// A choice that is known to be among them.
    last: Option<u32>,
    content_chunks: u64,
    kept: Option<Box<Kept>>,
    writing: Option<Box<Writing>>,
    ended: bool,
}

/// What was written so far.
#[derive(Default)]
struct Writing {
    written: Written,
    /// Where the text of the last chunk stood in it.
    near: usize,
}

impl Writing {
    fn see(&mut self, chunk: &Wire<ChatChunk>) {
        match chunk.as_plain() {
            // Nearly every chunk, and it need not be taken apart.
            Some(plain) if plain.index == 0 => chunk.push_text_near(&mut self.near, &mut self.written.text),
            _ => {
                chunk.choices.iter().for_each(|choice| self.written.push_delta(&choice.delta));
                if chunk.usage.is_some() {
                    self.written.usage.clone_from(&chunk.usage);
                }
            }
        }
    }
}

/// What a hook asked to be kept of the answer.
#[derive(Default)]
struct Kept {
    answer: Assembler,
    chunks: Option<Vec<Wire<ChatChunk>>>,
}

impl Watch {
    pub(crate) fn add(&mut self, keep: Keep, hook: Hook) {
        if keep >= Keep::Answer {
            let kept = self.kept.get_or_insert_default();
            if keep >= Keep::Chunks {
                kept.chunks.get_or_insert_default();
            }
        }
        if keep == Keep::Text {
            self.writing.get_or_insert_default();
        }
        self.hooks.push(hook);
    }

    pub(crate) fn see(&mut self, chunk: &Wire<ChatChunk>) {
        match chunk.as_plain() {
            // Nearly every event is of the choice that the one before it was of.
            Some(plain) if self.last == Some(plain.index) => {}
            Some(plain) => {
                self.choices.entry(plain.index).or_default();
                self.last = Some(plain.index);
            }
            None => self.see_all(chunk),
        }
        self.content_chunks += u64::from(chunk.has_content());
        if let Some(writing) = &mut self.writing {
            writing.see(chunk);
        }
        if let Some(kept) = &mut self.kept {
            kept.answer.push(chunk);
            if let Some(chunks) = &mut kept.chunks {
                chunks.push(chunk.clone());
            }
        }
    }

    fn see_all(&mut self, chunk: &ChatChunk) {
        if chunk.usage.is_some() {
            self.usage = chunk.usage();
        }
        for choice in &chunk.choices {
            let finished = choice.finished();
            if let Some(reason) = finished
                && (choice.index == 0 || self.finish_reason.is_none())
            {
                self.finish_reason = Some(reason.clone());
            }
            // A chunk after the end of its choice (Azure's late annotations) does not open it again.
            *self.choices.entry(choice.index).or_default() |= finished.is_some();
        }
    }

    /// Whether every choice that began has its finish reason.
    pub(crate) fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|finished| *finished)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Calls the hooks, the first time. Every hook is called, even when one before it panics: each settles something
    /// of its own. The first panic is given back.
    pub(crate) fn end(&mut self, outcome: Outcome, late_error: Option<Error>) -> Result<(), Panicked> {
        if std::mem::replace(&mut self.ended, true) || self.hooks.is_empty() {
            return Ok(());
        }
        let (answer, chunks) = match self.kept.take() {
            Some(kept) => (Some(kept.answer.finish()), kept.chunks),
            None => (None, None),
        };
        let end = End {
            outcome,
            usage: self.usage,
            finish_reason: self.finish_reason.take(),
            content_chunks: self.content_chunks,
            at: Instant::now(),
            answer,
            chunks,
            written: self.writing.take().map(|writing| writing.written),
            late_error,
            raw: None,
        };
        let mut result = Ok(());
        for Hook(hook) in std::mem::take(&mut self.hooks) {
            result = result.and(catch_unwind(AssertUnwindSafe(|| hook(&end))));
        }
        result
    }
}

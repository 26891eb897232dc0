//! A complete answer as a cache keeps it.

mod on_disk;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::chat::{
    Assembler, ChatChunk, ChatResponse, Choice, Content, Delta, FinishReason, Part, PlainAnswer, PlainText,
    replay,
};
use crate::end::End;
use crate::reply::{ChunkResult, Reply, ReplyHead};
use crate::usage::Usage;
use crate::wire::Wire;

/// A complete answer as a cache keeps it: whole, and with the chunks that it came in if it was streamed. Cloning copies a
/// pointer.
///
/// Only an answer that came to its own end is made one: an error, a part, what a filter cut off and a refusal never are.
///
/// ```
/// # use mainstay_provider_core::{*, test_kit::{Scripted, Step}};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// # let provider = Scripted::new([Step::text("It holds the mast.")]);
/// let reply = provider.ask(Call::ask("m", "What is a mainstay for?")).await?;
/// let head = reply.head.clone();
/// let (tell, told) = std::sync::mpsc::channel();
/// reply.on_end_keeping(Keep::Chunks, move |end| drop(tell.send(Recording::of(end))));
///
/// let recording = told.recv().unwrap().expect("a complete answer").by(&head);
/// let again = recording.reply(recording.head(), true, Pace::AtOnce);
/// assert_eq!(again.collect().await?.text(), "It holds the mast.");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Recording(Arc<Recorded>);

#[derive(Clone)]
struct Recorded {
    provider: Arc<str>,
    model: Arc<str>,
    finish_reason: FinishReason,
    usage: Option<Usage>,
    /// The JSON of the whole answer.
    whole: Bytes,
    plain: Option<PlainAnswer>,
    streamed: Option<Streamed>,
}

/// The chunks of a stream, one behind the other.
#[derive(Clone)]
struct Streamed {
    text: Bytes,
    chunks: Box<[Place]>,
}

/// Where a chunk ends, and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    end: u32,
    plain: Packed,
}

/// How fast a recorded stream is played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pace {
    /// As fast as it is read.
    #[default]
    AtOnce,
    /// With this time between one chunk and the next; the first comes at once.
    Every(Duration),
}

impl Recording {
    /// The answer that ended so, if it is complete and the model was done with it; `None` also for one that calls tools.
    /// The hook must have asked for the answer ([`Keep::Answer`](crate::Keep::Answer)), and for the chunks
    /// ([`Keep::Chunks`](crate::Keep::Chunks)) if they are to be replayed as they came.
    pub fn of(end: &End) -> Option<Self> {
        Self::of_end(end, Tools::Never)
    }

    /// The same, and an answer that calls tools is taken too.
    pub fn of_with_tool_calls(end: &End) -> Option<Self> {
        Self::of_end(end, Tools::Allowed)
    }

    /// As [`Recording::of`], of a stream whose chunks somebody else has kept; the hook need not ask for anything.
    pub fn of_stream(end: &End, chunks: &[Wire<ChatChunk>]) -> Option<Self> {
        came_to_its_end(end).then(|| Self::of_chunks(chunks, Tools::Never)).flatten()
    }

    /// As [`Recording::of_stream`], and an answer that calls tools is taken too.
    pub fn of_stream_with_tool_calls(end: &End, chunks: &[Wire<ChatChunk>]) -> Option<Self> {
        came_to_its_end(end).then(|| Self::of_chunks(chunks, Tools::Allowed)).flatten()
    }

    fn of_end(end: &End, tools: Tools) -> Option<Self> {
        if !came_to_its_end(end) {
            return None;
        }
        if let Some(chunks) = &end.chunks {
            return Self::of_chunks(chunks, tools);
        }
        let answer = end.answer.as_ref()?;
        let whole = match &end.raw {
            Some(raw) => Bytes::copy_from_slice(raw),
            None => serde_json::to_vec(answer).ok()?.into(),
        };
        Self::new(answer, whole, None, tools)
    }

    fn of_chunks(chunks: &[Wire<ChatChunk>], tools: Tools) -> Option<Self> {
        let answer = assemble(chunks);
        let whole = serde_json::to_vec(&answer).ok()?.into();
        let streamed = Streamed::of(chunks)?;
        Self::new(&answer, whole, Some(streamed), tools)
    }

    fn new(answer: &ChatResponse, whole: Bytes, streamed: Option<Streamed>, tools: Tools) -> Option<Self> {
        if !is_whole(answer, tools) || u32::try_from(whole.len()).is_err() {
            return None;
        }
        let finish_reason = answer.finish_reason()?.clone();
        Some(Self(Arc::new(Recorded {
            provider: "".into(),
            model: answer.model.as_str().into(),
            finish_reason,
            usage: answer.usage(),
            plain: PlainAnswer::read(&whole),
            whole,
            streamed,
        })))
    }

    /// The same with the provider and the model that this head names.
    #[must_use]
    pub fn by(mut self, head: &ReplyHead) -> Self {
        let recorded = Arc::make_mut(&mut self.0);
        recorded.provider = head.provider.clone();
        recorded.model = head.model.clone();
        self
    }

    /// The head of a reply with this answer, for which nobody was asked; what the caches did is for the cache to say.
    pub fn head(&self) -> ReplyHead {
        let mut head = ReplyHead::new(self.0.provider.clone(), self.0.model.clone());
        head.attempts = 0;
        head
    }

    /// The answer again, whole or as a stream. What was streamed has the same chunks as then; what was not is taken apart as
    /// [`Reply::into_stream`] does. Nothing of it is copied.
    pub fn reply(&self, head: ReplyHead, as_stream: bool, pace: Pace) -> Reply {
        if !as_stream {
            return Reply::whole(head, self.whole());
        }
        let events = match &self.0.streamed {
            Some(_) => Events::Recorded(self.0.clone()),
            None => Events::Made(replay(self.whole().into_inner())),
        };
        Reply::replayed(head, Playing { events, at: 0, pace, next: None })
    }

    /// The whole answer.
    pub fn whole(&self) -> Wire<ChatResponse> {
        Wire::unread(self.0.whole.clone(), self.0.plain)
    }

    /// Who answered; empty when it was not said ([`Recording::by`]).
    pub fn provider(&self) -> &Arc<str> {
        &self.0.provider
    }

    /// The model that answered.
    pub fn model(&self) -> &Arc<str> {
        &self.0.model
    }

    /// Why the model stopped: it was done, or it calls tools.
    pub fn finish_reason(&self) -> &FinishReason {
        &self.0.finish_reason
    }

    /// The tokens that the answer took, if the provider said so: what is saved when it is given again.
    pub fn usage(&self) -> Option<Usage> {
        self.0.usage
    }

    /// Whether the chunks of a stream are kept.
    pub fn is_streamed(&self) -> bool {
        self.0.streamed.is_some()
    }

    /// How many chunks are kept.
    pub fn chunks(&self) -> usize {
        self.0.streamed.as_ref().map_or(0, |streamed| streamed.chunks.len())
    }

    /// How much memory it takes.
    pub fn bytes(&self) -> usize {
        let streamed = self.0.streamed.as_ref();
        let streamed =
            streamed.map_or(0, |streamed| streamed.text.len() + streamed.chunks.len() * size_of::<Place>());
        size_of::<Recorded>() + self.0.provider.len() + self.0.model.len() + self.0.whole.len() + streamed
    }
}

/// The answer is somebody's data: only its size is shown.
impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("provider", &self.0.provider)
            .field("model", &self.0.model)
            .field("finish_reason", &self.0.finish_reason)
            .field("usage", &self.0.usage)
            .field("bytes", &self.bytes())
            .field("chunks", &self.chunks())
            .finish()
    }
}

/// Whether an answer may call tools.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tools {
    Never,
    Allowed,
}

fn came_to_its_end(end: &End) -> bool {
    end.is_complete() && end.late_error.is_none()
}

/// Whether an answer is what the model wanted to say, all of it and nothing else.
fn is_whole(answer: &ChatResponse, tools: Tools) -> bool {
    // `mainstay`: it was put together from the streams of several models.
    let is_told = |name| answer.extra.get(name).is_some_and(|value| !value.is_null());
    !answer.choices.is_empty()
        && !is_told("error")
        && !is_told("mainstay")
        && answer.choices.iter().all(|choice| is_done(choice, tools))
}

fn is_done(choice: &Choice, tools: Tools) -> bool {
    let message = &choice.message;
    let calls_tools = !message.tool_calls.is_empty()
        || message.extra.get("function_call").is_some_and(|call| !call.is_null());
    let finished = match &choice.finish_reason {
        Some(FinishReason::Stop) => true,
        Some(FinishReason::ToolCalls) => calls_tools,
        _ => false,
    };
    let refuses = message.refusal.as_ref().is_some_and(|text| !text.is_empty())
        || matches!(&message.content, Some(Content::Parts(parts)) if parts.iter().any(|part| matches!(part, Part::Refusal(_))));
    let says = message.content.as_ref().is_some_and(|content| !content.is_empty())
        || ["audio", "images"]
            .iter()
            .any(|name| message.extra.get(name).is_some_and(|value| !value.is_null()));
    finished && !refuses && (says || calls_tools) && (tools == Tools::Allowed || !calls_tools)
}

/// The answer that these chunks make. Chunks of plain text, nearly all of most streams, are not taken apart: beside their
/// text they hold nothing that the first of them does not hold.
fn assemble(chunks: &[Wire<ChatChunk>]) -> ChatResponse {
    let mut whole = Assembler::default();
    let (mut text, mut near) = (String::new(), 0);
    for (number, chunk) in chunks.iter().enumerate() {
        match chunk.as_plain() {
            Some(PlainText { index: 0, .. }) if number > 0 => chunk.push_text_near(&mut near, &mut text),
            _ => {
                push_text(&mut whole, &mut text);
                whole.push(chunk);
            }
        }
    }
    push_text(&mut whole, &mut text);
    whole.finish()
}

fn push_text(whole: &mut Assembler, text: &mut String) {
    if !text.is_empty() {
        whole.push(&ChatChunk::empty("", "").with_delta(Delta::text(std::mem::take(text)), None));
    }
}

impl Streamed {
    fn of(chunks: &[Wire<ChatChunk>]) -> Option<Self> {
        let mut text = Vec::new();
        let mut places = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            text.extend_from_slice(&chunk.to_json());
            places.push(Place { end: u32::try_from(text.len()).ok()?, plain: Packed::of(chunk.as_plain()) });
        }
        text.shrink_to_fit();
        Some(Self { text: text.into(), chunks: places.into() })
    }

    fn chunk(&self, number: usize) -> Option<Wire<ChatChunk>> {
        let Place { end, plain } = *self.chunks.get(number)?;
        let start = number.checked_sub(1).map_or(0, |before| self.chunks[before].end);
        Some(Wire::unread(self.text.slice(start as usize..end as usize), plain.read()))
    }
}

/// What is known of a chunk of plain text, in four bytes; 0 when it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed(u32);

impl Packed {
    fn of(plain: Option<PlainText>) -> Self {
        match plain {
            Some(PlainText { index, has_text }) if index < 1 << 30 => {
                Self(index << 2 | u32::from(has_text) << 1 | 1)
            }
            _ => Self(0),
        }
    }

    fn read(self) -> Option<PlainText> {
        (self.0 & 1 == 1).then_some(PlainText { index: self.0 >> 2, has_text: self.0 & 2 != 0 })
    }
}

/// A recording that is being played.
struct Playing {
    events: Events,
    at: usize,
    pace: Pace,
    /// When the next chunk is due.
    next: Option<Pin<Box<Sleep>>>,
}

enum Events {
    Recorded(Arc<Recorded>),
    Made(Vec<ChatChunk>),
}

impl Events {
    fn len(&self) -> usize {
        match self {
            Self::Recorded(recorded) => {
                recorded.streamed.as_ref().map_or(0, |streamed| streamed.chunks.len())
            }
            Self::Made(chunks) => chunks.len(),
        }
    }

    fn get(&self, number: usize) -> Option<Wire<ChatChunk>> {
        match self {
            Self::Recorded(recorded) => recorded.streamed.as_ref()?.chunk(number),
            Self::Made(chunks) => chunks.get(number).cloned().map(Wire::from),
        }
    }
}

impl Stream for Playing {
    type Item = ChunkResult;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let this = self.get_mut();
        if let Some(next) = &mut this.next {
            std::task::ready!(next.as_mut().poll(task));
        }
        let chunk = this.events.get(this.at);
        this.at += 1;
        if let Pace::Every(gap) = this.pace
            && !gap.is_zero()
            && this.at < this.events.len()
        {
            let due = Instant::now() + gap;
            match &mut this.next {
                Some(next) => next.as_mut().reset(due),
                None => this.next = Some(Box::pin(sleep_until(due))),
            }
        }
        Poll::Ready(chunk.map(Ok))
    }
}

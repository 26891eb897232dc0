//! What comes back: a head, and an answer that is whole or a stream.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::FusedStream;
use tokio::time::Instant;

use crate::cache_status::CacheStatus;
use crate::chat::{Assembler, ChatChunk, ChatResponse, replay};
use crate::end::{End, Hook, Keep, Outcome, Watch};
use crate::error::{Error, ErrorKind};
use crate::rate_limits::RateLimits;
use crate::rescued::Rescued;
use crate::usage::Usage;
use crate::wire::Wire;

/// One event of a streamed answer, or why there are no more.
pub type ChunkResult = Result<Wire<ChatChunk>, Error>;

/// A boxed stream of chunks: what [`Reply::map_stream`] takes and gives.
pub type BoxChunks = Pin<Box<dyn Stream<Item = ChunkResult> + Send>>;

/// The answer to a [`Call`](crate::Call): a head, and a body that is whole or a stream.
///
/// One type for both, as `http::Response<Body>` is one: a layer that changes the head, watches the end
/// ([`Reply::on_end`]) or maps the stream is written once. Dropping a reply cancels the upstream request and still
/// fires the end hooks.
pub struct Reply {
    /// What is known of the answer before its content. Boxed: a reply is handed through every layer by value, and its
    /// head is ten times as large as the rest.
    pub head: Box<ReplyHead>,
    body: Body,
}

enum Body {
    Whole(Box<Wire<ChatResponse>>),
    Stream(Box<Chunks>),
}

/// What is known of an answer before its content.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReplyHead {
    /// The provider that answers.
    pub provider: Arc<str>,
    /// Its name of the model.
    pub model: Arc<str>,
    /// The deployment, where there are several.
    pub deployment: Option<Arc<str>>,
    /// The rung of the degradation ladder that answers (S7.3).
    pub level: Level,
    /// What the caches did.
    pub cache: CacheStatus,
    /// How many attempts the answer took; 1 when the first succeeded, 0 when nobody was asked (a cache hit).
    pub attempts: u32,
    /// How many messages were left out of the conversation because it was longer than the model's window.
    pub shortened: u32,
    /// The streams that broke off before anything of them had reached the caller, if any did.
    pub rescued: Option<Rescued>,
    /// When the call was begun.
    pub started: Option<Instant>,
    /// From there to the first content event of a stream, or to the whole answer.
    pub first_token: Option<Duration>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The provider's rate limits, where its headers tell them.
    pub rate_limits: Option<RateLimits>,
}

/// The rung of the degradation ladder that answers (S7.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// The model that was asked for.
    #[default]
    Primary,
    /// A cached answer, because nothing better was to be had.
    Cache,
    /// A simpler, cheaper model.
    SimpleModel,
    /// A prepared answer.
    Static,
    /// A message that says to try later.
    Error,
}

impl Level {
    /// The level's name as it stands in replies, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Cache => "cache",
            Self::SimpleModel => "simple_model",
            Self::Static => "static",
            Self::Error => "error",
        }
    }
}

impl ReplyHead {
    /// The head of an answer by this provider and model.
    pub fn new(provider: impl Into<Arc<str>>, model: impl Into<Arc<str>>) -> Self {
        Self {
            provider: provider.into(),
            model: model.into(),
            deployment: None,
            level: Level::Primary,
            cache: CacheStatus::Bypass,
            attempts: 1,
            shortened: 0,
            rescued: None,
            started: None,
            first_token: None,
            request_id: None,
            rate_limits: None,
        }
    }

    /// The same head with the time at which the call was begun; the clock for `first_token` runs from there.
    #[must_use]
    pub fn started(mut self, at: Instant) -> Self {
        self.started = Some(at);
        self
    }

    fn note_first_token(&mut self) {
        if self.first_token.is_none() {
            self.first_token = self.started.map(|started| started.elapsed());
        }
    }
}

impl Reply {
    /// A whole answer.
    pub fn whole(mut head: ReplyHead, answer: impl Into<Wire<ChatResponse>>) -> Self {
        head.note_first_token();
        Self { head: Box::new(head), body: Body::Whole(Box::new(answer.into())) }
    }

    /// A streamed answer: resolves when the first content event is there.
    ///
    /// Until then every failure is an `Err` that can be retried elsewhere, an error event after `200 OK` and a stream
    /// that ends without content included. What came before the content (the role) is kept and replayed; a stream
    /// with more than 10,000 events before its first content is an error, so that it cannot fill the memory.
    ///
    /// # Cancellation
    /// Dropping the future drops `chunks`, which cancels the upstream request.
    pub async fn stream(
        mut head: ReplyHead,
        chunks: impl Stream<Item = ChunkResult> + Send + 'static,
    ) -> Result<Self, Error> {
        let mut chunks: BoxChunks = Box::pin(chunks);
        let mut before = Vec::new();
        loop {
            let next = std::future::poll_fn(|task| chunks.as_mut().poll_next(task)).await;
            match next {
                None => return Err(ended_early(&head)),
                Some(Err(error)) => return Err(error),
                Some(Ok(chunk)) => {
                    let content = chunk.has_content();
                    before.push(chunk);
                    if content {
                        break;
                    }
                    if before.len() > MOST_BEFORE_CONTENT {
                        return Err(never_begins(&head));
                    }
                }
            }
        }
        head.note_first_token();
        let name = Named { provider: head.provider.clone(), model: head.model.clone() };
        Ok(Self { head: Box::new(head), body: Body::Stream(Box::new(Chunks::new(before, chunks, name))) })
    }

    /// A stream of events that are all there: it cannot break off, whatever its finish reasons.
    pub(crate) fn replayed(
        mut head: ReplyHead,
        events: impl Stream<Item = ChunkResult> + Send + 'static,
    ) -> Self {
        head.note_first_token();
        let name = Named { provider: head.provider.clone(), model: head.model.clone() };
        let mut chunks = Chunks::new(Vec::new(), Box::pin(events), name);
        chunks.replayed = true;
        Self { head: Box::new(head), body: Body::Stream(Box::new(chunks)) }
    }

    /// Whether the body is a stream.
    pub fn is_stream(&self) -> bool {
        matches!(self.body, Body::Stream(_))
    }

    /// The whole answer, if the body is whole.
    pub fn answer(&self) -> Option<&Wire<ChatResponse>> {
        match &self.body {
            Body::Whole(answer) => Some(answer),
            Body::Stream(_) => None,
        }
    }

    /// The whole answer, to change it, if the body is whole.
    pub fn answer_mut(&mut self) -> Option<&mut Wire<ChatResponse>> {
        match &mut self.body {
            Body::Whole(answer) => Some(answer),
            Body::Stream(_) => None,
        }
    }

    /// Calls `hook` once at the end of the answer: complete, failed, or dropped by the caller.
    ///
    /// A whole answer has already ended: the hook is called at once. Of a stream it is called
    /// - with [`Outcome::Complete`] when the caller has met the end, or drops the stream after every choice had its
    ///   finish reason;
    /// - with [`Outcome::Failed`] just before an error is handed out;
    /// - with [`Outcome::Dropped`] when the stream is dropped before that, read or not.
    ///
    /// Hooks are called in the order of their registration: the innermost layer settles first. The upstream request
    /// is already closed then. A hook runs inside `poll_next` or `drop`, so it must not block; what has to wait goes
    /// to a channel or a task. A hook that panics keeps no other hook from being called.
    #[must_use = "the hook hangs on the reply that is returned"]
    pub fn on_end(self, hook: impl FnOnce(&End) + Send + 'static) -> Self {
        self.on_end_keeping(Keep::Nothing, hook)
    }

    /// As [`Reply::on_end`], and the [`End`] carries what `keep` asks for.
    #[must_use = "the hook hangs on the reply that is returned"]
    pub fn on_end_keeping(mut self, keep: Keep, hook: impl FnOnce(&End) + Send + 'static) -> Self {
        match &mut self.body {
            Body::Whole(answer) => hook(&End::of_whole(answer, keep)),
            Body::Stream(chunks) => chunks.watch.add(keep, Hook::new(hook)),
        }
        self
    }

    /// Puts the stream through `map`; a whole answer stays as it is.
    ///
    /// Hooks registered so far observe what comes out of the stream as it was; hooks registered later observe what
    /// `map` makes of it. A `map` that ends the answer early must give it a finish reason and drop the rest.
    #[must_use]
    pub fn map_stream<S>(mut self, map: impl FnOnce(Chunks) -> S) -> Self
    where
        S: Stream<Item = ChunkResult> + Send + 'static,
    {
        if let Body::Stream(chunks) = self.body {
            let name = chunks.name.clone();
            self.body = Body::Stream(Box::new(Chunks::new(Vec::new(), Box::pin(map(*chunks)), name)));
        }
        self
    }

    /// The answer as a stream; a whole one is replayed as chunks.
    pub fn into_stream(self) -> Chunks {
        match self.body {
            Body::Stream(chunks) => *chunks,
            Body::Whole(answer) => {
                let name = Named { provider: self.head.provider, model: self.head.model };
                let events = replay(answer.into_inner()).into_iter().map(Wire::from).collect();
                Chunks::replayed(events, name)
            }
        }
    }

    /// The whole answer; a stream is read to its end. A failure on the way carries the partial answer.
    ///
    /// # Cancellation
    /// Dropping the future drops the stream.
    pub async fn collect(self) -> Result<Wire<ChatResponse>, Error> {
        let mut chunks = match self.body {
            Body::Whole(answer) => return Ok(*answer),
            Body::Stream(chunks) => chunks,
        };
        let mut whole = Assembler::default();
        loop {
            match std::future::poll_fn(|task| Pin::new(&mut chunks).poll_next(task)).await {
                None => return Ok(whole.finish().into()),
                Some(Ok(chunk)) => whole.push(&chunk),
                Some(Err(error)) if error.partial().is_none() => {
                    return Err(error.with_partial(whole.finish()));
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Tokens used, if the answer is whole and says so.
    pub fn usage(&self) -> Option<Usage> {
        self.answer().and_then(|answer| answer.usage())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = if self.is_stream() { "stream" } else { "whole" };
        f.debug_struct("Reply").field("head", &self.head).field("body", &body).finish()
    }
}

/// The chunks of a streamed answer.
///
/// It never ends quietly before its end: if the provider's stream stops without a finish reason for each choice that
/// began, the last item is an [`ErrorKind::MalformedResponse`]. Once each has one, the answer is complete: a
/// connection that breaks after that ends the stream as if it had ended by itself. After an error or the end there is
/// nothing more.
///
/// # Cancellation
/// Dropping it cancels the upstream request at once and fires the end hooks.
pub struct Chunks {
    /// Chunks that were read ahead of the caller, oldest first.
    before: std::vec::IntoIter<Wire<ChatChunk>>,
    inner: Option<BoxChunks>,
    watch: Watch,
    name: Named,
    /// A whole answer in pieces: it cannot break off, whatever its finish reasons.
    replayed: bool,
}

#[derive(Clone)]
struct Named {
    provider: Arc<str>,
    model: Arc<str>,
}

impl Chunks {
    fn new(before: Vec<Wire<ChatChunk>>, inner: BoxChunks, name: Named) -> Self {
        let before = before.into_iter();
        Self { before, inner: Some(inner), watch: Watch::default(), name, replayed: false }
    }

    fn replayed(events: Vec<Wire<ChatChunk>>, name: Named) -> Self {
        let before = events.into_iter();
        Self { before, inner: None, watch: Watch::default(), name, replayed: true }
    }

    /// The next chunk; `None` after the last.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing: the chunk comes with the next call.
    pub async fn next(&mut self) -> Option<ChunkResult> {
        std::future::poll_fn(|task| Pin::new(&mut *self).poll_next(task)).await
    }

    fn stop(&mut self, outcome: Outcome, late_error: Option<Error>) {
        self.before = Vec::new().into_iter();
        // The stream goes first, so that no hook keeps the upstream request open. It may be another `Chunks` whose
        // hooks panic: ours are called all the same, and then the panic goes on.
        let inner = self.inner.take();
        let closed = catch_unwind(AssertUnwindSafe(|| drop(inner)));
        let settled = self.watch.end(outcome, late_error);
        if let Err(panicked) = closed.and(settled)
            && !std::thread::panicking()
        {
            resume_unwind(panicked);
        }
    }

    fn is_complete(&self) -> bool {
        self.replayed || self.watch.is_complete()
    }

    fn end_of_inner(&mut self) -> Option<ChunkResult> {
        if self.watch.is_ended() {
            return None;
        }
        if self.is_complete() {
            self.stop(Outcome::Complete, None);
            return None;
        }
        let message = "the provider's answer broke off before its end; what arrived is not the whole answer";
        let error = Error::new(ErrorKind::MalformedResponse, message)
            .at(self.name.provider.clone(), self.name.model.clone());
        self.stop(Outcome::Failed(error.clone()), None);
        Some(Err(error))
    }

    fn error_of_inner(&mut self, error: Error) -> Option<ChunkResult> {
        if self.is_complete() && is_of_the_way(error.kind()) {
            self.stop(Outcome::Complete, Some(error));
            return None;
        }
        self.stop(Outcome::Failed(error.clone()), None);
        Some(Err(error))
    }
}

/// Whether an error is about the way that an answer took, and not about the answer: when all of the answer is there
/// it changes nothing. A filter's or a guard's verdict after the last word does.
fn is_of_the_way(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Network
            | ErrorKind::Timeout(_)
            | ErrorKind::Overloaded
            | ErrorKind::ServerError
            | ErrorKind::MalformedResponse
    )
}

impl Stream for Chunks {
    type Item = ChunkResult;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let this = self.get_mut();
        let next = match this.before.next() {
            Some(chunk) => Some(Ok(chunk)),
            None => match &mut this.inner {
                Some(inner) => std::task::ready!(inner.as_mut().poll_next(task)),
                None => None,
            },
        };
        Poll::Ready(match next {
            Some(Ok(chunk)) => {
                this.watch.see(&chunk);
                Some(Ok(chunk))
            }
            Some(Err(error)) => this.error_of_inner(error),
            None => this.end_of_inner(),
        })
    }
}

impl FusedStream for Chunks {
    fn is_terminated(&self) -> bool {
        self.watch.is_ended()
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        let outcome = if self.is_complete() { Outcome::Complete } else { Outcome::Dropped };
        self.stop(outcome, None);
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("provider", &self.name.provider).finish_non_exhaustive()
    }
}

/// Far above the empty events that a provider sends while its model thinks.
const MOST_BEFORE_CONTENT: usize = 10_000;

fn ended_early(head: &ReplyHead) -> Error {
    Error::new(ErrorKind::MalformedResponse, "the provider's stream ended without an answer")
        .at(head.provider.clone(), head.model.clone())
}

fn never_begins(head: &ReplyHead) -> Error {
    let message = format!("the provider's stream has no content in its first {MOST_BEFORE_CONTENT} events");
    Error::new(ErrorKind::MalformedResponse, message).at(head.provider.clone(), head.model.clone())
}

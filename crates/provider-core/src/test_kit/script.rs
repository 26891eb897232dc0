//! Scripts: what a double does, as data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::chat::{ChatChunk, ChatResponse, Delta, FinishReason, FunctionDelta, Role, ToolCallDelta};
use crate::{Error, ErrorKind, Extra, ReplyHead, Usage};

type ChangeHead = Arc<dyn Fn(&mut ReplyHead) + Send + Sync>;

/// What a [`Scripted`](super::Scripted) provider does with one call.
#[derive(Clone)]
pub struct Step {
    pub(super) delay: Option<Duration>,
    pub(super) gate: Option<Gate>,
    pub(super) usage: Option<Usage>,
    pub(super) heads: Vec<ChangeHead>,
    pub(super) then: Then,
}

#[derive(Debug, Clone)]
pub(super) enum Then {
    Text(String),
    Answer(Box<ChatResponse>),
    Stream(Vec<Piece>),
    Fail(Error),
    Hang,
}

impl Step {
    /// Answers with a text: whole, or word by word when the call asks for a stream. The usage is the number of words
    /// unless [`Step::usage`] says otherwise.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Then::Text(text.into()))
    }

    /// Answers with this: whole, or replayed when the call asks for a stream.
    pub fn answer(answer: ChatResponse) -> Self {
        Self::new(Then::Answer(Box::new(answer)))
    }

    /// Answers with a stream, whatever the call asks for. It ends where the pieces end: with a
    /// [`Piece::Finish`] among them it is complete, without one it is cut.
    pub fn stream(pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self::new(Then::Stream(pieces.into_iter().collect()))
    }

    /// Fails.
    pub fn fail(error: Error) -> Self {
        Self::new(Then::Fail(error))
    }

    /// Fails with an error of this kind.
    pub fn fail_with(kind: ErrorKind) -> Self {
        Self::fail(scripted_error(kind))
    }

    /// Never answers.
    pub fn hang() -> Self {
        Self::new(Then::Hang)
    }

    /// The same after a delay.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// The same when the gate is open.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// The same with this usage, for a text.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// The same with a change of the reply's head: rate limits, a request id.
    #[must_use]
    pub fn head(mut self, change: impl Fn(&mut ReplyHead) + Send + Sync + 'static) -> Self {
        self.heads.push(Arc::new(change));
        self
    }

    fn new(then: Then) -> Self {
        Self { delay: None, gate: None, usage: None, heads: Vec::new(), then }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("delay", &self.delay).field("then", &self.then).finish_non_exhaustive()
    }
}

/// What happens next in a scripted stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Piece {
    /// This chunk, as it is.
    Chunk(Box<ChatChunk>),
    /// A chunk that only says who speaks.
    Role,
    /// New text.
    Text(String),
    /// New text of the reasoning.
    Reasoning(String),
    /// A tool call begins.
    ToolCall {
        /// Its index.
        index: u32,
        /// Its id.
        id: String,
        /// The function's name.
        name: String,
    },
    /// New text of a tool call's arguments.
    Arguments {
        /// The tool call's index.
        index: u32,
        /// The text.
        json: String,
    },
    /// Nothing, for this long.
    Wait(Duration),
    /// Nothing, until the gate is open.
    Gate(Gate),
    /// Nothing, for ever.
    Stall,
    /// An error; nothing comes after it.
    Fail(Error),
    /// The stream ends here.
    Cut,
    /// The finish reason.
    Finish(FinishReason),
    /// The usage, in a chunk without choices.
    Usage(Usage),
}

impl Piece {
    /// This chunk, as it is.
    pub fn chunk(chunk: ChatChunk) -> Self {
        Self::Chunk(Box::new(chunk))
    }

    /// New text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A tool call begins.
    pub fn tool_call(index: u32, id: impl Into<String>, name: impl Into<String>) -> Self {
        Self::ToolCall { index, id: id.into(), name: name.into() }
    }

    /// New text of a tool call's arguments.
    pub fn arguments(index: u32, json: impl Into<String>) -> Self {
        Self::Arguments { index, json: json.into() }
    }

    /// An error of this kind.
    pub fn fail_with(kind: ErrorKind) -> Self {
        Self::Fail(scripted_error(kind))
    }

    /// The answer is done.
    pub fn stop() -> Self {
        Self::Finish(FinishReason::Stop)
    }

    /// The chunk of this piece, if it is one, on the base of an empty one.
    pub(super) fn into_chunk(self, empty: impl Fn() -> ChatChunk) -> Result<ChatChunk, Self> {
        let delta = match self {
            Self::Chunk(chunk) => return Ok(*chunk),
            Self::Finish(reason) => return Ok(empty().with_delta(Delta::default(), Some(reason))),
            Self::Usage(usage) => return Ok(ChatChunk { usage: Some(usage.into()), ..empty() }),
            Self::Role => Delta { role: Some(Role::Assistant), ..Delta::text("") },
            Self::Text(text) => Delta::text(text),
            Self::Reasoning(text) => Delta { reasoning_content: Some(text), ..Delta::default() },
            Self::ToolCall { index, id, name } => {
                let function = FunctionDelta {
                    name: Some(name),
                    arguments: Some(String::new()),
                    extra: Extra::default(),
                };
                tool_call(ToolCallDelta {
                    index,
                    id: Some(id),
                    kind: Some("function".into()),
                    function: Some(function),
                    extra: Extra::default(),
                })
            }
            Self::Arguments { index, json } => {
                let function = FunctionDelta { arguments: Some(json), ..FunctionDelta::default() };
                tool_call(ToolCallDelta { index, function: Some(function), ..ToolCallDelta::default() })
            }
            other => return Err(other),
        };
        Ok(empty().with_delta(delta, None))
    }
}

fn tool_call(piece: ToolCallDelta) -> Delta {
    Delta { tool_calls: vec![piece], ..Delta::default() }
}

pub(super) fn scripted_error(kind: ErrorKind) -> Error {
    Error::new(kind, format!("the script says: {kind}"))
}

/// Holds a scripted call or stream back until a test opens it. Clones are one gate; it starts closed.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everything through, from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn passed(self) {
        let mut state = self.0.subscribe();
        // The sender is `self`: it cannot be gone while this waits.
        let _open = state.wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

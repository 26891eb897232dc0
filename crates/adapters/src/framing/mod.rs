//! Cuts the bytes of a streamed answer into frames: server-sent events, lines of JSON, or AWS event-stream messages.
//!
//! All decoders are used alike: push what was read, take frames until there are none, push again; at the end of the
//! body take what [`finish`](Frames::finish) hands out.
//!
//! ```
//! use mainstay_adapters::framing::{FramingError, Frames};
//!
//! let mut frames = Frames::sse();
//! let mut seen = Vec::new();
//! for read in ["data: {\"a\"", ":1}\n\nda", "ta: [DONE]"] {
//!     frames.push(read.into());
//!     while let Some(frame) = frames.next() {
//!         seen.push(frame?.data);
//!     }
//! }
//! while let Some(frame) = frames.finish() {
//!     let frame = frame?;
//!     assert!(!frame.terminated); // the body ended before the blank line
//!     seen.push(frame.data);
//! }
//! assert_eq!(seen, ["{\"a\":1}", "[DONE]"]);
//! # Ok::<(), FramingError>(())
//! ```
//!
//! # Memory
//! A decoder holds at most one unfinished frame of [`DEFAULT_LIMIT`] bytes (or the limit it was given) and the read it
//! is working on, provided that frames are taken until `None` before the next push. Frames are slices of the read where
//! they lie within one: keep [`Frame::data`] for long only as a copy, since it keeps its whole read alive.
//!
//! # Errors
//! An error ends the decoder: it has lost its place in the stream, drops what it holds and yields nothing more.
//! Decoders look at bytes only; whether `data` is UTF-8 and JSON is for the reader of the frame to find out.

#[cfg(feature = "bedrock")]
mod event_stream;
mod lines;
mod ndjson;
mod sse;

use std::fmt;

use bytes::Bytes;
use mainstay_provider_core::{Error, ErrorKind};

#[cfg(feature = "bedrock")]
pub use self::event_stream::EventStreamDecoder;
pub use self::ndjson::NdjsonDecoder;
pub use self::sse::SseDecoder;

/// The largest frame that a decoder takes unless it is told otherwise: 1 MiB.
pub const DEFAULT_LIMIT: usize = 1 << 20;

/// The largest event of a provider that draws: a generated image comes whole in one event, as base64. 32 MiB.
pub(crate) const LARGEST_IMAGE: usize = 32 << 20;

/// A decoder for whichever framing a provider uses, so that one driver serves them all.
///
/// As an iterator it yields the frames that are complete by now; `None` means: push more, or
/// [`finish`](Self::finish).
#[derive(Debug)]
#[non_exhaustive]
pub enum Frames {
    /// Server-sent events.
    Sse(SseDecoder),
    /// One JSON value a line.
    Ndjson(NdjsonDecoder),
    /// AWS event-stream messages.
    #[cfg(feature = "bedrock")]
    EventStream(EventStreamDecoder),
}

impl Frames {
    /// Server-sent events of at most [`DEFAULT_LIMIT`] bytes each.
    pub fn sse() -> Self {
        Self::Sse(SseDecoder::new())
    }

    /// Lines of at most [`DEFAULT_LIMIT`] bytes each.
    pub fn ndjson() -> Self {
        Self::Ndjson(NdjsonDecoder::new())
    }

    /// AWS event-stream messages of at most [`DEFAULT_LIMIT`] bytes each.
    #[cfg(feature = "bedrock")]
    pub fn event_stream() -> Self {
        Self::EventStream(EventStreamDecoder::new())
    }

    /// Takes the next read of the body.
    pub fn push(&mut self, read: Bytes) {
        match self {
            Self::Sse(decoder) => decoder.push(read),
            Self::Ndjson(decoder) => decoder.push(read),
            #[cfg(feature = "bedrock")]
            Self::EventStream(decoder) => decoder.push(read),
        }
    }

    /// At the end of the body: what is left, which the sender did not terminate. Call it until `None`.
    ///
    /// For text framings this is a frame with `terminated: false`: many servers of the OpenAI dialect leave out the last
    /// blank line, and a cut connection looks the same, so the caller decides by whether `data` is whole. A cut
    /// event-stream message cannot be read at all and is [`FramingError::Truncated`].
    pub fn finish(&mut self) -> Option<Result<Frame, FramingError>> {
        match self {
            Self::Sse(decoder) => decoder.finish(),
            Self::Ndjson(decoder) => decoder.finish(),
            #[cfg(feature = "bedrock")]
            Self::EventStream(decoder) => decoder.finish(),
        }
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, FramingError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Sse(decoder) => decoder.next(),
            Self::Ndjson(decoder) => decoder.next(),
            #[cfg(feature = "bedrock")]
            Self::EventStream(decoder) => decoder.next(),
        }
    }
}

/// One event of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// What the framing calls the event: the SSE `event` field, or the `:event-type` or `:exception-type` of an
    /// event-stream message. NDJSON has none.
    pub event: Option<EventName>,
    /// The event's payload, never empty for text framings.
    pub data: Bytes,
    /// Whether the sender ended the frame. `false` only out of [`Frames::finish`].
    pub terminated: bool,
    /// Whether the framing itself says that this is an error: an event-stream exception.
    pub exception: bool,
}

impl Frame {
    /// The event's name, or `""`.
    pub fn event(&self) -> &str {
        self.event.as_ref().map_or("", EventName::as_str)
    }

    /// A terminated event without a name.
    pub(crate) fn new(data: Bytes) -> Self {
        Self { event: None, data, terminated: true, exception: false }
    }
}

/// The name of an event: a slice of the read that it came in, checked to be UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct EventName(Bytes);

impl EventName {
    /// Takes bytes as a name; what is not UTF-8 in them is replaced.
    pub fn new(name: Bytes) -> Self {
        match std::str::from_utf8(&name) {
            Ok(_) => Self(name),
            Err(_) => Self(String::from_utf8_lossy(&name).into_owned().into()),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // always Ok: `new` has checked
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq<str> for EventName {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

/// Why a streamed answer could not be cut into frames. The stream cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// A frame is larger than the decoder's limit, or would be if it ever ended.
    #[error("an event of the stream is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The decoder's limit, in bytes.
        limit: usize,
    },
    /// A checksum of an event-stream message is wrong: bytes changed on the way.
    #[error("the checksum of an event-stream message is wrong")]
    Checksum,
    /// An event-stream message contradicts itself.
    #[error("an event-stream message is malformed: {0}")]
    Malformed(&'static str),
    /// The body ended within an event-stream message.
    #[error("the body ended within an event-stream message")]
    Truncated,
}

impl From<FramingError> for Error {
    /// [`ErrorKind::MalformedResponse`], with the framing error as its source.
    fn from(error: FramingError) -> Self {
        Self::new(ErrorKind::MalformedResponse, error.to_string()).with_source(error)
    }
}

//! A streamed answer as server-sent events.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_core::Stream as _;
use http_body::{Body, Frame};
use mainstay::{ChatChunk, Chunks, Error, Wire};

use crate::error::ApiError;
use crate::shutdown::{Shutdown, cut_off};

/// The body of a streamed answer: one event per chunk, as it arrives; `[DONE]` after a complete answer.
///
/// A failure is an event with an `error` member, and no `[DONE]` follows: a client never takes a broken answer for
/// a whole one.
pub(crate) struct Events {
    /// `None` after the last event.
    chunks: Option<Chunks>,
    wants_usage: bool,
    shutdown: Shutdown,
}

impl Events {
    pub(crate) fn new(chunks: Chunks, wants_usage: bool, shutdown: Shutdown) -> Self {
        Self { chunks: Some(chunks), wants_usage, shutdown }
    }

    fn last(&mut self, event: Bytes) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        self.chunks = None;
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        let this = self.get_mut();
        loop {
            let Some(chunks) = &mut this.chunks else { return Poll::Ready(None) };
            if this.shutdown.has_aborted() {
                return this.last(failure(cut_off()));
            }
            match ready!(Pin::new(chunks).poll_next(task)) {
                Some(Ok(chunk)) if is_unwanted(&chunk, this.wants_usage) => {}
                Some(Ok(chunk)) => return Poll::Ready(Some(Ok(Frame::data(event(&chunk.to_json()))))),
                Some(Err(error)) => return this.last(failure(error)),
                None => return this.last(Bytes::from_static(b"data: [DONE]\n\n")),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_none()
    }
}

/// The adapters always ask for usage; a client that did not must not get a chunk without choices.
fn is_unwanted(chunk: &Wire<ChatChunk>, wants_usage: bool) -> bool {
    !wants_usage && chunk.as_plain().is_none() && chunk.choices.is_empty() && chunk.usage.is_some()
}

fn event(json: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(json.len() + 8);
    event.put_slice(b"data: ");
    if memchr::memchr(b'\n', json).is_some() {
        // A provider's own text over several lines: each needs its field name.
        for (number, line) in json.split(|byte| *byte == b'\n').enumerate() {
            if number > 0 {
                event.put_slice(b"\ndata: ");
            }
            event.put_slice(line);
        }
    } else {
        event.put_slice(json);
    }
    event.put_slice(b"\n\n");
    event.freeze()
}

fn failure(error: Error) -> Bytes {
    event(&ApiError::from(error).to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_over_several_lines_stays_one_event() {
        assert_eq!(event(b"{\n}"), Bytes::from_static(b"data: {\ndata: }\n\n"));
        assert_eq!(event(b"{}"), Bytes::from_static(b"data: {}\n\n"));
    }
}

//! Drives one streamed answer: reads, cuts into frames, translates into chunks.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use mainstay_provider_core::{ChunkResult, Error, Wire};

use crate::dialect::{Chunks, Flow, ReadStream};
use crate::framing::{Frame, FramingError, Frames};

/// The chunks of one streamed answer. Events are handed out as they arrive; nothing is batched or delayed.
pub(crate) struct Driver<R> {
    reads: Pin<Box<R>>,
    frames: Frames,
    dialect: Box<dyn ReadStream>,
    ready: Chunks,
    /// What to hand out after the last chunk: the error that ended the stream, if one did.
    ended: Option<Option<Error>>,
    finished: bool,
    created: u64,
    name: Box<dyn Fn(Error) -> Error + Send>,
}

impl<R> Driver<R>
where
    R: Stream<Item = Result<Bytes, Error>> + Send + 'static,
{
    /// `created` is the time for chunks that bring none; `name` adds to an error where it happened.
    pub(crate) fn new(
        reads: R,
        frames: Frames,
        dialect: Box<dyn ReadStream>,
        created: u64,
        name: impl Fn(Error) -> Error + Send + 'static,
    ) -> Self {
        Self {
            reads: Box::pin(reads),
            frames,
            dialect,
            ready: Chunks::new(),
            ended: None,
            finished: false,
            created,
            name: Box::new(name),
        }
    }

    fn read_frame(&mut self, frame: Result<Frame, FramingError>) {
        let flow = frame.map_err(Error::from).and_then(|frame| self.dialect.read(frame, &mut self.ready));
        match flow {
            Ok(Flow::More) => {}
            Ok(Flow::Done) => self.ended = Some(None),
            Err(error) => self.ended = Some(Some(error)),
        }
    }

    fn read_rest(&mut self) {
        while self.ended.is_none() {
            match self.frames.finish() {
                Some(frame) => self.read_frame(frame),
                None => self.ended = Some(self.dialect.end(&mut self.ready).err()),
            }
        }
    }

    fn stamp(&self, mut chunk: Wire<mainstay_provider_core::ChatChunk>) -> Wire<mainstay_provider_core::ChatChunk> {
        // Only what a dialect made: a provider's own text is passed on untouched.
        if chunk.created == 0 && chunk.raw().is_none() {
            chunk.created = self.created;
        }
        chunk
    }
}

impl<R> Stream for Driver<R>
where
    R: Stream<Item = Result<Bytes, Error>> + Send + 'static,
{
    type Item = ChunkResult;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<ChunkResult>> {
        let this = self.get_mut();
        loop {
            if let Some(chunk) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(this.stamp(chunk))));
            }
            if this.finished {
                return Poll::Ready(None);
            }
            if let Some(end) = this.ended.take() {
                this.finished = true;
                return Poll::Ready(end.map(|error| Err((this.name)(error))));
            }
            if let Some(frame) = this.frames.next() {
                this.read_frame(frame);
                continue;
            }
            match ready!(this.reads.as_mut().poll_next(task)) {
                Some(Ok(read)) => this.frames.push(read),
                Some(Err(error)) => this.ended = Some(Some(error)),
                None => this.read_rest(),
            }
        }
    }
}

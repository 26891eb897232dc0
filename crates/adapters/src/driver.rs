//! Drives one streamed answer: reads, cuts into frames, translates into chunks.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use mainstay_provider_core::{ChunkResult, Error, Wire};

use crate::dialect::{Chunks, Flow, ReadStream};
use crate::framing::{Frame, Frames, FramingError};

/// The chunks of one streamed answer. Events are handed out as they arrive; nothing is batched or delayed.
pub(crate) struct Driver<R> {
    /// `None` when there is nothing more to read.
    reads: Option<Pin<Box<R>>>,
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
            reads: Some(Box::pin(reads)),
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
            Ok(Flow::Done) => {
                self.ended = Some(None);
                if let Some(reads) = self.reads.take() {
                    drain(reads);
                }
            }
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

    fn stamp(
        &self,
        mut chunk: Wire<mainstay_provider_core::ChatChunk>,
    ) -> Wire<mainstay_provider_core::ChatChunk> {
        // Only what a dialect made: a provider's own text is passed on untouched.
        if chunk.raw().is_none() && chunk.created == 0 {
            chunk.created = self.created;
        }
        chunk
    }
}

/// Reads what follows the last event (the end of the body, most often already there), so that the connection can be
/// used again: dropping it unread would close it, and the next call would have to connect anew.
fn drain<R>(mut reads: Pin<Box<R>>)
where
    R: Stream<Item = Result<Bytes, Error>> + Send + 'static,
{
    const LONGEST: Duration = Duration::from_millis(500);
    const MOST: usize = 16 << 10;
    let mut left = MOST;
    let rest = std::future::poll_fn(move |task| {
        while let Some(Ok(read)) = ready!(reads.as_mut().poll_next(task)) {
            match left.checked_sub(read.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        Poll::Ready(())
    });
    let mut rest = Box::pin(rest);
    // The end is most often in the same read as the last event: then no task is needed.
    if rest.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        tokio::spawn(tokio::time::timeout(LONGEST, rest));
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
            let next = match &mut this.reads {
                Some(reads) => ready!(reads.as_mut().poll_next(task)),
                None => None,
            };
            match next {
                Some(Ok(read)) => this.frames.push(read),
                Some(Err(error)) => this.ended = Some(Some(error)),
                None => {
                    this.reads = None;
                    this.read_rest();
                }
            }
        }
    }
}

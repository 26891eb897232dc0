//! What has come of an answer that several wait for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_provider_core::{ChatChunk, ChatResponse, End, Error, Recording, ReplyHead, Wire};

use crate::memory::Kept;

/// What has come of an answer so far. Whoever comes late reads it from the beginning.
pub(crate) struct Tape {
    reel: Mutex<Reel>,
    /// An answer that is longer is not kept: the tape forgets what all have read, and takes no more readers.
    max_bytes: usize,
}

#[derive(Default)]
struct Reel {
    begun: Option<Begun>,
    chunks: Vec<Wire<ChatChunk>>,
    /// How many chunks before those are forgotten.
    forgotten: usize,
    bytes: usize,
    too_long: bool,
    ended: Option<Result<(), Error>>,
    /// How far each reader has come; `None` when it has gone.
    readers: Vec<Option<usize>>,
    closed: bool,
}

/// How the answer has begun.
#[derive(Clone)]
pub(crate) enum Begun {
    Whole(Box<ReplyHead>, Box<Wire<ChatResponse>>),
    Streaming(Box<ReplyHead>),
    /// Somebody had put it into the cache meanwhile, or the second level had it.
    Kept(Arc<Kept>),
    Failed(Error),
}

/// What comes next on the tape.
pub(crate) enum Next {
    Chunk(Wire<ChatChunk>),
    /// Nothing yet.
    Wait,
    End(Result<(), Error>),
}

impl Tape {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { reel: Mutex::default(), max_bytes }
    }

    /// The number of a new reader; `None` when the answer is over, or too long to be read from its beginning.
    pub(crate) fn join(&self) -> Option<usize> {
        let mut reel = self.lock();
        if reel.closed {
            return None;
        }
        reel.readers.push(Some(0));
        Some(reel.readers.len() - 1)
    }

    /// Whether a new reader would get a number.
    pub(crate) fn is_open(&self) -> bool {
        !self.lock().closed
    }

    pub(crate) fn leave(&self, number: usize) {
        self.lock().readers[number] = None;
    }

    pub(crate) fn begin(&self, begun: Begun) {
        let mut reel = self.lock();
        reel.closed |= !matches!(begun, Begun::Streaming(_));
        reel.begun = Some(begun);
    }

    pub(crate) fn begun(&self) -> Option<Begun> {
        self.lock().begun.clone()
    }

    pub(crate) fn push(&self, chunk: Wire<ChatChunk>) {
        let bytes = chunk.raw().map_or_else(|| chunk.text().len() + 128, |raw| raw.len());
        let mut reel = self.lock();
        reel.bytes = reel.bytes.saturating_add(bytes);
        if reel.bytes > self.max_bytes {
            reel.too_long = true;
            reel.closed = true;
        }
        reel.chunks.push(chunk);
        if reel.too_long && reel.chunks.len() >= FORGET_EVERY {
            reel.forget();
        }
    }

    pub(crate) fn end(&self, ended: Result<(), Error>) {
        let mut reel = self.lock();
        reel.closed = true;
        if reel.begun.is_none()
            && let Err(error) = &ended
        {
            reel.begun = Some(Begun::Failed(error.clone()));
        }
        reel.ended.get_or_insert(ended);
    }

    /// The chunk at `at`, for reader `number`.
    pub(crate) fn read(&self, number: usize, at: usize) -> Next {
        let mut reel = self.lock();
        // What a reader has not read is not forgotten.
        let chunk = at.checked_sub(reel.forgotten).and_then(|at| reel.chunks.get(at)).cloned();
        match (chunk, &reel.ended) {
            (Some(chunk), _) => {
                reel.readers[number] = Some(at + 1);
                Next::Chunk(chunk)
            }
            (None, Some(ended)) => Next::End(ended.clone()),
            (None, None) => Next::Wait,
        }
    }

    /// All of it, if it is not too long and came to its end so.
    pub(crate) fn record(&self, end: &End, tool_calls: bool) -> Option<Recording> {
        let reel = self.lock();
        if reel.too_long {
            return None;
        }
        if tool_calls {
            Recording::of_stream_with_tool_calls(end, &reel.chunks)
        } else {
            Recording::of_stream(end, &reel.chunks)
        }
    }

    /// How many have joined the one who began.
    pub(crate) fn followers(&self) -> usize {
        self.lock().readers.len().saturating_sub(1)
    }

    fn lock(&self) -> MutexGuard<'_, Reel> {
        // The reel is plain data: a panic elsewhere leaves it as good as it was.
        self.reel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const FORGET_EVERY: usize = 64;

impl Reel {
    /// Forgets what every reader has read.
    fn forget(&mut self) {
        let read = self.readers.iter().flatten().min().copied().unwrap_or(self.forgotten);
        let count = read.saturating_sub(self.forgotten).min(self.chunks.len());
        self.chunks.drain(..count);
        self.forgotten += count;
    }
}

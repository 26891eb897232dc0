//! What has come of an answer that several wait for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_provider_core::{ChatChunk, ChatResponse, End, Error, ErrorKind, Recording, ReplyHead, Wire};

use crate::memory::Kept;

/// What has come of an answer so far. Whoever comes late reads it from the beginning.
pub(crate) struct Tape {
    reel: Mutex<Reel>,
    /// An answer that is longer is not kept: the tape forgets what all have read, and takes no more readers. It holds
    /// [`MOST_HELD`] times as much for those who read slowly, or not at all.
    max_bytes: usize,
}

#[derive(Default)]
struct Reel {
    begun: Option<Begun>,
    chunks: Vec<Wire<ChatChunk>>,
    /// How many chunks before those are forgotten.
    forgotten: usize,
    bytes: usize,
    /// Of `chunks`.
    held: usize,
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
        let bytes = bytes_of(&chunk);
        let mut reel = self.lock();
        reel.bytes = reel.bytes.saturating_add(bytes);
        reel.held = reel.held.saturating_add(bytes);
        if reel.bytes > self.max_bytes {
            reel.too_long = true;
            reel.closed = true;
        }
        reel.chunks.push(chunk);
        if reel.too_long && reel.chunks.len() >= FORGET_EVERY {
            reel.forget();
            while reel.held > self.max_bytes.saturating_mul(MOST_HELD) && reel.lose_slowest() {
                reel.forget();
            }
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
        if at < reel.forgotten {
            return Next::End(Err(too_slow()));
        }
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

/// Of what may be kept, 1 MiB where nothing else is said, a slow reader may be so many times behind.
const MOST_HELD: usize = 8;

fn bytes_of(chunk: &Wire<ChatChunk>) -> usize {
    chunk.raw().map_or_else(|| chunk.text().len() + 128, |raw| raw.len())
}

fn too_slow() -> Error {
    let message = "of the answer that this call shared more was not read for too long than is held";
    Error::new(ErrorKind::Internal, message)
}

impl Reel {
    /// Gives up on the reader who has come least far, unless all are there where the answer is.
    fn lose_slowest(&mut self) -> bool {
        let end = self.forgotten + self.chunks.len();
        let slowest = self.readers.iter_mut().filter(|reader| reader.is_some()).min_by_key(|reader| **reader);
        match slowest {
            // The one who has just moved the answer on has not read this chunk yet.
            Some(reader) if reader.is_some_and(|at| at + 1 < end) => {
                *reader = None;
                true
            }
            _ => false,
        }
    }

    /// Forgets what every reader has read.
    fn forget(&mut self) {
        let read = self.readers.iter().flatten().min().copied().unwrap_or(self.forgotten);
        let count = read.saturating_sub(self.forgotten).min(self.chunks.len());
        let gone: usize = self.chunks.drain(..count).map(|chunk| bytes_of(&chunk)).sum();
        self.held = self.held.saturating_sub(gone);
        self.forgotten += count;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use mainstay_provider_core::chat::Delta;

    use super::*;

    fn chunk() -> Wire<ChatChunk> {
        ChatChunk::empty("c", "m").with_delta(Delta::text("mast ".repeat(20)), None).into()
    }

    #[test]
    fn who_stops_reading_is_held_so_much_for_and_no_more() {
        const MOST: usize = 10_000;
        let tape = Tape::new(MOST);
        let (reads, slow, never) = (tape.join().unwrap(), tape.join().unwrap(), tape.join().unwrap());
        let mut most = 0;
        for at in 0..10_000 {
            tape.push(chunk());
            most = most.max(tape.lock().held);
            assert!(matches!(tape.read(reads, at), Next::Chunk(_)));
            // A little behind.
            if at >= 30 {
                assert!(matches!(tape.read(slow, at - 30), Next::Chunk(_)), "{at}");
            }
        }
        assert!(most > MOST && most <= (MOST_HELD + 1) * MOST, "{most}");
        assert!(matches!(tape.read(never, 0), Next::End(Err(_))));
        tape.end(Ok(()));
        assert!(matches!(tape.read(reads, 10_000), Next::End(Ok(()))));
        assert!(matches!(tape.read(slow, 10_000 - 30), Next::Chunk(_)));
    }
}

//! The small writes of one thread, until the round of its scheduler ends.

use std::cell::OnceCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::socket::Socket;

/// So many writes go out at once. With eight a peer is woken an eighth as often, and the first waits for seven others
/// that were ready anyway.
const MOST_WRITES: usize = 8;
/// So many bytes wait together at most.
const MOST_BYTES: usize = 32 << 10;

thread_local! {
    static OURS: OnceCell<Queue> = const { OnceCell::new() };
}

/// The writes that wait. Cloning copies a pointer.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Whose bytes, and where they end.
    writes: Vec<(Arc<Socket>, usize)>,
}

impl Queue {
    /// The one of this thread.
    pub(crate) fn ours() -> Self {
        OURS.with(|queue| queue.get_or_init(Self::default).clone())
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Keeps `bytes` for `socket` until the end of the round, or less.
    pub(crate) fn push(&self, socket: &Arc<Socket>, bytes: &[u8]) {
        let mut waiting = self.lock();
        let is_first = waiting.writes.is_empty();
        waiting.bytes.extend_from_slice(bytes);
        let end = waiting.bytes.len();
        waiting.writes.push((socket.clone(), end));
        if waiting.writes.len() >= MOST_WRITES || end >= MOST_BYTES {
            return waiting.send();
        }
        drop(waiting);
        if is_first {
            tokio::spawn(AtRoundsEnd(self.clone()).send());
        }
    }

    /// Writes all that waits.
    pub(crate) fn send(&self) {
        self.lock().send();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // What waits is as good after a panic elsewhere as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn send(&mut self) {
        let mut begin = 0;
        for (socket, end) in self.writes.drain(..) {
            socket.send(&self.bytes[begin..end]);
            begin = end;
        }
        self.bytes.clear();
    }
}

/// Sends what waits when everything that is ready now has run; also when its runtime ends before.
struct AtRoundsEnd(Queue);

impl AtRoundsEnd {
    async fn send(self) {
        tokio::task::yield_now().await;
    }
}

impl Drop for AtRoundsEnd {
    fn drop(&mut self) {
        self.0.send();
    }
}

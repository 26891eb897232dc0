//! The small writes of one thread, until the round of its scheduler ends.

use std::cell::OnceCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tokio::runtime::{Handle, Id};

use crate::socket::Socket;

/// So many writes go out at once: a peer is woken once for them, and the first waits for fifteen others
/// that were ready anyway.
const MOST_WRITES: usize = 16;
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
    sender: Option<Sender>,
}

/// The task that sends at the end of a round. A thread may run one runtime and then another: each has its own.
struct Sender {
    runtime: Id,
    /// While it waits for something to send.
    waker: Option<Waker>,
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
        let runtime = Handle::current().id();
        // Another runtime may have left something here that it does not send before it goes on.
        if is_first || waiting.sender.as_ref().is_none_or(|sender| sender.runtime != runtime) {
            self.wake_sender(waiting, runtime);
        }
    }

    /// Writes all that waits.
    pub(crate) fn send(&self) {
        self.lock().send();
    }

    fn wake_sender(&self, mut waiting: MutexGuard<'_, Waiting>, runtime: Id) {
        match &mut waiting.sender {
            Some(sender) if sender.runtime == runtime => {
                let waker = sender.waker.take();
                drop(waiting);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            _ => {
                waiting.sender = Some(Sender { runtime, waker: None });
                drop(waiting);
                tokio::spawn(Round { queue: self.clone(), runtime }.send_each());
            }
        }
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

/// Sends what waits when everything that is ready has run; also when its runtime ends.
struct Round {
    queue: Queue,
    runtime: Id,
}

impl Round {
    async fn send_each(self) {
        while self.something_to_send().await {
            tokio::task::yield_now().await;
            self.queue.send();
        }
    }

    /// Waits for a write; `false` when another runtime has taken the thread over.
    async fn something_to_send(&self) -> bool {
        std::future::poll_fn(|task| {
            let mut waiting = self.queue.lock();
            let has_writes = !waiting.writes.is_empty();
            match &mut waiting.sender {
                Some(sender) if sender.runtime == self.runtime => {
                    if has_writes {
                        return Poll::Ready(true);
                    }
                    sender.waker = Some(task.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(false),
            }
        })
        .await
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        if waiting.sender.as_ref().is_some_and(|sender| sender.runtime == self.runtime) {
            waiting.sender = None;
        }
        waiting.send();
    }
}

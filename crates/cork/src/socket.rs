//! The sending half of a stream, which its owner and a queue share.

use std::io::{Error, ErrorKind, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::queue::Queue;

pub(crate) struct Socket {
    /// Until it is dropped.
    half: Option<OwnedWriteHalf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many writes wait in a queue.
    queued: usize,
    /// The queue that they wait in: all in the same one, so that they keep their order.
    queue: Option<Queue>,
    /// What the system did not take yet.
    left: Vec<u8>,
    failed: Option<Error>,
    /// Who is told when something is left.
    owner: Option<Waker>,
}

impl Socket {
    pub(crate) fn new(half: OwnedWriteHalf) -> Self {
        Self { half: Some(half), state: Mutex::default() }
    }

    pub(crate) fn stream(&self) -> Result<&TcpStream> {
        self.half.as_ref().map(AsRef::as_ref).ok_or_else(|| Error::from(ErrorKind::NotConnected))
    }

    /// Notes that a write will wait in `queue`; `Pending` while the system has not taken what came before it.
    pub(crate) fn poll_queue(&self, queue: &Queue, task: &mut Context<'_>) -> Poll<Result<()>> {
        self.settle_elsewhere(Some(queue));
        let mut state = self.lock();
        ready!(self.poll_left(&mut state, task))?;
        state.queued += 1;
        if !state.queue.as_ref().is_some_and(|known| known.is(queue)) {
            state.queue = Some(queue.clone());
        }
        match &mut state.owner {
            Some(owner) => owner.clone_from(task.waker()), // only if it is another
            none => *none = Some(task.waker().clone()),
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all that waits of this socket.
    pub(crate) fn poll_send(&self, task: &mut Context<'_>) -> Poll<Result<()>> {
        self.settle_elsewhere(None);
        self.poll_left(&mut self.lock(), task)
    }

    /// Takes what the system did not take before; what waits in a queue is its business.
    pub(crate) fn poll_rest(&self, task: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_left(&mut self.lock(), task)
    }

    /// Writes what it can of `bytes`; nothing before them may wait.
    pub(crate) fn poll_write(&self, bytes: &[u8], task: &mut Context<'_>) -> Poll<Result<usize>> {
        loop {
            match self.write(bytes)? {
                0 => ready!(self.stream()?.poll_write_ready(task))?,
                written => return Poll::Ready(Ok(written)),
            }
        }
    }

    /// Writes `bytes`, whose turn has come in the queue.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.queued -= 1;
        if state.failed.is_some() {
            return;
        }
        let written = if state.left.is_empty() { self.write(bytes) } else { Ok(0) };
        match written {
            Ok(written) if written == bytes.len() => return,
            Ok(written) => state.left.extend_from_slice(&bytes[written..]),
            Err(error) => state.failed = Some(error),
        }
        if let Some(owner) = &state.owner {
            owner.wake_by_ref();
        }
    }

    /// Sends what waits in any queue but `this`.
    fn settle_elsewhere(&self, this: Option<&Queue>) {
        let other = {
            let state = self.lock();
            let other = state.queue.as_ref().filter(|_| state.queued > 0);
            other.filter(|queue| !this.is_some_and(|this| this.is(queue))).cloned()
        };
        // Not under the lock: a queue that sends takes it.
        if let Some(queue) = other {
            queue.send();
        }
    }

    fn poll_left(&self, state: &mut State, task: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(error) = state.failed.take() {
            state.failed = Some(Error::from(error.kind()));
            return Poll::Ready(Err(error));
        }
        while !state.left.is_empty() {
            match self.write(&state.left)? {
                0 => ready!(self.stream()?.poll_write_ready(task))?,
                written => drop(state.left.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// How much the system takes just now.
    fn write(&self, bytes: &[u8]) -> Result<usize> {
        let (stream, mut written) = (self.stream()?, 0);
        while written < bytes.len() {
            match stream.try_write(&bytes[written..]) {
                Ok(0) => return Err(Error::from(ErrorKind::WriteZero)),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(half) = self.half.take() {
            half.forget(); // closing ends both directions; a shutdown before it would be one more call to the system
        }
    }
}

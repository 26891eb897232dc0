//! How the gateway stops: first it says so, then it finishes what runs, then it cuts off what takes too long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use mainstay::{Error, ErrorKind};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Where the gateway is on its way to stopping. Cloning copies pointers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown(Arc<Stage>);

#[derive(Debug, Default)]
struct Stage {
    begun: AtomicBool,
    aborted: AtomicBool,
    token: CancellationToken,
}

impl Shutdown {
    /// From now on the gateway is not ready.
    pub(crate) fn begin(&self) {
        self.0.begun.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Cuts off every answer with an error.
    pub(crate) fn abort(&self) {
        self.0.aborted.store(true, Ordering::Release);
        self.0.token.cancel();
    }

    /// Tells one connection when what it answers is cut off.
    pub(crate) fn aborted(&self) -> Aborted {
        Aborted { shutdown: self.clone(), wait: None }
    }

    /// What comes of `work`, unless it is cut off before. The connection that polls it is woken by its own [`Aborted`], so that
    /// this costs a call no wait of its own.
    pub(crate) async fn cut<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Result<T, Error> {
        std::future::poll_fn(|task| match work.as_mut().poll(task) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending if self.has_aborted() => Poll::Ready(Err(cut_off())),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    pub(crate) fn has_aborted(&self) -> bool {
        self.0.aborted.load(Ordering::Acquire)
    }
}

/// What a client is told whose answer is cut off.
pub(crate) fn cut_off() -> Error {
    Error::new(ErrorKind::Unavailable, "the gateway is shutting down and the answer took too long; ask again")
}

/// Tells one connection when what it answers is cut off.
pub(crate) struct Aborted {
    shutdown: Shutdown,
    /// The wait for it, and who is woken by it.
    wait: Option<(Pin<Box<WaitForCancellationFutureOwned>>, Waker)>,
}

impl Aborted {
    /// This is asked whenever the connection is polled: the wait itself takes a lock, so it is only polled when another task
    /// is to be woken.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        if self.shutdown.has_aborted() {
            return Poll::Ready(());
        }
        match &mut self.wait {
            Some((_, woken)) if woken.will_wake(task.waker()) => Poll::Pending,
            Some((wait, woken)) => {
                woken.clone_from(task.waker());
                wait.as_mut().poll(task)
            }
            None => {
                let mut wait = Box::pin(self.shutdown.0.token.clone().cancelled_owned());
                let poll = wait.as_mut().poll(task);
                self.wait = Some((wait, task.waker().clone()));
                poll
            }
        }
    }
}

//! How the gateway stops: first it says so, then it finishes what runs, then it cuts off what takes too long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Where the gateway is on its way to stopping. Cloning copies pointers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    begun: Arc<AtomicBool>,
    abort: CancellationToken,
}

impl Shutdown {
    /// From now on the gateway is not ready.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Cuts off every streamed answer with an error event.
    pub(crate) fn abort(&self) {
        self.abort.cancel();
    }

    /// Tells one streamed answer when it is cut off.
    pub(crate) fn aborted(&self) -> Aborted {
        Aborted { token: self.abort.clone(), wait: None }
    }
}

/// Tells one streamed answer when it is cut off.
pub(crate) struct Aborted {
    token: CancellationToken,
    /// Made at the first wait and kept: it registers the task once, not at every event.
    wait: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Aborted {
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        if self.token.is_cancelled() {
            return Poll::Ready(());
        }
        let token = &self.token;
        self.wait.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned())).as_mut().poll(task)
    }
}

//! The two who work behind the scenes: who tells the others, and who hears them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// They begin as soon as there is a runtime: a store may be made before one is, by whoever reads a configuration.
pub(super) struct Tasks {
    waiting: Mutex<Option<[Task; 2]>>,
    begun: OnceLock<[AbortHandle; 2]>,
}

impl Tasks {
    pub(super) fn new(
        telling: impl Future<Output = ()> + Send + 'static,
        hearing: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let waiting: [Task; 2] = [Box::pin(telling), Box::pin(hearing)];
        Self { waiting: Mutex::new(Some(waiting)), begun: OnceLock::new() }
    }

    /// Begins, if they have not begun and there is a runtime.
    pub(super) fn begin(&self) {
        if self.begun.get().is_some() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        // Tasks that are there or not: a panic elsewhere leaves them as good as they were.
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tasks) = waiting {
            let _set_once = self.begun.set(tasks.map(|task| runtime.spawn(task).abort_handle()));
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.begun.get().into_iter().flatten().for_each(AbortHandle::abort);
    }
}

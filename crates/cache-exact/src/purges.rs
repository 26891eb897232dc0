//! How often something was forgotten on purpose: an answer that was under way meanwhile is not kept.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// A count. Who keeps something looks at it and keeps under one lock: else a purge in between would leave it there.
#[derive(Default)]
pub(crate) struct Purges(RwLock<u64>);

impl Purges {
    pub(crate) fn count(&self) -> u64 {
        *self.read()
    }

    /// Before anything is forgotten. Who is keeping something just now has kept it when this is over.
    pub(crate) fn one(&self) {
        // A count is as good after a panic elsewhere as before.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// Keeps something, unless anything was forgotten since the count was `since`.
    pub(crate) fn unless_since<T>(&self, since: u64, keep: impl FnOnce() -> T) -> Option<T> {
        let count = self.read();
        (*count == since).then(keep)
    }

    fn read(&self) -> RwLockReadGuard<'_, u64> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_forgets_waits_for_who_keeps_and_what_comes_later_is_not_kept() {
        let purges = Arc::new(Purges::default());
        let ((begin, begun), (tell, purged)) = (mpsc::channel(), mpsc::channel());
        let since = purges.count();
        let purging = std::thread::spawn({
            let purges = purges.clone();
            move || {
                begun.recv().unwrap();
                purges.one();
                tell.send(()).unwrap();
            }
        });
        let kept = purges.unless_since(since, || {
            begin.send(()).unwrap();
            purged.recv_timeout(Duration::from_millis(50)).is_err()
        });
        assert_eq!(kept, Some(true), "it is kept before anything is forgotten");
        purging.join().unwrap();
        assert_eq!(purges.unless_since(since, || ()), None);
        assert_eq!(purges.unless_since(purges.count(), || ()), Some(()));
    }
}

//! Who works behind the scenes, one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Somebody is at it. It is over when this is dropped, also by a runtime that ends with the work in it: then the next one may.
pub(super) struct Busy(Arc<AtomicBool>);

impl Busy {
    /// `None` when somebody is at it already, so that each who holds one is the only one whom its drop can speak for.
    pub(super) fn begin(with: &Arc<AtomicBool>) -> Option<Self> {
        (!with.swap(true, Ordering::AcqRel)).then(|| Self(with.clone()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_at_it_at_a_time_and_who_is_sent_away_ends_nothing() {
        let work = Arc::new(AtomicBool::new(false));
        let first = Busy::begin(&work);
        assert!(first.is_some());
        for _ in 0..2 {
            assert!(Busy::begin(&work).is_none());
        }
        drop(first);
        assert!(Busy::begin(&work).is_some());
    }
}

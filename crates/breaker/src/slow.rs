//! Watches a stream for gaps that are too long.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;
use mainstay_provider_core::{ChunkResult, Chunks};
use tokio::time::Instant;

/// Whether a stream had a gap that is too long.
#[derive(Debug, Clone, Default)]
pub(crate) struct HadGap(Arc<AtomicBool>);

impl HadGap {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream whose gaps are measured: from when the caller waits for a chunk to when it is there. A caller that takes its
/// time does not make the deployment slow, nor does one that gives up a read and comes back later.
pub(crate) struct Gaps {
    inner: Chunks,
    longest: Duration,
    had: HadGap,
    waiting_since: Option<Instant>,
    bell: Arc<Bell>,
}

impl Gaps {
    pub(crate) fn new(inner: Chunks, longest: Duration, had: HadGap) -> Self {
        Self { inner, longest, had, waiting_since: None, bell: Arc::default() }
    }
}

/// Notes when the stream had something to say, which may be long before anybody listens.
#[derive(Default)]
struct Bell(Mutex<Rung>);

#[derive(Default)]
struct Rung {
    at: Option<Instant>,
    task: Option<Waker>,
}

impl Bell {
    /// Hangs it on a task that is about to look; when it rang since somebody looked last.
    fn hang_on(&self, task: &TaskContext<'_>) -> Option<Instant> {
        let mut rung = self.lock();
        match &mut rung.task {
            Some(known) => known.clone_from(task.waker()),
            none => *none = Some(task.waker().clone()),
        }
        rung.at.take()
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let task = {
            let mut rung = self.lock();
            rung.at.get_or_insert_with(Instant::now);
            rung.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Stream for Gaps {
    type Item = ChunkResult;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let this = self.get_mut();
        let rung = this.bell.hang_on(task);
        let waker = Waker::from(this.bell.clone());
        let next = Pin::new(&mut this.inner).poll_next(&mut TaskContext::from_waker(&waker));
        if next.is_pending() {
            this.waiting_since.get_or_insert_with(Instant::now);
        } else if let Some(since) = this.waiting_since.take()
            && rung.unwrap_or_else(Instant::now).saturating_duration_since(since) > this.longest
        {
            this.had.0.store(true, Ordering::Relaxed);
        }
        next
    }
}

//! Watches a stream for gaps that are too long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};
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

/// A stream whose gaps are measured: the time that the caller waits for a chunk. A caller that takes its time does not
/// make the deployment slow.
pub(crate) struct Gaps {
    inner: Chunks,
    longest: Duration,
    had: HadGap,
    waiting_since: Option<Instant>,
}

impl Gaps {
    pub(crate) fn new(inner: Chunks, longest: Duration, had: HadGap) -> Self {
        Self { inner, longest, had, waiting_since: None }
    }
}

impl Stream for Gaps {
    type Item = ChunkResult;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let this = self.get_mut();
        let next = Pin::new(&mut this.inner).poll_next(task);
        if next.is_pending() {
            this.waiting_since.get_or_insert_with(Instant::now);
        } else if this.waiting_since.take().is_some_and(|since| since.elapsed() > this.longest) {
            this.had.0.store(true, Ordering::Relaxed);
        }
        next
    }
}

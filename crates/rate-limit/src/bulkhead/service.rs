//! The service: takes a place, and holds it to the end of the answer.

use std::fmt;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{BoxFuture, Call, Error, Reply};
use tokio::time::Instant;
use tower_service::Service;

use super::hull::{Hull, Place, Waiting};

/// A deployment with a bounded number of calls at once.
///
/// It is always ready: a call waits for its place within its future, for a bounded time, in a bounded queue. So nobody
/// waits in `poll_ready` for a deployment that hangs.
///
/// # Errors
/// [`ErrorKind::LimitReached`](mainstay_provider_core::ErrorKind::LimitReached) for a call that has no place in time, with
/// the time until one is likely to be free in [`Error::retry_after`].
///
/// # Cancellation
/// A dropped call gives its place back, or its spot in the queue; so does a dropped reply.
pub struct Bulkhead<S> {
    inner: S,
    /// Whether `inner` was found ready and not called since.
    ready: bool,
    hull: Arc<Hull>,
}

impl<S> Bulkhead<S> {
    pub(super) fn new(inner: S, hull: Arc<Hull>) -> Self {
        Self { inner, ready: false, hull }
    }
}

/// A clone starts unready.
impl<S: Clone> Clone for Bulkhead<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.hull.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for Bulkhead<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulkhead").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S> Service<Call> for Bulkhead<S>
where
    S: Service<Call, Response = Reply, Error = Error, Future: Send + 'static> + Clone + Send + 'static,
{
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        // Not ready is no reason to wait here: the handle goes with the call and is polled there.
        self.ready = match self.inner.poll_ready(task) {
            Poll::Ready(ready) => ready.map(|()| true)?,
            Poll::Pending => false,
        };
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let now = Instant::now();
        let entry = match self.hull.try_enter(now) {
            Some(place) => Entry::Now(place),
            None => match self.hull.queue(now, call.context().deadline) {
                Ok(waiting) => Entry::Later(waiting),
                Err(refusal) => return Box::pin(std::future::ready(Err(refusal))),
            },
        };
        let ready = std::mem::take(&mut self.ready);
        match entry {
            Entry::Now(place) if ready => {
                let reply = self.inner.call(call);
                Box::pin(async move { Ok(holding(place, reply.await?)) })
            }
            entry => {
                let mut inner = self.inner.clone();
                std::mem::swap(&mut inner, &mut self.inner);
                Box::pin(async move {
                    let place = match entry {
                        Entry::Now(place) => place,
                        Entry::Later(waiting) => waiting.place().await?,
                    };
                    if !ready {
                        std::future::poll_fn(|task| inner.poll_ready(task)).await?;
                    }
                    Ok(holding(place, inner.call(call).await?))
                })
            }
        }
    }
}

enum Entry {
    Now(Place),
    Later(Waiting),
}

/// A whole answer has ended; a stream holds its place to its end.
fn holding(place: Place, reply: Reply) -> Reply {
    if reply.is_stream() { reply.on_end(move |_end| drop(place)) } else { reply }
}

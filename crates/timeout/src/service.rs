//! The service: waits for the reply, and hands the timer on to its stream.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{
    BoxFuture, Call, EmbedCall, EmbedReply, Error, ErrorKind, Reply, ReplyHead, Timer,
};
use tokio::time::Instant;
use tower_service::Service;

use crate::alarm::Alarm;
use crate::config::{TimeoutConfig, Timers};
use crate::stream::Timed;

/// A provider with timers around it.
///
/// # Errors
/// [`ErrorKind::Timeout`] with [`Timer::FirstToken`] when a streaming call has no content in time, with
/// [`Timer::Total`] when a call has no answer in time; in a stream that has begun, with [`Timer::Idle`] when nothing
/// comes for too long; [`Reply::collect`] adds the partial answer.
///
/// # Cancellation
/// Dropping the future or the reply drops the provider's. An expiry drops it at once, before the caller is told.
#[derive(Debug, Clone)]
pub struct Timeout<S> {
    inner: S,
    config: Arc<TimeoutConfig>,
}

impl<S> Timeout<S> {
    pub(crate) fn new(inner: S, config: Arc<TimeoutConfig>) -> Self {
        Self { inner, config }
    }
}

impl<S> Service<Call> for Timeout<S>
where
    S: Service<Call, Response = Reply, Error = Error, Future: Send + 'static>,
{
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let limits = Limits::new(self.config.timers(call.model()), call.context().deadline);
        if limits.is_over() {
            return Box::pin(std::future::ready(Err(limits.expired())));
        }
        let limits = if call.is_stream() { limits.with_first_token() } else { limits };
        let reply = self.inner.call(call);
        Box::pin(async move {
            let mut alarm = Alarm::default();
            match limits.wait(reply, &mut alarm).await {
                Ok(reply) if reply.is_stream() => Ok(limits.watch(reply, alarm)),
                result => result,
            }
        })
    }
}

impl<S> Service<EmbedCall> for Timeout<S>
where
    S: Service<EmbedCall, Response = EmbedReply, Error = Error, Future: Send + 'static>,
{
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        let limits = Limits::new(self.config.timers(&call.request.model), call.context.deadline);
        if limits.is_over() {
            return Box::pin(std::future::ready(Err(limits.expired())));
        }
        let reply = self.inner.call(call);
        Box::pin(async move { limits.wait(reply, &mut Alarm::default()).await })
    }
}

/// What one call may take.
#[derive(Clone, Copy)]
struct Limits {
    timers: Timers,
    started: Instant,
    /// The end of the call, whatever happens: the total, or the caller's deadline if that is sooner (D1).
    total: Instant,
    /// Until when the reply must be there: the end, or the first-token timer if that is sooner.
    reply: Instant,
}

impl Limits {
    fn new(timers: Timers, deadline: Option<Instant>) -> Self {
        let started = Instant::now();
        let total = started + timers.total;
        let total = deadline.map_or(total, |deadline| deadline.min(total));
        Self { timers, started, total, reply: total }
    }

    fn with_first_token(mut self) -> Self {
        self.reply = self.total.min(self.started + self.timers.first_token);
        self
    }

    /// A call whose deadline has passed is not begun.
    fn is_over(&self) -> bool {
        self.total <= self.started
    }

    /// On expiry `future` is gone before the error is told (D3).
    async fn wait<T>(
        &self,
        future: impl Future<Output = Result<T, Error>>,
        alarm: &mut Alarm,
    ) -> Result<T, Error> {
        let mut future = pin!(future);
        let answered = std::future::poll_fn(|task| match future.as_mut().poll(task) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => {
                // The first wait begins right after the call was; that saves a look at the clock.
                let now = if alarm.is_new() { self.started } else { Instant::now() };
                alarm.poll_at(self.reply, now, task).map(|()| None)
            }
        });
        answered.await.unwrap_or_else(|| Err(self.expired()))
    }

    fn expired(&self) -> Error {
        let (timer, what) = if self.reply < self.total {
            (Timer::FirstToken, "the first token did not come")
        } else {
            (Timer::Total, "the answer did not come")
        };
        let given = self.reply.saturating_duration_since(self.started);
        Error::new(ErrorKind::Timeout(timer), format!("{what} within {given:?}"))
    }

    fn watch(self, reply: Reply, alarm: Alarm) -> Reply {
        let ReplyHead { provider, model, .. } = &*reply.head;
        let name = (provider.clone(), model.clone());
        reply.map_stream(|chunks| Timed::new(chunks, alarm, self.timers, self.total, name))
    }
}

//! The service: reserves, sends, and settles at the end of the answer.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{BoxFuture, Call, End, Error, ErrorKind, Outcome, Reply, Timer};
use tower_service::Service;

use crate::gate::{Entry, Gate, Reservation};
use crate::limiter::Spent;

/// A deployment with its rate limits in front of it.
///
/// # Errors
/// [`ErrorKind::LimitReached`] for a call that has no place in time, with the time to its place in
/// [`Error::retry_after`]. The deployment's own errors go through as they are.
///
/// # Cancellation
/// A call that is dropped while it waits, or before it is sent, gives its place back. One that is dropped later is taken
/// to have used what was reserved for it, unless the provider had told its usage.
#[derive(Clone)]
pub struct RateLimit<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> RateLimit<S> {
    pub(crate) fn new(inner: S, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for RateLimit<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S> Service<Call> for RateLimit<S>
where
    S: Service<Call, Response = Reply, Error = Error, Future: Send + 'static> + Clone + Send + 'static,
{
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        match self.gate.enter(&call) {
            Entry::Now(mut reservation) => {
                let reply = self.inner.call(call);
                Box::pin(async move {
                    reservation.sent();
                    let result = reply.await;
                    if is_over(&result) {
                        settle(reservation, &result);
                        return result;
                    }
                    result.map(|reply| watch(reservation, reply))
                })
            }
            Entry::Later(waiting) => {
                let mut ready = self.inner.clone();
                std::mem::swap(&mut ready, &mut self.inner);
                Box::pin(async move {
                    let mut reservation = waiting.await?;
                    let reply = ready.call(call);
                    reservation.sent();
                    let result = reply.await;
                    if is_over(&result) {
                        settle(reservation, &result);
                        return result;
                    }
                    result.map(|reply| watch(reservation, reply))
                })
            }
            Entry::Refused(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

/// Whether the call has ended: with an error, or with a whole answer.
fn is_over(result: &Result<Reply, Error>) -> bool {
    result.as_ref().map_or(true, |reply| !reply.is_stream())
}

fn settle(reservation: Reservation, result: &Result<Reply, Error>) {
    match result {
        Err(error) => failed(reservation, error, None),
        // A cache within answered: nobody was asked.
        Ok(reply) if reply.head.attempts == 0 => reservation.settle(None, Spent::Nothing, None),
        Ok(reply) => {
            let spent = reply.usage().map_or(Spent::Reserved, Spent::Usage);
            reservation.settle(reply.head.rate_limits.as_ref(), spent, None);
        }
    }
}

/// A stream has a head by now, and its end is to come.
fn watch(reservation: Reservation, reply: Reply) -> Reply {
    if reply.head.attempts == 0 {
        reservation.settle(None, Spent::Nothing, None);
        return reply;
    }
    if let Some(limits) = &reply.head.rate_limits {
        reservation.heard(limits);
    }
    reply.on_end(move |end| ended(reservation, end))
}

fn ended(reservation: Reservation, end: &End) {
    let usage = end.usage.map(Spent::Usage);
    match &end.outcome {
        Outcome::Failed(error) => failed(reservation, error, usage.or(Some(Spent::Reserved))),
        _ => reservation.settle(None, usage.unwrap_or(Spent::Reserved), None),
    }
}

/// `spent` is what is known of it, if the answer had begun.
fn failed(reservation: Reservation, error: &Error, spent: Option<Spent>) {
    let spent = spent.unwrap_or_else(|| spent_by(error));
    if error.kind() == ErrorKind::RateLimited {
        reservation.settle(None, spent, Some(error));
    } else {
        reservation.settle(error.rate_limits(), spent, None);
    }
}

/// What a call that failed before its answer has used of the limits, as providers count it.
fn spent_by(error: &Error) -> Spent {
    match error.kind() {
        // It never left.
        ErrorKind::Unavailable
        | ErrorKind::LimitReached
        | ErrorKind::Configuration
        | ErrorKind::Timeout(Timer::Connect) => Spent::Nothing,
        // It was turned away at the door: that counts as a request.
        ErrorKind::RateLimited
        | ErrorKind::QuotaExhausted
        | ErrorKind::Overloaded
        | ErrorKind::Network
        | ErrorKind::Authentication
        | ErrorKind::PermissionDenied
        | ErrorKind::ModelNotFound
        | ErrorKind::InvalidRequest
        | ErrorKind::ContextLengthExceeded => Spent::Request,
        // The model may have read it, and written.
        _ => Spent::Reserved,
    }
}

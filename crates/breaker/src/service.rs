//! The service: asks for leave, calls, and gives the verdict.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use mainstay_provider_core::{BoxFuture, Call, End, Error, ErrorKind, Outcome, Reply, Timer};
use tokio::time::Instant;
use tower_service::Service;

use crate::circuit::{Circuit, Permit};
use crate::config::Slow;
use crate::keyed::Keyed;
use crate::policy::Blame;
use crate::slow::{Gaps, HadGap};
use crate::state::Verdict;
use crate::sync;

/// A deployment with a breaker in front of it.
///
/// # Errors
/// [`ErrorKind::Unavailable`] for a call that is refused, with the time to the next half-open in
/// [`Error::retry_after`]. The deployment's own errors go through as they are.
///
/// # Cancellation
/// A dropped call gives back what it held and says nothing of the deployment; a dropped probe frees its place.
#[derive(Debug)]
pub struct Breaker<S> {
    inner: S,
    /// Whether `inner` was found ready and not called since.
    ready: bool,
    circuits: Circuits,
}

/// Where a call's breaker is found.
#[derive(Debug, Clone)]
pub(crate) enum Circuits {
    One(sync::Arc<Circuit>),
    Keyed(Arc<Keyed>),
}

impl<S> Breaker<S> {
    pub(crate) fn new(inner: S, circuits: Circuits) -> Self {
        Self { inner, ready: false, circuits }
    }
}

/// A clone starts unready.
impl<S: Clone> Clone for Breaker<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.circuits.clone())
    }
}

impl<S> Service<Call> for Breaker<S>
where
    S: Service<Call, Response = Reply, Error = Error, Future: Send + 'static> + Clone + Send + 'static,
{
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        // A call that will be refused does not wait for a deployment whose places are all taken by calls that hang.
        if self.circuits.refuse_all() {
            return Poll::Ready(Ok(()));
        }
        self.ready = false;
        std::task::ready!(self.inner.poll_ready(task))?;
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let sent = Instant::now();
        let deadline = call.context().deadline;
        let circuit = self.circuits.of(&call, sent);
        let permit = match Permit::ask(circuit, sent, deadline) {
            Ok(permit) => permit,
            Err(refusal) => return Box::pin(std::future::ready(Err(refusal))),
        };
        let slow = permit.config().slow(call.model());
        let watch = Watch { permit, sent, deadline, slow };
        if std::mem::take(&mut self.ready) {
            let reply = self.inner.call(call);
            return Box::pin(async move { watch.judge(reply.await) });
        }
        // It was found refusing and takes calls again: nobody has asked the deployment yet whether it is ready.
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let result = match std::future::poll_fn(|task| inner.poll_ready(task)).await {
                Ok(()) => inner.call(call).await,
                Err(error) => Err(error),
            };
            watch.judge(result)
        })
    }
}

impl Circuits {
    fn refuse_all(&self) -> bool {
        match self {
            Self::One(circuit) => circuit.is_refusing(),
            Self::Keyed(_) => false,
        }
    }

    fn of(&self, call: &Call, now: Instant) -> sync::Arc<Circuit> {
        match self {
            Self::One(circuit) => circuit.clone(),
            Self::Keyed(keyed) => keyed.of(call, now),
        }
    }
}

/// One call under way. Dropped without an end, its permit says so.
struct Watch {
    permit: Permit,
    sent: Instant,
    deadline: Option<Instant>,
    slow: Option<Slow>,
}

impl Watch {
    fn judge(self, result: Result<Reply, Error>) -> Result<Reply, Error> {
        if result.as_ref().is_ok_and(Reply::is_stream) {
            return result.map(|reply| self.stream(reply));
        }
        let now = Instant::now();
        let verdict = match &result {
            // A whole answer has ended; its hook would be told so at once.
            Ok(_) => Verdict::Success,
            Err(error) => self.verdict_on_error(error, now),
        };
        self.permit.settle(verdict, now);
        result
    }

    /// Judges a stream twice: when its first token is here, and at its end (B9).
    fn stream(self, mut reply: Reply) -> Reply {
        let had_gap = HadGap::default();
        if let Some(Slow { first_token, gap }) = self.slow {
            let now = Instant::now();
            if first_token.is_some_and(|longest| now - self.sent > longest) {
                self.permit.settle(Verdict::Slow, now);
                return reply;
            }
            if let Some(longest) = gap {
                let had = had_gap.clone();
                reply = reply.map_stream(|chunks| Gaps::new(chunks, longest, had));
            }
        }
        reply.on_end(move |end| {
            let verdict = self.verdict_on_end(end, had_gap.get());
            self.permit.settle(verdict, end.at);
        })
    }

    fn verdict_on_end(&self, end: &End, had_gap: bool) -> Verdict {
        match &end.outcome {
            Outcome::Complete if had_gap => Verdict::Slow,
            Outcome::Complete => Verdict::Success,
            Outcome::Failed(error) => self.verdict_on_error(error, end.at),
            _ => Verdict::Unseen,
        }
    }

    fn verdict_on_error(&self, error: &Error, now: Instant) -> Verdict {
        if self.was_hurried(error, now) {
            return Verdict::Nobody;
        }
        // "Come again at once" is no hint.
        let wait = error.retry_after().filter(|wait| *wait > Duration::ZERO);
        match self.permit.config().policy.blame(error) {
            Blame::Deployment => Verdict::Failure,
            Blame::RateLimit => Verdict::RateLimited { wait },
            Blame::Account => Verdict::Account { kind: error.kind(), wait },
            Blame::Nobody => Verdict::Nobody,
        }
    }

    /// Whether the caller's own deadline ended the call before the deployment had a fair time to answer.
    fn was_hurried(&self, error: &Error, now: Instant) -> bool {
        error.kind() == ErrorKind::Timeout(Timer::Total)
            && self.deadline.is_some_and(|deadline| deadline <= now)
            && now.saturating_duration_since(self.sent) < self.permit.config().fair_wait
    }
}

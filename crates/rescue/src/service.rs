//! The service: asks, holds the beginning back if it shall, and watches over the rest.

use std::fmt;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{BoxFuture, Call, Error, Provider, Reply};
use tower_service::Service;

use crate::hold_back;
use crate::layer::Shared;
use crate::plan::Plan;
use crate::stream::Watched;

/// A provider whose streams are rescued when they break off.
///
/// # Errors
/// What the provider beneath fails with. In a stream that could not be rescued: the error that broke it, which says so,
/// with the errors of all that was tried ([`Error::attempts`]).
///
/// # Cancellation
/// Dropping the future, the reply or its stream drops whatever is under way beneath, a rescue included.
#[derive(Clone)]
pub struct Rescue<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Rescue<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S: fmt::Debug> fmt::Debug for Rescue<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rescue").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S: Provider> Service<Call> for Rescue<S> {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let rules = self.shared.config.rules(call.model());
        let idle = rules.hold_back.is_none() && !rules.rescues_begun();
        if idle || !call.is_stream() {
            return Box::pin(self.inner.call(call));
        }
        let plan = Plan::new(self.inner.clone(), call.clone(), self.shared.clone(), rules.clone());
        let asked = self.inner.call(call);
        Box::pin(async move {
            let reply = asked.await?;
            if !reply.is_stream() {
                return Ok(reply);
            }
            match plan.rules.hold_back {
                Some(hold_back) => Box::pin(hold_back::read_ahead(reply, plan, hold_back)).await,
                None => Ok(Watched::around(reply, plan)),
            }
        })
    }
}

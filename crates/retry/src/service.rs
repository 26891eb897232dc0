//! The service: the first attempt, which is nearly always the last.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{
    BoxFuture, Call, Context, EmbedCall, EmbedReply, Embedder, Error, Provider, Reply,
};
use tower_service::Service;

use crate::layer::Shared;
use crate::{reprompt, run};

/// A provider, or an embedder, that is asked again when asking again can help.
///
/// # Errors
/// That of the last attempt. Without a router beneath, which does it better, the errors of all attempts are in
/// [`Error::attempts`].
///
/// # Cancellation
/// Dropping the future ends the wait or the attempt that is under way.
#[derive(Debug, Clone)]
pub struct Retry<S> {
    inner: S,
    again: Arc<Again<S>>,
}

/// What a second attempt needs.
#[derive(Debug)]
pub(crate) struct Again<S> {
    /// Never polled and never called: each further attempt clones it. Kept apart, so that a call that succeeds at once
    /// clones a pointer only.
    pub(crate) fresh: S,
    pub(crate) shared: Arc<Shared>,
}

impl<S: Clone> Retry<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        let again = Arc::new(Again { fresh: inner.clone(), shared });
        Self { inner, again }
    }
}

impl<S> Again<S> {
    /// A call for which somebody was asked already, as for a rescue of its stream, has paid in (T1).
    fn deposit(&self, context: &Context) {
        if let Some(budget) = &self.shared.config.budget
            && context.attempts.is_empty()
        {
            budget.deposit();
        }
    }

    fn is_unreadable(&self, call: &Call, reply: &Reply) -> bool {
        self.shared.config.reprompt && reprompt::unreadable(call, reply).is_some()
    }
}

impl<S: Provider> Service<Call> for Retry<S> {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.again.deposit(call.context());
        let again = self.again.clone();
        // The handle that was polled ready makes the first attempt. What is kept for others is two pointers, however
        // long the request (T8).
        let first = self.inner.call(call.clone());
        Box::pin(async move {
            match first.await {
                Ok(reply) if !again.is_unreadable(&call, &reply) => Ok(reply),
                // Boxed, so that a call that succeeds at once does not carry the loop along.
                result => Box::pin(run::chat(again, call, result)).await,
            }
        })
    }
}

impl<S: Embedder> Service<EmbedCall> for Retry<S> {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        self.again.deposit(&call.context);
        let again = self.again.clone();
        let first = self.inner.call(call.clone());
        Box::pin(async move {
            match first.await {
                Err(error) => Box::pin(run::embed(again, call, error)).await,
                reply => reply,
            }
        })
    }
}

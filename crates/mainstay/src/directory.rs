//! Which stack a call runs through: that of its logical model, or the one for models without a name here.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{
    BoxEmbedder, BoxFuture, BoxProvider, Call, EmbedCall, EmbedReply, Error, ErrorKind, Reply,
};
use tower::Service;

/// The stacks of one model.
#[derive(Clone)]
pub(crate) struct Stacks {
    pub(crate) chat: BoxProvider,
    pub(crate) embedder: BoxEmbedder,
    /// Whether a cache is asked first.
    pub(crate) has_cache: bool,
}

/// The stacks by model. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct Directory(Arc<Tables>);

struct Tables {
    models: HashMap<String, Stacks>,
    others: Stacks,
}

impl Directory {
    pub(crate) fn new(models: HashMap<String, Stacks>, others: Stacks) -> Self {
        Self(Arc::new(Tables { models, others }))
    }

    pub(crate) fn of(&self, model: &str) -> &Stacks {
        self.0.models.get(model).unwrap_or(&self.0.others)
    }

    /// The stack that a call runs through. One that wants a cached answer only is refused where there is no cache, as a cache does
    /// that has none: the provider would be paid for it.
    pub(crate) fn chat(&self, call: &Call) -> Result<&BoxProvider, Error> {
        let stacks = self.of(call.model());
        if call.context().cache.only_if_cached && !stacks.has_cache {
            return Err(no_cache(call));
        }
        Ok(&stacks.chat)
    }
}

fn no_cache(call: &Call) -> Error {
    let message = "no cache is configured for this model, and the call asked for a cached answer only";
    Error::new(ErrorKind::Unavailable, message)
        .with_status(504)
        .with_code("not_in_cache")
        .with_retryable(false)
        .at("cache", call.model().to_owned())
}

impl Service<Call> for Directory {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let stack = self.chat(&call).cloned();
        Box::pin(async move {
            let mut stack = stack?;
            std::future::poll_fn(|task| stack.poll_ready(task)).await?;
            stack.call(call).await
        })
    }
}

impl Service<EmbedCall> for Directory {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        let mut stack = self.of(&call.request.model).embedder.clone();
        Box::pin(async move {
            std::future::poll_fn(|task| stack.poll_ready(task)).await?;
            stack.call(call).await
        })
    }
}

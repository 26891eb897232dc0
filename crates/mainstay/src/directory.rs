//! Which provider answers for a model: the innermost part of the stack.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{
    BoxEmbedder, BoxFuture, BoxProvider, Call, EmbedCall, EmbedReply, Embedder, Error, ErrorKind, ModelId,
    Provider, Reply,
};
use tower::Service;

/// One provider, for chat and for embeddings.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) chat: BoxProvider,
    pub(crate) embedder: BoxEmbedder,
}

/// Logical models and providers by name. Cloning copies a pointer.
#[derive(Clone, Default)]
pub(crate) struct Directory(Arc<Tables>);

#[derive(Clone, Default)]
struct Tables {
    providers: HashMap<Arc<str>, Endpoint>,
    models: HashMap<String, Target>,
}

/// Where a logical model's calls go.
#[derive(Clone)]
struct Target {
    endpoint: Endpoint,
    /// `provider/model`, the deployment's name.
    deployment: Arc<str>,
    model: String,
}

impl Directory {
    pub(crate) fn add_provider(&mut self, name: Arc<str>, endpoint: Endpoint) -> Result<(), Error> {
        match Arc::make_mut(&mut self.0).providers.insert(name.clone(), endpoint) {
            None => Ok(()),
            Some(_) => Err(configuration(format!("two providers are named {name:?}; give one another name"))),
        }
    }

    pub(crate) fn add_model(&mut self, name: &str, target: &str) -> Result<(), Error> {
        let found = self.0.physical(target).ok_or_else(|| {
            let known = self.0.names();
            configuration(format!(
                "models.{name}: {target:?} names no configured provider; there are: {known}"
            ))
        })?;
        Arc::make_mut(&mut self.0).models.insert(name.to_owned(), found);
        Ok(())
    }

    fn find(&self, model: &str) -> Result<Target, Error> {
        let found = self.0.models.get(model).cloned().or_else(|| self.0.physical(model));
        found.ok_or_else(|| {
            let mut models: Vec<_> = self.0.models.keys().map(String::as_str).collect();
            models.sort_unstable();
            let providers = self.0.names();
            let message = match models.is_empty() {
                true => format!("no model {model:?}; write provider/model with one of these providers: {providers}"),
                false => format!(
                    "no model {model:?}; there are: {}; or write provider/model with one of these providers: {providers}",
                    models.join(", ")
                ),
            };
            Error::new(ErrorKind::ModelNotFound, message).with_param("model").with_code("model_not_found")
        })
    }
}

impl Tables {
    /// `provider/model`, or a model of the default provider (S1.2).
    fn physical(&self, target: &str) -> Option<Target> {
        let id = ModelId::parse(target, |name| self.providers.contains_key(name));
        let endpoint = self.providers.get(id.provider)?.clone();
        Some(Target { endpoint, deployment: id.to_string().into(), model: id.model.to_owned() })
    }

    fn names(&self) -> String {
        let mut names: Vec<&str> = self.providers.keys().map(|name| &**name).collect();
        names.sort_unstable();
        names.join(", ")
    }
}

fn configuration(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

impl Service<Call> for Directory {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        let found = self.find(call.model());
        Box::pin(async move {
            let Target { endpoint, deployment, model } = found?;
            call.request_mut().model = model;
            let attempts = call.context().attempts.clone();
            let begun = attempts.begin();
            let result = endpoint.chat.ask(call).await;
            attempts.end(begun, deployment.clone(), result.as_ref().err());
            match result {
                Ok(mut reply) => {
                    reply.head.deployment = Some(deployment);
                    reply.head.attempts = begun.number;
                    Ok(reply)
                }
                Err(error) => Err(error.with_deployment(deployment)),
            }
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

    fn call(&mut self, mut call: EmbedCall) -> Self::Future {
        let found = self.find(&call.request.model);
        Box::pin(async move {
            let Target { endpoint, deployment, model } = found?;
            Arc::make_mut(&mut call.request).model = model;
            match endpoint.embedder.embed(call).await {
                Ok(mut reply) => {
                    reply.head.deployment = Some(deployment);
                    Ok(reply)
                }
                Err(error) => Err(error.with_deployment(deployment)),
            }
        })
    }
}

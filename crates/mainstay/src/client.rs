//! The client: what an application calls.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;
use mainstay_adapters::{Adapter, AdapterConfig, Transport, TransportConfig};
use mainstay_provider_core::{
    BoxEmbedder, BoxProvider, Call, ChatResponse, ChunkResult, Chunks, EmbedCall, EmbedReply, Embedder,
    Error, Events, Provider, Reply, ReplyHead, Wire,
};

use crate::config::Config;
use crate::directory::{Directory, Endpoint};
use crate::stack;

/// What an application calls. Cloning copies pointers; one client serves a whole process.
///
/// # Cancellation
/// Dropping a call's future, or a stream before its end, cancels the upstream request at once.
#[derive(Debug, Clone)]
pub struct Client {
    chat: BoxProvider,
    embedder: BoxEmbedder,
    models: Vec<String>,
}

/// A whole answer and who gave it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Who answered, at which level, after how many attempts.
    pub head: ReplyHead,
    /// The answer.
    pub response: Wire<ChatResponse>,
}

impl std::ops::Deref for Answer {
    type Target = ChatResponse;

    fn deref(&self) -> &ChatResponse {
        &self.response
    }
}

/// A streamed answer and who gives it. Also a `Stream`.
#[derive(Debug)]
pub struct AnswerStream {
    /// Who answers, at which level, after how many attempts.
    pub head: ReplyHead,
    chunks: Chunks,
}

impl AnswerStream {
    /// The next chunk; `None` after the last.
    pub async fn next(&mut self) -> Option<ChunkResult> {
        self.chunks.next().await
    }
}

impl Stream for AnswerStream {
    type Item = ChunkResult;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        Pin::new(&mut self.chunks).poll_next(task)
    }
}

impl Client {
    /// A client made by hand.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The client that a configuration describes. `${NAME}` references are read from the process' environment.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration), naming the setting and the cure.
    #[allow(clippy::disallowed_methods)] // no layer: the environment is read here and nowhere below
    pub fn from_config(config: &Config) -> Result<Self, Error> {
        Self::builder().config(config, |name| std::env::var(name).ok())?.build()
    }

    /// Asks for a whole answer.
    pub async fn chat(&self, call: impl Into<Call>) -> Result<Answer, Error> {
        let mut call = call.into();
        if call.is_stream() {
            call.request_mut().stream = None;
        }
        let reply = self.call(call).await?;
        let head = reply.head.clone();
        Ok(Answer { head, response: reply.collect().await? })
    }

    /// Asks for a streamed answer; resolves when its first content is there.
    pub async fn stream(&self, call: impl Into<Call>) -> Result<AnswerStream, Error> {
        let mut call = call.into();
        call.request_mut().stream = Some(true);
        let reply = self.call(call).await?;
        Ok(AnswerStream { head: reply.head.clone(), chunks: reply.into_stream() })
    }

    /// Asks for an answer in the form that the request names.
    pub async fn call(&self, call: impl Into<Call>) -> Result<Reply, Error> {
        self.chat.ask(call.into()).await
    }

    /// Asks for embeddings.
    pub async fn embed(&self, call: impl Into<EmbedCall>) -> Result<EmbedReply, Error> {
        self.embedder.embed(call.into()).await
    }

    /// The whole stack as one provider, to put layers around it.
    pub fn provider(&self) -> BoxProvider {
        self.chat.clone()
    }

    /// The logical models, in the order of their names.
    pub fn models(&self) -> &[String] {
        &self.models
    }
}

/// Collects what a [`Client`] is made of.
#[derive(Debug, Default)]
pub struct ClientBuilder {
    providers: Vec<AdapterConfig>,
    models: BTreeMap<String, String>,
    transport: Option<TransportConfig>,
    events: Events,
}

impl ClientBuilder {
    /// Adds a provider.
    #[must_use]
    pub fn provider(mut self, config: AdapterConfig) -> Self {
        self.providers.push(config);
        self
    }

    /// Adds a logical model (S1.3): application code asks for `name`, `target` (`provider/model`) answers.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>, target: impl Into<String>) -> Self {
        self.models.insert(name.into(), target.into());
        self
    }

    /// Sets how connections are made.
    #[must_use]
    pub fn transport(mut self, config: TransportConfig) -> Self {
        self.transport = Some(config);
        self
    }

    /// Sends events (a rejected key) to `events`.
    #[must_use]
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Adds what a configuration describes. `env` gives the values of `${NAME}` references.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration), naming the setting and the cure.
    pub fn config(mut self, config: &Config, env: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        for (name, provider) in &config.providers {
            self.providers.push(provider.resolve(name, &env)?);
        }
        for (name, model) in &config.models {
            self.models.insert(name.clone(), model.target(name)?.to_owned());
        }
        self.transport = Some(config.transport.resolve());
        Ok(self)
    }

    /// Builds the client.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) for an unknown provider, a missing address, a model
    /// that names a provider which is not there.
    pub fn build(self) -> Result<Client, Error> {
        let transport = Transport::new(&self.transport.unwrap_or_default())?;
        let mut directory = Directory::default();
        for mut config in self.providers {
            config.events = self.events.clone();
            let name = config.name.clone();
            directory.add_provider(name, endpoint(config, &transport)?)?;
        }
        for (name, target) in &self.models {
            directory.add_model(name, target)?;
        }
        let models = self.models.into_keys().collect();
        Ok(Client { chat: stack::chat(directory.clone()), embedder: directory.boxed_embedder(), models })
    }
}

fn endpoint(config: AdapterConfig, transport: &Transport) -> Result<Endpoint, Error> {
    #[cfg(feature = "sim")]
    if config.kind == "sim" {
        let sim = mainstay_adapters::Sim::new(config.name);
        return Ok(Endpoint { chat: sim.clone().boxed(), embedder: sim.boxed_embedder() });
    }
    let adapter = Adapter::new(config, transport)?;
    Ok(Endpoint { chat: adapter.clone().boxed(), embedder: adapter.boxed_embedder() })
}

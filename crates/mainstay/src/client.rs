//! The client: what an application calls.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;
use mainstay_breaker::BreakerHandle;
use mainstay_budget::{Budget, BudgetLayer};
use mainstay_cache_exact::{ExactCache, ExactCacheLayer};
#[cfg(feature = "cache-semantic")]
use mainstay_cache_semantic::{Embedding, SemanticCache, SemanticLayer};
use mainstay_metering::Meter;
use mainstay_provider_core::{
    BoxProvider, Call, ChatResponse, ChunkResult, Chunks, EmbedCall, EmbedReply, Embedder, Error, Provider,
    Reply, ReplyHead, Wire,
};
use mainstay_rate_limit::RateLimitHandle;
use mainstay_router::Router;

use crate::builder::ClientBuilder;
use crate::config::Config;
use crate::directory::Directory;
use crate::stack::{CacheLayers, Deployments};

/// What an application calls. Cloning copies pointers; one client serves a whole process.
///
/// # Cancellation
/// Dropping a call's future, or a stream before its end, cancels the upstream request at once.
#[derive(Clone)]
pub struct Client {
    pub(crate) directory: Directory,
    pub(crate) router: Router,
    pub(crate) deployments: Deployments,
    pub(crate) caches: CacheLayers,
    pub(crate) meter: Meter,
    pub(crate) budget: Option<BudgetLayer>,
    pub(crate) models: Vec<String>,
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

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("models", &self.models).finish_non_exhaustive()
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
        let head = ReplyHead::clone(&reply.head);
        Ok(Answer { head, response: reply.collect().await? })
    }

    /// Asks for a streamed answer; resolves when its first content is there.
    pub async fn stream(&self, call: impl Into<Call>) -> Result<AnswerStream, Error> {
        let mut call = call.into();
        call.request_mut().stream = Some(true);
        let reply = self.call(call).await?;
        Ok(AnswerStream { head: ReplyHead::clone(&reply.head), chunks: reply.into_stream() })
    }

    /// Asks for an answer in the form that the request names.
    pub async fn call(&self, call: impl Into<Call>) -> Result<Reply, Error> {
        let call = call.into();
        self.directory.chat(&call)?.ask(call).await
    }

    /// Asks for embeddings.
    pub async fn embed(&self, call: impl Into<EmbedCall>) -> Result<EmbedReply, Error> {
        let call = call.into();
        self.directory.of(&call.request.model).embedder.embed(call).await
    }

    /// The whole stack as one provider, to put layers around it.
    pub fn provider(&self) -> BoxProvider {
        self.directory.clone().boxed()
    }

    /// The router: which deployments there are, how they do, and [why](Router::explain) a call would go where.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The breakers of the configured deployments, to be read and to be forced.
    pub fn breakers(&self) -> Vec<BreakerHandle> {
        self.deployments.breakers()
    }

    /// The rate limits of the configured deployments, to be read.
    pub fn rate_limits(&self) -> Vec<RateLimitHandle> {
        self.deployments.rate_limits()
    }

    /// What calls cost.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The budget, if there is one: what remains of each limit, what was used, and to change limits at run time.
    pub fn budget(&self) -> Option<&Budget> {
        self.budget.as_ref().map(BudgetLayer::budget)
    }

    /// The exact cache, if there is one: its figures, and to forget a tenant.
    pub fn exact_cache(&self) -> Option<&ExactCache> {
        self.caches.exact.as_ref().map(ExactCacheLayer::cache)
    }

    /// The semantic cache, if there is one.
    #[cfg(feature = "cache-semantic")]
    pub fn semantic_cache(&self) -> Option<SemanticCache> {
        self.caches.semantic.as_ref().map(SemanticLayer::cache)
    }

    /// What makes vectors of questions for the semantic cache that the configuration describes.
    #[cfg(feature = "cache-semantic")]
    pub fn question_embedding(&self) -> Option<&Embedding> {
        self.caches.embedding.as_ref()
    }

    /// The logical models, in the order of their names.
    pub fn models(&self) -> &[String] {
        &self.models
    }
}

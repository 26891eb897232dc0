//! A provider's embedding model, held to its word.

use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{
    BoxEmbedder, BoxFuture, EmbedCall, EmbedInput, EmbedReply, EmbedRequest, Embedder, Error, ErrorKind,
};
use tower_service::Service;

use crate::error::{InvalidConfig, within};
use crate::identity::{Identified, Identity};
use crate::pooling::normalise;

/// One model of a provider: any embedder, asked for always the same model, its vectors checked and made unit length.
///
/// A request with many texts goes out in several calls, one after the other.
///
/// # Errors
/// [`ErrorKind::MalformedResponse`] when the provider gives another number of vectors than texts, vectors of another
/// length than was said, or one without a direction; [`ErrorKind::InvalidRequest`] for tokens instead of texts; the
/// provider's own.
///
/// # Cancellation
/// Dropping the future drops the provider's.
#[derive(Debug, Clone)]
pub struct RemoteEmbedder {
    inner: BoxEmbedder,
    identity: Identity,
    config: RemoteConfig,
}

/// What is asked of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteConfig {
    /// The model, as the embedder beneath knows it.
    pub model: String,
    /// The length of its vectors.
    pub dimensions: usize,
    /// Whether the length goes into the request, for models that let it be chosen; no.
    pub shortened: bool,
    /// The most texts of one call; 96, which every provider takes.
    pub most_texts: usize,
}

impl RemoteConfig {
    /// A model and the length of its vectors.
    pub fn new(model: impl Into<String>, dimensions: usize) -> Self {
        Self { model: model.into(), dimensions, shortened: false, most_texts: 96 }
    }

    /// Asks for vectors of that length, shorter than the model's own.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        self.shortened = true;
        self
    }

    /// Sets [`RemoteConfig::most_texts`]; 96 when not set.
    #[must_use]
    pub fn most_texts(mut self, most: usize) -> Self {
        self.most_texts = most;
        self
    }

    fn check(&self) -> Result<(), InvalidConfig> {
        if self.model.is_empty() {
            return Err(InvalidConfig::NoModel);
        }
        within("dimensions", self.dimensions as u64, 1 << 16)?;
        within("most_texts", self.most_texts as u64, 1 << 16)
    }
}

impl RemoteEmbedder {
    /// That model of that embedder, whatever model a call names.
    ///
    /// # Errors
    /// No model, no dimensions, or no texts per call.
    pub fn new(embedder: impl Embedder, config: RemoteConfig) -> Result<Self, InvalidConfig> {
        config.check()?;
        let identity =
            Identity::new(format!("remote:{}:{}d", config.model, config.dimensions), config.dimensions);
        Ok(Self { inner: embedder.boxed_embedder(), identity, config })
    }

    async fn answer(self, call: EmbedCall) -> Result<EmbedReply, Error> {
        let Some(texts) = call.request.input.texts() else {
            return Err(Error::new(ErrorKind::InvalidRequest, "only texts are embedded here, not tokens"));
        };
        if call.request.dimensions.is_some_and(|asked| asked as usize != self.config.dimensions) {
            let message = format!("the vectors have {} dimensions", self.config.dimensions);
            return Err(Error::new(ErrorKind::InvalidRequest, message).with_param("dimensions"));
        }
        let mut whole: Option<EmbedReply> = None;
        // At least one call: a provider's refusal of an empty list is its own to tell.
        for start in (0..texts.len().max(1)).step_by(self.config.most_texts) {
            let end = texts.len().min(start + self.config.most_texts);
            let part = self.ask(&call, texts[start..end].to_vec()).await?;
            whole = Some(match whole.take() {
                None => part,
                Some(mut whole) => {
                    whole.vectors.extend(part.vectors);
                    whole.usage = whole.usage.zip(part.usage).map(|(before, more)| before + more);
                    whole
                }
            });
        }
        Ok(whole.expect("there is at least one call"))
    }

    async fn ask(&self, call: &EmbedCall, texts: Vec<String>) -> Result<EmbedReply, Error> {
        let count = texts.len();
        let mut request = EmbedRequest::clone(&call.request);
        request.model.clone_from(&self.config.model);
        request.input = EmbedInput::Texts(texts);
        request.dimensions = self.config.shortened.then_some(self.config.dimensions as u32);
        let part = EmbedCall { request: request.into(), context: call.context.clone() };
        let mut reply = self.inner.embed(part).await?;
        self.check(&mut reply, count)?;
        Ok(reply)
    }

    fn check(&self, reply: &mut EmbedReply, count: usize) -> Result<(), Error> {
        let wrong = |what: String| {
            let (provider, model) = (reply.head.provider.clone(), reply.head.model.clone());
            Err(Error::new(ErrorKind::MalformedResponse, what).at(provider, model))
        };
        if reply.vectors.len() != count {
            return wrong(format!("{} vectors for {count} texts", reply.vectors.len()));
        }
        let expected = self.config.dimensions;
        if let Some(vector) = reply.vectors.iter().find(|vector| vector.len() != expected) {
            return wrong(format!("a vector has {} dimensions, expected {expected}", vector.len()));
        }
        if !reply.vectors.iter_mut().all(|vector| normalise(vector)) {
            return wrong("a vector has no direction".to_owned());
        }
        Ok(())
    }
}

impl Identified for RemoteEmbedder {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Service<EmbedCall> for RemoteEmbedder {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    /// Always ready: each of the provider's calls waits for its own readiness.
    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        Box::pin(self.clone().answer(call))
    }
}

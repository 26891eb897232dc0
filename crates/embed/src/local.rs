//! A model of this machine as an embedder.

mod config;
mod job;
mod places;

use std::path::Path;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{
    BoxFuture, EmbedCall, EmbedReply, EmbedRequest, Error, ErrorKind, ReplyHead, Timer, Usage,
};
use tokio::time::Instant;
use tower_service::Service;

pub use self::config::{LocalBuilder, LocalConfig};
use self::job::Job;
use self::places::{NoPlace, Places};
use crate::batch::Batch;
use crate::engine::{Engine, Opened, sha256};
use crate::error::OpenError;
use crate::folder::ModelFolder;
use crate::identity::{Identified, Identity};
use crate::pooling::Pooling;
use crate::tokens::Tokens;

/// A sentence-transformers model of the BERT family, computed on this machine. Cloning copies a pointer.
///
/// The vectors have unit length, so that their dot product is their cosine. Each text is cut to the model's window.
///
/// # Errors
/// [`ErrorKind::InvalidRequest`] for tokens instead of texts and for another number of dimensions than the model has,
/// [`ErrorKind::ModelNotFound`] when the request names another model (none at all is fine),
/// [`ErrorKind::Overloaded`] when too many calls wait already, [`ErrorKind::Timeout`] when the call's deadline passes
/// before a thread is free.
///
/// # Cancellation
/// Dropping the future ends the call after the pass that is being computed, at most 256 tokens.
#[derive(Clone)]
pub struct LocalEmbedder {
    model: Arc<Model>,
    places: Places,
}

/// What a pass needs.
struct Model {
    name: Arc<str>,
    identity: Identity,
    tokens: Tokens,
    pooling: Pooling,
    engine: Box<dyn Engine>,
}

impl LocalEmbedder {
    /// Opens the model in a folder, with the defaults.
    ///
    /// It reads the whole model, a tenth of a second for 90 MB: before serving, not while.
    ///
    /// # Errors
    /// When the folder is no model, or of a kind that is not computed here.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(folder)
    }

    /// Begins with the defaults.
    pub fn builder() -> LocalBuilder {
        LocalBuilder::default()
    }

    fn open_with(folder: &Path, config: LocalConfig) -> Result<Self, OpenError> {
        config.check()?;
        let folder = ModelFolder::read_from(folder)?;
        let prefix = config.prefix.unwrap_or_else(|| folder.prefix.clone());
        let vocabulary = folder.read("tokenizer.json")?;
        let tokens = Tokens::read(&folder, &vocabulary, prefix.clone())?;
        let Opened { engine, weights } = config.engine.open(&folder)?;
        let identity = identity(&folder, &weights, &sha256(&vocabulary), &prefix);
        let name = config.name.unwrap_or_else(|| folder.name()).into();
        let model = Model { name, identity, tokens, pooling: folder.pooling, engine };
        Ok(Self { model: Arc::new(model), places: Places::new(config.threads, config.queue) })
    }

    /// The model's name: its folder's, unless another was given.
    pub fn name(&self) -> &str {
        &self.model.name
    }

    /// The vectors of texts, computed by this thread: for tools that calibrate or replay. In a server, ask the service.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the engine fails.
    pub fn embed_blocking<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>, Error> {
        let texts = texts.iter().map(|text| text.as_ref().to_owned()).collect();
        let mut job = Job::new(Arc::new(EmbedRequest::new("", texts)));
        while !job.is_done() {
            job.pass(&self.model)?;
        }
        Ok(job.into_vectors().0)
    }

    async fn answer(self, call: EmbedCall) -> Result<EmbedReply, Error> {
        let started = Instant::now();
        self.model.check(&call.request)?;
        let mut job = Job::new(call.request);
        while !job.is_done() {
            let place =
                self.places.take(call.context.deadline).await.map_err(|none| self.model.refused(none))?;
            let model = self.model.clone();
            let pass = move || {
                let passed = job.pass(&model);
                drop(place);
                passed.map(|()| job)
            };
            job = tokio::task::spawn_blocking(pass).await.map_err(|error| self.model.died(error))??;
        }
        let (vectors, tokens) = job.into_vectors();
        let head = ReplyHead::new(PROVIDER, self.model.name.clone()).started(started);
        Ok(EmbedReply::new(head, vectors, Some(Usage::new(tokens, 0))))
    }
}

const PROVIDER: &str = "local";

impl Identified for LocalEmbedder {
    fn identity(&self) -> &Identity {
        &self.model.identity
    }
}

impl std::fmt::Debug for LocalEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalEmbedder")
            .field("name", &self.model.name)
            .field("identity", &self.model.identity.as_str())
            .finish_non_exhaustive()
    }
}

impl Service<EmbedCall> for LocalEmbedder {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    /// Always ready: who has to wait for a thread waits in the call, where a deadline counts.
    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        Box::pin(self.clone().answer(call))
    }
}

impl Model {
    fn check(&self, request: &EmbedRequest) -> Result<(), Error> {
        if !request.model.is_empty() && request.model != *self.name {
            return Err(self.error(ErrorKind::ModelNotFound, "another model is loaded"));
        }
        if request.input.texts().is_none() {
            return Err(self.error(ErrorKind::InvalidRequest, "a local model embeds texts, not tokens"));
        }
        let dimensions = self.identity.dimensions();
        if request.dimensions.is_some_and(|asked| asked as usize != dimensions) {
            let message = format!("the model's vectors have {dimensions} dimensions");
            return Err(self.error(ErrorKind::InvalidRequest, message).with_param("dimensions"));
        }
        Ok(())
    }

    fn vectors(&self, batch: &Batch) -> Result<Vec<Vec<f32>>, Error> {
        let hidden = self
            .engine
            .last_hidden(batch)
            .map_err(|error| self.error(ErrorKind::Internal, "the engine failed").with_source(error))?;
        Ok(self.pooling.pool(batch, &hidden))
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, message).at(PROVIDER, self.name.clone())
    }

    fn refused(&self, none: NoPlace) -> Error {
        match none {
            NoPlace::QueueFull => self.error(ErrorKind::Overloaded, "too many calls wait for a thread"),
            NoPlace::TooLate => {
                self.error(ErrorKind::Timeout(Timer::Total), "no thread was free before the deadline")
            }
        }
    }

    fn died(&self, error: tokio::task::JoinError) -> Error {
        self.error(ErrorKind::Internal, "the thread that computed is gone").with_source(error)
    }
}

/// What the vectors depend on, and nothing else: not the folder's name, not the engine.
fn identity(folder: &ModelFolder, weights: &[u8; 32], vocabulary: &[u8; 32], prefix: &str) -> Identity {
    let short = |digest: &[u8; 32]| digest[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (dimensions, window, pooling) = (folder.config.hidden_size, folder.window, folder.pooling.as_str());
    let (weights, vocabulary) = (short(weights), short(vocabulary));
    let mut name = format!("bert:{weights}:{vocabulary}:{dimensions}d:f32:{pooling}:{window}t");
    if folder.lower_case {
        name += ":lower";
    }
    if !prefix.is_empty() {
        name += &format!(":prefix-{}", short(&sha256(prefix.as_bytes())));
    }
    Identity::new(name, dimensions)
}

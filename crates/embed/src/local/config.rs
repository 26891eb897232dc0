//! How a local model is run, checked once.

use std::path::Path;

use super::LocalEmbedder;
use crate::engine::EngineChoice;
use crate::error::{InvalidConfig, OpenError, within};

/// How a local model is run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalConfig {
    /// How many passes are computed at once, each by one thread; half of the cores, at least 1.
    pub threads: usize,
    /// How many passes may wait for a thread before a call is refused as overloaded; 256.
    pub queue: usize,
    /// What it is computed with; [`EngineChoice::Ndarray`].
    pub engine: EngineChoice,
    /// What is put before each text; what the model's own files say, mostly nothing.
    pub prefix: Option<String>,
    /// The model's name in requests and replies; the folder's name.
    pub name: Option<String>,
}

impl Default for LocalConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads: (cores / 2).max(1),
            queue: 256,
            engine: EngineChoice::default(),
            prefix: None,
            name: None,
        }
    }
}

impl LocalConfig {
    pub(super) fn check(&self) -> Result<(), InvalidConfig> {
        within("threads", self.threads as u64, 1_024)?;
        within("queue", self.queue as u64, 1 << 20)
    }
}

/// Opens a [`LocalEmbedder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct LocalBuilder(LocalConfig);

impl LocalBuilder {
    /// Sets [`LocalConfig::threads`]; half of the cores when not set.
    pub fn threads(mut self, most: usize) -> Self {
        self.0.threads = most;
        self
    }

    /// Sets [`LocalConfig::queue`]; 256 when not set.
    pub fn queue(mut self, most: usize) -> Self {
        self.0.queue = most;
        self
    }

    /// Sets [`LocalConfig::engine`]; ndarray when not set.
    pub fn engine(mut self, engine: EngineChoice) -> Self {
        self.0.engine = engine;
        self
    }

    /// Sets [`LocalConfig::prefix`], which some models want before a question: `"query: "`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.0.prefix = Some(prefix.into());
        self
    }

    /// Sets [`LocalConfig::name`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.name = Some(name.into());
        self
    }

    /// Opens the model in a folder.
    ///
    /// # Errors
    /// A setting that cannot be, a folder that is no model, or a model of a kind that is not computed here.
    pub fn open(self, folder: impl AsRef<Path>) -> Result<LocalEmbedder, OpenError> {
        LocalEmbedder::open_with(folder.as_ref(), self.0)
    }
}

impl From<LocalConfig> for LocalBuilder {
    fn from(config: LocalConfig) -> Self {
        Self(config)
    }
}

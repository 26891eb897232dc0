//! Why a model cannot be opened.

use std::path::PathBuf;

use mainstay_provider_core::BoxError;

/// Why a folder is not a model that can be used here. It tells the file and the cure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file is missing or cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The model is of a kind that is not computed here.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file that says so.
        path: PathBuf,
        /// What it asks for, and what there is.
        what: String,
    },
    /// The engine was left out when this program was built.
    #[error("mainstay-embed was built without its feature `{engine}`")]
    NotBuilt {
        /// The engine, which is the feature's name.
        engine: &'static str,
    },
    /// The engine's library refused the model, or is not there.
    #[error("the engine {engine} cannot open the model")]
    Engine {
        /// Which engine.
        engine: &'static str,
        /// What it said.
        source: BoxError,
    },
    /// A setting that cannot be.
    #[error(transparent)]
    Setting(#[from] InvalidConfig),
}

/// Why a setting is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// Zero makes no sense here.
    #[error("{setting} is zero")]
    Zero {
        /// Which setting.
        setting: &'static str,
    },
    /// More than can be meant.
    #[error("{setting} is above {most}")]
    TooLarge {
        /// Which setting.
        setting: &'static str,
        /// The most that is taken.
        most: u64,
    },
    /// A remote embedder needs the name of its model.
    #[error("the remote model has no name")]
    NoModel,
}

pub(crate) fn within(setting: &'static str, value: u64, most: u64) -> Result<(), InvalidConfig> {
    match value {
        0 => Err(InvalidConfig::Zero { setting }),
        value if value > most => Err(InvalidConfig::TooLarge { setting, most }),
        _ => Ok(()),
    }
}

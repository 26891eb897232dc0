//! What computes: our own BERT, or another library behind a feature.

#[cfg(feature = "candle")]
mod candle;
#[cfg(feature = "ort")]
mod ort;

use std::path::PathBuf;

use mainstay_provider_core::BoxError;
use ndarray::Array2;

use crate::batch::Batch;
use crate::bert::Bert;
use crate::error::OpenError;
use crate::folder::ModelFolder;

/// What a local model is computed with. All read the same folder and give the same vectors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineChoice {
    /// Our own BERT on ndarray: pure Rust, nothing to install, one thread per pass.
    #[default]
    Ndarray,
    /// ONNX Runtime, from its shared library (feature `ort`). The folder needs an `onnx/model.onnx` or `model.onnx`.
    Ort {
        /// Where `libonnxruntime` lies. One process uses one library: the first that is named.
        library: PathBuf,
    },
    /// Hugging Face's candle, on the CPU (feature `candle`).
    Candle,
}

/// Turns tokens into one row per token.
pub(crate) trait Engine: Send + Sync {
    fn last_hidden(&self, batch: &Batch) -> Result<Array2<f32>, BoxError>;
}

/// An engine, and the bytes that its vectors depend on, hashed.
pub(crate) struct Opened {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) weights: [u8; 32],
}

impl EngineChoice {
    pub(crate) fn open(&self, folder: &ModelFolder) -> Result<Opened, OpenError> {
        match self {
            Self::Ndarray => {
                let bytes = folder.read("model.safetensors")?;
                Ok(Opened { engine: Box::new(Bert::read(folder, &bytes)?), weights: sha256(&bytes) })
            }
            #[cfg(feature = "ort")]
            Self::Ort { library } => ort::open(folder, library),
            #[cfg(not(feature = "ort"))]
            Self::Ort { .. } => Err(OpenError::NotBuilt { engine: "ort" }),
            #[cfg(feature = "candle")]
            Self::Candle => candle::open(folder),
            #[cfg(not(feature = "candle"))]
            Self::Candle => Err(OpenError::NotBuilt { engine: "candle" }),
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

/// A batch as a rectangle, for libraries that want one: filled up to the longest text, with a mask.
#[cfg(any(feature = "candle", feature = "ort"))]
pub(crate) struct Rectangle {
    pub(crate) texts: usize,
    pub(crate) longest: usize,
    pub(crate) tokens: Vec<i64>,
    pub(crate) mask: Vec<i64>,
}

#[cfg(any(feature = "candle", feature = "ort"))]
impl Rectangle {
    pub(crate) fn of(batch: &Batch) -> Self {
        let (texts, longest) = (batch.len(), batch.texts().map(<[u32]>::len).max().unwrap_or(0));
        let (mut tokens, mut mask) =
            (Vec::with_capacity(texts * longest), Vec::with_capacity(texts * longest));
        for text in batch.texts() {
            let filling = longest - text.len();
            tokens.extend(text.iter().map(|token| i64::from(*token)).chain(std::iter::repeat_n(0, filling)));
            mask.extend(std::iter::repeat_n(1, text.len()).chain(std::iter::repeat_n(0, filling)));
        }
        Self { texts, longest, tokens, mask }
    }

    /// The rows of the tokens without those of the filling, from `[texts, longest, hidden]`.
    pub(crate) fn rows(&self, values: &[f32]) -> Result<Array2<f32>, BoxError> {
        let places = self.texts * self.longest;
        let hidden = values.len().checked_div(places).unwrap_or(0);
        let whole = ndarray::ArrayView2::from_shape((places, hidden), values)?;
        let kept: Vec<usize> = (0..places).filter(|place| self.mask[*place] == 1).collect();
        Ok(whole.select(ndarray::Axis(0), &kept))
    }
}

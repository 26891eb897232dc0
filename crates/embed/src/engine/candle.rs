//! Hugging Face's candle.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use mainstay_provider_core::BoxError;
use ndarray::Array2;

use super::{Engine, Opened, Rectangle, sha256};
use crate::batch::Batch;
use crate::error::OpenError;
use crate::folder::ModelFolder;

struct Candle(BertModel);

pub(super) fn open(folder: &ModelFolder) -> Result<Opened, OpenError> {
    let failed = |source: BoxError| OpenError::Engine { engine: "candle", source };
    let config: Config =
        serde_json::from_slice(&folder.read("config.json")?).map_err(|error| failed(error.into()))?;
    let bytes = folder.read("model.safetensors")?;
    let weights = sha256(&bytes);
    let parts = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)
        .map_err(|error| failed(error.into()))?;
    let model = BertModel::load(parts, &config).map_err(|error| failed(error.into()))?;
    Ok(Opened { engine: Box::new(Candle(model)), weights })
}

impl Engine for Candle {
    fn last_hidden(&self, batch: &Batch) -> Result<Array2<f32>, BoxError> {
        let rectangle = Rectangle::of(batch);
        let shape = (rectangle.texts, rectangle.longest);
        let tokens = Tensor::from_slice(&rectangle.tokens, shape, &Device::Cpu)?;
        let mask = Tensor::from_slice(&rectangle.mask, shape, &Device::Cpu)?;
        let hidden = self.0.forward(&tokens, &tokens.zeros_like()?, Some(&mask))?;
        rectangle.rows(&hidden.flatten_all()?.to_vec1::<f32>()?)
    }
}

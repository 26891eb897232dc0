//! ONNX Runtime.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mainstay_provider_core::BoxError;
use ndarray::Array2;
use ort::environment::Environment;
use ort::session::{Session, builder::GraphOptimizationLevel};
use ort::value::TensorRef;

use super::{Engine, Opened, Rectangle, sha256};
use crate::batch::Batch;
use crate::error::OpenError;
use crate::folder::ModelFolder;

/// A session may be used by one thread at a time, so each pass takes one and gives it back. Each holds the weights anew.
struct Ort {
    spare: Mutex<Vec<Session>>,
    environment: Environment,
    model: PathBuf,
    wants_types: bool,
}

pub(super) fn open(folder: &ModelFolder, library: &Path) -> Result<Opened, OpenError> {
    let failed = |source: BoxError| OpenError::Engine { engine: "ort", source };
    let name = ["onnx/model.onnx", "model.onnx"]
        .into_iter()
        .find(|name| folder.has(name))
        .ok_or_else(|| folder.lacks("onnx/model.onnx"))?;
    let weights = sha256(&folder.read(name)?);
    let model = folder.path(name);
    let environment = ort::init_from(library)
        .map_err(|error| failed(error.into()))?
        .with_telemetry(false)
        .build()
        .map_err(|error| failed(error.into()))?;
    let session = session(&environment, &model).map_err(failed)?;
    let wants_types = session.inputs().iter().any(|input| input.name() == "token_type_ids");
    let engine = Ort { spare: Mutex::new(vec![session]), environment, model, wants_types };
    Ok(Opened { engine: Box::new(engine), weights })
}

fn session(environment: &Environment, model: &Path) -> Result<Session, BoxError> {
    // One thread per pass, as ours: how many passes run at once is said in one place.
    let mut builder = Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::Level3)
        .map_err(|error| error.to_string())?
        .with_intra_threads(1)
        .map_err(|error| error.to_string())?;
    Ok(builder.commit_from_file(model)?)
}

impl Engine for Ort {
    fn last_hidden(&self, batch: &Batch) -> Result<Array2<f32>, BoxError> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut session = match spare {
            Some(session) => session,
            None => session(&self.environment, &self.model)?,
        };
        let rectangle = Rectangle::of(batch);
        let rows = self.run(&mut session, &rectangle);
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        rows
    }
}

impl Ort {
    fn run(&self, session: &mut Session, rectangle: &Rectangle) -> Result<Array2<f32>, BoxError> {
        let shape = [rectangle.texts, rectangle.longest];
        let tokens = TensorRef::from_array_view((shape, rectangle.tokens.as_slice()))?;
        let mask = TensorRef::from_array_view((shape, rectangle.mask.as_slice()))?;
        let types = vec![0_i64; rectangle.tokens.len()];
        let outputs = if self.wants_types {
            let types = TensorRef::from_array_view((shape, types.as_slice()))?;
            session.run(ort::inputs! {
                "input_ids" => tokens, "attention_mask" => mask, "token_type_ids" => types,
            })?
        } else {
            session.run(ort::inputs! { "input_ids" => tokens, "attention_mask" => mask })?
        };
        let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
        rectangle.rows(values)
    }
}

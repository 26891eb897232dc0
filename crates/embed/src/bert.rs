//! BERT on ndarray: what turns tokens into one row of numbers each.

mod attention;
mod gelu;
mod matmul;
mod norm;
mod weights;

use std::sync::{Mutex, PoisonError};

use fearless_simd::Level;
use mainstay_provider_core::BoxError;
use ndarray::{Array2, Axis, Slice};

use self::attention::Heads;
use self::matmul::{Columns, Rows, Then, multiply};
use self::norm::Norm;
use self::weights::Weights;
use crate::batch::Batch;
use crate::engine::Engine;
use crate::error::OpenError;
use crate::folder::ModelFolder;

/// A model in memory, its weights laid out for few rows.
pub(crate) struct Bert {
    level: Level,
    heads: usize,
    words: Array2<f32>,
    /// With the token type added: a text is always the first of a pair.
    positions: Array2<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    /// What passes are computed in; as many as passes ran at once.
    spare: Mutex<Vec<Scratch>>,
}

struct Layer {
    /// Queries, keys and values in one product.
    qkv: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

struct Linear {
    columns: Columns<i16>,
    bias: Vec<f32>,
}

#[derive(Default)]
struct Scratch {
    rows: Rows,
    qkv: Array2<f32>,
    context: Array2<f32>,
    inner: Array2<f32>,
    heads: Heads,
}

impl Bert {
    /// Reads the weights; `bytes` is the safetensors file.
    pub(crate) fn read(folder: &ModelFolder, bytes: &[u8]) -> Result<Self, OpenError> {
        let config = &folder.config;
        let weights = Weights::parse(folder, bytes)?;
        let hidden = config.hidden_size;
        let words = weights.matrix("embeddings.word_embeddings.weight", config.vocab_size, hidden)?;
        let positions = weights.matrix(
            "embeddings.position_embeddings.weight",
            config.max_position_embeddings,
            hidden,
        )?;
        let types =
            weights.matrix("embeddings.token_type_embeddings.weight", config.type_vocab_size, hidden)?;
        let norm = weights.norm("embeddings.LayerNorm", hidden, config.layer_norm_eps)?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::read(&weights, index, config))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            level: Level::new(),
            heads: config.num_attention_heads,
            words,
            positions: positions + types.row(0),
            norm,
            layers,
            spare: Mutex::default(),
        })
    }

    fn embeddings(&self, batch: &Batch) -> Array2<f32> {
        let mut hidden = Array2::zeros((batch.tokens(), self.words.ncols()));
        let places = batch.texts().flat_map(|text| text.iter().enumerate());
        for (mut row, (position, token)) in hidden.rows_mut().into_iter().zip(places) {
            row.assign(&self.words.row(*token as usize));
            row += &self.positions.row(position);
        }
        self.norm.apply(self.level, &mut hidden);
        hidden
    }

    fn layer(&self, layer: &Layer, batch: &Batch, hidden: &mut Array2<f32>, scratch: &mut Scratch) {
        let Scratch { rows, qkv, context, inner, heads } = scratch;
        rows.lay_out(self.level, hidden.view());
        layer.qkv.apply(self.level, rows, Then::Keep, qkv);
        for range in batch.ranges() {
            let first = range.start;
            heads.attend(self.level, self.heads, qkv.slice_axis(Axis(0), Slice::from(range)), first, context);
        }
        rows.lay_out(self.level, context.view());
        layer.output.apply(self.level, rows, Then::Add, hidden);
        layer.attention_norm.apply(self.level, hidden);

        rows.lay_out(self.level, hidden.view());
        layer.up.apply(self.level, rows, Then::Gelu, inner);
        rows.lay_out(self.level, inner.view());
        layer.down.apply(self.level, rows, Then::Add, hidden);
        layer.norm.apply(self.level, hidden);
    }

    fn scratch(&self, tokens: usize) -> Scratch {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = spare.pop().unwrap_or_default();
        drop(spare);
        let hidden = self.words.ncols();
        let inner = self.layers.first().map_or(hidden, |layer| layer.up.bias.len());
        resize(&mut scratch.qkv, tokens, 3 * hidden);
        resize(&mut scratch.context, tokens, hidden);
        resize(&mut scratch.inner, tokens, inner);
        scratch
    }
}

impl Engine for Bert {
    fn last_hidden(&self, batch: &Batch) -> Result<Array2<f32>, BoxError> {
        let mut scratch = self.scratch(batch.tokens());
        let mut hidden = self.embeddings(batch);
        for layer in &self.layers {
            self.layer(layer, batch, &mut hidden, &mut scratch);
        }
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        Ok(hidden)
    }
}

impl Layer {
    fn read(
        weights: &Weights<'_>,
        index: usize,
        config: &crate::folder::BertConfig,
    ) -> Result<Self, OpenError> {
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let (hidden, inner, epsilon) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let linear = |part: &str, depth, columns| weights.linear(&name(part), depth, columns);
        let norm = |part: &str| weights.norm(&name(part), hidden, epsilon);

        // The scale of the scores goes into the queries, once and for all.
        let scale = 1.0 / ((hidden / config.num_attention_heads) as f32).sqrt();
        let (mut query, mut query_bias) = linear("attention.self.query", hidden, hidden)?;
        query *= scale;
        query_bias.iter_mut().for_each(|value| *value *= scale);
        let (key, key_bias) = linear("attention.self.key", hidden, hidden)?;
        let (value, value_bias) = linear("attention.self.value", hidden, hidden)?;
        let qkv = ndarray::concatenate![Axis(0), query, key, value];
        let qkv_bias = [query_bias, key_bias, value_bias].concat();

        Ok(Self {
            qkv: Linear::new((qkv, qkv_bias)),
            output: Linear::new(linear("attention.output.dense", hidden, hidden)?),
            attention_norm: norm("attention.output.LayerNorm")?,
            up: Linear::new(linear("intermediate.dense", hidden, inner)?),
            down: Linear::new(linear("output.dense", inner, hidden)?),
            norm: norm("output.LayerNorm")?,
        })
    }
}

impl Linear {
    fn new((weight, bias): (Array2<f32>, Vec<f32>)) -> Self {
        Self { columns: Columns::of_transposed(weight.view()), bias }
    }

    fn apply(&self, level: Level, rows: &Rows, then: Then, out: &mut Array2<f32>) {
        let stride = out.ncols();
        let out = out.as_slice_mut().expect("a matrix of the model's own is laid out by rows");
        multiply(level, rows, &self.columns, Some(&self.bias), then, out, stride);
    }
}

/// What was in it is of no use: every place is written before it is read.
fn resize(matrix: &mut Array2<f32>, rows: usize, columns: usize) {
    if matrix.dim() != (rows, columns) {
        let (mut values, _) = std::mem::take(matrix).into_raw_vec_and_offset();
        values.resize(rows * columns, 0.0);
        *matrix = Array2::from_shape_vec((rows, columns), values).expect("it has just as many values");
    }
}

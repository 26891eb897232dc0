//! A model of a few thousand random weights, and what it must answer, computed the slow way.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

pub(crate) const HIDDEN: usize = 24;
const HEADS: usize = 3;
const INNER: usize = 40;
const LAYERS: usize = 2;
pub(crate) const WINDOW: usize = 12;
const WORDS: [&str; 12] =
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "how", "do", "i", "reset", "my", "pass", "##word", "?"];

pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Writes the model's folder.
pub(crate) fn write(folder: &Path) -> Tensors {
    write_with(folder, |_| {})
}

/// Writes the model's folder with another `config.json`.
pub(crate) fn write_with(folder: &Path, change: impl FnOnce(&mut Value)) -> Tensors {
    let mut config = json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_attention_heads": HEADS, "num_hidden_layers": LAYERS, "max_position_embeddings": 16,
        "type_vocab_size": 2, "vocab_size": WORDS.len(), "layer_norm_eps": 1e-12,
        // Not used, but candle wants them.
        "hidden_dropout_prob": 0.1, "initializer_range": 0.02, "pad_token_id": 0,
    });
    change(&mut config);
    let file = |name: &str, value: &Value| std::fs::write(folder.join(name), value.to_string()).unwrap();
    file("config.json", &config);
    file("sentence_bert_config.json", &json!({ "max_seq_length": WINDOW }));
    file("tokenizer.json", &tokenizer());
    let tensors = tensors();
    save(folder, &tensors);
    tensors
}

pub(crate) fn save(folder: &Path, tensors: &Tensors) {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| {
            (name.clone(), shape.clone(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.clone(), view.unwrap())
    });
    std::fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Padding and a short truncation on, as in the file of all-MiniLM-L6-v2.
fn tokenizer() -> Value {
    let vocabulary: BTreeMap<&str, usize> = WORDS.iter().enumerate().map(|(id, word)| (*word, id)).collect();
    let special = |name: &str, id: usize| json!({ "id": name, "ids": [id], "tokens": [name] });
    json!({
        "version": "1.0",
        "truncation": { "max_length": 6, "strategy": "LongestFirst", "stride": 0, "direction": "Right" },
        "padding": {
            "strategy": { "Fixed": 6 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]",
        },
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                { "SpecialToken": { "id": "[CLS]", "type_id": 0 } },
                { "Sequence": { "id": "A", "type_id": 0 } },
                { "SpecialToken": { "id": "[SEP]", "type_id": 0 } },
            ],
            "pair": [
                { "Sequence": { "id": "A", "type_id": 0 } },
                { "Sequence": { "id": "B", "type_id": 1 } },
            ],
            "special_tokens": { "[CLS]": special("[CLS]", 2), "[SEP]": special("[SEP]", 3) },
        },
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    })
}

fn tensors() -> Tensors {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut tensors = Tensors::new();
    let mut add = |name: String, shape: Vec<usize>, centre: f32| {
        let values = (0..shape.iter().product()).map(|_| centre + (rng.f32() - 0.5) / 2.0).collect();
        tensors.insert(name, (shape, values));
    };
    for (name, rows) in [("word", WORDS.len()), ("position", 16), ("token_type", 2)] {
        add(format!("embeddings.{name}_embeddings.weight"), vec![rows, HIDDEN], 0.0);
    }
    let mut parts = vec![("embeddings.LayerNorm".to_owned(), None)];
    for layer in 0..LAYERS {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        for part in ["query", "key", "value"] {
            parts.push((name(&format!("attention.self.{part}")), Some((HIDDEN, HIDDEN))));
        }
        parts.push((name("attention.output.dense"), Some((HIDDEN, HIDDEN))));
        parts.push((name("attention.output.LayerNorm"), None));
        parts.push((name("intermediate.dense"), Some((INNER, HIDDEN))));
        parts.push((name("output.dense"), Some((HIDDEN, INNER))));
        parts.push((name("output.LayerNorm"), None));
    }
    for (name, shape) in parts {
        let (weight, outputs, centre) = match shape {
            Some((outputs, inputs)) => (vec![outputs, inputs], outputs, 0.0),
            None => (vec![HIDDEN], HIDDEN, 1.0),
        };
        add(format!("{name}.weight"), weight, centre);
        add(format!("{name}.bias"), vec![outputs], 0.0);
    }
    tensors
}

/// The vector of a text by its tokens, in f64, one number after the other.
pub(crate) fn expected(tensors: &Tensors, tokens: &[usize]) -> Vec<f32> {
    let model = Slow(tensors);
    let mut rows: Vec<Vec<f64>> = (tokens.iter().enumerate())
        .map(|(position, token)| {
            let part =
                |name: &str, row: usize| model.row(&format!("embeddings.{name}_embeddings.weight"), row);
            let sum = add(&add(&part("word", *token), &part("position", position)), &part("token_type", 0));
            model.norm("embeddings.LayerNorm", &sum)
        })
        .collect();
    for layer in 0..LAYERS {
        rows = model.layer(&format!("encoder.layer.{layer}"), &rows);
    }
    let sum = rows.iter().skip(1).fold(rows[0].clone(), |sum, row| add(&sum, row));
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    sum.iter().map(|value| (value / length) as f32).collect()
}

struct Slow<'a>(&'a Tensors);

impl Slow<'_> {
    fn row(&self, name: &str, row: usize) -> Vec<f64> {
        let (shape, values) = &self.0[name];
        let width = shape[1];
        values[row * width..(row + 1) * width].iter().map(|value| f64::from(*value)).collect()
    }

    fn vector(&self, name: &str) -> Vec<f64> {
        self.0[name].1.iter().map(|value| f64::from(*value)).collect()
    }

    fn linear(&self, name: &str, input: &[f64]) -> Vec<f64> {
        let weight = format!("{name}.weight");
        let bias = self.vector(&format!("{name}.bias"));
        (0..bias.len()).map(|output| dot(&self.row(&weight, output), input) + bias[output]).collect()
    }

    fn norm(&self, name: &str, input: &[f64]) -> Vec<f64> {
        let count = input.len() as f64;
        let mean = input.iter().sum::<f64>() / count;
        let deviation = (input.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let (weight, bias) = (self.vector(&format!("{name}.weight")), self.vector(&format!("{name}.bias")));
        (0..input.len()).map(|at| (input[at] - mean) / deviation * weight[at] + bias[at]).collect()
    }

    fn layer(&self, name: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let project = |part: &str| -> Vec<Vec<f64>> {
            rows.iter().map(|row| self.linear(&format!("{name}.attention.self.{part}"), row)).collect()
        };
        let (queries, keys, values) = (project("query"), project("key"), project("value"));
        let size = HIDDEN / HEADS;
        let mut out = Vec::new();
        for (row, query) in rows.iter().zip(&queries) {
            let mut context = vec![0.0; HIDDEN];
            for head in 0..HEADS {
                let of = |vector: &[f64]| vector[head * size..(head + 1) * size].to_vec();
                let scores: Vec<f64> =
                    keys.iter().map(|key| (dot(&of(query), &of(key)) / (size as f64).sqrt()).exp()).collect();
                let total: f64 = scores.iter().sum();
                for (score, value) in scores.iter().zip(&values) {
                    for at in head * size..(head + 1) * size {
                        context[at] += score / total * value[at];
                    }
                }
            }
            let attended = self.linear(&format!("{name}.attention.output.dense"), &context);
            let row = self.norm(&format!("{name}.attention.output.LayerNorm"), &add(row, &attended));
            let inner: Vec<f64> =
                self.linear(&format!("{name}.intermediate.dense"), &row).into_iter().map(gelu).collect();
            let down = self.linear(&format!("{name}.output.dense"), &inner);
            out.push(self.norm(&format!("{name}.output.LayerNorm"), &add(&row, &down)));
        }
        out
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// The error function by its series, which is quick enough where it is needed here.
fn gelu(x: f64) -> f64 {
    let t = x / std::f64::consts::SQRT_2;
    let (mut term, mut sum) = (t, t);
    for n in 1..80 {
        term *= -t * t / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    x / 2.0 * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
}

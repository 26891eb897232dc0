//! What a folder in the layout of sentence-transformers says about its model.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::OpenError;
use crate::pooling::Pooling;

pub(crate) struct ModelFolder {
    path: PathBuf,
    pub(crate) config: BertConfig,
    pub(crate) pooling: Pooling,
    /// The most tokens of a text that are looked at.
    pub(crate) window: usize,
    /// Whether a text is put into lower case before the tokenizer sees it.
    pub(crate) lower_case: bool,
    /// What is put before each text unless the caller says otherwise.
    pub(crate) prefix: String,
}

/// `config.json`, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BertConfig {
    pub(crate) model_type: String,
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) max_position_embeddings: usize,
    pub(crate) type_vocab_size: usize,
    #[serde(default = "default_epsilon")]
    pub(crate) layer_norm_eps: f32,
    hidden_act: String,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

fn default_epsilon() -> f32 {
    1e-12
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Prompts {
    prompts: std::collections::HashMap<String, String>,
    default_prompt_name: Option<String>,
}

/// `1_Pooling/config.json`: switches, of which one is on.
type Switches = serde_json::Map<String, serde_json::Value>;

impl ModelFolder {
    pub(crate) fn read_from(path: &Path) -> Result<Self, OpenError> {
        let config: BertConfig = json(&path.join("config.json"))?;
        check(path, &config)?;
        let pooling = pooling(path)?;
        let sentence: SentenceConfig = optional_json(&path.join("sentence_bert_config.json"))?;
        let tokenizer: TokenizerConfig = optional_json(&path.join("tokenizer_config.json"))?;
        let prompts: Prompts = optional_json(&path.join("config_sentence_transformers.json"))?;
        // "Without limit" is written as 1e30.
        let of_tokenizer = tokenizer.model_max_length.filter(|most| (1.0..1e9).contains(most));
        let window = sentence.max_seq_length.or(of_tokenizer.map(|most| most as usize));
        let window = window.unwrap_or(usize::MAX).min(config.max_position_embeddings);
        let default_prompt = prompts.default_prompt_name.and_then(|name| prompts.prompts.get(&name).cloned());
        Ok(Self {
            path: path.to_owned(),
            config,
            pooling,
            window,
            lower_case: sentence.do_lower_case,
            prefix: default_prompt.unwrap_or_default(),
        })
    }

    /// The folder's own name, which is the model's if nobody says otherwise.
    pub(crate) fn name(&self) -> String {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        path.file_name().map_or_else(|| "local".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    #[cfg(feature = "ort")]
    pub(crate) fn has(&self, file: &str) -> bool {
        self.path.join(file).is_file()
    }

    #[cfg(feature = "ort")]
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    pub(crate) fn read(&self, file: &str) -> Result<Vec<u8>, OpenError> {
        let path = self.path.join(file);
        fs::read(&path).map_err(|source| OpenError::Read { path, source })
    }

    #[cfg(feature = "ort")]
    pub(crate) fn lacks(&self, file: &str) -> OpenError {
        OpenError::Read { path: self.path.join(file), source: std::io::ErrorKind::NotFound.into() }
    }

    pub(crate) fn weights_are_wrong(&self, what: String) -> OpenError {
        OpenError::Malformed { path: self.path.join("model.safetensors"), what }
    }

    pub(crate) fn tokenizer_is_wrong(&self, what: String) -> OpenError {
        OpenError::Malformed { path: self.path.join("tokenizer.json"), what }
    }
}

fn check(folder: &Path, config: &BertConfig) -> Result<(), OpenError> {
    let path = folder.join("config.json");
    let unsupported = |what: String| Err(OpenError::Unsupported { path: path.clone(), what });
    if config.model_type != "bert" {
        return unsupported(format!("the model type is {:?}; \"bert\" is computed here", config.model_type));
    }
    if config.hidden_act != "gelu" {
        return unsupported(format!("the activation is {:?}; \"gelu\" is computed here", config.hidden_act));
    }
    if config.position_embedding_type.as_deref().is_some_and(|kind| kind != "absolute") {
        return unsupported("positions are relative; absolute ones are computed here".to_owned());
    }
    let sizes = [
        config.vocab_size,
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        config.max_position_embeddings,
        config.type_vocab_size,
    ];
    let in_range = sizes.iter().all(|size| (1..=1 << 20).contains(size)) && config.num_hidden_layers <= 1_000;
    if !in_range || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
        let what = "the sizes do not fit together".to_owned();
        return Err(OpenError::Malformed { path, what });
    }
    Ok(())
}

/// What follows the transformer. Without a word about it: the mean of the tokens.
fn pooling(folder: &Path) -> Result<Pooling, OpenError> {
    let path = folder.join("modules.json");
    let modules: Vec<Module> = optional_json(&path)?;
    let mut pooling = Pooling::Mean;
    for module in modules {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" | "Normalize" => {}
            "Pooling" => pooling = switched(&folder.join(&module.path).join("config.json"))?,
            other => {
                let what = format!("the module {other:?} is not computed here");
                return Err(OpenError::Unsupported { path, what });
            }
        }
    }
    Ok(pooling)
}

fn switched(path: &Path) -> Result<Pooling, OpenError> {
    let switches: Switches = json(path)?;
    let mode = switches.get("pooling_mode").and_then(serde_json::Value::as_str);
    let on: Vec<&str> = switches
        .iter()
        .filter(|(_, value)| **value == serde_json::Value::Bool(true))
        .filter_map(|(name, _)| name.strip_prefix("pooling_mode_"))
        .chain(mode)
        .collect();
    match on[..] {
        ["mean_tokens" | "mean"] => Ok(Pooling::Mean),
        ["cls_token" | "cls"] => Ok(Pooling::First),
        _ => Err(OpenError::Unsupported {
            path: path.to_owned(),
            what: format!("the pooling is {on:?}; the mean and the first token are computed here"),
        }),
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, OpenError> {
    let text = fs::read(path).map_err(|source| OpenError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|error| OpenError::Malformed { path: path.to_owned(), what: error.to_string() })
}

/// Files that may be missing.
fn optional_json<T: DeserializeOwned + Default>(path: &Path) -> Result<T, OpenError> {
    if path.is_file() { json(path) } else { Ok(T::default()) }
}

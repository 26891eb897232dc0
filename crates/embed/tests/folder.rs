//! A folder that is no model is an error that names the file, and never a panic.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::path::Path;

use common::tiny;
use mainstay_embed::{EngineChoice, LocalEmbedder, OpenError};
use serde_json::json;

fn told(folder: &Path) -> String {
    LocalEmbedder::open(folder).unwrap_err().to_string()
}

#[test]
fn each_file_that_is_missing_is_named() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(folder.path());
        fs::remove_file(folder.path().join(file)).unwrap();
        assert!(told(folder.path()).contains(file));
    }
}

#[test]
fn a_kind_of_model_that_is_not_computed_here_is_refused() {
    for (member, value) in [
        ("model_type", json!("roberta")),
        ("hidden_act", json!("relu")),
        ("position_embedding_type", json!("relative_key")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        tiny::write_with(folder.path(), |config| config[member] = value);
        let error = LocalEmbedder::open(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Unsupported { .. }), "{member}: {error}");
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    for (member, value) in [
        ("num_attention_heads", json!(5)),
        ("num_attention_heads", json!(0)),
        ("hidden_size", json!(48)),
        ("num_hidden_layers", json!(3)),
        ("vocab_size", json!(11)),
        ("max_position_embeddings", json!(2)),
        ("intermediate_size", json!(u32::MAX)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        tiny::write_with(folder.path(), |config| config[member] = value.clone());
        let error = LocalEmbedder::open(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Malformed { .. }), "{member} = {value}: {error}");
    }
}

#[test]
fn torn_files_are_refused() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(folder.path());
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        for length in [0, 7, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            let error = LocalEmbedder::open(folder.path()).unwrap_err();
            assert!(matches!(error, OpenError::Malformed { .. }), "{file} of {length} bytes: {error}");
        }
    }
}

#[test]
fn pooling_is_what_the_modules_say() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path());
    let mean = LocalEmbedder::open(folder.path()).unwrap().embed_blocking(&["reset"]).unwrap();
    let modules = json!([
        { "idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer" },
        { "idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling" },
    ]);
    fs::write(folder.path().join("modules.json"), modules.to_string()).unwrap();
    fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    let switches = folder.path().join("1_Pooling/config.json");
    let on = |name: &str| {
        let text = json!({ "word_embedding_dimension": 24, "pooling_mode_mean_tokens": false, name: true });
        fs::write(&switches, text.to_string()).unwrap();
        LocalEmbedder::open(folder.path())
    };
    assert_eq!(on("pooling_mode_mean_tokens").unwrap().embed_blocking(&["reset"]).unwrap(), mean);
    assert_ne!(on("pooling_mode_cls_token").unwrap().embed_blocking(&["reset"]).unwrap(), mean);
    assert!(matches!(on("pooling_mode_max_tokens").unwrap_err(), OpenError::Unsupported { .. }));
}

#[test]
fn a_module_that_is_not_computed_here_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path());
    let modules = json!([{ "path": "2_Dense", "type": "sentence_transformers.models.Dense" }]);
    fs::write(folder.path().join("modules.json"), modules.to_string()).unwrap();
    assert!(told(folder.path()).contains("Dense"));
}

#[test]
fn settings_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path());
    for builder in [LocalEmbedder::builder().threads(0), LocalEmbedder::builder().queue(0)] {
        assert!(matches!(builder.open(folder.path()).unwrap_err(), OpenError::Setting(_)));
    }
}

#[test]
fn an_engine_that_was_not_built_in_is_named() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path());
    let opened = LocalEmbedder::builder().engine(EngineChoice::Candle).open(folder.path());
    assert_eq!(opened.is_ok(), cfg!(feature = "candle"));
    if let Err(error) = opened {
        assert!(
            matches!(error, OpenError::NotBuilt { .. }) && error.to_string().contains("`candle`"),
            "{error}"
        );
    }
}

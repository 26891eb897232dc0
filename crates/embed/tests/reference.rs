//! The vectors of sentence-transformers, to 1e-4, by every engine (tests/data/reference.py made the file).
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{apart, dot, engines, minilm};
use mainstay_embed::{Identified as _, LocalEmbedder};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    made_with: String,
    texts: Vec<String>,
    vectors: Vec<Vec<f32>>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("data/reference.json")).unwrap()
}

#[test]
fn every_engine_equals_sentence_transformers() {
    let Some(folder) = minilm() else { return };
    let reference = reference();
    for engine in engines(&folder) {
        let embedder = LocalEmbedder::builder().engine(engine.clone()).open(&folder).unwrap();
        let together = embedder.embed_blocking(&reference.texts).unwrap();
        let mut most: f32 = 0.0;
        for ((text, expected), vector) in reference.texts.iter().zip(&reference.vectors).zip(&together) {
            let alone = embedder.embed_blocking(&[text]).unwrap();
            for (how, found) in [("alone", &alone[0]), ("among others", vector)] {
                let apart = apart(found, expected);
                assert!(apart < 1e-4, "{engine:?}: {text:.40?} {how} differs by {apart}");
                most = most.max(apart);
            }
        }
        println!("{engine:?}: at most {most:.1e} from {}", reference.made_with);
    }
}

#[test]
fn the_known_pair_of_questions_is_as_near_as_it_must_be() {
    let Some(folder) = minilm() else { return };
    let embedder = LocalEmbedder::open(&folder).unwrap();
    let ask = ["What is the capital of France?", "What is the capital of Germany?"];
    let vectors = embedder.embed_blocking(&ask).unwrap();
    assert!((dot(&vectors[0], &vectors[1]) - 0.6632).abs() < 1e-3);
}

#[test]
fn the_model_is_identified_by_what_its_vectors_depend_on() {
    let Some(folder) = minilm() else { return };
    let embedder = LocalEmbedder::open(&folder).unwrap();
    assert_eq!(embedder.identity().as_str(), "bert:53aa51172d142c89:be50c3628f2bf5bb:384d:f32:mean:256t");
}

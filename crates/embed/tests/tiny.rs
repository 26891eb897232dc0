//! A model of random weights is computed as the formula says. No download is needed.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{apart, engines, tiny};
use mainstay_embed::{Identified, LocalEmbedder};
use mainstay_provider_core::{EmbedCall, EmbedRequest, Embedder, ErrorKind, Usage};

fn opened() -> (tempfile::TempDir, tiny::Tensors, LocalEmbedder) {
    let folder = tempfile::tempdir().unwrap();
    let tensors = tiny::write(folder.path());
    let embedder = LocalEmbedder::builder().name("tiny").open(folder.path()).unwrap();
    (folder, tensors, embedder)
}

fn ask(texts: &[&str]) -> EmbedCall {
    EmbedCall::new(EmbedRequest::new("tiny", texts.iter().map(|text| (*text).to_owned()).collect()))
}

#[test]
fn vectors_are_what_the_formula_says() {
    let (folder, tensors, _) = opened();
    let cases: [(&str, &[usize]); 4] = [
        ("How do I reset my password?", &[2, 4, 5, 6, 7, 8, 9, 10, 11, 3]),
        ("reset", &[2, 7, 3]),
        ("", &[2, 3]),
        ("unheard of", &[2, 1, 1, 3]),
    ];
    for engine in engines(folder.path()) {
        let embedder = LocalEmbedder::builder().engine(engine.clone()).open(folder.path()).unwrap();
        let vectors = embedder.embed_blocking(&cases.map(|(text, _)| text)).unwrap();
        for ((text, tokens), vector) in cases.iter().zip(vectors) {
            let apart = apart(&vector, &tiny::expected(&tensors, tokens));
            assert!(apart < 2e-5, "{engine:?}: {text:?} differs by {apart}");
        }
    }
}

#[test]
fn a_text_is_cut_to_the_window_of_the_model_and_not_to_the_tokenizer_s() {
    let (_folder, tensors, embedder) = opened();
    let mut tokens = vec![8; tiny::WINDOW];
    (tokens[0], tokens[tiny::WINDOW - 1]) = (2, 3);
    let expected = tiny::expected(&tensors, &tokens);
    for count in [tiny::WINDOW - 2, tiny::WINDOW, 10_000] {
        let vector = embedder.embed_blocking(&["my ".repeat(count)]).unwrap().remove(0);
        assert!(apart(&vector, &expected) < 2e-5, "{count} words");
    }
}

#[tokio::test]
async fn the_reply_says_who_answered_and_what_it_took() {
    let (_folder, _, embedder) = opened();
    let reply = embedder.embed(ask(&["reset", "my password"])).await.unwrap();
    assert_eq!((&*reply.head.provider, &*reply.head.model), ("local", "tiny"));
    // Three and five tokens: nothing is filled up to the tokenizer's six.
    assert_eq!(reply.usage, Some(Usage::new(8, 0)));
}

#[tokio::test]
async fn many_texts_come_back_in_their_order() {
    let (_folder, _, embedder) = opened();
    let texts: Vec<String> =
        (0..200).map(|index| ["how", "do", "i", "reset", "my"][index % 5].repeat(1 + index % 3)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = embedder.embed(ask(&texts)).await.unwrap().vectors;
    assert_eq!(together.len(), 200);
    for (text, vector) in texts.iter().zip(&together) {
        assert!(apart(&embedder.embed_blocking(&[text]).unwrap()[0], vector) < 1e-5);
    }
}

#[tokio::test]
async fn another_model_is_not_found_and_none_is_this_one() {
    let (_folder, _, embedder) = opened();
    let call = |model: &str| EmbedCall::new(EmbedRequest::new(model, vec!["reset".to_owned()]));
    assert_eq!(embedder.embed(call("another")).await.unwrap_err().kind(), ErrorKind::ModelNotFound);
    assert!(embedder.embed(call("")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_has_passed_is_not_begun() {
    // D1
    let (_folder, _, embedder) = opened();
    let mut call = ask(&["reset"]);
    call.context.data_mut().deadline = Some(tokio::time::Instant::now());
    let error = embedder.embed(call).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout(_)), "{error}");
}

#[test]
fn the_identity_is_of_the_weights_and_not_of_the_folder() {
    let (_one, _, first) = opened();
    let (_other, _, second) = opened();
    assert_eq!(first.identity(), second.identity());
    assert_eq!(first.identity().dimensions(), tiny::HIDDEN);

    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tiny::write(folder.path());
    tensors.values_mut().next().unwrap().1[0] += 1.0;
    tiny::save(folder.path(), &tensors);
    let changed = LocalEmbedder::open(folder.path()).unwrap();
    assert_ne!(first.identity(), changed.identity(), "other weights make other vectors");

    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path());
    let prefixed = LocalEmbedder::builder().prefix("how ").open(folder.path()).unwrap();
    assert_ne!(first.identity(), prefixed.identity(), "and so does a prefix");
    let vectors = prefixed.embed_blocking(&["do"]).unwrap();
    assert!(apart(&vectors[0], &first.embed_blocking(&["how do"]).unwrap()[0]) < 1e-6);
}

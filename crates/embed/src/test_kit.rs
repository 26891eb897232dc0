//! What every embedder with an identity keeps (feature `test-kit`): run it against one of your own.
//!
//! ```no_run
//! # use mainstay_embed::{LocalEmbedder, test_kit};
//! # async fn run() {
//! let embedder = LocalEmbedder::open("models/all-MiniLM-L6-v2").expect("a model");
//! test_kit::contract().run(async || embedder.clone()).await.assert_kept();
//! # }
//! ```

use mainstay_provider_core::test_kit::contract::Suite;
use mainstay_provider_core::{EmbedCall, EmbedInput, EmbedRequest, ErrorKind};

use crate::identity::Identified;

/// The contract of an [`Identified`] embedder.
pub fn contract<E: Identified>() -> Suite<E> {
    Suite::new("embedder")
        .promise(
            "one vector for each text, in their order, of the identity's length",
            |embedder: E| async move {
                let texts = ["first", "second thing", "first"];
                let vectors = ask(&embedder, &texts).await;
                assert_eq!(vectors.len(), texts.len());
                assert!(vectors.iter().all(|vector| vector.len() == embedder.identity().dimensions()));
                assert!(apart(&vectors[0], &vectors[2]) < 1e-4, "the same text has the same vector");
                assert!(apart(&vectors[0], &vectors[1]) > 1e-3, "another text has another vector");
            },
        )
        .promise("vectors have unit length", |embedder: E| async move {
            for vector in ask(&embedder, &TEXTS).await {
                let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
                assert!((length - 1.0).abs() < 1e-4, "{length}");
            }
        })
        .promise("a text has the same vector alone and among others", |embedder: E| async move {
            let together = ask(&embedder, &TEXTS).await;
            for (text, vector) in TEXTS.iter().zip(&together) {
                let alone = ask(&embedder, &[text]).await;
                assert!(apart(&alone[0], vector) < 1e-4, "{text:?} differs by {}", apart(&alone[0], vector));
            }
        })
        .promise("any text is taken: empty, blank, long, of any script", |embedder: E| async move {
            let long = "no end in sight ".repeat(20_000);
            let unbroken = "x".repeat(100_000);
            let vectors =
                ask(&embedder, &["", "   ", "\0\u{fffd}", "日本語 и русский 🦀", &long, &unbroken]).await;
            assert!(vectors.iter().flatten().all(|value| value.is_finite()));
        })
        .promise("no text is no vector, or refused", |embedder: E| async move {
            let call = EmbedCall::new(EmbedRequest::new("", Vec::new()));
            match embedder.embed(call).await {
                Ok(reply) => assert!(reply.vectors.is_empty()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidRequest),
            }
        })
        .promise("another number of dimensions is refused, not made up", |embedder: E| async move {
            let mut request = EmbedRequest::new("", vec!["a text".to_owned()]);
            request.dimensions = Some(7);
            let reply = embedder.embed(EmbedCall::new(request)).await;
            let error = reply.expect_err("a request that cannot be answered is refused");
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        })
        .promise("tokens are refused where they would mean another model's", |embedder: E| async move {
            let mut request = EmbedRequest::new("", Vec::new());
            request.input = EmbedInput::Tokens(vec![1, 2, 3]);
            let reply = embedder.embed(EmbedCall::new(request)).await;
            let error = reply.expect_err("a request that cannot be answered is refused");
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        })
        .promise("a dropped call leaves the embedder as it was", |embedder: E| async move {
            for _ in 0..20 {
                let call = EmbedCall::new(EmbedRequest::new("", vec!["never awaited".to_owned(); 30]));
                let mut future = Box::pin(embedder.embed(call));
                let polled = std::future::poll_fn(|task| {
                    std::task::Poll::Ready(future.as_mut().poll(task).is_ready())
                });
                let _ = polled.await;
            }
            assert_eq!(ask(&embedder, &["still there"]).await.len(), 1);
        })
}

const TEXTS: [&str; 4] = [
    "How do I reset my password?",
    "ok",
    "The quick brown fox jumps over the lazy dog while the band plays on and nobody in the room takes any notice of it.",
    "Wie setze ich mein Passwort zurück?",
];

async fn ask<E: Identified>(embedder: &E, texts: &[&str]) -> Vec<Vec<f32>> {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    let reply = embedder.embed(EmbedCall::new(EmbedRequest::new("", texts))).await;
    reply.unwrap_or_else(|error| panic!("{error}: {}", error.message())).vectors
}

/// The largest difference of two vectors.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

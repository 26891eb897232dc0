//! Embeddings.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mainstay_provider_core::{EmbedRequest, Error, ErrorKind};
use serde_json::{Value, json};

use super::provider;
use crate::dialects::openai::profile::{self, Profile};

fn sent(profile: &'static Profile, request: Value) -> Result<(String, Value), Error> {
    let request: EmbedRequest = serde_json::from_value(request).unwrap();
    let outgoing = provider("x", profile).encode_embed(&request, "m")?;
    Ok((outgoing.path, serde_json::from_slice(&outgoing.body).unwrap()))
}

fn vectors(profile: &'static Profile, data: Value) -> Result<Vec<Vec<f32>>, Error> {
    let body = json!({"object": "list", "data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}});
    let (vectors, usage) = provider("x", profile).decode_embed(body.to_string().into())?;
    assert_eq!(usage.unwrap().input, 4);
    Ok(vectors)
}

#[test]
fn each_provider_gets_the_members_that_it_knows() {
    let request = json!({
        "model": "x", "input": ["a", "b"], "dimensions": 256, "encoding_format": "base64", "user": "u", "input_type": "query",
    });
    let body = |profile| sent(profile, request.clone()).unwrap();
    let (path, openai) = body(&profile::OPENAI);
    assert_eq!(path, "/embeddings");
    assert_eq!(
        openai,
        json!({
            "model": "m", "input": ["a", "b"], "dimensions": 256, "encoding_format": "base64", "user": "u", "input_type": "query",
        })
    );
    let (_, mistral) = body(&profile::MISTRAL);
    assert_eq!(
        (&mistral["output_dimension"], mistral.get("dimensions"), mistral.get("user")),
        (&json!(256), None, None)
    );
    let (_, together) = body(&profile::TOGETHER);
    assert_eq!(together, json!({"model": "m", "input": ["a", "b"], "input_type": "query"}));
    let (path, perplexity) = body(&profile::PERPLEXITY);
    assert_eq!((path.as_str(), perplexity.get("encoding_format")), ("/v1/embeddings", None));
}

#[test]
fn what_a_provider_cannot_embed_is_refused() {
    let tokens = json!({"model": "x", "input": [1, 2, 3]});
    assert!(sent(&profile::OPENAI, tokens.clone()).is_ok());
    assert_eq!(sent(&profile::MISTRAL, tokens).unwrap_err().param(), Some("input"));
    let none = sent(&profile::DEEPSEEK, json!({"model": "x", "input": "a"})).unwrap_err();
    assert_eq!((none.kind(), none.param()), (ErrorKind::InvalidRequest, Some("model")));
}

#[test]
fn vectors_come_in_the_order_of_the_request() {
    let data = json!([{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1.5, -2e-3]}]);
    assert_eq!(vectors(&profile::OPENAI, data).unwrap(), [[1.5, -2e-3], [3.0, 4.5]]);
}

#[test]
fn vectors_in_base64_are_figures_of_four_bytes_or_eight_or_one() {
    let figures = [0.25_f32, -1.5, 3.0e-5, 0.7];
    let four: Vec<u8> = figures.iter().flat_map(|figure| figure.to_le_bytes()).collect();
    let eight: Vec<u8> = figures.iter().flat_map(|figure| f64::from(*figure).to_le_bytes()).collect();
    for bytes in [four, eight] {
        let data = json!([{"index": 0, "embedding": STANDARD.encode(bytes)}]);
        assert_eq!(vectors(&profile::VLLM, data).unwrap(), [figures]);
    }
    let signed = json!([{"index": 0, "embedding": STANDARD.encode([1_u8, 255, 128])}]);
    assert_eq!(vectors(&profile::PERPLEXITY, signed).unwrap(), [[1.0, -1.0, -128.0]]);
}

#[test]
fn zeros_stay_zeros() {
    let data = json!([{"index": 0, "embedding": STANDARD.encode([0_u8; 16])}]);
    assert_eq!(vectors(&profile::OPENAI, data).unwrap(), [[0.0; 4]]);
}

#[test]
fn an_answer_without_vectors_is_an_error() {
    let kind = |body: Value| {
        provider("x", &profile::OPENAI).decode_embed(body.to_string().into()).unwrap_err().kind()
    };
    assert_eq!(kind(json!({"object": "list"})), ErrorKind::MalformedResponse);
    assert_eq!(kind(json!({"data": [{"embedding": "AAA"}]})), ErrorKind::MalformedResponse);
    assert_eq!(kind(json!({"data": [{"embedding": "AAAA"}]})), ErrorKind::MalformedResponse);
    assert_eq!(kind(json!({"error": {"message": "slow down", "code": 429}})), ErrorKind::RateLimited);
}

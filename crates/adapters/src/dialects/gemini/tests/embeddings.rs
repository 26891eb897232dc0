//! Vectors.

use mainstay_provider_core::{EmbedRequest, ErrorKind, Usage};
use serde_json::{Value, json};

use super::{gemini, vertex};
use crate::dialect::Dialect;

fn encode(
    dialect: &dyn Dialect,
    model: &str,
    request: Value,
) -> Result<(String, Value), mainstay_provider_core::Error> {
    let mut request = request;
    request["model"] = model.into();
    let request: EmbedRequest = serde_json::from_value(request).unwrap();
    let outgoing = dialect.encode_embed(&request, model)?;
    Ok((outgoing.path, serde_json::from_slice(&outgoing.body).unwrap()))
}

// S4.5
#[test]
fn gemini_embeds_all_texts_in_one_batch() {
    let request = json!({"input": ["a", "b"], "dimensions": 8, "task_type": "RETRIEVAL_QUERY", "user": "u"});
    let (path, body) = encode(&*gemini(), "gemini-embedding-001", request).unwrap();
    assert_eq!(path, "/models/gemini-embedding-001:batchEmbedContents");
    let one = |text: &str| {
        json!({
            "model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]},
            "outputDimensionality": 8, "taskType": "RETRIEVAL_QUERY",
        })
    };
    assert_eq!(body, json!({"requests": [one("a"), one("b")]}));
    let answer = json!({"embeddings": [{"values": [0.5, -1]}, {"values": [0, 1]}], "usageMetadata": {"promptTokenCount": 3}});
    let (vectors, usage) = gemini().decode_embed(answer.to_string().into()).unwrap();
    assert_eq!(vectors, [[0.5, -1.0], [0.0, 1.0]]);
    assert_eq!(usage, Some(Usage::new(3, 0)));
}

#[test]
fn vertex_predicts_with_older_models() {
    let request =
        json!({"input": ["a", "b"], "dimensions": 8, "task_type": "RETRIEVAL_QUERY", "autoTruncate": false});
    let (path, body) = encode(&*vertex(), "text-embedding-005", request).unwrap();
    assert!(path.ends_with("/publishers/google/models/text-embedding-005:predict"), "{path}");
    let one = |text: &str| json!({"content": text, "task_type": "RETRIEVAL_QUERY"});
    let parameters = json!({"outputDimensionality": 8, "autoTruncate": false});
    assert_eq!(body, json!({"instances": [one("a"), one("b")], "parameters": parameters}));
    let one = |value: f32| json!({"embeddings": {"values": [value], "statistics": {"token_count": 2.0, "truncated": false}}});
    let answer = json!({"predictions": [one(1.0), one(2.0)]});
    let (vectors, usage) = vertex().decode_embed(answer.to_string().into()).unwrap();
    assert_eq!((vectors, usage), (vec![vec![1.0], vec![2.0]], Some(Usage::new(4, 0))));
}

#[test]
fn vertex_embeds_one_text_at_a_time_with_newer_models() {
    let (path, body) = encode(&*vertex(), "gemini-embedding-2", json!({"input": "a"})).unwrap();
    assert!(path.ends_with("/models/gemini-embedding-2:embedContent"), "{path}");
    assert_eq!(body, json!({"content": {"parts": [{"text": "a"}]}}));
    let error = encode(&*vertex(), "gemini-embedding-2", json!({"input": ["a", "b"]})).unwrap_err();
    assert_eq!((error.kind(), error.param()), (ErrorKind::InvalidRequest, Some("input")));
}

#[test]
fn tokens_are_refused_and_an_answer_without_vectors_is_malformed() {
    let error = encode(&*gemini(), "m", json!({"input": [1, 2]})).unwrap_err();
    assert_eq!((error.kind(), error.param()), (ErrorKind::InvalidRequest, Some("input")));
    for body in ["{}", "[]", "no", "{\"embeddings\": [{\"values\": [\"a\"]}]}"] {
        assert_eq!(
            gemini().decode_embed(body.into()).unwrap_err().kind(),
            ErrorKind::MalformedResponse,
            "{body}"
        );
    }
}

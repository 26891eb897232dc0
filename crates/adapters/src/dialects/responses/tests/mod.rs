//! What Responses promise, by hand-written answers of the documented shapes.

mod answers;
mod recorded;
mod requests;
mod streams;

use mainstay_provider_core::{Error, Wire};
use serde_json::{Value, json};

use crate::config::AdapterConfig;
use crate::dialect::Dialect;
use crate::dialects::openai::profile::OPENAI;

fn openai() -> Box<dyn Dialect> {
    super::dialect(&AdapterConfig::new("openai"), &OPENAI).unwrap()
}

/// The body that is sent for this request of a caller.
fn sent(request: Value) -> Result<Value, Error> {
    let request = serde_json::from_value(request).unwrap();
    openai().encode_chat(&request, "gpt-5").map(|outgoing| serde_json::from_slice(&outgoing.body).unwrap())
}

/// The neutral form of this answer, as JSON.
fn read(output: Value, status: &str) -> Value {
    let answer =
        openai().decode_chat(response(output, status).to_string().into(), "gpt-5").map(Wire::into_inner);
    serde_json::to_value(answer.unwrap()).unwrap()
}

fn response(output: Value, status: &str) -> Value {
    json!({
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": "gpt-5-2025-08-07",
        "status": status,
        "error": null,
        "incomplete_details": null,
        "output": output,
        "usage": {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 6},
            "total_tokens": 30,
        },
    })
}

fn reasoning() -> Value {
    json!({
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Then."}],
        "encrypted_content": "c2VjcmV0",
    })
}

fn message(text: &str) -> Value {
    json!({
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    })
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"id": "fc_1", "type": "function_call", "status": "completed", "call_id": id, "name": "weather", "arguments": arguments})
}

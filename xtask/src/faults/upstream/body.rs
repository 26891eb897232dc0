//! What the upstream writes: OpenAI's events, answers and errors.

use super::super::plan::Who;
use serde_json::{Value, json};

pub(super) const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
     cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

pub(super) const LAST_CHUNK: &str = "0\r\n\r\n";

/// What a caller may be shown of a refused prefill: nothing, so this is looked for.
pub(crate) const PREFILL_ERROR: &str = "does not support assistant message prefill";

/// What a caller should be shown of a filtered prompt.
pub(crate) const FILTER_ERROR: &str = "content management policy";

pub(crate) const TOO_LONG_CODE: &str = "context_length_exceeded";

/// A request that no plan makes right.
pub(super) struct Refusal {
    pub(super) name: &'static str,
    pub(super) body: Value,
}

/// One event in a transfer chunk of its own.
pub(super) fn chunk(data: &str) -> String {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

pub(super) fn response(status: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

pub(super) fn role(model: &str) -> Value {
    event(model, &json!({"role": "assistant", "content": "", "refusal": null}), Value::Null)
}

pub(super) fn word(model: &str, token: &str) -> Value {
    event(model, &json!({"content": token}), Value::Null)
}

pub(super) fn finish(model: &str, reason: &str) -> Value {
    event(model, &json!({}), reason.into())
}

fn event(model: &str, delta: &Value, finish_reason: Value) -> Value {
    json!({
        "id": "chatcmpl-words", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": model,
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}],
    })
}

pub(super) fn usage_event(who: Who, words: usize) -> Value {
    json!({
        "id": "chatcmpl-words", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": who.model(),
        "choices": [], "usage": usage(who, words),
    })
}

pub(crate) fn usage(who: Who, words: usize) -> Value {
    let prompt = who.prompt_tokens();
    json!({"prompt_tokens": prompt, "completion_tokens": words, "total_tokens": prompt + words as u64})
}

pub(super) fn whole(who: Who, text: &str, words: usize, reason: &str) -> Value {
    json!({
        "id": "chatcmpl-words", "object": "chat.completion", "created": 1_790_000_000, "model": who.model(),
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null, "finish_reason": reason,
        }],
        "usage": usage(who, words),
    })
}

/// No wait is named, neither here nor, without its header, anywhere.
pub(super) fn rate_limited() -> Value {
    error("Rate limit reached for requests", "requests", Value::Null, "rate_limit_exceeded".into())
}

pub(super) fn server_error() -> Value {
    let message = "The server had an error while processing your request. Sorry about that!";
    error(message, "server_error", Value::Null, Value::Null)
}

pub(super) fn unavailable() -> Value {
    let message = "The engine is currently overloaded, please try again later";
    error(message, "service_unavailable_error", Value::Null, Value::Null)
}

pub(super) fn filtered() -> Value {
    let message = format!(
        "The response was filtered due to the prompt triggering Azure OpenAI's {FILTER_ERROR}. Please modify your \
         prompt and retry."
    );
    let safe = json!({"filtered": false, "severity": "safe"});
    json!({"error": {
        "message": message, "type": null, "param": "prompt", "code": "content_filter", "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {
            "hate": safe, "self_harm": safe, "sexual": safe, "violence": {"filtered": true, "severity": "high"},
        }},
    }})
}

pub(super) fn too_long(window: usize, length: usize) -> Refusal {
    let message = format!(
        "This model's maximum context length is {window} tokens. However, your messages resulted in {length} tokens. \
         Please reduce the length of the messages."
    );
    let body = error(&message, "invalid_request_error", "messages".into(), TOO_LONG_CODE.into());
    Refusal { name: "400 context length", body }
}

pub(super) fn no_prefill() -> Refusal {
    let message = format!("This model {PREFILL_ERROR}. The conversation must end with a user message.");
    let body = error(&message, "invalid_request_error", "messages".into(), Value::Null);
    Refusal { name: "400 prefill", body }
}

pub(super) fn no_messages() -> Refusal {
    let message = "Invalid 'messages': empty array. Expected an array with minimum length 1.";
    let body = error(message, "invalid_request_error", "messages".into(), "empty_array".into());
    Refusal { name: "400 no messages", body }
}

pub(super) fn no_such_model(model: &Value) -> Refusal {
    let message = format!("The model {model} does not exist or you do not have access to it.");
    let body = error(&message, "invalid_request_error", Value::Null, "model_not_found".into());
    Refusal { name: "400 wrong model", body }
}

pub(super) fn no_such_path() -> Value {
    error("Invalid URL", "invalid_request_error", Value::Null, Value::Null)
}

fn error(message: &str, kind: &str, param: Value, code: Value) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

//! The same answer, whole and streamed, in the dialects that differ most.

use serde_json::{Value, json};

/// What every answer begins with.
pub(crate) const TEXT: &str = "word00 word01";

/// A provider's way to say it.
pub(crate) struct Dialect {
    /// The adapter's kind.
    pub(crate) kind: &'static str,
    /// What follows the server's address in the base URL.
    pub(crate) base_path: &'static str,
    whole: fn(&str) -> Value,
    stream: fn(&[String]) -> Vec<String>,
    stream_type: &'static str,
}

pub(crate) const DIALECTS: &[Dialect] = &[
    Dialect { kind: "openai", base_path: "/v1", whole: openai, stream: openai_stream, stream_type: SSE },
    Dialect {
        kind: "anthropic",
        base_path: "/v1",
        whole: anthropic,
        stream: anthropic_stream,
        stream_type: SSE,
    },
    Dialect { kind: "gemini", base_path: "/v1beta", whole: gemini, stream: gemini_stream, stream_type: SSE },
    Dialect { kind: "cohere", base_path: "", whole: cohere, stream: cohere_stream, stream_type: SSE },
    Dialect {
        kind: "ollama",
        base_path: "",
        whole: ollama,
        stream: ollama_stream,
        stream_type: "application/x-ndjson",
    },
];

const SSE: &str = "text/event-stream";

impl Dialect {
    /// Content type, and the body in the pieces that the server writes.
    pub(crate) fn answer(&self, stream: bool) -> (&'static str, Vec<String>) {
        let words: Vec<String> = (0..20).map(|number| format!("word{number:02} ")).collect();
        if stream {
            return (self.stream_type, (self.stream)(&words));
        }
        ("application/json", vec![(self.whole)(&words.concat()).to_string()])
    }
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn named(value: &Value) -> String {
    let name = value["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {value}\n\n")
}

fn openai(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_750_000_000, "model": "bench-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 48, "completion_tokens": 40, "total_tokens": 88},
    })
}

fn openai_stream(words: &[String]) -> Vec<String> {
    let chunk = |delta: Value, reason: Option<&str>| {
        data(&json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_750_000_000, "model": "bench-model",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }))
    };
    let mut events: Vec<String> = words.iter().map(|word| chunk(json!({"content": word}), None)).collect();
    events.push(chunk(json!({}), Some("stop")));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn anthropic(text: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "bench-model",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 48, "output_tokens": 40},
    })
}

fn anthropic_stream(words: &[String]) -> Vec<String> {
    let mut start = anthropic("");
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    let block =
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let mut events = vec![named(&json!({"type": "message_start", "message": start})), named(&block)];
    events.extend(words.iter().map(|word| {
        let delta = json!({"type": "text_delta", "text": word});
        named(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }));
    let end = json!({"stop_reason": "end_turn", "stop_sequence": null});
    events.push(named(&json!({"type": "content_block_stop", "index": 0})));
    events.push(named(&json!({"type": "message_delta", "delta": end, "usage": {"output_tokens": 40}})));
    events.push(named(&json!({"type": "message_stop"})));
    events
}

fn gemini(text: &str) -> Value {
    json!({
        "candidates": [{
            "content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0,
        }],
        "usageMetadata": {"promptTokenCount": 48, "candidatesTokenCount": 40, "totalTokenCount": 88},
        "modelVersion": "bench-model", "responseId": "1",
    })
}

fn gemini_stream(words: &[String]) -> Vec<String> {
    let event = |(number, word): (usize, &String)| {
        let mut event = gemini(word);
        if let Some(candidate) = event["candidates"][0].as_object_mut().filter(|_| number + 1 < words.len()) {
            candidate.remove("finishReason");
        }
        data(&event)
    };
    words.iter().enumerate().map(event).collect()
}

fn cohere(text: &str) -> Value {
    json!({
        "id": "1", "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": text}]},
        "usage": {"tokens": {"input_tokens": 48, "output_tokens": 40}},
    })
}

fn cohere_stream(words: &[String]) -> Vec<String> {
    let empty = json!({"message": {"role": "assistant", "content": []}});
    let content = json!({"message": {"content": {"type": "text", "text": ""}}});
    let mut events = vec![
        named(&json!({"type": "message-start", "id": "1", "delta": empty})),
        named(&json!({"type": "content-start", "index": 0, "delta": content})),
    ];
    events.extend(words.iter().map(|word| {
        let delta = json!({"message": {"content": {"text": word}}});
        named(&json!({"type": "content-delta", "index": 0, "delta": delta}))
    }));
    let usage = json!({"tokens": {"input_tokens": 48, "output_tokens": 40}});
    events.push(named(&json!({"type": "content-end", "index": 0})));
    events
        .push(named(&json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}})));
    events
}

fn ollama(text: &str) -> Value {
    json!({
        "model": "bench-model", "created_at": "2026-11-21T00:00:00Z", "message": {"role": "assistant", "content": text},
        "done": true, "done_reason": "stop", "prompt_eval_count": 48, "eval_count": 40,
    })
}

fn ollama_stream(words: &[String]) -> Vec<String> {
    let line = |word: &String| {
        let message = json!({"role": "assistant", "content": word});
        json!({"model": "bench-model", "created_at": "2026-11-21T00:00:00Z", "message": message, "done": false})
    };
    let mut lines: Vec<String> = words.iter().map(|word| format!("{}\n", line(word))).collect();
    lines.push(format!("{}\n", ollama("")));
    lines
}

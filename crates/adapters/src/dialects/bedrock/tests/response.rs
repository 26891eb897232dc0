use mainstay_provider_core::ErrorKind;
use serde_json::{Value, json};

use super::*;

fn message(content: Value, stop_reason: &str) -> Value {
    json!({
        "output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop_reason,
        "usage": {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8},
    })
}

#[test]
fn a_text_answer_is_read() {
    let mut body = message(json!([{"text": "Hel"}, {"text": "lo."}]), "end_turn");
    body["trace"] = json!({"guardrail": {"modelOutput": ["x"]}});
    let mut read = answer(&body);
    assert!(read["id"].as_str().unwrap().starts_with("chatcmpl-"), "{read}");
    read["id"] = "".into();
    let expected = json!({
        "id": "", "object": "chat.completion", "created": 0, "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        "trace": {"guardrail": {"modelOutput": ["x"]}},
    });
    assert_eq!(read, expected);
}

#[test]
fn calls_keep_their_arguments_and_server_tools_are_no_calls_of_the_caller() {
    let body = r#"{"stopReason": "tool_use", "output": {"message": {"content": [
        {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "input": {"query": "q"}, "type": "server_tool_use"}},
        {"toolResult": {"toolUseId": "s", "content": [{"text": "[HIDDEN]"}], "status": "success"}},
        {"toolUse": {"toolUseId": "a", "name": "f", "input": {"big": 12345678901234567890123}, "type": "tool_use"}},
        {"toolUse": {"toolUseId": "b", "name": "g", "input": {}}}
    ]}}}"#;
    let answer = plain().decode_chat(body.into(), MODEL).unwrap();
    let message = &answer.choices[0].message;
    let calls: Vec<_> =
        message.tool_calls.iter().map(|call| (call.id.as_str(), call.function.as_ref().unwrap())).collect();
    assert_eq!(calls[0].0, "a");
    assert_eq!(calls[0].1.arguments, "{\"big\": 12345678901234567890123}");
    assert_eq!((calls[1].0, calls[1].1.arguments.as_str()), ("b", "{}"));
    assert_eq!(calls.len(), 2);
    assert_eq!(message.content, None);
    assert_eq!(answer.finish_reason().unwrap().as_str(), "tool_calls");
}

#[test]
fn reasoning_is_shown_and_kept_when_it_is_signed() {
    let read = answer(&message(
        json!([
            {"reasoningContent": {"reasoningText": {"text": "Hmm.", "signature": "sig"}}},
            {"reasoningContent": {"redactedContent": "ENC"}},
            {"reasoningContent": {"reasoningText": {"text": " Unsigned."}}},
            {"text": "42"},
        ]),
        "end_turn",
    ));
    let expected = json!({
        "role": "assistant", "content": "42", "reasoning_content": "Hmm. Unsigned.", "thinking_blocks": [
            {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "ENC"},
        ],
    });
    assert_eq!(read["choices"][0]["message"], expected);
}

#[test]
fn an_answer_goes_back_as_it_came() {
    let tool_turn = json!([
        {"reasoningContent": {"reasoningText": {"text": "Hmm.", "signature": "sig"}}},
        {"text": "Let me see."},
        {"toolUse": {"toolUseId": "a", "name": "f", "input": {"x": 1}}},
    ]);
    let interleaved = json!([
        {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}},
        {"toolResult": {"toolUseId": "s", "content": [{"text": "[HIDDEN]"}], "status": "success"}},
        {"text": "So:"},
        {"reasoningContent": {"reasoningText": {"text": "Then.", "signature": "s2"}}},
        {"toolUse": {"toolUseId": "a", "name": "f", "input": {}}},
    ]);
    for content in [tool_turn, interleaved] {
        let said = answer(&message(content.clone(), "tool_use"))["choices"][0]["message"].take();
        assert_eq!(turns(json!([{"role": "user", "content": "Hi"}, said]))[1]["content"], content);
    }
}

#[test]
fn citations_become_annotations_with_their_place() {
    let web = json!({"location": {"web": {"url": "https://x.org", "domain": "x.org"}}});
    let local =
        json!({"location": {"documentChar": {"documentIndex": 0, "start": 0, "end": 3}}, "title": "facts"});
    let content = json!([
        {"text": "Grüße: "},
        {"citationsContent": {"content": [{"text": "sunny"}], "citations": [local]}},
        {"citationsContent": {"citations": [web]}},
        {"text": "."},
    ]);
    let read = answer(&message(content, "end_turn"));
    let message = &read["choices"][0]["message"];
    assert_eq!(message["content"], "Grüße: sunny.");
    let expected = json!([
        {"type": "citation", "citation": local, "start_index": 7, "end_index": 12},
        {
            "type": "url_citation", "citation": web,
            "url_citation": {"url": "https://x.org", "title": "x.org", "start_index": 12, "end_index": 12},
        },
    ]);
    assert_eq!(message["annotations"], expected);
}

#[test]
fn each_reason_to_stop_has_its_counterpart_and_malformed_answers_are_errors() {
    for (reason, expected) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("of_tomorrow", "of_tomorrow"),
    ] {
        let read = answer(&message(json!([{"text": "x"}]), reason));
        assert_eq!(read["choices"][0]["finish_reason"], expected, "{reason}");
    }
    for (reason, kind) in [
        ("malformed_tool_use", ErrorKind::MalformedToolCall),
        ("malformed_model_output", ErrorKind::MalformedResponse),
    ] {
        let error = decode(&message(json!([{"text": "x"}]), reason)).unwrap_err();
        assert_eq!((error.kind(), error.code()), (kind, Some(reason)));
        assert_eq!(error.partial().unwrap().text(), "x");
    }
}

#[test]
fn usage_counts_the_cached_input_too() {
    let mut body = message(json!([]), "end_turn");
    body["usage"] = json!({
        "inputTokens": 10, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 30, "outputTokens": 7, "totalTokens": 147,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 20}, {"ttl": "1h", "inputTokens": 10}],
    });
    let usage = decode(&body).unwrap().usage().unwrap();
    assert_eq!((usage.input, usage.output), (140, 7));
    assert_eq!((usage.cache_read, usage.cache_write, usage.cache_write_long), (100, 30, 10));
    body["usage"] = json!({"inputTokens": u64::MAX, "cacheReadInputTokens": u64::MAX, "outputTokens": -1, "cacheDetails": 1});
    assert!(decode(&body).unwrap().usage().is_some());
}

#[test]
fn what_is_no_answer_is_an_error() {
    for body in
        [json!({}), json!([]), json!({"output": {}}), json!({"output": {"message": {"content": "x"}}})]
    {
        assert_eq!(decode(&body).unwrap_err().kind(), ErrorKind::MalformedResponse, "{body}");
    }
    let nameless = message(json!([{"toolUse": {"input": {}}}]), "tool_use");
    assert_eq!(decode(&nameless).unwrap_err().kind(), ErrorKind::MalformedResponse);
}

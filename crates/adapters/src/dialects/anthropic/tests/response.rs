use mainstay_provider_core::ErrorKind;
use serde_json::{Value, json};

use super::*;

fn message(content: Value, stop_reason: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content,
        "stop_reason": stop_reason, "stop_sequence": null, "usage": {"input_tokens": 3, "output_tokens": 5},
    })
}

#[test]
fn a_text_answer_is_read() {
    let expected = json!({
        "id": "msg_1", "object": "chat.completion", "created": 0, "model": "claude-x",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    });
    let content =
        json!([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo.", "citations": null}]);
    assert_eq!(answer(&message(content, "end_turn")), expected);
}

#[test]
fn calls_keep_their_arguments_as_the_model_wrote_them() {
    let body = r#"{"id": "m", "type": "message", "model": "x", "stop_reason": "tool_use", "content": [
        {"type": "tool_use", "id": "a", "name": "f", "input": {"big": 12345678901234567890123, "z": 1.0, "a": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}, "caller": {"type": "direct"}},
        {"type": "tool_use", "id": "c", "name": "h", "input": {}, "caller": {"type": "code_execution", "tool_id": "s"}}
    ]}"#;
    let answer = plain().decode_chat(body.into(), MODEL).unwrap();
    let calls = serde_json::to_value(&answer.choices[0].message.tool_calls).unwrap();
    let function = |name: &str, arguments: &str| json!({"name": name, "arguments": arguments});
    let expected = json!([
        {
            "id": "a", "type": "function",
            "function": function("f", "{\"big\": 12345678901234567890123, \"z\": 1.0, \"a\": 1}"),
        },
        {"id": "b", "type": "function", "function": function("g", "{}")},
        {
            "id": "c", "type": "function", "function": function("h", "{}"),
            "caller": {"type": "code_execution", "tool_id": "s"},
        },
    ]);
    assert_eq!(calls, expected);
    assert_eq!(answer.choices[0].message.content, None);
    assert_eq!(answer.finish_reason().unwrap().as_str(), "tool_calls");
    assert_eq!(answer.usage, None);
}

#[test]
fn reasoning_is_shown_and_its_signature_kept() {
    let read = answer(&message(
        json!([
            {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "ENC"},
            {"type": "thinking", "thinking": "", "signature": "omitted"},
            {"type": "text", "text": "42"},
        ]),
        "end_turn",
    ));
    let expected = json!({
        "role": "assistant", "content": "42", "reasoning_content": "Hmm.", "thinking_blocks": [
            {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "ENC"},
            {"type": "thinking", "thinking": "", "signature": "omitted"},
        ],
    });
    assert_eq!(read["choices"][0]["message"], expected);
}

#[test]
fn an_answer_goes_back_as_it_came() {
    let tool_turn = json!([
        {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
    ]);
    let interleaved = json!([
        {"type": "thinking", "thinking": "First.", "signature": "s1"},
        {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv", "content": []},
        {"type": "thinking", "thinking": "Then.", "signature": "s2"},
        {"type": "text", "text": "So: "},
        {"type": "text", "text": "sunny"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
    ]);
    for content in [tool_turn, interleaved] {
        let said = answer(&message(content.clone(), "tool_use"))["choices"][0]["message"].take();
        let history = json!([{"role": "user", "content": "Hi"}, said]);
        assert_eq!(turns(history)[1]["content"], content);
    }
}

#[test]
fn an_answer_that_the_caller_changed_is_not_replayed() {
    let content = json!([
        {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}},
        {"type": "text", "text": "sunny"},
    ]);
    let mut said = answer(&message(content, "end_turn"))["choices"][0]["message"].take();
    said["content"] = "rainy".into();
    let history = json!([{"role": "user", "content": "Hi"}, said]);
    assert_eq!(turns(history)[1]["content"], "rainy");
}

#[test]
fn a_call_of_the_providers_own_tool_is_none_to_the_caller() {
    let content =
        json!([{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}]);
    let read = answer(&message(content, "pause_turn"));
    assert_eq!(read["choices"][0]["message"].get("tool_calls"), None);
    assert_eq!(read["choices"][0]["finish_reason"], "stop");
    assert_eq!(read["choices"][0]["stop_reason"], "pause_turn");
}

#[test]
fn citations_become_annotations_with_their_place() {
    let web = json!({"type": "web_search_result_location", "url": "https://x.org", "title": "X", "cited_text": "c"});
    let local = json!({"type": "char_location", "document_index": 0, "cited_text": "d"});
    let content = json!([
        {"type": "text", "text": "Grüße: "},
        {"type": "text", "text": "sunny", "citations": [web, local]},
    ]);
    let read = answer(&message(content, "end_turn"));
    let expected = json!([
        {
            "type": "url_citation", "citation": web,
            "url_citation": {"url": "https://x.org", "title": "X", "start_index": 7, "end_index": 12},
        },
        {"type": "citation", "citation": local, "start_index": 7, "end_index": 12},
    ]);
    assert_eq!(read["choices"][0]["message"]["annotations"], expected);
}

#[test]
fn each_reason_to_stop_has_its_counterpart() {
    for (reason, expected) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("of_tomorrow", "of_tomorrow"),
    ] {
        let read = answer(&message(json!([{"type": "text", "text": "x"}]), reason));
        assert_eq!(read["choices"][0]["finish_reason"], expected, "{reason}");
    }
}

#[test]
fn a_refusal_tells_why() {
    let mut body = message(json!([]), "refusal");
    body["stop_details"] = json!({"type": "refusal", "category": "bio", "explanation": "Not that."});
    let read = answer(&body);
    let choice = &read["choices"][0];
    assert_eq!(choice["message"], json!({"role": "assistant", "content": "", "refusal": "Not that."}));
    assert_eq!(
        (&choice["finish_reason"], &choice["stop_details"]["category"]),
        (&json!("content_filter"), &json!("bio"))
    );
}

#[test]
fn usage_counts_the_cached_input_too() {
    let mut body = message(json!([]), "end_turn");
    body["usage"] = json!({
        "input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 30, "output_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
        "output_tokens_details": {"thinking_tokens": 4}, "server_tool_use": {"web_search_requests": 1},
    });
    let usage = decode(&body).unwrap().usage().unwrap();
    assert_eq!((usage.input, usage.output, usage.reasoning), (140, 7, 4));
    assert_eq!((usage.cache_read, usage.cache_write, usage.cache_write_long), (100, 30, 10));
    assert_eq!(answer(&body)["usage"]["server_tool_use"]["web_search_requests"], 1);
}

#[test]
fn figures_that_make_no_sense_do_not_break_the_answer() {
    let mut body = message(json!([]), "end_turn");
    body["usage"] = json!({
        "input_tokens": u64::MAX, "cache_read_input_tokens": u64::MAX, "cache_creation_input_tokens": -1,
        "output_tokens": "many", "cache_creation": 3,
    });
    assert!(decode(&body).unwrap().usage().unwrap().input > 0);
}

#[test]
fn what_is_no_answer_is_an_error() {
    for body in [
        json!({}),
        json!([]),
        json!({"type": "message", "content": "text"}),
        json!({"content": [{"text": 1}]}),
    ] {
        assert_eq!(decode(&body).unwrap_err().kind(), ErrorKind::MalformedResponse, "{body}");
    }
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    assert_eq!(decode(&overloaded).unwrap_err().kind(), ErrorKind::Overloaded);
    let nameless = json!({"content": [{"type": "tool_use", "input": {}}]});
    assert_eq!(decode(&nameless).unwrap_err().kind(), ErrorKind::MalformedResponse);
}

use mainstay_provider_core::ErrorKind;
use serde_json::{Value, json};

use super::*;

fn start() -> Value {
    let usage = json!({"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1});
    json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude-x", "content": [], "usage": usage}})
}

fn block(index: u32, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u32, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn text(index: u32, text: &str) -> Value {
    delta(index, json!({"type": "text_delta", "text": text}))
}

fn end(index: u32) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn stop(reason: &str) -> [Value; 2] {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    let usage = json!({"output_tokens": 9, "input_tokens": null});
    [json!({"type": "message_delta", "delta": delta, "usage": usage}), json!({"type": "message_stop"})]
}

fn events(middle: Vec<Value>, reason: &str) -> Vec<Value> {
    [vec![start()], middle, stop(reason).to_vec()].concat()
}

#[test]
fn a_text_comes_piece_by_piece_and_the_usage_last() {
    let middle = vec![
        block(0, json!({"type": "text", "text": ""})),
        json!({"type": "ping"}),
        text(0, "Hel"),
        text(0, "lo."),
        json!({"type": "of_tomorrow", "delta": "anything", "index": "x"}),
        end(0),
    ];
    let (chunks, answer) = assembled(&events(middle, "end_turn"));
    let json: Vec<_> = chunks.iter().map(|chunk| serde_json::to_value(chunk).unwrap()).collect();
    assert_eq!(json[0]["choices"][0]["delta"], json!({"role": "assistant"}));
    let texts: Vec<_> = chunks.iter().map(ChatChunk::text).filter(|text| !text.is_empty()).collect();
    assert_eq!(texts, ["Hel", "lo."]);
    assert!(json.iter().all(|chunk| chunk["id"] == "msg_1" && chunk["model"] == "claude-x"));
    assert_eq!(json[json.len() - 2]["choices"][0]["finish_reason"], "stop");
    let usage = json!({
        "prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 2},
    });
    assert_eq!(json[json.len() - 1]["choices"], json!([]));
    assert_eq!(json[json.len() - 1]["usage"], usage);
    assert_eq!(answer.text(), "Hello.");
}

#[test]
fn calls_come_by_index_with_id_and_name_first() {
    let call = |id: &str, name: &str| json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    let piece = |index, json: &str| delta(index, json!({"type": "input_json_delta", "partial_json": json}));
    let middle = vec![
        block(0, json!({"type": "text", "text": ""})),
        text(0, "Let me see."),
        end(0),
        block(1, call("a", "f")),
        piece(1, ""),
        piece(1, "{\"city\": \"Par"),
        piece(1, "is\"}"),
        end(1),
        block(2, call("b", "g")),
        piece(2, ""),
        end(2),
    ];
    let (chunks, answer) = assembled(&events(middle, "tool_use"));
    let pieces: Vec<_> =
        chunks.iter().flat_map(|chunk| &chunk.choices).flat_map(|choice| &choice.delta.tool_calls).collect();
    assert_eq!((pieces[0].index, pieces[0].id.as_deref()), (0, Some("a")));
    assert!(pieces[1..3].iter().all(|piece| piece.index == 0 && piece.id.is_none()));
    assert_eq!((pieces[3].index, pieces[3].id.as_deref()), (1, Some("b")));
    let calls = &answer.choices[0].message.tool_calls;
    let read: Vec<_> =
        calls.iter().map(|call| call.function.as_ref().unwrap()).map(|f| (&*f.name, &*f.arguments)).collect();
    assert_eq!(read, [("f", "{\"city\": \"Paris\"}"), ("g", "{}")]);
    assert_eq!(answer.finish_reason().unwrap().as_str(), "tool_calls");
    assert!(answer.choices[0].message.extra.is_empty(), "{:?}", answer.choices[0].message.extra);
}

#[test]
fn reasoning_streams_as_text_and_its_signature_arrives_whole() {
    let middle = vec![
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "Hm"})),
        delta(0, json!({"type": "thinking_delta", "thinking": "m."})),
        delta(0, json!({"type": "signature_delta", "signature": "sig"})),
        end(0),
        block(1, json!({"type": "redacted_thinking", "data": "ENC"})),
        end(1),
        block(2, json!({"type": "text", "text": "42"})),
        end(2),
    ];
    let (_, answer) = assembled(&events(middle, "end_turn"));
    let message = serde_json::to_value(&answer.choices[0].message).unwrap();
    let expected = json!({
        "role": "assistant", "content": "42", "reasoning_content": "Hmm.", "thinking_blocks": [
            {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "ENC"},
        ],
    });
    assert_eq!(message, expected);
}

#[test]
fn an_interleaved_answer_is_replayed_as_it_streamed() {
    let middle = vec![
        block(0, json!({"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "{\"query\": \"q\"}"})),
        end(0),
        block(1, json!({"type": "web_search_tool_result", "tool_use_id": "srv", "content": []})),
        end(1),
        block(2, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(2, json!({"type": "thinking_delta", "thinking": "So."})),
        delta(2, json!({"type": "signature_delta", "signature": "sig"})),
        end(2),
        block(3, json!({"type": "text", "text": "", "citations": []})),
        delta(
            3,
            json!({"type": "citations_delta", "citation": {"type": "web", "url": "https://x.org", "title": "X"}}),
        ),
        text(3, "sunny"),
        end(3),
        block(4, json!({"type": "tool_use", "id": "a", "name": "f", "input": {}})),
        delta(4, json!({"type": "input_json_delta", "partial_json": "{\"x\": 1}"})),
        end(4),
    ];
    let (_, answer) = assembled(&events(middle, "tool_use"));
    let message = serde_json::to_value(&answer.choices[0].message).unwrap();
    assert_eq!(message["tool_calls"].as_array().unwrap().len(), 1);
    let cited = json!({"url": "https://x.org", "title": "X", "start_index": 0, "end_index": 5});
    assert_eq!(message["annotations"][0]["url_citation"], cited);
    let expected = json!([
        {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv", "content": []},
        {"type": "thinking", "thinking": "So.", "signature": "sig"},
        {"type": "text", "text": "sunny"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
    ]);
    assert_eq!(turns(json!([{"role": "user", "content": "Hi"}, message]))[1]["content"], expected);
}

#[test]
fn a_refusal_in_a_stream_tells_why() {
    let details = json!({"type": "refusal", "category": null, "explanation": "Not that."});
    let mut all = events(vec![], "refusal");
    all[1]["delta"]["stop_details"] = details;
    let (_, answer) = assembled(&all);
    assert_eq!(answer.finish_reason().unwrap().as_str(), "content_filter");
    assert_eq!(answer.choices[0].message.refusal.as_deref(), Some("Not that."));
}

#[test]
fn an_error_event_ends_the_stream_with_its_kind() {
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let (chunks, result) = read_stream(sse(std::slice::from_ref(&error)));
    assert!(chunks.is_empty(), "an error before the first content must be an error of the call");
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Overloaded);
    let late = [start(), block(0, json!({"type": "text", "text": "Hel"})), error];
    let (chunks, result) = read_stream(sse(&late));
    assert_eq!(chunks.iter().map(ChatChunk::text).collect::<String>(), "Hel");
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Overloaded);
}

#[test]
fn a_cut_stream_ends_without_a_finish_reason() {
    let (chunks, result) = read_stream(sse(&[start(), block(0, json!({"type": "text", "text": "Hel"}))]));
    assert!(!result.unwrap());
    assert!(chunks.iter().flat_map(|chunk| &chunk.choices).all(|choice| choice.finish_reason.is_none()));
    assert!(chunks.iter().all(|chunk| chunk.usage.is_none()));
    let (chunks, result) = read_stream(sse(&[start(), stop("end_turn")[0].clone()]));
    assert!(!result.unwrap(), "cut before message_stop, but complete");
    assert_eq!(chunks.last().unwrap().usage().unwrap().output, 9);
}

#[test]
fn a_malformed_event_is_an_error_and_never_a_panic() {
    for data in [
        "{\"type\": \"content_block_delta\"",
        "[]",
        "\u{fffd}",
        "{\"type\": \"content_block_start\", \"index\": -1}",
    ] {
        let (_, result) = read_stream(format!("data: {data}\n\n"));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::MalformedResponse, "{data}");
    }
    let (_, result) = read_stream(sse(&[start(), text(3, "of no block")]));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::MalformedResponse);
    let mut torn = sse(&[block(0, json!({"type": "text", "text": "?"}))]).into_bytes();
    let at = torn.iter().position(|byte| *byte == b'?').unwrap();
    torn[at] = 0xff; // no UTF-8
    let (_, result) = read_stream(torn);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::MalformedResponse);
}

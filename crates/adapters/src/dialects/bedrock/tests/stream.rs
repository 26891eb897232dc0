use mainstay_provider_core::ErrorKind;
use serde_json::{Value, json};

use super::*;

type Event = (&'static str, Value);

fn start() -> Event {
    ("messageStart", json!({"role": "assistant", "p": "abc"}))
}

fn delta(index: u32, delta: Value) -> Event {
    ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta, "p": "abcdef"}))
}

fn begin(index: u32, start: Value) -> Event {
    ("contentBlockStart", json!({"contentBlockIndex": index, "start": start, "p": "a"}))
}

fn end(index: u32) -> Event {
    ("contentBlockStop", json!({"contentBlockIndex": index, "p": "ab"}))
}

fn events(middle: Vec<Event>, reason: &str) -> Vec<Event> {
    let usage = json!({"inputTokens": 3, "cacheReadInputTokens": 2, "outputTokens": 9, "totalTokens": 14});
    let last = [
        ("messageStop", json!({"stopReason": reason, "p": "abc"})),
        ("metadata", json!({"usage": usage, "metrics": {"latencyMs": 1}, "p": "abc"})),
    ];
    [vec![start()], middle, last.to_vec()].concat()
}

#[test]
fn a_text_comes_piece_by_piece_and_the_usage_last() {
    let middle = vec![
        delta(0, json!({"text": "Hel"})),
        ("ofTomorrow", json!([1])),
        delta(0, json!({"text": ""})),
        delta(0, json!({"text": "lo."})),
        end(0),
    ];
    let (chunks, answer) = assembled(&events(middle, "end_turn"));
    let json: Vec<_> = chunks.iter().map(|chunk| serde_json::to_value(chunk).unwrap()).collect();
    assert_eq!(json[0]["choices"][0]["delta"], json!({"role": "assistant"}));
    let texts: Vec<_> = chunks.iter().map(ChatChunk::text).filter(|text| !text.is_empty()).collect();
    assert_eq!(texts, ["Hel", "lo."]);
    assert!(json.iter().all(|chunk| chunk["id"] == json[0]["id"] && chunk["model"] == MODEL));
    assert!(json.iter().all(|chunk| chunk.get("p").is_none()), "padding stays here");
    assert_eq!(json[json.len() - 2]["choices"][0]["finish_reason"], "stop");
    let usage = json!({
        "prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 2},
    });
    assert_eq!((&json[json.len() - 1]["choices"], &json[json.len() - 1]["usage"]), (&json!([]), &usage));
    assert_eq!(answer.text(), "Hello.");
}

#[test]
fn calls_come_by_index_with_id_and_name_first() {
    let call = |id: &str, name: &str| json!({"toolUse": {"toolUseId": id, "name": name}});
    let piece = |index, json: &str| delta(index, json!({"toolUse": {"input": json}}));
    let middle = vec![
        delta(0, json!({"text": "Let me see."})),
        end(0),
        begin(1, call("a", "f")),
        piece(1, ""),
        piece(1, "{\"city\": \"Par"),
        piece(1, "is\"}"),
        end(1),
        begin(2, call("b", "g")),
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
    assert!(answer.choices[0].message.extra.is_empty());
}

#[test]
fn reasoning_streams_as_text_and_comes_as_a_block_when_it_is_signed() {
    let reasoning = |index, piece: Value| delta(index, json!({"reasoningContent": piece}));
    let middle = vec![
        reasoning(0, json!({"text": "Hm"})),
        reasoning(0, json!({"text": "m."})),
        reasoning(0, json!({"signature": "sig"})),
        end(0),
        reasoning(1, json!({"redactedContent": "ENC"})),
        end(1),
        reasoning(2, json!({"text": " Unsigned."})),
        end(2),
        delta(3, json!({"text": "42"})),
        end(3),
    ];
    let (_, answer) = assembled(&events(middle, "end_turn"));
    let expected = json!({
        "role": "assistant", "content": "42", "reasoning_content": "Hmm. Unsigned.", "thinking_blocks": [
            {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "ENC"},
        ],
    });
    assert_eq!(serde_json::to_value(&answer.choices[0].message).unwrap(), expected);
}

#[test]
fn an_interleaved_answer_is_replayed_as_it_streamed_with_its_citations_apart() {
    let server = json!({"toolUse": {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}});
    let web = json!({"location": {"web": {"url": "https://x.org", "domain": "x.org"}}});
    let middle = vec![
        begin(0, server),
        delta(0, json!({"toolUse": {"input": "{\"query\": \"q\"}"}})),
        end(0),
        begin(1, json!({"toolResult": {"toolUseId": "s", "status": "success"}})),
        delta(1, json!({"toolResult": [{"text": "[HIDDEN]"}]})),
        end(1),
        delta(2, json!({"text": "sunny"})),
        delta(2, json!({"citation": web})),
        end(2),
    ];
    let (_, answer) = assembled(&events(middle, "end_turn"));
    let message = serde_json::to_value(&answer.choices[0].message).unwrap();
    assert_eq!(message.get("tool_calls"), None);
    let cited = json!({"url": "https://x.org", "title": "x.org", "start_index": 0, "end_index": 5});
    assert_eq!(message["annotations"][0]["url_citation"], cited);
    let expected = json!([
        {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use", "input": {"query": "q"}}},
        {"toolResult": {"toolUseId": "s", "status": "success", "content": [{"text": "[HIDDEN]"}]}},
        {"text": "sunny"},
    ]);
    assert_eq!(turns(json!([{"role": "user", "content": "Hi"}, message]))[1]["content"], expected);
}

#[test]
fn an_exception_in_the_stream_is_an_error_of_its_kind() {
    for (name, kind) in [
        ("throttlingException", ErrorKind::RateLimited),
        ("serviceUnavailableException", ErrorKind::Overloaded),
        ("modelStreamErrorException", ErrorKind::ServerError),
        ("internalServerException", ErrorKind::ServerError),
        ("validationException", ErrorKind::InvalidRequest),
    ] {
        let exception = Frame { exception: true, ..frame(name, &json!({"message": "Bad luck."})) };
        let (role, payload) = start();
        let (chunks, result) = read_stream([frame(role, &payload), exception]);
        assert!(chunks.iter().all(|chunk| !chunk.has_content()));
        assert_eq!(result.unwrap_err().kind(), kind, "{name}");
    }
}

#[test]
fn a_malformed_answer_ends_the_stream_with_an_error() {
    let (_, result) =
        read_stream(events(vec![], "malformed_tool_use").iter().map(|(name, event)| frame(name, event)));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::MalformedToolCall);
}

#[test]
fn a_cut_stream_ends_without_a_finish_reason_and_a_malformed_event_is_an_error() {
    let (chunks, result) =
        read_stream([start(), delta(0, json!({"text": "Hel"}))].map(|(name, event)| frame(name, &event)));
    assert!(!result.unwrap());
    assert!(chunks.iter().flat_map(|chunk| &chunk.choices).all(|choice| choice.finish_reason.is_none()));
    for (name, payload) in [
        ("contentBlockDelta", json!([])),
        ("contentBlockDelta", json!({"contentBlockIndex": -1})),
        ("contentBlockStart", json!({"start": {"toolUse": {}}})),
        ("messageStop", json!("x")),
        ("metadata", json!({"usage": 1})),
    ] {
        let (_, result) = read_stream([frame(name, &payload)]);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::MalformedResponse, "{name} {payload}");
    }
}

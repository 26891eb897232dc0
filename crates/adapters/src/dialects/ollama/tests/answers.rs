//! What is received.

use mainstay_provider_core::ErrorKind;
use mainstay_provider_core::chat::FinishReason;
use serde_json::{Value, json};

use super::ollama;
use super::support::{assemble, chunks, stream, whole};

fn line(message: Value) -> Value {
    json!({"model": "llama3:8b", "created_at": "1970-01-01T00:01:40.5Z", "message": message, "done": false})
}

fn said(text: &str) -> Value {
    line(json!({"role": "assistant", "content": text}))
}

fn last(reason: &str) -> Value {
    let mut last = said("");
    let end = json!({
        "done": true, "done_reason": reason, "prompt_eval_count": 5, "eval_count": 7, "total_duration": 900, "eval_duration": 800,
    });
    end.as_object().unwrap().iter().for_each(|(name, value)| last[name] = value.clone());
    last
}

fn ndjson(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

// S1.1
#[test]
fn an_answer_has_text_thoughts_usage_and_durations() {
    let mut body = last("stop");
    body["message"] = json!({"role": "assistant", "content": "Hello", "thinking": "Hm."});
    let read = whole(&*ollama(), &body).unwrap();
    assert_eq!((read.model.as_str(), read.created, read.text().as_ref()), ("llama3:8b", 100, "Hello"));
    assert_eq!(read.choices[0].message.reasoning_content.as_deref(), Some("Hm."));
    assert_eq!(read.finish_reason(), Some(&FinishReason::Stop));
    let usage = read.usage().unwrap();
    assert_eq!((usage.input, usage.output), (5, 7));
    assert_eq!(
        (read.extra.get("total_duration"), read.extra.get("load_duration")),
        (Some(&json!(900)), None)
    );
}

#[test]
fn calls_get_ids_and_decide_the_reason() {
    let call = |name: &str, arguments: Value| json!({"function": {"index": 0, "name": name, "arguments": arguments}});
    let mut with_id = call("h", json!({}));
    with_id["id"] = "own".into();
    let message = |calls: Value| line(json!({"role": "assistant", "content": "", "tool_calls": calls}));
    let lines = [
        message(json!([call("f", json!({"b": 1, "a": [2]}))])),
        message(json!([call("g", Value::Null), with_id])),
        last("stop"),
    ];
    let read = stream(&*ollama(), &ndjson(&lines)).unwrap();
    let calls = &read.choices[0].message.tool_calls;
    let told: Vec<_> = calls
        .iter()
        .map(|call| {
            let function = call.function.as_ref().unwrap();
            (function.name.as_str(), function.arguments.as_str())
        })
        .collect();
    assert_eq!(told, [("f", "{\"a\":[2],\"b\":1}"), ("g", "{}"), ("h", "{}")]);
    assert!(calls[0].id.starts_with("call_") && calls[0].id != calls[1].id);
    assert_eq!(calls[2].id, "own");
    assert_eq!(read.finish_reason(), Some(&FinishReason::ToolCalls));
}

#[test]
fn reasons_are_translated() {
    for (theirs, ours) in [("stop", "stop"), ("length", "length"), ("load", "stop"), ("odd", "odd")] {
        assert_eq!(whole(&*ollama(), &last(theirs)).unwrap().finish_reason().unwrap().as_str(), ours);
    }
}

// S1.7
#[test]
fn a_stream_gives_the_role_first_each_piece_at_once_and_the_usage_last() {
    let thought = line(json!({"role": "assistant", "content": "", "thinking": "Hm."}));
    let mut after = ndjson(&[thought, said("Hel"), said("lo"), last("length")]);
    after.push_str("{\"error\": \"not read any more\"}\n");
    let (pieces, error) = chunks(&*ollama(), &after, 9);
    assert!(error.is_none());
    let told: Vec<_> = pieces
        .iter()
        .map(|chunk| {
            let choice = chunk.choices.first();
            let role = choice.and_then(|choice| choice.delta.role.as_ref()).map(|role| role.as_str());
            let reason =
                choice.and_then(|choice| choice.finish_reason.as_ref()).map(|reason| reason.as_str());
            (role, chunk.text(), reason, chunk.usage.as_ref().map(|usage| usage.total_tokens))
        })
        .collect();
    let expected = [
        (Some("assistant"), "", None, None),
        (None, "Hel", None, None),
        (None, "lo", None, None),
        (None, "", Some("length"), None),
        (None, "", None, Some(12)),
    ];
    assert_eq!(told, expected);
    assert_eq!(assemble(&pieces).choices[0].message.reasoning_content.as_deref(), Some("Hm."));
}

#[test]
fn token_probabilities_are_passed_on() {
    let mut piece = said("a");
    piece["logprobs"] = json!([{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]);
    let read = stream(&*ollama(), &ndjson(&[piece.clone(), piece.clone(), last("stop")])).unwrap();
    let expected = json!({"content": [piece["logprobs"][0], piece["logprobs"][0]]});
    assert_eq!(read.choices[0].logprobs, Some(expected));
}

#[test]
fn an_answer_that_streams_all_the_same_is_read_whole() {
    let text = ndjson(&[said("Hel"), said("lo"), last("stop")]);
    let read = ollama().decode_chat(text.into(), "m").unwrap();
    assert_eq!((read.text().as_ref(), read.usage.is_some()), ("Hello", true));
}

// S2.1
#[test]
fn a_line_with_an_error_is_an_error() {
    let error = json!({"error": "an error was encountered while running the model"});
    let (pieces, failed) = chunks(&*ollama(), &ndjson(&[said("Hel"), error.clone()]), 64);
    let failed = failed.unwrap();
    assert_eq!((failed.kind(), failed.message()), (ErrorKind::ServerError, error["error"].as_str().unwrap()));
    assert_eq!(assemble(&pieces).text(), "Hel");
    let failed = ollama().decode_chat(ndjson(&[said("Hel"), error]).into(), "m").unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ServerError);
}

#[test]
fn what_cannot_be_read_is_malformed_and_never_a_panic() {
    let unfinished = said("Hel").to_string();
    for body in ["", "no", "{}", "[]", "3", "{\"message\": 3}", "{\"done\": true}{", &unfinished] {
        let error = ollama().decode_chat(body.to_owned().into(), "m").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedResponse, "{body}");
    }
    let text = ndjson(&[said("Größe"), last("stop")]);
    for end in 0..text.len() - 1 {
        let cut = String::from_utf8_lossy(&text.as_bytes()[..end]).into_owned();
        let (pieces, error) = chunks(&*ollama(), &cut, 11);
        let finished =
            pieces.iter().any(|chunk| chunk.choices.iter().any(|choice| choice.finish_reason.is_some()));
        assert!(error.is_some() || !finished, "cut at {end}");
    }
}

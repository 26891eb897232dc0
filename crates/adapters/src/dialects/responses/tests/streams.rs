use mainstay_provider_core::chat::Assembler;
use mainstay_provider_core::{Error, ErrorKind};
use serde_json::{Value, json};

use super::{call, message, openai, read, reasoning, response};
use crate::dialect::{Chunks, Flow};

/// The answer that these events amount to.
fn streamed(events: &[Value]) -> Result<Value, Error> {
    let request = serde_json::from_value(json!({"model": "m", "messages": [], "stream": true})).unwrap();
    let (mut frames, mut reader) = (openai().frames(), openai().chat_stream(&request, "gpt-5"));
    let mut out = Chunks::new();
    for event in events {
        let kind = event["type"].as_str().unwrap();
        frames.push(format!("event: {kind}\ndata: {event}\n\n").into());
    }
    let mut flow = Flow::More;
    while let (Flow::More, Some(frame)) = (flow, frames.next()) {
        flow = reader.read(frame.unwrap(), &mut out)?;
    }
    assert_eq!(flow, Flow::Done);
    let mut whole = Assembler::default();
    out.iter().for_each(|chunk| whole.push(chunk));
    assert_eq!(out[0].choices[0].delta.role.as_ref().unwrap().as_str(), "assistant");
    Ok(serde_json::to_value(whole.finish()).unwrap())
}

fn begin() -> Value {
    json!({"type": "response.created", "response": response(json!([]), "in_progress")})
}

fn end(output: &Value) -> Value {
    json!({"type": "response.completed", "response": response(output.clone(), "completed")})
}

fn item(kind: &str, at: u32, item: &Value) -> Value {
    json!({"type": format!("response.output_item.{kind}"), "output_index": at, "item": item})
}

fn delta(kind: &str, at: u32, text: &str) -> Value {
    json!({"type": format!("response.{kind}.delta"), "output_index": at, "delta": text})
}

#[test]
fn a_streamed_answer_is_the_whole_one() {
    let output = json!([reasoning(), message("Sunny."), call("call_1", "{\"city\":\"Bern\"}")]);
    let mut second = delta("reasoning_summary_text", 0, "Then.");
    second["summary_index"] = 1.into();
    let events = [
        begin(),
        item(
            "added",
            0,
            &json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "an earlier state"}),
        ),
        delta("reasoning_summary_text", 0, "Fir"),
        delta("reasoning_summary_text", 0, "st."),
        second,
        item("done", 0, &output[0]),
        item("added", 1, &json!({"type": "message", "content": []})),
        delta("output_text", 1, "Sun"),
        delta("output_text", 1, "ny."),
        item("done", 1, &output[1]),
        item(
            "added",
            2,
            &json!({"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": ""}),
        ),
        delta("function_call_arguments", 2, "{\"city\":"),
        delta("function_call_arguments", 2, "\"Bern\"}"),
        item("done", 2, &output[2]),
        end(&output),
    ];
    let mut whole = read(output, "completed");
    whole["object"] = "chat.completion".into();
    assert_eq!(streamed(&events).unwrap(), whole);
}

#[test]
fn what_came_without_pieces_is_told_at_its_end() {
    let output = json!([message("Sunny."), call("call_1", "{}")]);
    let answer = streamed(&[begin(), item("done", 0, &output[0]), end(&output)]).unwrap();
    let said = &answer["choices"][0]["message"];
    assert_eq!(said["content"], "Sunny.");
    assert_eq!(said["tool_calls"][0]["function"]["arguments"], "{}");
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn citations_are_told_once() {
    let citation = json!({"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 3});
    let mut cited = message("See A.");
    cited["content"][0]["annotations"] = json!([citation]);
    let events = [
        begin(),
        item("added", 0, &json!({"type": "message", "content": []})),
        delta("output_text", 0, "See A."),
        json!({"type": "response.output_text.annotation.added", "output_index": 0, "annotation": citation}),
        item("done", 0, &cited),
        end(&json!([cited])),
    ];
    let answer = streamed(&events).unwrap();
    assert_eq!(answer["choices"][0]["message"]["annotations"].as_array().unwrap().len(), 1);
}

#[test]
fn an_error_event_is_an_error_in_either_of_its_forms() {
    let flat = json!({"type": "error", "code": "server_is_overloaded", "message": "busy"});
    let nested = json!({"type": "error", "error": {"code": "server_is_overloaded", "message": "busy"}});
    let mut failed = response(json!([]), "failed");
    failed["error"] = json!({"code": "server_is_overloaded", "message": "busy"});
    for event in [flat, nested, json!({"type": "response.failed", "response": failed})] {
        let error = streamed(&[begin(), event]).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Overloaded, "busy"));
    }
}

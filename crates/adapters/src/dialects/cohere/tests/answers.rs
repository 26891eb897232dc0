//! What is received.

use mainstay_provider_core::ErrorKind;
use mainstay_provider_core::chat::FinishReason;
use serde_json::{Value, json};

use super::cohere;
use super::support::{assemble, chunks, stream, whole};

fn answer(message: Value, reason: &str) -> Value {
    json!({"id": "r1", "message": message, "finish_reason": reason, "usage": {
        "billed_units": {"input_tokens": 3, "output_tokens": 4},
        "tokens": {"input_tokens": 50, "output_tokens": 9, "reasoning_tokens": 5},
        "cached_tokens": 40,
    }})
}

fn said(text: &str) -> Value {
    json!({"role": "assistant", "content": [{"type": "text", "text": text}]})
}

/// A stream of these events, each named by its type, as Cohere does.
fn events(events: &[Value]) -> String {
    let line = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"));
    events.iter().map(line).collect::<String>() + "data: [DONE]\n\n"
}

fn start() -> Value {
    json!({"type": "message-start", "id": "r1", "delta": {"message": {
        "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": [],
    }}})
}

fn piece(kind: &str, index: u32, message: Value) -> Value {
    json!({"type": kind, "index": index, "delta": {"message": message}})
}

fn text(index: u32, text: &str) -> Value {
    piece("content-delta", index, json!({"content": {"text": text}}))
}

fn end(reason: &str) -> Value {
    let answer = answer(Value::Null, reason);
    json!({"type": "message-end", "delta": {"finish_reason": reason, "usage": answer["usage"]}})
}

// S1.1
#[test]
fn an_answer_has_text_thoughts_plan_calls_and_usage() {
    let message = json!({
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "I look."}],
        "tool_plan": "I call f.",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        ],
    });
    let read = whole(&*cohere(), &answer(message, "TOOL_CALL")).unwrap();
    let message = &read.choices[0].message;
    assert_eq!((read.id.as_str(), read.model.as_str(), read.text().as_ref()), ("r1", "asked-for", "I look."));
    assert_eq!(message.reasoning_content.as_deref(), Some("Hm."));
    assert_eq!(message.extra.get("tool_plan"), Some(&json!("I call f.")));
    assert_eq!(message.tool_calls[0].function.as_ref().unwrap().arguments, "{\"x\":1}");
    assert_eq!(message.tool_calls[1].function.as_ref().unwrap().arguments, "{}");
    assert_eq!(read.finish_reason(), Some(&FinishReason::ToolCalls));
    let usage = read.usage().unwrap();
    assert_eq!((usage.input, usage.output, usage.cache_read, usage.reasoning), (50, 9, 40, 5));
    let billed = read.usage.unwrap().extra.get("billed_units").cloned();
    assert_eq!(billed, Some(json!({"input_tokens": 3, "output_tokens": 4})));
}

#[test]
fn reasons_are_translated_and_failures_are_errors_with_what_was_said() {
    let reason = |reason: &str| whole(&*cohere(), &answer(said("x"), reason));
    for (theirs, ours) in [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("SOMETHING_NEW", "something_new"),
    ] {
        assert_eq!(reason(theirs).unwrap().finish_reason().unwrap().as_str(), ours);
    }
    for (theirs, kind) in
        [("ERROR", "server_error"), ("TIMEOUT", "timeout"), ("ERROR_TOXIC", "content_filtered")]
    {
        let error = reason(theirs).unwrap_err();
        assert_eq!((error.kind().as_str(), error.partial().unwrap().text().as_ref()), (kind, "x"));
    }
}

#[test]
fn citations_are_annotations_and_their_sources_are_not_lost() {
    let source = |id: &str, url: Option<&str>| json!({"type": "tool", "id": id, "tool_output": {"title": "T", "text": "t", "url": url}});
    let cite = |start: u32, sources: Value, kind: &str| json!({"start": start, "end": start + 2, "text": "ab", "sources": sources, "type": kind, "content_index": 2});
    let with_url = cite(1, json!([source("1", Some("https://a.example"))]), "TEXT_CONTENT");
    let without = cite(2, json!([source("2", None)]), "TEXT_CONTENT");
    let of_plan = cite(3, json!([source("3", Some("https://a.example"))]), "PLAN");
    let message = json!({
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Größe "}, {"type": "text", "text": "cdef"}],
        "citations": [with_url, without, of_plan],
    });
    let annotations =
        whole(&*cohere(), &answer(message, "COMPLETE")).unwrap().choices[0].message.annotations.clone();
    let url = json!({"url": "https://a.example", "title": "T", "start_index": 7, "end_index": 9});
    let expected = [
        json!({"type": "url_citation", "url_citation": url, "source": {"type": "tool", "id": "1"}}),
        json!({"type": "citation", "citation": without}),
        json!({"type": "citation", "citation": of_plan}),
    ];
    assert_eq!(annotations, expected);
}

#[test]
fn token_probabilities_have_openais_shape() {
    let mut body = answer(said("ab"), "COMPLETE");
    body["logprobs"] =
        json!([{"text": "a", "token_ids": [1], "logprobs": [-0.5]}, {"text": "b", "logprobs": [-1.0, -2.0]}]);
    let entry = |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes(), "top_logprobs": []});
    let expected = json!({"content": [entry("a", -0.5), entry("b", -3.0)]});
    assert_eq!(whole(&*cohere(), &body).unwrap().choices[0].logprobs, Some(expected));
    let mut event = text(0, "a");
    event["logprobs"] = json!({"text": "a", "logprobs": [-0.5]});
    let read = stream(&*cohere(), &events(&[start(), event, end("COMPLETE")])).unwrap();
    assert_eq!(read.choices[0].logprobs, Some(json!({"content": [entry("a", -0.5)]})));
}

// S1.7
#[test]
fn a_stream_gives_the_role_first_each_piece_at_once_and_the_usage_last() {
    let open =
        |index: u32, kind: &str| piece("content-start", index, json!({"content": {"type": kind, kind: ""}}));
    let thought = piece("content-delta", 0, json!({"content": {"thinking": "Hm."}}));
    let close = |index: u32| json!({"type": "content-end", "index": index});
    let all = [
        start(),
        open(0, "thinking"),
        thought,
        close(0),
        open(1, "text"),
        text(1, "Hel"),
        text(1, "lo"),
        close(1),
        json!({"type": "something-new", "delta": 5}),
        end("COMPLETE"),
    ];
    let (pieces, error) = chunks(&*cohere(), &events(&all), 9);
    assert!(error.is_none(), "{error:?}");
    let told: Vec<_> = pieces
        .iter()
        .map(|chunk| {
            let choice = chunk.choices.first();
            let thought =
                choice.and_then(|choice| choice.delta.reasoning_content.as_deref()).unwrap_or_default();
            let reason =
                choice.and_then(|choice| choice.finish_reason.as_ref()).map(|reason| reason.as_str());
            (thought, chunk.text(), reason, chunk.usage.is_some())
        })
        .collect();
    let expected = [
        ("", "", None, false),
        ("Hm.", "", None, false),
        ("", "Hel", None, false),
        ("", "lo", None, false),
        ("", "", Some("stop"), false),
        ("", "", None, true),
    ];
    assert_eq!(told, expected);
    assert_eq!(pieces[0].choices[0].delta.role.as_ref().unwrap().as_str(), "assistant");
    assert!(pieces.iter().all(|chunk| chunk.id == "r1" && chunk.model == "asked-for"));
}

#[test]
fn a_streamed_plan_is_told_whole_and_calls_come_in_pieces() {
    let plan = |text: &str| json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": text}}});
    let open = |index: u32, name: &str| {
        let function = json!({"name": name, "arguments": ""});
        piece(
            "tool-call-start",
            index,
            json!({"tool_calls": {"id": format!("{name}_1"), "type": "function", "function": function}}),
        )
    };
    let arguments = |index: u32, text: &str| {
        piece("tool-call-delta", index, json!({"tool_calls": {"function": {"arguments": text}}}))
    };
    let close = |index: u32| json!({"type": "tool-call-end", "index": index});
    let all = [
        start(),
        plan("I call"),
        plan(" f."),
        open(0, "f"),
        arguments(0, "{\"x\""),
        arguments(0, ":1}"),
        close(0),
        open(1, "g"),
        close(1),
        end("TOOL_CALL"),
    ];
    let read = stream(&*cohere(), &events(&all)).unwrap();
    let message = &read.choices[0].message;
    let calls: Vec<_> = message
        .tool_calls
        .iter()
        .map(|call| (call.id.as_str(), call.function.as_ref().unwrap().arguments.as_str()))
        .collect();
    assert_eq!(calls, [("f_1", "{\"x\":1}"), ("g_1", "{}")]);
    assert_eq!(message.extra.get("tool_plan"), Some(&json!("I call f.")));
    assert_eq!(read.finish_reason(), Some(&FinishReason::ToolCalls));
}

#[test]
fn streamed_citations_point_into_the_text_that_is_being_written() {
    let cited = json!({"start": 1, "end": 3, "text": "ef", "type": "TEXT_CONTENT", "sources": [
        {"type": "document", "id": "d", "document": {"url": "https://a.example"}},
    ]});
    let thought = piece("content-delta", 0, json!({"content": {"thinking": "Hm."}}));
    let all = [
        start(),
        thought,
        text(1, "äbc"),
        text(2, "defg"),
        piece("citation-start", 0, json!({"citations": cited})),
        json!({"type": "citation-end", "index": 0}),
        end("COMPLETE"),
    ];
    let annotations = stream(&*cohere(), &events(&all)).unwrap().choices[0].message.annotations.clone();
    assert_eq!((annotations.len(), &annotations[0]["url_citation"]["start_index"]), (1, &json!(4)));
}

// S2.1
#[test]
fn failures_inside_a_success_are_errors() {
    let body = json!({"id": "1", "message": "invalid api key"});
    assert_ne!(whole(&*cohere(), &body).unwrap_err().kind(), ErrorKind::Internal);
    let mut failed = end("ERROR");
    failed["delta"]["error"] = "the model broke".into();
    let (pieces, error) = chunks(&*cohere(), &events(&[start(), text(0, "Hel"), failed]), 64);
    let error = error.unwrap();
    assert_eq!((error.kind(), error.message()), (ErrorKind::ServerError, "the model broke"));
    assert_eq!(assemble(&pieces).text(), "Hel");
    let (_, error) = chunks(&*cohere(), &events(&[start(), end("TIMEOUT")]), 64);
    assert_eq!(error.unwrap().kind().as_str(), "timeout");
    let (_, error) = chunks(&*cohere(), &events(&[start(), json!({"message": "too many tokens"})]), 64);
    assert!(error.is_some());
}

#[test]
fn what_cannot_be_read_is_malformed_and_never_a_panic() {
    for body in ["", "no", "{}", "[]", "3", "{\"message\": {\"content\": 3}}"] {
        let error = cohere().decode_chat(body.into(), "m").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedResponse, "{body}");
    }
    for data in ["{", "{\"type\": \"content-delta\", \"delta\": 3}", "[1]x"] {
        let (_, error) = chunks(&*cohere(), &format!("data: {data}\n\n"), 64);
        assert_eq!(error.unwrap().kind(), ErrorKind::MalformedResponse, "{data}");
    }
    let all = events(&[start(), text(0, "Größe"), end("COMPLETE")]);
    for at in 0..all.len() {
        let cut = String::from_utf8_lossy(&all.as_bytes()[..at]).into_owned();
        let _ = chunks(&*cohere(), &cut, 11);
    }
}

//! What becomes of streamed answers.

use mainstay_provider_core::chat::FinishReason;
use mainstay_provider_core::{ErrorKind, Usage};
use serde_json::{Value, json};

use super::{assembled, events, provider, read_stream};
use crate::dialects::openai::profile;

/// A chunk with this delta, which may end the answer.
fn piece(delta: Value, finish_reason: Option<&str>) -> Value {
    json!({
        "id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    })
}

fn last() -> Value {
    piece(json!({}), Some("stop"))
}

#[test]
fn s1_7_events_are_passed_on_as_the_provider_wrote_them() {
    let all = [
        json!({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}),
        piece(json!({"role": "assistant", "content": ""}), None),
        piece(json!({"content": "Hi"}), None),
        piece(
            json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            None,
        ),
        piece(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}), None),
        piece(json!({}), Some("tool_calls")),
        json!({"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
               "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}),
    ];
    let (chunks, error) =
        read_stream(&*provider("openai", &profile::OPENAI), &(events(&all) + "data: [DONE]\n\n"));
    assert!(error.is_none());
    let raw: Vec<_> =
        chunks.iter().map(|chunk| String::from_utf8(chunk.raw().unwrap().to_vec()).unwrap()).collect();
    assert_eq!(raw, all.map(|event| event.to_string()));
    let answer = assembled(&chunks);
    assert_eq!((answer.text().as_ref(), answer.usage()), ("Hi", Some(Usage::new(1, 2))));
    assert_eq!((answer.model.as_str(), answer.finish_reason()), ("m", Some(&FinishReason::ToolCalls)));
}

#[test]
fn nothing_is_read_after_done() {
    let body = events(&[last()]) + "data: [DONE]\n\ndata: {\"error\": {\"message\": \"late\"}}\n\n";
    let (chunks, error) = read_stream(&*provider("openai", &profile::OPENAI), &body);
    assert_eq!((chunks.len(), error.is_none()), (1, true));
}

#[test]
fn an_event_of_several_lines_becomes_one_line() {
    let body = "data: {\"id\": \"a\", \"model\": \"m\",\ndata: \"choices\": [{\"index\": 0, \"delta\": {\"content\": \"x\"}}]}\n\n";
    let (chunks, _) = read_stream(&*provider("openai", &profile::OPENAI), body);
    assert_eq!(chunks[0].text(), "x");
    assert!(!chunks[0].to_json().contains(&b'\n'));
}

#[test]
fn s2_1_an_error_within_the_stream_ends_it() {
    let openai = provider("openai", &profile::OPENAI);
    let failed = |body: &str| read_stream(&*openai, body).1.unwrap().kind();
    let begun = events(&[piece(json!({"content": "par"}), None)]);
    let error = r#"{"error":{"message":"The server is overloaded","type":"server_error","code":503}}"#;
    assert_eq!(failed(&format!("{begun}data: {error}\n\n")), ErrorKind::Overloaded);
    assert_eq!(failed(&format!("data: [{error}]\n\n")), ErrorKind::Overloaded);
    let mut in_chunk = piece(json!({"content": ""}), Some("error"));
    in_chunk["error"] = json!({"code": 429, "message": "Rate limit exceeded"});
    assert_eq!(failed(&events(&[in_chunk])), ErrorKind::RateLimited);
    let vllm = json!({"object": "error", "message": "boom", "type": "InternalServerError", "code": 500});
    assert_eq!(failed(&events(&[vllm])), ErrorKind::ServerError);
    let groq = "event: error\ndata: {\"error\":{\"message\":\"Tool call validation failed\",\"type\":\"invalid_request_error\",\
                \"code\":\"tool_use_failed\",\"failed_generation\":\"{}\",\"status_code\":400}}\n\n";
    let error = read_stream(&*provider("groq", &profile::GROQ), groq).1.unwrap();
    assert_eq!(error.kind(), ErrorKind::MalformedToolCall);
}

#[test]
fn a_complaint_after_the_end_does_not_spoil_the_answer() {
    let mut complaint = piece(json!({"role": "assistant", "content": ""}), None);
    complaint["error"] = json!({"code": 400, "message": "Token limit reached"});
    complaint["usage"] = json!({"prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5});
    let body = events(&[piece(json!({"content": "Hi"}), Some("length")), complaint]);
    let (chunks, error) = read_stream(&*provider("openrouter", &profile::OPENROUTER), &body);
    assert!(error.is_none());
    assert_eq!(assembled(&chunks).usage(), Some(Usage::new(4, 1)));
    assert_eq!(chunks[1].extra.get("provider_error").unwrap()["code"], 400);
    assert!(chunks[1].extra.get("error").is_none());
}

#[test]
fn an_event_that_cannot_be_read_is_an_error_and_an_event_of_another_name_is_not() {
    let openai = provider("openai", &profile::OPENAI);
    let broken = events(&[piece(json!({"content": "a"}), None)]) + "data: {\"id\": \"a\", \"cho\n\n";
    let (chunks, error) = read_stream(&*openai, &broken);
    assert_eq!((chunks.len(), error.unwrap().kind()), (1, ErrorKind::MalformedResponse));
    for odd in ["data: 7\n\n", "data: \"text\"\n\n", "data: []\n\n"] {
        assert_eq!(read_stream(&*openai, odd).1.unwrap().kind(), ErrorKind::MalformedResponse, "{odd}");
    }
    let ping = String::from("event: ping\ndata: ping\n\n") + &events(&[last()]);
    assert!(read_stream(&*openai, &ping).1.is_none());
}

#[test]
fn a_last_event_that_was_cut_off_counts_if_it_is_whole_and_is_lost_only_after_the_end() {
    let openai = provider("openai", &profile::OPENAI);
    let begun = events(&[piece(json!({"content": "a"}), None)]);
    let (chunks, error) = read_stream(&*openai, &format!("{begun}data: {}", last()));
    assert!(error.is_none() && assembled(&chunks).finish_reason().is_some());
    assert_eq!(
        read_stream(&*openai, &format!("{begun}data: {{\"id\"")).1.unwrap().kind(),
        ErrorKind::MalformedResponse
    );
    let ended = events(&[piece(json!({"content": "a"}), None), last()]);
    for cut in ["data: {\"usage\": {\"pro", "data: [DON"] {
        assert!(read_stream(&*openai, &format!("{ended}{cut}")).1.is_none(), "{cut}");
    }
}

#[test]
fn calls_without_an_index_or_an_id_are_kept_apart() {
    let call = |name: &str, id: Option<&str>| {
        let mut call = json!({"function": {"name": name, "arguments": "{}"}});
        if let Some(id) = id {
            call["id"] = json!(id);
        }
        call
    };
    for ids in [[Some("a"), Some("b")], [None, None], [Some(""), Some("")]] {
        let together = [piece(json!({"tool_calls": [call("f", ids[0]), call("g", ids[1])]}), Some("stop"))];
        let apart = [
            piece(json!({"tool_calls": [call("f", ids[0])]}), None),
            piece(json!({"tool_calls": [call("g", ids[1])]}), Some("stop")),
        ];
        for body in [events(&together), events(&apart)] {
            let (chunks, error) = read_stream(&*provider("gemini", &profile::GEMINI_OPENAI), &body);
            assert!(error.is_none());
            let answer = assembled(&chunks);
            let calls = &answer.choices[0].message.tool_calls;
            let names: Vec<_> =
                calls.iter().map(|call| call.function.as_ref().unwrap().name.as_str()).collect();
            assert_eq!(names, ["f", "g"]);
            assert!(
                calls[0].id != calls[1].id
                    && calls.iter().all(|call| !call.id.is_empty() && call.kind == "function")
            );
            assert_eq!(answer.finish_reason(), Some(&FinishReason::ToolCalls));
        }
    }
}

#[test]
fn a_call_whose_id_is_repeated_or_made_anew_with_each_piece_is_one_call() {
    let piece_of = |id: &str, name: Value, arguments: &str| {
        piece(
            json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}]}),
            None,
        )
    };
    for second in [piece_of("a", json!("f"), "1}"), piece_of("b", Value::Null, "1}")] {
        let body = events(&[piece_of("a", json!("f"), "{\"x\":"), second, last()]);
        let answer = assembled(&read_stream(&*provider("vllm", &profile::VLLM), &body).0);
        let calls = &answer.choices[0].message.tool_calls;
        assert_eq!((calls.len(), calls[0].function.as_ref().unwrap().arguments.as_str()), (1, "{\"x\":1}"));
    }
}

#[test]
fn reasoning_in_pieces_is_found_under_every_name() {
    for (profile, first, second) in [
        (&profile::GROQ, json!({"reasoning": "2+"}), json!({"reasoning": "2"})),
        (&profile::DEEPSEEK, json!({"reasoning_content": "2+"}), json!({"reasoning_content": "2"})),
        (
            &profile::MISTRAL,
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "2+"}]}]}),
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "2"}]}]}),
        ),
    ] {
        let text = json!({"content": "4"});
        let body = events(&[piece(first, None), piece(second, None), piece(text, Some("stop"))]);
        let answer = assembled(&read_stream(&*provider("x", profile), &body).0);
        assert_eq!(answer.choices[0].message.reasoning_content.as_deref(), Some("2+2"));
        assert_eq!(answer.text(), "4");
    }
}

#[test]
fn groqs_usage_is_found_under_its_own_name() {
    let mut end = last();
    end["x_groq"] =
        json!({"id": "r", "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}});
    let (chunks, _) = read_stream(&*provider("groq", &profile::GROQ), &events(&[end]));
    assert_eq!(chunks[0].usage(), Some(Usage::new(3, 4)));
}

#[test]
fn sources_are_annotated_once_though_each_event_repeats_them() {
    let with = |text: &str, citations: &[&str]| {
        let mut event = piece(json!({"content": text}), None);
        event["citations"] = json!(citations);
        event
    };
    let body = events(&[
        with("a", &["https://a"]),
        with("b", &["https://a"]),
        with("c", &["https://a", "https://b"]),
        last(),
    ]);
    let (chunks, _) = read_stream(&*provider("perplexity", &profile::PERPLEXITY), &body);
    let annotations = &assembled(&chunks).choices[0].message.annotations;
    let urls: Vec<_> = annotations.iter().map(|one| one["url_citation"]["url"].as_str().unwrap()).collect();
    assert_eq!(urls, ["https://a", "https://b"]);
}

#[test]
fn an_empty_finish_reason_is_none_yet() {
    let body =
        events(&[piece(json!({"content": "a"}), Some("")), piece(json!({"content": "b"}), Some("eos"))]);
    let (chunks, _) = read_stream(&*provider("together", &profile::TOGETHER), &body);
    assert_eq!(chunks[0].choices[0].finish_reason, None);
    assert_eq!(assembled(&chunks).finish_reason(), Some(&FinishReason::Stop));
}

// OpenRouter's models that draw send each image whole, as base64, in one event.
#[test]
fn an_image_of_more_than_a_mebibyte_arrives_in_one_event() {
    let url = format!("data:image/png;base64,{}", "A".repeat(3 << 20));
    let images = json!([{"type": "image_url", "image_url": {"url": url}}]);
    let body = events(&[piece(json!({"images": images}), None), last()]);
    let (chunks, error) = read_stream(&*provider("openrouter", &profile::OPENROUTER), &body);
    assert!(error.is_none(), "{error:?}");
    assert!(chunks[0].has_content() && chunks[0].to_json().len() > 3 << 20);
}

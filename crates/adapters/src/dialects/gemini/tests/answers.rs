//! What is received.

use mainstay_provider_core::chat::FinishReason;
use mainstay_provider_core::{ChatResponse, Error, ErrorKind};
use serde_json::{Value, json};

use super::gemini;
use super::support::{assemble, chunks, sse, stream, whole};

fn candidate(parts: Value, reason: &str) -> Value {
    json!({"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0})
}

fn answer(candidate: Value) -> Value {
    json!({
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12},
        "modelVersion": "gemini-x-001",
        "responseId": "r1",
    })
}

fn read(candidate: Value) -> Result<ChatResponse, Error> {
    whole(&*gemini(), &answer(candidate))
}

fn message(answer: &ChatResponse) -> Value {
    serde_json::to_value(&answer.choices[0].message).unwrap()
}

// S1.1
#[test]
fn a_text_answer_has_text_reason_usage_id_and_model() {
    let answer = read(candidate(json!([{"text": "Hel"}, {"text": "lo"}]), "STOP")).unwrap();
    assert_eq!((answer.text().as_ref(), answer.finish_reason()), ("Hello", Some(&FinishReason::Stop)));
    assert_eq!((answer.id.as_str(), answer.model.as_str(), answer.created), ("r1", "gemini-x-001", 0));
    let usage = answer.usage().unwrap();
    assert_eq!((usage.input, usage.output), (5, 7));
}

// S1.8
#[test]
fn usage_counts_tools_with_the_prompt_and_thoughts_with_the_answer() {
    let mut body = answer(candidate(json!([{"text": "x"}]), "STOP"));
    body["usageMetadata"] = json!({
        "promptTokenCount": 10, "toolUsePromptTokenCount": 3, "cachedContentTokenCount": 8,
        "candidatesTokenCount": 4, "thoughtsTokenCount": 6, "totalTokenCount": 23,
    });
    let usage = whole(&*gemini(), &body).unwrap().usage().unwrap();
    assert_eq!((usage.input, usage.output, usage.cache_read, usage.reasoning), (13, 10, 8, 6));
    // Vertex names the kind of traffic before there are figures.
    body["usageMetadata"] = json!({"trafficType": "ON_DEMAND"});
    assert_eq!(whole(&*gemini(), &body).unwrap().usage, None);
}

#[test]
fn parallel_calls_get_ids_and_decide_the_reason() {
    let parts = json!([
        {"functionCall": {"name": "f", "args": {"b": 1, "a": 2}}, "thoughtSignature": "sig"},
        {"functionCall": {"name": "g"}},
        {"functionCall": {"id": "own", "name": "f", "args": null}},
    ]);
    let answer = read(candidate(parts, "STOP")).unwrap();
    let calls = &answer.choices[0].message.tool_calls;
    let arguments: Vec<_> =
        calls.iter().map(|call| call.function.as_ref().unwrap().arguments.as_str()).collect();
    assert_eq!(arguments, ["{\"a\":2,\"b\":1}", "{}", "{}"]);
    assert_eq!(calls[0].extra.get("extra_content"), Some(&json!({"google": {"thought_signature": "sig"}})));
    assert!(calls[0].id.starts_with("call_") && calls[0].id != calls[1].id);
    assert_eq!(calls[2].id, "own");
    assert_eq!(answer.finish_reason(), Some(&FinishReason::ToolCalls));
}

#[test]
fn thoughts_are_reasoning_and_signed_ones_blocks_as_well() {
    let parts = json!([
        {"text": "Hm. ", "thought": true},
        {"text": "Yes.", "thought": true, "thoughtSignature": "s1"},
        {"text": "Four.", "thoughtSignature": "s2"},
    ]);
    let said = message(&read(candidate(parts, "STOP")).unwrap());
    assert_eq!(
        (said["content"].as_str(), said["reasoning_content"].as_str()),
        (Some("Four."), Some("Hm. Yes."))
    );
    assert_eq!(said["thinking_blocks"][0]["thinking"], "Hm. Yes.");
    assert_eq!(said["thinking_blocks"][0]["signature"], "s1");
    assert_eq!(said["extra_content"], json!({"google": {"thought_signature": "s2"}}));
}

#[test]
fn reasons_are_translated_by_name_and_by_number() {
    let reason = |reason: Value| {
        let mut one = candidate(json!([{"text": "x"}]), "");
        one["finishReason"] = reason;
        read(one)
            .map(|answer| answer.finish_reason().unwrap().as_str().to_owned())
            .map_err(|error| error.kind())
    };
    for (name, expected) in [
        (json!("MAX_TOKENS"), Ok("length")),
        (json!(2), Ok("length")),
        (json!(1), Ok("stop")),
        (json!("SAFETY"), Ok("content_filter")),
        (json!("PROHIBITED_CONTENT"), Ok("content_filter")),
        (json!("IMAGE_SAFETY"), Ok("content_filter")),
        (json!("MODEL_ARMOR"), Ok("content_filter")),
        (json!("SOMETHING_NEW"), Ok("something_new")),
        (json!("MALFORMED_FUNCTION_CALL"), Err(ErrorKind::MalformedToolCall)),
        (json!(10), Err(ErrorKind::MalformedToolCall)),
        (json!("TOO_MANY_TOOL_CALLS"), Err(ErrorKind::MalformedToolCall)),
        (json!("OTHER"), Err(ErrorKind::MalformedResponse)),
        (json!(999), Err(ErrorKind::MalformedResponse)),
        (json!("MISSING_THOUGHT_SIGNATURE"), Err(ErrorKind::InvalidRequest)),
    ] {
        assert_eq!(reason(name.clone()), expected.map(str::to_owned), "{name}");
    }
}

#[test]
fn a_whole_answer_without_a_reason_has_just_ended() {
    let mut one = candidate(json!([{"text": "x"}]), "");
    one["finishReason"] = Value::Null;
    assert_eq!(read(one.clone()).unwrap().finish_reason(), Some(&FinishReason::Stop));
    // In a stream it may have been cut: that is for the reply to tell.
    let (pieces, error) = chunks(&*gemini(), &sse(&[answer(one)]), 64);
    assert!(error.is_none() && assemble(&pieces).finish_reason().is_none());
}

// S2.1
#[test]
fn a_malformed_call_brings_the_models_words_and_what_was_said_before() {
    let mut one = candidate(json!([{"text": "I look."}]), "MALFORMED_FUNCTION_CALL");
    one["finishMessage"] = "Malformed function call: print(weather(".into();
    let error = read(one).unwrap_err();
    assert_eq!(error.message(), "Malformed function call: print(weather(");
    assert_eq!(error.code(), Some("MALFORMED_FUNCTION_CALL"));
    assert_eq!(error.partial().unwrap().text(), "I look.");
}

// S2.1
#[test]
fn a_blocked_prompt_is_a_filtered_one_whole_and_streamed() {
    let body = json!({
        "promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "no"}, "usageMetadata": {"promptTokenCount": 1},
    });
    for error in [
        whole(&*gemini(), &body).unwrap_err(),
        stream(&*gemini(), &sse(std::slice::from_ref(&body))).unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.code(), error.message()),
            (ErrorKind::ContentFiltered, Some("SAFETY"), "no")
        );
    }
}

#[test]
fn grounding_is_annotations_with_positions_in_characters() {
    let mut one = candidate(json!([{"text": "Größe: 5. Ende."}]), "STOP");
    one["groundingMetadata"] = json!({
        "groundingChunks": [
            {"web": {"uri": "https://a.example", "title": "A"}},
            {"retrievedContext": {"text": "t", "fileSearchStore": "stores/1"}},
            {"web": {"uri": "https://c.example"}},
        ],
        "groundingSupports": [
            {"segment": {"endIndex": 11, "text": "Größe: 5."}, "groundingChunkIndices": [0, 1, 99]},
            {"segment": {"startIndex": 3, "endIndex": 9, "text": "Ende."}, "groundingChunkIndices": [0]},
        ],
        "webSearchQueries": ["q"],
    });
    let url = |url: &str, title: &str, span: Option<(u64, u64)>| {
        let mut citation = json!({"url": url, "title": title});
        if let Some((start, end)) = span {
            citation["start_index"] = start.into();
            citation["end_index"] = end.into();
        }
        json!({"type": "url_citation", "url_citation": citation})
    };
    let answer = read(one.clone()).unwrap();
    let chunks = &one["groundingMetadata"]["groundingChunks"];
    let segment = &one["groundingMetadata"]["groundingSupports"][0]["segment"];
    let expected = [
        url("https://a.example", "A", Some((0, 9))),
        json!({"type": "citation", "citation": {"groundingChunk": chunks[1], "segment": segment}}),
        url("https://a.example", "A", Some((10, 15))),
        url("https://c.example", "https://c.example", None),
    ];
    assert_eq!(answer.choices[0].message.annotations, expected);
    assert_eq!(answer.choices[0].extra.get("groundingMetadata"), Some(&one["groundingMetadata"]));
}

#[test]
fn grounding_of_a_stream_runs_on_over_its_events_and_is_told_once() {
    let event = |text: &str, chunks: Value, supports: Value, reason: Value| {
        let metadata = json!({"groundingChunks": chunks, "groundingSupports": supports});
        json!({"candidates": [{
            "content": {"parts": [{"text": text}]}, "groundingMetadata": metadata, "finishReason": reason,
        }]})
    };
    let web = |name: &str| json!({"web": {"uri": format!("https://{name}.example"), "title": name}});
    let support =
        |text: &str, index: u32| json!({"segment": {"text": text}, "groundingChunkIndices": [index]});
    let first = || support("One.", 0);
    let only_new = [
        event("One.", json!([web("a")]), json!([first()]), Value::Null),
        event(" Two.", json!([web("b")]), json!([support("Two.", 1)]), "STOP".into()),
    ];
    let repeated = [
        event("One.", json!([web("a")]), json!([first()]), Value::Null),
        event(" Two.", json!([web("a"), web("b")]), json!([first(), support("Two.", 1)]), "STOP".into()),
    ];
    for events in [only_new, repeated] {
        let answer = stream(&*gemini(), &sse(&events)).unwrap();
        let cited = answer.choices[0].message.annotations.iter().map(|annotation| {
            let citation = &annotation["url_citation"];
            (citation["title"].as_str().unwrap(), citation["start_index"].as_u64().unwrap())
        });
        assert_eq!(cited.collect::<Vec<_>>(), [("a", 0), ("b", 5)]);
    }
}

#[test]
fn passages_from_known_texts_are_annotations() {
    let mut one = candidate(json!([{"text": "To be or not"}]), "STOP");
    one["citationMetadata"] = json!({"citationSources": [
        {"startIndex": 3, "endIndex": 5, "uri": "https://s.example", "license": "MIT"},
        {"startIndex": 0, "endIndex": 2, "license": "MIT"},
    ]});
    let annotations = read(one.clone()).unwrap().choices[0].message.annotations.clone();
    let url =
        json!({"url": "https://s.example", "title": "https://s.example", "start_index": 3, "end_index": 5});
    assert_eq!(annotations[0], json!({"type": "url_citation", "url_citation": url}));
    assert_eq!(annotations[1]["citation"], one["citationMetadata"]["citationSources"][1]);
}

#[test]
fn several_candidates_are_several_choices() {
    let mut body = answer(candidate(json!([{"text": "a"}]), "STOP"));
    let second = json!({"index": 1, "content": {"parts": [{"text": "b"}]}, "finishReason": "MAX_TOKENS"});
    body["candidates"].as_array_mut().unwrap().push(second);
    let read = whole(&*gemini(), &body).unwrap();
    let choices: Vec<_> = read.choices.iter().map(|choice| (choice.index, choice.message.text())).collect();
    assert_eq!(choices, [(0, "a".into()), (1, "b".into())]);
    assert_eq!(read.choices[1].finish_reason, Some(FinishReason::Length));
}

#[test]
fn token_probabilities_have_openais_shape() {
    let mut one = candidate(json!([{"text": "é!"}]), "STOP");
    one["logprobsResult"] = json!({
        "chosenCandidates": [{"token": "é", "tokenId": 1, "logProbability": -0.5}, {"token": "!"}],
        "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -1.5}]}],
    });
    let entry =
        |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()});
    let mut expected = [entry("é", -0.5), entry("!", 0.0)];
    expected[0]["top_logprobs"] = json!([entry("é", -0.5), entry("e", -1.5)]);
    expected[1]["top_logprobs"] = json!([]);
    assert_eq!(read(one).unwrap().choices[0].logprobs, Some(json!({"content": expected})));
}

#[test]
fn drawn_images_are_handed_out_and_those_of_thoughts_are_not() {
    let image = |data: &str| json!({"mimeType": "image/png", "data": data});
    let event = |parts: Value| json!({"candidates": [{"content": {"parts": parts}}]});
    let events = [
        event(json!([{"inlineData": image("AA"), "thought": true}])),
        event(json!([{"text": "Here:"}, {"inlineData": image("BB")}])),
        event(json!([{"inlineData": image("CC"), "thoughtSignature": "s"}])),
        answer(candidate(json!([]), "STOP")),
    ];
    let said = message(&stream(&*gemini(), &sse(&events)).unwrap());
    let urls: Vec<_> =
        said["images"].as_array().unwrap().iter().map(|image| &image["image_url"]["url"]).collect();
    assert_eq!(urls, ["data:image/png;base64,BB", "data:image/png;base64,CC"]);
}

// S1.7
#[test]
fn a_stream_gives_the_role_first_each_piece_at_once_and_the_usage_last() {
    let event = |text: &str, output: u64| {
        json!({
            "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": output},
            "responseId": "r1", "modelVersion": "m", "createTime": "1970-01-01T00:01:40.5Z",
        })
    };
    let mut last = event("", 3);
    last["candidates"][0]["finishReason"] = "STOP".into();
    let (pieces, error) = chunks(&*gemini(), &sse(&[event("Hel", 1), event("lo", 2), last]), 5);
    assert!(error.is_none());
    let told: Vec<_> = pieces
        .iter()
        .map(|chunk| {
            let choice = chunk.choices.first();
            let role = choice.and_then(|choice| choice.delta.role.as_ref()).map(|role| role.as_str());
            let reason =
                choice.and_then(|choice| choice.finish_reason.as_ref()).map(|reason| reason.as_str());
            (role, chunk.text(), reason, chunk.usage.as_ref().map(|usage| usage.completion_tokens))
        })
        .collect();
    let expected = [
        (Some("assistant"), "Hel", None, None),
        (None, "lo", None, None),
        (None, "", Some("stop"), None),
        (None, "", None, Some(3)),
    ];
    assert_eq!(told, expected);
    assert!(pieces.iter().all(|chunk| chunk.id == "r1" && chunk.created == 100));
}

#[test]
fn arguments_in_pieces_are_put_together() {
    let event = |calls: Value| {
        let parts: Vec<_> =
            calls.as_array().unwrap().iter().map(|call| json!({"functionCall": call})).collect();
        json!({"candidates": [{"content": {"parts": parts}}]})
    };
    let piece = |text: &str| json!([{"partialArgs": [{"jsonPath": "$.city", "stringValue": text, "willContinue": true}], "willContinue": true}]);
    let events = [
        event(json!([{"name": "f", "willContinue": true}])),
        event(piece("Bos")),
        event(piece("ton")),
        event(json!([{}])),
        event(json!([{"name": "g"}])),
        // Begun, continued and ended in one event; and one that its successor ends.
        event(
            json!([{"name": "h", "willContinue": true}, {"partialArgs": [{"jsonPath": "$.n", "numberValue": 1}]}]),
        ),
        event(json!([{"name": "i", "willContinue": true}])),
        answer(candidate(json!([{"functionCall": {"name": "j", "args": {"x": 1}}}]), "STOP")),
    ];
    let answer = stream(&*gemini(), &sse(&events)).unwrap();
    let calls: Vec<_> = answer.choices[0]
        .message
        .tool_calls
        .iter()
        .map(|call| {
            let function = call.function.as_ref().unwrap();
            (function.name.as_str(), function.arguments.as_str())
        })
        .collect();
    let expected =
        [("f", "{\"city\":\"Boston\"}"), ("g", "{}"), ("h", "{\"n\":1}"), ("i", "{}"), ("j", "{\"x\":1}")];
    assert_eq!(calls, expected);
    assert_eq!(answer.finish_reason(), Some(&FinishReason::ToolCalls));
}

#[test]
fn an_error_inside_a_success_is_an_error() {
    let body =
        json!({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}});
    assert_eq!(whole(&*gemini(), &body).unwrap_err().kind(), ErrorKind::Overloaded);
    let text = answer(json!({"content": {"parts": [{"text": "Hel"}]}}));
    let (pieces, error) = chunks(&*gemini(), &sse(&[text.clone(), body.clone()]), 64);
    assert_eq!(error.unwrap().kind(), ErrorKind::Overloaded);
    assert_eq!(assemble(&pieces).text(), "Hel");
    // In the list that a stream without events is.
    let error = whole(&*gemini(), &json!([text, body])).unwrap_err();
    assert_eq!((error.kind(), error.partial().unwrap().text().as_ref()), (ErrorKind::Overloaded, "Hel"));
}

#[test]
fn what_cannot_be_read_is_malformed_and_never_a_panic() {
    for body in [
        "",
        "no",
        "{}",
        "[]",
        "3",
        "{\"candidates\": 3}",
        "{\"candidates\": []}",
        "{\"candidates\": [{\"content\": 1}]}",
    ] {
        let error = gemini().decode_chat(body.into(), "m").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedResponse, "{body}");
    }
    let (_, error) = chunks(&*gemini(), "data: {\"candidates\": [\n\n", 64);
    assert_eq!(error.unwrap().kind(), ErrorKind::MalformedResponse);
}

#[test]
fn a_stream_that_is_cut_anywhere_is_never_a_panic_and_never_a_whole_answer() {
    let parts = json!([
        {"text": "Größe", "thought": true}, {"text": "x"},
        {"functionCall": {"name": "f", "partialArgs": [{"jsonPath": "$.a[0]", "stringValue": "é"}], "willContinue": true}},
    ]);
    let text = sse(&[answer(candidate(parts, "STOP"))]);
    for end in 0..text.len() - 2 {
        let cut = String::from_utf8_lossy(&text.as_bytes()[..end]).into_owned();
        let (pieces, error) = chunks(&*gemini(), &cut, 17);
        let finished =
            pieces.iter().any(|chunk| chunk.choices.iter().any(|choice| choice.finish_reason.is_some()));
        assert!(error.is_some() || !finished, "cut at {end}");
    }
}

//! What the contract does not know passes through it unchanged, in both directions and at every depth.
#![allow(clippy::unwrap_used)]

use mainstay_provider_core::chat::{Content, Part, ResponseFormat, ToolChoice};
use mainstay_provider_core::test_kit::Generator;
use mainstay_provider_core::{ChatChunk, ChatRequest, ChatResponse, EmbedRequest, Wire};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Parses a document from its text and prints it again.
fn there_and_back<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(document: &Value) -> Value {
    let text = document.to_string();
    let parsed: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let printed = serde_json::to_string(&parsed).unwrap();
    let again: T = serde_json::from_str(&printed).unwrap();
    assert_eq!(again, parsed, "what is printed reads as the same");
    // From a value that is already in memory it is the same as from text.
    assert_eq!(serde_json::from_value::<T>(document.clone()).unwrap(), parsed);
    serde_json::from_str(&printed).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_request_keeps_what_it_does_not_know(seed: u64) {
        let document = Generator::new(seed).request();
        prop_assert_eq!(there_and_back::<ChatRequest>(&document), document);
    }

    #[test]
    fn an_answer_keeps_what_it_does_not_know(seed: u64) {
        let document = Generator::new(seed).response();
        prop_assert_eq!(there_and_back::<ChatResponse>(&document), document);
    }

    #[test]
    fn a_chunk_keeps_what_it_does_not_know(seed: u64) {
        let document = Generator::new(seed).chunk();
        prop_assert_eq!(there_and_back::<ChatChunk>(&document), document);
    }

    #[test]
    fn an_embeddings_request_keeps_what_it_does_not_know(seed: u64) {
        let document = Generator::new(seed).embed_request();
        prop_assert_eq!(there_and_back::<EmbedRequest>(&document), document);
    }
}

#[test]
fn unknown_members_are_injected_at_every_object() {
    // The properties above are worth something only if the generator reaches every place.
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..2_000 {
        let mut generator = Generator::new(seed);
        for (kind, document) in [
            ("request", generator.request()),
            ("response", generator.response()),
            ("chunk", generator.chunk()),
            ("embed", generator.embed_request()),
        ] {
            collect_places(kind, &document, &mut seen);
        }
    }
    for place in [
        "request",
        "request.messages",
        "request.messages.content",
        "request.messages.content.image_url",
        "request.messages.content.input_audio",
        "request.messages.content.file",
        "request.messages.tool_calls",
        "request.messages.tool_calls.function",
        "request.messages.thinking_blocks",
        "request.tools",
        "request.tools.function",
        "request.tool_choice",
        "request.tool_choice.function",
        "request.stream_options",
        "request.response_format",
        "request.response_format.json_schema",
        "response",
        "response.choices",
        "response.choices.message",
        "response.choices.message.tool_calls.function",
        "response.choices.logprobs",
        "response.usage",
        "response.usage.prompt_tokens_details",
        "response.usage.completion_tokens_details",
        "chunk",
        "chunk.choices",
        "chunk.choices.delta",
        "chunk.choices.delta.tool_calls",
        "chunk.choices.delta.tool_calls.function",
        "chunk.choices.delta.thinking_blocks",
        "chunk.usage",
        "embed",
    ] {
        assert!(seen.contains(place), "no unknown member was ever put into {place}");
    }
}

fn collect_places(path: &str, value: &Value, seen: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name.starts_with("x_") {
                    seen.insert(path.to_owned());
                } else {
                    collect_places(&format!("{path}.{name}"), member, seen);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_places(path, item, seen)),
        _ => {}
    }
}

// What is not kept to the letter. The list stands in the crate's README ("What is normalised").

#[track_caller]
fn assert_normalised<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(
    before: Value,
    after: Value,
) {
    assert_eq!(there_and_back::<T>(&before), after);
}

#[test]
fn a_null_for_a_member_that_may_be_absent_is_absent() {
    assert_normalised::<ChatRequest>(
        json!({"model": "m", "messages": [{"role": "assistant", "content": null, "name": null}], "temperature": null,
               "tools": null, "stop": null, "unknown": null}),
        json!({"model": "m", "messages": [{"role": "assistant"}], "unknown": null}),
    );
}

#[test]
fn an_empty_list_of_tools_calls_or_citations_is_absent() {
    assert_normalised::<ChatRequest>(
        json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": [], "annotations": []}], "tools": []}),
        json!({"model": "m", "messages": [{"role": "assistant"}]}),
    );
}

#[test]
fn an_answer_always_has_the_members_that_openai_always_sends() {
    assert_normalised::<ChatResponse>(
        json!({"choices": [{"message": {"role": "assistant"}}]}),
        json!({"id": "", "object": "", "created": 0, "model": "", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": null}, "finish_reason": null}]}),
    );
    assert_normalised::<ChatChunk>(
        json!({"id": null, "choices": [{"delta": null}]}),
        json!({"id": "", "object": "", "created": 0, "model": "", "choices": [
            {"index": 0, "delta": {}, "finish_reason": null}]}),
    );
}

#[test]
fn a_count_with_a_fraction_loses_it() {
    // Cerebras sends `created` with a fraction.
    assert_normalised::<ChatResponse>(
        json!({"id": "", "object": "", "created": 1_754_000_000.75, "model": "", "choices": [],
               "usage": {"prompt_tokens": 3.0, "completion_tokens": -1, "total_tokens": 1e300}}),
        json!({"id": "", "object": "", "created": 1_754_000_000, "model": "", "choices": [],
               "usage": {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": u64::MAX}}),
    );
}

#[test]
fn a_whole_number_for_a_fraction_gets_a_point() {
    assert_normalised::<ChatRequest>(
        json!({"model": "m", "messages": [], "temperature": 1}),
        json!({"model": "m", "messages": [], "temperature": 1.0}),
    );
}

#[test]
fn an_image_given_as_a_text_becomes_an_object() {
    assert_normalised::<ChatRequest>(
        json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://a/b"}]}]}),
        json!({"model": "m", "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://a/b"}}]}]}),
    );
}

#[test]
fn mistrals_word_for_required_becomes_openais() {
    assert_normalised::<ChatRequest>(
        json!({"model": "m", "messages": [], "tool_choice": "any"}),
        json!({"model": "m", "messages": [], "tool_choice": "required"}),
    );
}

#[test]
fn the_first_of_two_equal_names_inside_an_unknown_value_is_lost() {
    let parsed: ChatRequest =
        serde_json::from_str(r#"{"model":"m","messages":[],"x":{"a":1,"a":2}}"#).unwrap();
    assert_eq!(parsed.extra.get("x"), Some(&json!({"a": 2})));
}

// What is easily lost.

#[test]
fn a_part_with_a_null_detail_is_still_an_image() {
    let part = json!({"type": "image_url", "image_url": {"url": "https://a/b", "detail": null}});
    let parsed: Part = serde_json::from_value(part.clone()).unwrap();
    assert!(matches!(&parsed, Part::Image(image) if image.image_url.detail.is_none()));
    assert_eq!(serde_json::to_value(parsed).unwrap(), part);
}

#[test]
fn a_part_of_another_shape_is_kept_whole() {
    for part in [
        json!({"type": "text", "text": {"not": "a text"}}),
        json!({"type": "image_url", "image_url": {"url": 7}}),
        json!({"type": "image_url", "image_url": {"url": "u", "detail": 7}}),
        json!({"type": "input_audio", "input_audio": {"data": "d"}}),
        json!({"type": "file", "file": []}),
        json!({"type": "refusal"}),
        json!({"type": 3}),
        json!({}),
    ] {
        let parsed: Part = serde_json::from_value(part.clone()).unwrap();
        assert!(matches!(parsed, Part::Other(_)), "{part}");
        assert_eq!(serde_json::to_value(parsed).unwrap(), part);
    }
}

#[test]
fn choices_and_forms_that_say_more_are_kept_whole() {
    let choice = json!({"type": "function", "function": {"name": "f"}, "more": 1});
    let parsed: ToolChoice = serde_json::from_value(choice.clone()).unwrap();
    assert_eq!(parsed, ToolChoice::Other(choice));
    let form = json!({"type": "json_object", "schema": {"type": "object"}});
    let parsed: ResponseFormat = serde_json::from_value(form.clone()).unwrap();
    assert!(matches!(&parsed, ResponseFormat::Other(_)));
    assert_eq!(serde_json::to_value(parsed).unwrap(), form);
}

#[test]
fn a_wire_value_keeps_its_bytes_until_it_is_changed() {
    let raw: &[u8] = br#"{ "model":"m", "choices":[] ,"created": 1.0e0 }"#;
    let mut wire = Wire::with_raw(serde_json::from_slice::<ChatChunk>(raw).unwrap(), raw.into());
    assert_eq!(&*wire.to_json(), raw);
    assert_eq!(&*wire.clone().to_json(), raw);
    assert_eq!(wire.model, "m");
    assert!(wire.raw().is_some(), "reading is not a change");
    wire.model.push('2');
    assert!(wire.raw().is_none());
    assert_eq!(serde_json::from_slice::<ChatChunk>(&wire.to_json()).unwrap().model, "m2");
}

#[test]
fn content_has_one_text_whatever_its_form() {
    let parts = Content::Parts(vec![Part::text("a"), Part::image("u"), Part::text("b")]);
    assert_eq!((parts.text(), Content::from("ab").text()), ("ab".into(), "ab".into()));
}

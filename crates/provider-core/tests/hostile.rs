//! Input never panics: whatever comes from outside is a value or an error.
#![allow(clippy::unwrap_used)]

use mainstay_provider_core::chat::TokenUsage;
use mainstay_provider_core::test_kit::Generator;
use mainstay_provider_core::{
    ChatChunk, ChatRequest, ChatResponse, EmbedRequest, ModelId, Subject, TraceParent, Usage,
};
use proptest::prelude::*;

fn reads(text: &[u8]) -> [Option<String>; 4] {
    let error = |result: Result<(), serde_json::Error>| result.err().map(|error| error.to_string());
    [
        error(serde_json::from_slice::<ChatRequest>(text).map(drop)),
        error(serde_json::from_slice::<ChatResponse>(text).map(drop)),
        error(serde_json::from_slice::<ChatChunk>(text).map(drop)),
        error(serde_json::from_slice::<EmbedRequest>(text).map(drop)),
    ]
}

#[track_caller]
fn assert_refused(text: &str, because: &str) {
    for error in reads(text.as_bytes()) {
        let error = error.unwrap_or_else(|| panic!("{} was taken", &text[..text.len().min(200)]));
        assert!(error.contains(because), "{error}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_an_overflow() {
    const DEEP: usize = 100_000;
    let nests = [
        format!("{{\"model\":\"m\",\"x\":{}1{}}}", "[".repeat(DEEP), "]".repeat(DEEP)),
        format!("{{\"model\":\"m\",\"x\":{}1{}}}", "{\"a\":".repeat(DEEP), "}".repeat(DEEP)),
        "[".repeat(DEEP),
        "{\"x\":".repeat(DEEP),
    ];
    for text in &nests {
        for error in reads(text.as_bytes()) {
            let error = error.expect("nobody takes that");
            assert!(error.contains("recursion limit") || error.contains("expected"), "{error}");
        }
    }
    for (before, after) in [
        ("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[", "]}]}"),
        ("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"tool_calls\":[{\"function\":", "}]}]}"),
        ("{\"model\":\"m\",\"messages\":[],\"response_format\":{\"a\":", "}}"),
        ("{\"model\":\"m\",\"messages\":[],\"tool_choice\":{\"a\":", "}}"),
        (
            "{\"model\":\"m\",\"messages\":[],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":",
            "}}]}",
        ),
    ] {
        let text = format!("{before}{}1{}{after}", "{\"a\":".repeat(DEEP), "}".repeat(DEEP));
        let error = serde_json::from_str::<ChatRequest>(&text).expect_err("nobody takes that").to_string();
        assert!(error.contains("recursion limit"), "{error}");
    }
}

#[test]
fn a_member_that_stands_there_twice_is_an_error_that_names_it() {
    assert_refused(r#"{"model": "a", "model": "b"}"#, "duplicate field `model`");
    assert_refused(r#"{"x": 1, "x": 2}"#, "duplicate field `x`");
    let text = r#"{"model": "m", "messages": [{"role": "user", "role": "system", "content": ""}]}"#;
    let error = serde_json::from_str::<ChatRequest>(text).unwrap_err().to_string();
    assert!(error.contains("duplicate field `role`"), "{error}");
}

#[test]
fn numbers_out_of_range_are_errors() {
    for number in ["1e999", "-1e999", "99999999999999999999999999", "-1", "1.5", "\"1\""] {
        let text = format!(r#"{{"model": "m", "messages": [], "max_tokens": {number}}}"#);
        assert!(serde_json::from_str::<ChatRequest>(&text).is_err(), "max_tokens {number}");
    }
    let text = r#"{"model": "m", "messages": [], "x": 1e999}"#;
    assert!(serde_json::from_str::<ChatRequest>(text).is_err());
    let text = r#"{"model": "m", "messages": [], "n": 4294967296}"#;
    assert!(serde_json::from_str::<ChatRequest>(text).is_err());
    let long = format!(r#"{{"model": "m", "messages": [], "x": {}}}"#, "9".repeat(100_000));
    assert!(serde_json::from_str::<ChatRequest>(&long).is_err());
}

#[test]
fn texts_that_are_no_unicode_are_errors() {
    assert_refused(r#"{"model": "\ud800"}"#, "hex escape");
    assert_refused(r#"{"\udc00x": 1}"#, "surrogate");
    for error in reads(b"{\"model\": \"\xff\"}") {
        assert!(error.is_some_and(|error| error.contains("unicode")));
    }
}

#[test]
fn members_of_the_wrong_type_are_errors_that_say_where() {
    for (text, because) in [
        (r#"{"messages": []}"#, "missing field `model`"),
        (r#"{"model": "m"}"#, "missing field `messages`"),
        (r#"{"model": null, "messages": []}"#, "expected a string"),
        (r#"{"model": "m", "messages": [{"content": "x"}]}"#, "missing field `role`"),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": 7}]}"#,
            "a text or a list of content parts",
        ),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": ["x"]}]}"#,
            "a content part, an object like",
        ),
        (r#"{"model": "m", "messages": [], "stop": {}}"#, "a text or a list of texts"),
        (r#"{"model": "m", "messages": [], "tool_choice": 1}"#, "or an object that names a function"),
        (r#"{"model": "m", "messages": [], "response_format": "json"}"#, "an object like"),
        (
            r#"{"model": "m", "messages": [], "response_format": {"type": "json_schema", "json_schema": {}}}"#,
            "name",
        ),
        (r#"{"model": "m", "input": ["a", 1]}"#, "missing field `messages`"),
        ("[]", "expected an object"),
    ] {
        let error = serde_json::from_str::<ChatRequest>(text).unwrap_err().to_string();
        assert!(error.contains(because) && error.contains("line 1 column"), "{text}: {error}");
    }
    for input in [r#"["a", 1]"#, "[1, \"a\"]", "[[1], \"a\"]", "[-1]", "[1.5]", "{}", "[[\"a\"]]"] {
        let text = format!(r#"{{"model": "m", "input": {input}}}"#);
        assert!(serde_json::from_str::<EmbedRequest>(&text).is_err(), "{input}");
    }
}

#[test]
fn a_hostile_providers_figures_saturate() {
    let most = u64::MAX;
    let text = format!(
        r#"{{"prompt_tokens": {most}, "completion_tokens": {most}, "total_tokens": {most},
            "prompt_tokens_details": {{"cached_tokens": {most}, "cache_write_tokens": {most}}},
            "completion_tokens_details": {{"reasoning_tokens": {most}}}}}"#
    );
    let usage = serde_json::from_str::<TokenUsage>(&text).unwrap().to_usage();
    assert_eq!(usage.total(), most);
    let sum = usage + usage;
    assert_eq!((sum.input, sum.cache_read, sum.reasoning), (most, most, most));
    assert_eq!(TokenUsage::from(usage).to_usage(), usage);
    assert_eq!(TokenUsage::from(Usage::new(most, most)).total_tokens, most);
}

#[test]
fn very_many_choices_and_calls_are_put_together_in_time() {
    let choices: Vec<_> =
        (0..200_000).rev().map(|index| format!(r#"{{"index":{index},"delta":{{"content":"a"}}}}"#)).collect();
    let chunk: ChatChunk =
        serde_json::from_str(&format!(r#"{{"choices":[{}]}}"#, choices.join(","))).unwrap();
    let calls: Vec<_> = (0..200_000).map(|index| format!(r#"{{"index":{index},"id":"c"}}"#)).collect();
    let calls: ChatChunk = serde_json::from_str(&format!(
        r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{}]}}}}]}}"#,
        calls.join(",")
    ))
    .unwrap();
    let mut whole = mainstay_provider_core::chat::Assembler::default();
    whole.push(&chunk);
    whole.push(&calls);
    let whole = whole.finish();
    assert_eq!((whole.choices.len(), whole.choices[0].message.tool_calls.len()), (200_000, 200_000));
}

proptest! {
    #[test]
    fn bytes_that_mean_nothing_never_panic(bytes: Vec<u8>) {
        let _ = reads(&bytes);
    }

    #[test]
    fn documents_with_a_byte_changed_never_panic(seed: u64, at: prop::sample::Index, byte: u8) {
        let mut generator = Generator::new(seed);
        for document in [generator.request(), generator.response(), generator.chunk(), generator.embed_request()] {
            let mut bytes = document.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = reads(&bytes);
        }
    }

    #[test]
    fn any_document_as_any_type_never_panics(seed: u64) {
        let mut generator = Generator::new(seed);
        for document in [generator.request(), generator.chunk(), generator.value(4)] {
            let _ = reads(document.to_string().as_bytes());
        }
    }

    #[test]
    fn names_and_headers_of_any_kind_never_panic(text: String) {
        let _ = ModelId::parse(&text, |_| true).to_string();
        let _ = TraceParent::parse(&text);
        let _ = Subject::parse(&text);
    }
}

//! What becomes of whole answers.

use mainstay_provider_core::chat::FinishReason;
use mainstay_provider_core::{ErrorKind, Usage};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{provider, read};
use crate::dialects::openai::profile::{self, Profile};

/// An answer with this message, and these members besides.
fn answer(message: Value, members: Value) -> Value {
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let mut answer =
        json!({"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]});
    members.as_object().unwrap().iter().for_each(|(name, value)| answer[name] = value.clone());
    answer
}

fn says(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

#[test]
fn an_answer_that_needs_no_change_is_passed_on_as_the_provider_wrote_it() {
    let body = answer(
        says("Hi"),
        json!({
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, "system_fingerprint": null,
        }),
    );
    let read = read(&*provider("openai", &profile::OPENAI), &body).unwrap();
    assert_eq!(read.raw().unwrap(), body.to_string().as_bytes());
    assert_eq!((read.text().as_ref(), read.usage()), ("Hi", Some(Usage::new(1, 2))));
}

#[test]
fn usage_is_counted_by_each_providers_convention() {
    let usage = |profile: &'static Profile, usage: Value| {
        let usage = read(&*provider("x", profile), &answer(says("x"), json!({"usage": usage})))
            .unwrap()
            .usage()
            .unwrap();
        (usage.input, usage.cache_read, usage.output, usage.reasoning)
    };
    let details = |reasoning| json!({"reasoning_tokens": reasoning});
    let apart = json!({"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 16, "completion_tokens_details": details(5)});
    assert_eq!(usage(&profile::XAI, apart.clone()), (10, 0, 6, 5));
    assert_eq!(usage(&profile::OPENAI, apart), (10, 0, 1, 5));
    let within = json!({"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16, "completion_tokens_details": details(5)});
    assert_eq!(usage(&profile::XAI, within), (10, 0, 6, 5));
    let in_total = json!({"prompt_tokens": 66, "completion_tokens": 6, "total_tokens": 100});
    assert_eq!(usage(&profile::GEMINI_OPENAI, in_total), (66, 0, 34, 28));
    let hit =
        json!({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "prompt_cache_hit_tokens": 8});
    assert_eq!(usage(&profile::DEEPSEEK, hit), (9, 8, 1, 0));
    let cached = json!({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "cached_tokens": 7});
    assert_eq!(usage(&profile::TOGETHER, cached), (9, 7, 1, 0));
}

#[test]
fn reasoning_is_found_under_every_name_and_stays_under_its_own() {
    let groq = read(
        &*provider("groq", &profile::GROQ),
        &answer(json!({"role": "assistant", "content": "4", "reasoning": "2+2"}), json!({})),
    )
    .unwrap();
    assert_eq!(groq.choices[0].message.reasoning_content.as_deref(), Some("2+2"));
    assert_eq!(groq.choices[0].message.extra.get("reasoning").unwrap(), "2+2");
    let parts = json!([
        {"type": "thinking", "thinking": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2"}]},
        {"type": "text", "text": "4"},
        {"type": "reference", "reference_ids": [1]},
    ]);
    let mistral = read(
        &*provider("mistral", &profile::MISTRAL),
        &answer(json!({"role": "assistant", "content": parts}), json!({})),
    )
    .unwrap();
    let message = &mistral.choices[0].message;
    assert_eq!((message.text().as_ref(), message.reasoning_content.as_deref()), ("4", Some("2+2")));
    assert_eq!(message.annotations, [json!({"type": "citation", "citation": parts[2]})]);
}

#[test]
fn sources_at_the_top_become_annotations_and_stay_at_the_top() {
    let body = answer(
        says("So [1]."),
        json!({
            "citations": ["https://a", "https://b"],
            "search_results": [{"url": "https://a", "title": "A"}, {"url": "https://b", "title": "B"}],
        }),
    );
    let read = read(&*provider("perplexity", &profile::PERPLEXITY), &body).unwrap();
    let urls: Vec<_> = read.choices[0].message.annotations.iter().map(|one| &one["url_citation"]).collect();
    assert_eq!(
        urls,
        [&json!({"url": "https://a", "title": "A"}), &json!({"url": "https://b", "title": "B"})]
    );
    assert!(read.extra.get("citations").is_some());
}

#[test]
fn calls_in_an_undocumented_shape_are_read_all_the_same() {
    let message = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"function": {"name": "g", "arguments": {"x": 1}}},
        {"id": "", "type": "function", "function": {"name": "h"}},
    ]});
    let read =
        read(&*provider("mistral", &profile::MISTRAL), &answer(message, json!({"created": 1.5}))).unwrap();
    let calls = &read.choices[0].message.tool_calls;
    assert!(calls.iter().all(|call| call.kind == "function" && !call.id.is_empty()));
    assert_ne!(calls[1].id, calls[2].id);
    let arguments: Vec<_> =
        calls.iter().map(|call| call.function.as_ref().unwrap().arguments.as_str()).collect();
    assert_eq!(arguments, ["{}", "{\"x\":1}", "{}"]);
}

#[test]
fn tool_calls_decide_the_finish_reason_where_the_provider_only_says_stop() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let body = answer(json!({"role": "assistant", "tool_calls": [call]}), json!({}));
    let reason = |profile| read(&*provider("x", profile), &body).unwrap().finish_reason().cloned().unwrap();
    assert_eq!(reason(&profile::OLLAMA_V1), FinishReason::ToolCalls);
    assert_eq!(reason(&profile::OPENAI), FinishReason::Stop);
}

#[test]
fn an_answer_that_azures_filter_took_whole_is_an_answer_without_text() {
    let body = json!({
        "id": "a", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "content_filter", "content_filter_results": {"hate": {"filtered": true}}}],
    });
    let read = read(&*provider("azure-openai", &profile::AZURE), &body).unwrap();
    assert_eq!((read.text().as_ref(), read.finish_reason()), ("", Some(&FinishReason::ContentFilter)));
    assert!(read.choices[0].extra.get("content_filter_results").is_some());
}

#[test]
fn s2_1_an_error_within_a_200_is_an_error() {
    let kind = |provider_kind, profile, body: &Value| {
        read(&*provider(provider_kind, profile), body).unwrap_err().kind()
    };
    let error = json!({"error": {"code": 429, "message": "Provider returned error"}});
    assert_eq!(kind("openrouter", &profile::OPENROUTER, &error), ErrorKind::RateLimited);
    let mut in_choice = answer(says(""), json!({}));
    in_choice["choices"][0]["error"] = json!({"code": 503, "message": "overloaded"});
    assert_eq!(kind("openrouter", &profile::OPENROUTER, &in_choice), ErrorKind::Overloaded);
    let mut starved = answer(says("par"), json!({}));
    starved["choices"][0]["finish_reason"] = json!("insufficient_system_resource");
    assert_eq!(kind("deepseek", &profile::DEEPSEEK, &starved), ErrorKind::Overloaded);
    for nothing in [json!({"id": "a", "choices": []}), json!({}), json!([]), json!("text"), json!(null)] {
        assert_eq!(kind("openai", &profile::OPENAI, &nothing), ErrorKind::MalformedResponse, "{nothing}");
    }
    let page = provider("openai", &profile::OPENAI).decode_chat("<html>".into(), "m").unwrap_err();
    assert_eq!(page.kind(), ErrorKind::MalformedResponse);
}

#[test]
fn an_answer_without_a_model_is_by_the_one_that_was_asked() {
    let mut body = answer(says("x"), json!({}));
    body.as_object_mut().unwrap().remove("model");
    assert_eq!(read(&*provider("openai", &profile::OPENAI), &body).unwrap().model, "the-model");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z ]{0,6}".prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "choices",
        "message",
        "delta",
        "content",
        "tool_calls",
        "function",
        "arguments",
        "id",
        "type",
        "usage",
        "error",
        "finish_reason",
        "index",
        "thinking",
        "text",
        "citations",
        "prompt_tokens_details",
        "reasoning",
    ]);
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..5).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_answer_panics(body in any_json()) {
        for profile in [&profile::OPENAI, &profile::PERPLEXITY, &profile::MISTRAL] {
            let dialect = provider("x", profile);
            let _ = read(&*dialect, &body);
            let _ = dialect.decode_embed(body.to_string().into());
            let _ = super::read_stream(&*dialect, &super::events(std::slice::from_ref(&body)));
        }
    }
}

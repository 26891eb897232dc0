//! Everything that can change the answer is in the key.
#![allow(clippy::unwrap_used)]

mod common;

use common::{call, call_of, streaming};
use mainstay_cache_exact::{Key, Sharing};
use mainstay_provider_core::test_kit::Generator;
use mainstay_provider_core::{Call, ChatRequest, Namespace};
use proptest::prelude::*;
use serde_json::{Value, json};

fn key(call: &Call) -> Key {
    Key::of(call, &Sharing::PerNamespace)
}

fn request(document: &Value) -> Call {
    Call::new(serde_json::from_value::<ChatRequest>(document.clone()).expect("a request"))
}

// S4.1, peers' complaint: parameters missing from the key
#[test]
fn each_parameter_is_in_it() {
    let base = json!({"model": "m", "messages": [{"role": "user", "content": "a"}]});
    let mut seen = vec![("nothing".to_owned(), key(&request(&base)))];
    for (name, values) in [
        ("model", json!(["n", "m2"])),
        ("temperature", json!([0, 0.5, 1])),
        ("top_p", json!([0, 1])),
        ("max_tokens", json!([1, 2])),
        ("max_completion_tokens", json!([1, 2])),
        ("n", json!([1, 2])),
        ("stop", json!(["a", "b", ["a"], ["a", "b"], ["ab"]])),
        ("seed", json!([1, 2])),
        ("presence_penalty", json!([0, 1])),
        ("frequency_penalty", json!([0, 1])),
        ("logprobs", json!([true, false])),
        ("top_logprobs", json!([1, 2])),
        (
            "tools",
            json!([[{"type": "function", "function": {"name": "f"}}], [{"type": "function", "function": {"name": "g"}}]]),
        ),
        ("tool_choice", json!(["auto", "none"])),
        ("parallel_tool_calls", json!([true, false])),
        (
            "response_format",
            json!([{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}, {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}}]),
        ),
        ("reasoning_effort", json!(["low", "high"])),
        ("user", json!(["ann", "bob"])),
        ("stream_options", json!([{"include_obfuscation": true}, {"include_obfuscation": false}])),
        ("top_k", json!([1, 2])),
        ("logit_bias", json!([{"1": 2}, {"1": 3}, {"2": 2}])),
        (
            "messages",
            json!([
                [{"role": "user", "content": "b"}],
                [{"role": "user", "content": "a "}],
                [{"role": "system", "content": "a"}],
                [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
                [{"role": "user", "content": "a", "name": "x"}],
                [{"role": "user", "content": "a", "cache_control": {"type": "ephemeral"}}],
                [{"role": "user"}],
                [{"role": "user", "content": ""}],
                [{"role": "user", "content": []}],
                [{"role": "user", "content": "a"}, {"role": "user", "content": ""}],
                [{"role": "user", "content": "a", "user": "ann"}],
                [{"role": "user", "content": "a", "refusal": "a"}],
                [{"role": "user", "refusal": "a"}],
                [{"role": "tool", "content": "a", "tool_call_id": "x"}],
                [{"role": "tool", "content": "a", "tool_call_id": "y"}],
                [{"role": "assistant", "content": "a", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}],
                [{"role": "assistant", "content": "a", "reasoning_content": "x"}],
                [{"role": "assistant", "content": "a", "annotations": [{"x": 1}]}],
                [{"role": "assistant", "content": "a", "thinking_blocks": [{"type": "thinking", "thinking": "x"}]}],
                [{"role": "system", "content": "x"}, {"role": "user", "content": "a"}],
                [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "a"}],
                [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.test/1"}}]}],
                [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.test/2"}}]}],
            ]),
        ),
    ] {
        for value in values.as_array().expect("values") {
            let mut document = base.clone();
            document[name] = value.clone();
            seen.push((format!("{name} = {value}"), key(&request(&document))));
        }
    }
    for (at, (name, key)) in seen.iter().enumerate() {
        for (other, found) in &seen[at + 1..] {
            assert_ne!(key, found, "{name} and {other}");
            assert_ne!(key.digest(), found.digest(), "{name} and {other}");
        }
    }
}

// What a message says of itself is not what the request says.
#[test]
fn a_member_of_the_last_message_is_not_a_member_of_the_request() {
    let request = |of_message: Value, of_request: Value| {
        let mut document = json!({"model": "m", "messages": [{"role": "user", "content": "a"}]});
        let merge = |into: &mut Value, members: &Value| {
            members.as_object().unwrap().iter().for_each(|(name, value)| into[name] = value.clone());
        };
        merge(&mut document["messages"][0], &of_message);
        merge(&mut document, &of_request);
        key(&self::request(&document))
    };
    for members in [json!({"x": 1}), json!({"user": "ann"}), json!({"x": 1, "seed": 1})] {
        assert_ne!(request(members.clone(), json!({})), request(json!({}), members));
    }
}

#[test]
fn a_number_is_the_same_however_it_is_written() {
    let request = |temperature: &str| {
        let text = format!(
            r#"{{"model": "m", "messages": [], "temperature": {temperature}, "top_k": {temperature}}}"#
        );
        key(&Call::new(serde_json::from_str::<ChatRequest>(&text).unwrap()))
    };
    assert_eq!(request("0"), request("0.0"));
    assert_eq!(request("0"), request("-0.0"));
    assert_eq!(request("1"), request("1.0"));
    assert_ne!(request("0"), request("1e-9"));
}

#[test]
fn how_the_answer_is_sent_is_not_in_it() {
    let mut streamed = streaming(call("a"));
    assert_eq!(key(&streamed), key(&call("a")));
    streamed.request_mut().stream_options = serde_json::from_value(json!({"include_usage": true})).ok();
    assert_eq!(key(&streamed), key(&call("a")));
    let mut not_streamed = call("a");
    not_streamed.request_mut().stream = Some(false);
    assert_eq!(key(&not_streamed), key(&call("a")));
    // What is about the call and not in it changes nothing but whose it is.
    let mut context = call("a");
    context.context_mut().properties.insert("x".into(), "y".into());
    context.context_mut().id = "another".into();
    assert_eq!(key(&context), key(&call("a")));
}

#[test]
fn the_model_is_the_one_that_is_asked() {
    assert_ne!(key(&call("a").with_model("n")), key(&call("a")));
    assert_eq!(key(&call("a").with_model("m")), key(&call("a")));
}

// Security test 14
#[test]
fn whose_it_is_is_in_it_and_in_its_digest() {
    let names = ["", "acme", "Acme", "acme ", "acme\0", "m", "shared"];
    let mut seen = Vec::new();
    for name in names {
        seen.push(key(&call_of(name, "a")));
        seen.push(Key::of(&call_of("acme", "a"), &Sharing::Across(name.into())));
    }
    for (at, key) in seen.iter().enumerate() {
        assert!(seen[at + 1..].iter().all(|other| other != key && other.digest() != key.digest()), "{key:?}");
    }
}

#[test]
fn who_shares_across_a_name_has_one_key_for_all_tenants() {
    let across = |name: &str, tenant: &str| Key::of(&call_of(tenant, "a"), &Sharing::Across(name.into()));
    assert_eq!(across("team", "acme"), across("team", "other"));
    assert_ne!(across("team", "acme"), across("another", "acme"));
}

proptest! {
    // Security test 14: crafted names and questions. What is one tenant's is never another's.
    #[test]
    fn two_calls_have_one_key_only_if_they_are_the_same(
        one in ("[ab\0:\"]{0,3}", "[ab\0:\"]{0,3}", "[ab\0:\"]{0,3}"),
        other in ("[ab\0:\"]{0,3}", "[ab\0:\"]{0,3}", "[ab\0:\"]{0,3}"),
    ) {
        let key_of = |(tenant, model, question): &(String, String, String)| {
            let mut call = Call::ask(model.as_str(), question.as_str());
            call.context_mut().namespace = Namespace::new(tenant.as_str());
            key(&call)
        };
        prop_assert_eq!(key_of(&one) == key_of(&other), one == other);
        prop_assert_eq!(key_of(&one).digest() == key_of(&other).digest(), one == other);
    }

    // S4.1: any request, read and printed and read again, in another order of members.
    #[test]
    fn a_request_has_one_key_however_it_is_written(seed: u64) {
        let document = Generator::new(seed).request();
        let call = request(&document);
        let printed: Value = serde_json::from_slice(&serde_json::to_vec(call.request()).unwrap()).unwrap();
        prop_assert_eq!(key(&call), key(&request(&printed)));
    }

    #[test]
    fn a_change_anywhere_is_another_key(seed: u64, place: u64) {
        let document = Generator::new(seed).request();
        let mut changed = document.clone();
        if change(&mut changed, place)
            && let Ok(request) = serde_json::from_value::<ChatRequest>(changed)
        {
            let before = self::request(&document);
            // `stream`, a null where a member may be absent, and the like read as the same.
            let mut as_before = request.clone();
            as_before.stream = before.request().stream;
            as_before.stream_options.clone_from(&before.request().stream_options);
            if as_before != *before.request() {
                prop_assert_ne!(key(&before), key(&Call::new(as_before)));
            }
        }
    }
}

/// Changes one value somewhere in a document.
fn change(document: &mut Value, place: u64) -> bool {
    let mut left = place % 64;
    change_at(document, &mut left)
}

fn change_at(value: &mut Value, left: &mut u64) -> bool {
    if *left == 0 {
        *value = match value {
            Value::String(text) => format!("{text}x").into(),
            Value::Number(number) => (number.as_u64().unwrap_or(7) % 1000 + 1).into(),
            Value::Bool(value) => (!*value).into(),
            _ => Value::String("another".into()),
        };
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change_at(item, left)),
        Value::Object(members) => members.values_mut().any(|member| change_at(member, left)),
        _ => false,
    }
}

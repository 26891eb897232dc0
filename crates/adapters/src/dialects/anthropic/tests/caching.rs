use serde_json::{Value, json};

use super::*;

fn sent(model: &str, caching: PromptCaching, request: Value) -> Value {
    let mut config = AdapterConfig::new("anthropic");
    config.prompt_caching = caching;
    body_of(&send_to(model, &*dialect(&config).unwrap(), request).unwrap())
}

fn auto(request: Value) -> Value {
    sent(MODEL, PromptCaching::Auto, request)
}

/// A request whose system prompt has about this many tokens.
fn with_system(tokens: usize) -> Value {
    let system = "word".repeat(tokens);
    json!({"model": "m", "messages": [{"role": "system", "content": system}, {"role": "user", "content": "Hi"}]})
}

fn tool(tokens: usize) -> Value {
    json!({"type": "function", "function": {"name": "f", "description": "word".repeat(tokens)}})
}

fn marks(body: &Value) -> usize {
    body.to_string().matches("cache_control").count()
}

fn mark() -> Value {
    json!({"type": "ephemeral"})
}

#[test]
fn s4_8_a_long_system_prompt_is_marked_by_itself() {
    let body = auto(with_system(1100));
    assert_eq!(body["system"][0]["cache_control"], mark());
    assert_eq!(body["messages"], json!([{"role": "user", "content": "Hi"}]), "what changes is not marked");
    assert_eq!(marks(&body), 1);
}

#[test]
fn s4_8_a_short_prefix_is_left_alone_by_the_measure_of_its_model() {
    assert_eq!(marks(&auto(with_system(900))), 0);
    let marked = |model: &str, tokens| marks(&sent(model, PromptCaching::Auto, with_system(tokens)));
    assert_eq!(marked("claude-haiku-4-5", 3000), 0);
    assert_eq!(marked("claude-haiku-4-5", 4200), 1);
    assert_eq!(marked("claude-opus-4-7", 2000), 0);
    assert_eq!(marked("claude-opus-5", 520), 1);
}

#[test]
fn s4_8_off_is_off_but_the_callers_breakpoints_pass() {
    assert_eq!(marks(&sent(MODEL, PromptCaching::Off, with_system(2000))), 0);
    let mut request = with_system(2000);
    request["messages"][1]["cache_control"] = json!({"type": "ephemeral", "ttl": "1h"});
    let body = sent(MODEL, PromptCaching::Off, request);
    assert_eq!(marks(&body), 1);
    assert_eq!(body["messages"][0]["content"][0]["cache_control"]["ttl"], "1h");
}

#[test]
fn s4_8_a_request_with_a_breakpoint_of_its_own_gets_none_from_us() {
    let mut in_message = with_system(2000);
    in_message["messages"][1]["content"] = json!([{"type": "text", "text": "Hi", "cache_control": mark()}]);
    let mut at_the_top = with_system(2000);
    at_the_top["cache_control"] = mark();
    let mut in_tool = with_system(2000);
    in_tool["tools"] = json!([tool(1)]);
    in_tool["tools"][0]["cache_control"] = mark();
    for request in [in_message, at_the_top, in_tool] {
        assert_eq!(marks(&auto(request)), 1);
    }
}

#[test]
fn s4_8_long_tools_are_marked_apart_from_the_system_prompt() {
    let mut request = with_system(10);
    request["tools"] = json!([tool(1), tool(1100)]);
    let body = auto(request.clone());
    assert_eq!(body["tools"][0].get("cache_control"), None);
    assert_eq!(body["tools"][1]["cache_control"], mark());
    assert_eq!(body["system"][0]["cache_control"], mark());
    assert_eq!(marks(&body), 2);
    request["tools"] = json!([tool(600)]);
    request["messages"][0]["content"] = "word".repeat(600).into();
    let body = auto(request);
    assert_eq!(
        (body["tools"][0].get("cache_control"), marks(&body)),
        (None, 1),
        "only together are they long enough"
    );
}

#[test]
fn s4_8_a_long_conversation_is_marked_at_its_last_user_turn() {
    let turn = |role: &str, tokens: usize| json!({"role": role, "content": "word".repeat(tokens)});
    let request = |turns: &[Value]| json!({"model": "m", "messages": turns});
    let long =
        [turn("user", 600), turn("assistant", 600), turn("user", 1), turn("assistant", 1), turn("user", 1)];
    let body = auto(request(&long));
    assert_eq!(body["messages"][4]["content"][0]["cache_control"], mark());
    assert_eq!(marks(&body), 1);
    let begun = [turn("user", 2000), turn("assistant", 10), turn("user", 10)];
    assert_eq!(marks(&auto(request(&begun))), 0, "one answer is no conversation yet");
    let short =
        [turn("user", 1), turn("assistant", 1), turn("user", 1), turn("assistant", 1), turn("user", 1)];
    assert_eq!(marks(&auto(request(&short))), 0);
}

#[test]
fn s4_8_there_are_never_more_than_four_breakpoints() {
    let turn = |role: &str| json!({"role": role, "content": "word".repeat(2000)});
    let messages = json!([
        turn("system"),
        turn("user"),
        turn("assistant"),
        turn("user"),
        turn("assistant"),
        turn("user")
    ]);
    let body = auto(json!({"model": "m", "messages": messages, "tools": [tool(2000)]}));
    assert_eq!(marks(&body), 3);
}

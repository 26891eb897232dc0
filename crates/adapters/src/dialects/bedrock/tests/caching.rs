use serde_json::{Value, json};

use super::*;

const NOVA: &str = "us.amazon.nova-lite-v1:0";

fn sent(model: &str, caching: PromptCaching, request: Value) -> Value {
    body_of(&send_to(model, &*with_caching(caching), request).unwrap())
}

fn auto(model: &str, request: Value) -> Value {
    sent(model, PromptCaching::Auto, request)
}

/// A request whose system prompt has about this many tokens.
fn with_system(tokens: usize) -> Value {
    let system = "word".repeat(tokens);
    json!({"model": "m", "messages": [{"role": "system", "content": system}, {"role": "user", "content": "Hi"}]})
}

fn points(body: &Value) -> usize {
    body.to_string().matches("cachePoint").count()
}

fn point() -> Value {
    json!({"cachePoint": {"type": "default"}})
}

#[test]
fn s4_8_a_point_is_set_behind_a_long_system_prompt_where_the_model_caches() {
    for model in [MODEL, NOVA, "anthropic.claude-3-7-sonnet-20250219-v1:0"] {
        let body = auto(model, with_system(1100));
        assert_eq!(body["system"][1], point(), "{model}");
        assert_eq!(points(&body), 1, "{model}");
    }
    for model in
        ["anthropic.claude-3-5-sonnet-20240620-v1:0", "meta.llama3-8b-instruct-v1:0", "arn:aws:bedrock:x"]
    {
        assert_eq!(points(&auto(model, with_system(1100))), 0, "a point is an error for {model}");
    }
}

#[test]
fn s4_8_short_prefixes_off_and_own_points_are_respected() {
    assert_eq!(points(&auto(MODEL, with_system(900))), 0);
    assert_eq!(points(&auto("us.anthropic.claude-haiku-4-5-20251001-v1:0", with_system(3000))), 0);
    assert_eq!(points(&sent(MODEL, PromptCaching::Off, with_system(2000))), 0);
    let mut own = with_system(2000);
    own["messages"][1]["content"] =
        json!([{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]);
    for caching in [PromptCaching::Auto, PromptCaching::Off] {
        let body = sent(MODEL, caching, own.clone());
        assert_eq!((points(&body), &body["messages"][0]["content"][1]), (1, &point()));
    }
}

#[test]
fn s4_8_tools_get_a_point_of_their_own_but_not_with_nova() {
    let mut request = with_system(10);
    request["tools"] =
        json!([{"type": "function", "function": {"name": "f", "description": "word".repeat(1100)}}]);
    let body = auto(MODEL, request.clone());
    assert_eq!(body["toolConfig"]["tools"][1], point());
    assert_eq!(body["system"][1], point());
    let body = auto(NOVA, request);
    assert_eq!((body["toolConfig"]["tools"].as_array().unwrap().len(), points(&body)), (1, 1));
}

#[test]
fn s4_8_a_long_conversation_gets_a_point_behind_its_last_user_turn() {
    let turn = |role: &str, tokens: usize| json!({"role": role, "content": "word".repeat(tokens)});
    let long = json!([
        turn("user", 600),
        turn("assistant", 600),
        turn("user", 1),
        turn("assistant", 1),
        turn("user", 1)
    ]);
    let body = auto(MODEL, json!({"model": "m", "messages": long}));
    assert_eq!((points(&body), &body["messages"][4]["content"][1]), (1, &point()));
    let begun = json!([turn("user", 2000), turn("assistant", 10), turn("user", 10)]);
    assert_eq!(points(&auto(MODEL, json!({"model": "m", "messages": begun}))), 0);
}

//! What each provider is sent when it shall go on, and who is not asked at all.

use mainstay_provider_core::ChatRequest;
use serde_json::{Value, json};

use super::*;
use crate::registry;

#[test]
fn the_table_knows_who_goes_on() {
    for (kind, model, goes_on) in [
        ("anthropic", "claude-sonnet-4-5-20250929", true),
        ("anthropic", "claude-opus-4-5", true),
        ("anthropic", "claude-haiku-4-5", true),
        ("anthropic", "claude-opus-4-1-20250805", true),
        ("anthropic", "claude-3-7-sonnet-latest", true),
        ("anthropic", "claude-3-haiku-20240307", true),
        ("anthropic", "claude-opus-4-6", false),
        ("anthropic", "claude-sonnet-4-6", false),
        ("anthropic", "claude-opus-4-8", false),
        ("anthropic", "claude-sonnet-5", false),
        ("anthropic", "claude-haiku-5-5", false),
        ("anthropic", "claude-fable-5-1", false),
        ("anthropic", "claude-mythos-preview", false),
        ("anthropic", "something-else", false),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", true),
        ("bedrock", "anthropic.claude-instant-v1", true),
        ("bedrock", "global.anthropic.claude-opus-4-6-v1", false),
        ("bedrock", "us.amazon.nova-2-lite-v1:0", true),
        ("bedrock", "meta.llama3-70b-instruct-v1:0", false),
        ("openrouter", "anthropic/claude-opus-4.5", true),
        ("openrouter", "anthropic/claude-opus-4.6", false),
        ("openrouter", "openai/gpt-5", false),
        ("mistral", "mistral-large-latest", true),
        ("mistral", "voxtral-small-latest", false),
        ("mistral", "labs-leanstral-1-5", false),
        ("deepseek", "deepseek-chat", true),
        ("deepseek", "deepseek-v4-pro", true),
        ("deepseek", "deepseek-reasoner", false),
        ("vllm", "meta-llama/Llama-3.3-70B-Instruct", true),
        ("ollama", "llama3.2", true),
        ("ollama", "gpt-oss:20b", false),
        ("groq", "llama-3.3-70b-versatile", true),
        ("groq", "openai/gpt-oss-120b", false),
        ("gemini", "gemini-2.5-flash", true),
        ("gemini", "gemini-3.1-flash-lite", true),
        ("vertex", "gemini-2.0-flash-001", true),
        ("gemini", "gemini-2.5-pro", false),
        ("gemini", "gemini-3.5-flash-lite", false),
        ("gemini", "gemini-3.8-flash", false),
        ("gemini", "gemini-flash-latest", false),
        ("openai", "gpt-4o", false),
        ("azure-openai", "gpt-4o", false),
        ("cohere", "command-a-03-2025", false),
        ("xai", "grok-4", false),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", false),
        ("perplexity", "sonar", false),
        ("nobody", "claude-3-opus", false),
    ] {
        assert_eq!(accepts_prefill(kind, model), goes_on, "{kind}/{model}");
    }
}

/// The caller's request with an assistant's last message, as the provider gets it.
fn sent(config: AdapterConfig, model: &str, members: Value) -> Result<(String, Value), Error> {
    let mut request = json!({
        "model": model, "stream": true,
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The mast \n"}],
    });
    members.as_object().unwrap().iter().for_each(|(name, value)| request[name] = value.clone());
    let request: ChatRequest = serde_json::from_value(request).unwrap();
    let prefill = Prefill::new(&config);
    let dialect = (registry::row(&config.kind)?.dialect)(&config)?;
    let outgoing = dialect.encode_chat(&*prefill.request(&request, model)?, model)?;
    Ok((prefill.path(outgoing.path), serde_json::from_slice(&outgoing.body).unwrap()))
}

fn body(kind: &str, model: &str, members: Value) -> Value {
    sent(AdapterConfig::new(kind), model, members).unwrap().1
}

#[cfg(feature = "anthropic")]
#[test]
fn anthropic_goes_on_from_what_stands_last_without_a_blank_at_its_end_and_without_thinking() {
    let thinking =
        json!({"reasoning_effort": "high", "thinking": {"type": "enabled", "budget_tokens": 2048}});
    for members in [json!({}), thinking] {
        let sent = body("anthropic", "claude-sonnet-4-5", members);
        assert_eq!(sent["messages"][1], json!({"role": "assistant", "content": "The mast"}));
        assert_eq!(sent.get("thinking"), None);
        assert_eq!(sent.get("output_config"), None);
    }
    let parts = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "The "}, {"type": "text", "text": "mast "}]},
    ]);
    let sent = body("anthropic", "claude-sonnet-4-5", json!({"messages": parts}));
    let expected = json!([{"type": "text", "text": "The "}, {"type": "text", "text": "mast"}]);
    assert_eq!(sent["messages"][1]["content"], expected);
}

#[cfg(feature = "bedrock")]
#[test]
fn bedrock_goes_on_with_claude_and_nova() {
    for model in ["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"] {
        let sent = body("bedrock", model, json!({"reasoning_effort": "high"}));
        assert_eq!(sent["messages"][1], json!({"role": "assistant", "content": [{"text": "The mast"}]}));
        assert_eq!(sent.get("additionalModelRequestFields"), None);
    }
}

#[cfg(feature = "mistral")]
#[test]
fn mistral_has_a_mark_for_the_message() {
    let sent = body("mistral", "mistral-large-latest", json!({"reasoning_effort": "high"}));
    assert_eq!(sent["messages"][1], json!({"role": "assistant", "content": "The mast", "prefix": true}));
    assert_eq!(sent.get("reasoning_effort"), None);
}

#[cfg(feature = "deepseek")]
#[test]
fn deepseek_has_the_same_mark_at_another_address_and_does_not_think() {
    let config = || AdapterConfig::new("deepseek");
    let (path, sent_to_public) = sent(config(), "deepseek-chat", json!({})).unwrap();
    assert_eq!(path, "/beta/chat/completions");
    let expected = json!({"role": "assistant", "content": "The mast", "prefix": true});
    assert_eq!(sent_to_public["messages"][1], expected);
    assert_eq!(sent_to_public.get("thinking"), None);
    let (_, thinker) = sent(config(), "deepseek-v4-pro", json!({"thinking": {"type": "enabled"}})).unwrap();
    assert_eq!(thinker["thinking"], json!({"type": "disabled"}));
    let own = config().base_url("https://proxy.example.com/v1");
    assert_eq!(sent(own, "deepseek-chat", json!({})).unwrap().0, "/chat/completions");
    let beta = config().base_url("https://api.deepseek.com/beta");
    assert_eq!(sent(beta, "deepseek-chat", json!({})).unwrap().0, "/chat/completions");
}

#[cfg(feature = "vllm")]
#[test]
fn vllm_has_a_mark_for_the_request() {
    let sent = body("vllm", "llama", json!({}));
    assert_eq!(sent["messages"][1], json!({"role": "assistant", "content": "The mast"}));
    assert_eq!(
        (&sent["continue_final_message"], &sent["add_generation_prompt"]),
        (&json!(true), &json!(false))
    );
}

#[cfg(feature = "ollama")]
#[test]
fn ollama_goes_on_from_what_stands_last_and_does_not_think() {
    let native = body("ollama", "llama3.2", json!({"reasoning_effort": "high"}));
    assert_eq!(native["messages"][1], json!({"role": "assistant", "content": "The mast"}));
    assert_eq!(native["think"], false);
    let mut config = AdapterConfig::new("ollama");
    config.api = Api::ChatCompletions;
    let (path, chat) = sent(config, "llama3.2", json!({})).unwrap();
    assert_eq!((&*path, &chat["messages"][1]["content"]), ("/v1/chat/completions", &json!("The mast")));
}

#[cfg(all(feature = "groq", feature = "gemini", feature = "openrouter"))]
#[test]
fn elsewhere_it_is_enough_that_it_stands_last() {
    let sent = body("groq", "llama-3.3-70b-versatile", json!({"reasoning_effort": "low"}));
    assert_eq!(sent["messages"][1], json!({"role": "assistant", "content": "The mast"}));
    assert_eq!(sent.get("reasoning_effort"), None);
    let sent = body("gemini", "gemini-2.5-flash", json!({}));
    assert_eq!(sent["contents"][1], json!({"role": "model", "parts": [{"text": "The mast"}]}));
    let sent = body("openrouter", "anthropic/claude-opus-4.5", json!({"reasoning": {"effort": "high"}}));
    assert_eq!(sent["messages"][1], json!({"role": "assistant", "content": "The mast"}));
    assert_eq!(sent.get("reasoning"), None);
}

#[cfg(all(feature = "openai", feature = "anthropic", feature = "gemini"))]
#[test]
fn whoever_does_not_go_on_is_not_asked() {
    let responses = AdapterConfig { api: Api::Responses, ..AdapterConfig::new("openai") };
    let gemini_openai = AdapterConfig { api: Api::ChatCompletions, ..AdapterConfig::new("gemini") };
    for (config, model) in [
        (AdapterConfig::new("openai"), "gpt-4o"),
        (responses, "gpt-5"),
        (gemini_openai, "gemini-2.5-flash"),
        (AdapterConfig::new("anthropic"), "claude-opus-4-6"),
    ] {
        let error = sent(config, model, json!({})).unwrap_err();
        assert_eq!((error.kind(), error.param()), (ErrorKind::InvalidRequest, Some("messages")));
    }
}

#[cfg(feature = "openai")]
#[test]
fn the_configuration_knows_better() {
    let server = AdapterConfig { prefill: Some(true), ..AdapterConfig::new("openai") };
    let server = server.base_url("http://llama.example.com/v1");
    assert!(Prefill::new(&server).accepts("whatever"));
    assert_eq!(sent(server, "whatever", json!({})).unwrap().1["messages"][1]["content"], "The mast");
    let old = AdapterConfig { prefill: Some(false), ..AdapterConfig::new("vllm") };
    assert!(!Prefill::new(&old).accepts("llama"));
}

#[cfg(feature = "mistral")]
#[test]
fn nothing_is_marked_where_the_user_spoke_last() {
    let last = json!([{"role": "user", "content": "Hi "}]);
    let sent = body("mistral", "mistral-large-latest", json!({"messages": last, "reasoning_effort": "high"}));
    assert_eq!(sent["messages"], last);
    assert_eq!(sent["reasoning_effort"], "high");
}

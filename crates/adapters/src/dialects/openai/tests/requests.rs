//! What each provider is sent.

use mainstay_provider_core::ErrorKind;
use serde_json::{Value, json};

use super::{provider, sent};
use crate::config::AdapterConfig;
use crate::dialects::openai::dialect;
use crate::dialects::openai::profile::{self, Profile};

/// The body for a request that has these members besides a model and a turn.
fn body(profile: &'static Profile, members: Value) -> Value {
    try_body(profile, members).unwrap()
}

fn try_body(profile: &'static Profile, members: Value) -> Result<Value, mainstay_provider_core::Error> {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    sent(&*provider("x", profile), &request)
}

/// The messages that the provider is sent for these.
fn messages(profile: &'static Profile, messages: Value) -> Value {
    body(profile, json!({"messages": messages}))["messages"].clone()
}

#[test]
fn s1_9_openai_gets_every_parameter_as_the_caller_wrote_it() {
    let request = json!({
        "model": "gpt-4o", "messages": [{"role": "user", "content": "Hi", "name": "ann"}],
        "temperature": 0.5, "top_p": 0.9, "n": 2, "seed": 7, "stop": ["a", "b"], "max_tokens": 5,
        "presence_penalty": 1.0, "frequency_penalty": -1.0, "logprobs": true, "top_logprobs": 3, "user": "u",
        "logit_bias": {"50256": -100}, "store": true, "metadata": {"k": "v"}, "service_tier": "flex", "verbosity": "low",
        "prediction": {"type": "content", "content": "x"}, "web_search_options": {}, "a_member_of_tomorrow": [1],
        "tools": [{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false,
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        "reasoning_effort": "xhigh",
    });
    assert_eq!(sent(&*provider("openai", &profile::OPENAI), &request).unwrap(), request);
}

#[test]
fn no_null_and_no_breakpoint_is_sent_where_nobody_takes_it() {
    let request = json!({
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}, "odd": null}
        ]}],
        "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}],
        "logit_bias": null,
    });
    let expected = json!({
        "model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    });
    assert_eq!(body(&profile::OPENAI, request.clone()), expected);
    let openrouter = body(&profile::OPENROUTER, request);
    assert!(openrouter["messages"][0]["content"][0]["cache_control"].is_object());
    assert!(openrouter["tools"][0]["cache_control"].is_object());
}

#[test]
fn a_model_that_reasons_is_asked_by_the_newer_name_of_the_longest_answer() {
    for (model, name) in [
        ("gpt-4o", "max_tokens"),
        ("gpt-oss-120b", "max_tokens"),
        ("omni", "max_tokens"),
        ("o1", "max_completion_tokens"),
        ("o4-mini-2025-04-16", "max_completion_tokens"),
        ("gpt-5", "max_completion_tokens"),
        ("gpt-5.2-pro", "max_completion_tokens"),
        ("ft/gpt-6-nano", "max_completion_tokens"),
    ] {
        let sent = body(&profile::OPENAI, json!({"model": model, "max_tokens": 9}));
        assert_eq!(sent[name], 9, "{model}");
    }
    let newer = json!({"max_completion_tokens": 9, "max_tokens": 5});
    assert_eq!(body(&profile::OPENAI, newer.clone())["max_completion_tokens"], 9);
    for older in [&profile::DEEPSEEK, &profile::MISTRAL, &profile::TOGETHER, &profile::OLLAMA_V1] {
        let sent = body(older, newer.clone());
        assert_eq!((&sent["max_tokens"], &sent["max_completion_tokens"]), (&json!(9), &Value::Null));
    }
}

#[test]
fn the_usage_of_a_stream_is_always_asked_for_where_it_must_be() {
    let asked = json!({"include_usage": true});
    let stream = json!({"stream": true});
    for asks in [&profile::OPENAI, &profile::XAI, &profile::DEEPSEEK, &profile::VLLM, &profile::PERPLEXITY] {
        assert_eq!(body(asks, stream.clone())["stream_options"], asked);
    }
    for unasked in [&profile::MISTRAL, &profile::GROQ, &profile::TOGETHER] {
        assert_eq!(body(unasked, stream.clone())["stream_options"], Value::Null);
    }
    let more =
        json!({"stream": true, "stream_options": {"include_usage": false, "include_obfuscation": false}});
    let both = json!({"include_usage": true, "include_obfuscation": false});
    assert_eq!(body(&profile::OPENAI, more.clone())["stream_options"], both);
    assert_eq!(body(&profile::DEEPSEEK, more)["stream_options"], asked);
    let whole = json!({"stream": false, "stream_options": {"include_usage": true}});
    assert_eq!(body(&profile::OPENAI, whole)["stream_options"], Value::Null);
}

#[test]
fn parameters_that_are_openais_own_are_kept_from_the_others() {
    let own = json!({"store": true, "verbosity": "low", "prompt_cache_key": "k", "user": "u", "safety_identifier": "s"});
    let kept = |profile| {
        let sent = body(profile, own.clone());
        let members =
            sent.as_object().unwrap().keys().filter(|name| !["model", "messages"].contains(&name.as_str()));
        members.cloned().collect::<Vec<_>>()
    };
    assert_eq!(kept(&profile::MISTRAL), ["prompt_cache_key"]);
    assert_eq!(kept(&profile::GROQ), ["store", "user"]);
    assert_eq!(kept(&profile::ZAI), [""; 0]);
    assert_eq!(kept(&profile::OPENROUTER).len(), 5);
    let theirs = json!({"safe_prompt": true, "reasoning_format": "parsed", "reasoning": {"enabled": true}});
    for profile in [&profile::MISTRAL, &profile::GROQ, &profile::OPENROUTER] {
        let sent = body(profile, theirs.clone());
        theirs.as_object().unwrap().iter().for_each(|(name, value)| assert_eq!(&sent[name], value));
    }
}

#[test]
fn mistral_is_spoken_to_in_its_own_words() {
    let sent = body(
        &profile::MISTRAL,
        json!({
            "seed": 3, "tool_choice": "required", "reasoning_effort": "medium", "logprobs": false,
            "tools": [{"type": "function", "function": {"name": "now"}}],
        }),
    );
    assert_eq!(sent["random_seed"], 3);
    assert_eq!(sent["tool_choice"], "any");
    assert_eq!(sent["reasoning_effort"], "high");
    assert_eq!(sent["tools"][0]["function"]["parameters"], json!({}));
    assert!(sent.get("seed").is_none() && sent.get("logprobs").is_none());

    let sent = messages(
        &profile::MISTRAL,
        json!([
            {"role": "developer", "content": "Be brief.", "name": "app"},
            {"role": "user", "content": [
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
            ]},
            {"role": "assistant", "content": "Done.", "reasoning_content": "Hm.", "annotations": [{"type": "x"}]},
        ]),
    );
    assert_eq!(
        sent,
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "input_audio", "input_audio": "AAAA"},
                {"type": "document_url", "document_url": "data:application/pdf;base64,AAAA", "document_name": "a.pdf"},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": "Done."},
            ]},
        ])
    );
}

#[test]
fn mistral_gets_ids_of_nine_characters_the_same_for_a_call_and_its_result() {
    let turns = |id: &str| {
        messages(
            &profile::MISTRAL,
            json!([
                {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": id, "name": "f", "content": "1"},
            ]),
        )
    };
    let own = turns("g6fVbXS8K");
    assert_eq!(own[0]["tool_calls"][0]["id"], "g6fVbXS8K");
    assert_eq!(own[0]["tool_calls"][0]["function"]["arguments"], "{}");
    assert_eq!(own[1]["name"], "f");
    let foreign = turns("call_PTLP8xhu3uwZk4l3nlnrrJha");
    let id = foreign[0]["tool_calls"][0]["id"].as_str().unwrap();
    assert_eq!(id, foreign[1]["tool_call_id"]);
    assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert_ne!(id, turns("call_PTLP8xhu3uwZk4l3nlnrrJhb")[1]["tool_call_id"]);
}

#[test]
fn earlier_reasoning_goes_where_the_provider_reads_it() {
    let turn = json!([{
        "role": "assistant", "content": "4", "reasoning_content": "2+2", "reasoning": "2+2", "refusal": null,
        "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}],
        "thinking_blocks": [{"type": "thinking", "thinking": "2+2", "signature": "s"}],
        "extra_content": {"google": {"thought_signature": "s"}},
    }]);
    let with = |more: Value| {
        let mut message = json!({"role": "assistant", "content": "4"});
        more.as_object().unwrap().iter().for_each(|(name, value)| message[name] = value.clone());
        json!([message])
    };
    for (profile, expected) in [
        (&profile::OPENAI, json!({})),
        (&profile::PERPLEXITY, json!({})),
        (&profile::DEEPSEEK, json!({"reasoning_content": "2+2"})),
        (&profile::ZAI, json!({"reasoning_content": "2+2"})),
        (&profile::GROQ, json!({"reasoning": "2+2"})),
        (&profile::OLLAMA_V1, json!({"reasoning": "2+2", "reasoning_content": "2+2"})),
        (
            &profile::OPENROUTER,
            json!({"reasoning": "2+2", "reasoning_details": turn[0]["reasoning_details"]}),
        ),
        (&profile::GEMINI_OPENAI, json!({"extra_content": turn[0]["extra_content"]})),
    ] {
        assert_eq!(messages(profile, turn.clone()), with(expected));
    }
}

#[test]
fn a_signature_on_a_call_goes_back_to_gemini_and_to_nobody_else() {
    let call = json!({
        "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "s"}}, "index": 0,
    });
    let turn = json!([{"role": "assistant", "tool_calls": [call]}]);
    let sent = |profile| messages(profile, turn.clone())[0]["tool_calls"][0].clone();
    assert_eq!(sent(&profile::GEMINI_OPENAI)["extra_content"], call["extra_content"]);
    assert_eq!(sent(&profile::OPENAI).get("extra_content"), None);
    assert_eq!(sent(&profile::OPENAI).get("index"), None);
}

#[test]
fn what_was_refused_is_said_where_there_is_no_word_for_it() {
    let turn = json!([{"role": "assistant", "refusal": "No."}]);
    assert_eq!(messages(&profile::OPENAI, turn.clone()), turn);
    assert_eq!(messages(&profile::GROQ, turn), json!([{"role": "assistant", "content": "No."}]));
}

#[test]
fn together_wants_lists_and_counts_where_others_want_words() {
    let sent = body(
        &profile::TOGETHER,
        json!({"stop": "END", "logprobs": true, "top_logprobs": 4, "reasoning_effort": "max"}),
    );
    assert_eq!((&sent["stop"], &sent["logprobs"]), (&json!(["END"]), &json!(4)));
    assert_eq!(sent["reasoning_effort"], "high");
    assert!(sent.get("top_logprobs").is_none());
}

#[test]
fn efforts_that_a_provider_does_not_know_become_the_nearest_it_knows() {
    for (profile, asked, expected) in [
        (&profile::MISTRAL, "none", "none"),
        (&profile::MISTRAL, "minimal", "none"),
        (&profile::MISTRAL, "low", "high"),
        (&profile::GROQ, "xhigh", "high"),
        (&profile::GROQ, "default", "default"),
        (&profile::OPENAI, "xhigh", "xhigh"),
    ] {
        assert_eq!(
            body(profile, json!({"reasoning_effort": asked}))["reasoning_effort"],
            expected,
            "{asked}"
        );
    }
}

#[test]
fn what_an_answer_would_lack_is_refused_with_the_parameter_and_the_cure() {
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}]);
    let schema = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {}}});
    for (profile, members, param) in [
        (&profile::DEEPSEEK, json!({"n": 2}), "n"),
        (&profile::MISTRAL, json!({"logprobs": true}), "logprobs"),
        (&profile::DEEPSEEK, json!({"response_format": schema}), "response_format"),
        (&profile::OLLAMA_V1, json!({"messages": image}), "messages"),
    ] {
        let error = try_body(profile, members).unwrap_err();
        assert_eq!((error.kind(), error.param()), (ErrorKind::InvalidRequest, Some(param)));
    }
    assert!(body(&profile::DEEPSEEK, json!({"n": 1})).get("n").is_none());
    let file = json!([{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]);
    let error = try_body(&profile::GROQ, json!({"messages": file})).unwrap_err();
    assert_eq!(error.param(), Some("messages[0].content[0]"));
}

#[test]
fn each_provider_is_reached_under_its_own_path() {
    let path = |profile, base: &str| {
        let dialect = dialect(&AdapterConfig::new("x").base_url(base), profile).unwrap();
        let request = serde_json::from_value(json!({"model": "m", "messages": []})).unwrap();
        dialect.encode_chat(&request, "m").unwrap().path
    };
    assert_eq!(path(&profile::OPENAI, "https://api.openai.com/v1"), "/chat/completions");
    assert_eq!(path(&profile::OLLAMA_V1, "http://localhost:11434"), "/v1/chat/completions");
    assert_eq!(path(&profile::GEMINI_OPENAI, "https://g/v1beta"), "/openai/chat/completions");
    assert_eq!(
        path(&profile::AZURE, "https://r.openai.azure.com/openai"),
        "/deployments/m/chat/completions?api-version=2024-10-21"
    );
}

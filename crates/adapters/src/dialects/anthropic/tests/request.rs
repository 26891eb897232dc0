use mainstay_provider_core::ErrorKind;
use serde_json::{Value, json};

use super::*;

#[test]
fn a_request_goes_to_messages_with_the_version_header() {
    let sent = send_to(MODEL, &*plain(), with_defaults(json!({}))).unwrap();
    assert_eq!(sent.path, "/v1/messages");
    assert_eq!(sent.headers["anthropic-version"], "2023-06-01");
    let expected = json!({
        "model": MODEL,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "Hi"}],
    });
    assert_eq!(body_of(&sent), expected);
}

#[test]
fn betas_of_request_and_configuration_go_into_one_header() {
    let mut config = AdapterConfig::new("anthropic");
    config.headers.insert("anthropic-beta", http::HeaderValue::from_static("context-1m"));
    let dialect = dialect(&config).unwrap();
    let request = with_defaults(json!({"anthropic_beta": ["files-api", "mcp"]}));
    let sent = send_to(MODEL, &*dialect, request).unwrap();
    assert_eq!(sent.headers["anthropic-beta"], "context-1m,files-api,mcp");
    assert_eq!(body_of(&sent).get("anthropic_beta"), None);
    let error = refusal(json!({"anthropic_beta": "a\nb"}));
    assert_eq!((error.kind(), error.param()), (ErrorKind::InvalidRequest, Some("anthropic_beta")));
}

#[test]
fn s1_9_the_common_parameters_are_translated_and_anthropics_own_pass_through() {
    let sent = body(json!({
        "temperature": 0.5, "top_p": 0.9, "stop": "END", "stream": true, "user": "u-1", "max_completion_tokens": 99,
        "top_k": 40, "thinking": {"type": "adaptive"}, "container": "c-1", "service_tier": "standard_only",
    }));
    let expected = json!({
        "model": MODEL, "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5, "top_p": 0.9,
        "stop_sequences": ["END"], "stream": true, "metadata": {"user_id": "u-1"}, "top_k": 40,
        "thinking": {"type": "adaptive"}, "container": "c-1", "service_tier": "standard_only",
    });
    assert_eq!(sent, expected);
}

#[test]
fn what_anthropic_lacks_and_does_not_change_the_meaning_is_left_out() {
    let sent = body(json!({
        "n": 1, "seed": 7, "presence_penalty": 0.1, "frequency_penalty": 0.2, "logprobs": false, "store": true,
        "logit_bias": {"1": 1}, "metadata": {"team": "x"}, "prompt_cache_key": "k", "safety_identifier": "s",
        "verbosity": "low", "modalities": ["text"], "stream_options": {"include_usage": true}, "service_tier": "flex",
        "web_search_options": {}, "prediction": {"type": "content", "content": "x"}, "parallel_tool_calls": true,
        "container": null,
    }));
    let mut members: Vec<_> = sent.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["max_tokens", "messages", "model"]);
}

#[test]
fn a_user_of_more_characters_than_anthropic_takes_does_not_fail_the_request() {
    assert_eq!(body(json!({"user": "u".repeat(512)}))["metadata"]["user_id"].as_str().unwrap().len(), 512);
    assert_eq!(body(json!({"user": "u".repeat(513)})).get("metadata"), None);
    let own = body(json!({"user": "u-1", "metadata": {"user_id": "u-2", "team": "x"}}));
    assert_eq!(own["metadata"], json!({"user_id": "u-2"}));
}

#[test]
fn what_would_change_the_meaning_is_refused_and_the_parameter_is_named() {
    let image =
        |url: &str| json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]);
    let part = |part: Value| json!([{"role": "user", "content": [part]}]);
    let call = |arguments: &str| {
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
        json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}])
    };
    for (request, param) in [
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"top_logprobs": 3}), "logprobs"),
        (json!({"temperature": 1.5}), "temperature"),
        (json!({"functions": []}), "functions"),
        (json!({"reasoning_effort": "extreme"}), "reasoning_effort"),
        (json!({"response_format": {"type": "grammar"}}), "response_format"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].function"),
        (json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]}), "tools[0]"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": 1}}]}),
            "tools[0].function.parameters",
        ),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "system", "content": "Be brief."}]}), "messages"),
        (json!({"messages": [{"role": "function", "name": "f", "content": "1"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "tool", "content": "1"}]}), "messages[0].tool_call_id"),
        (json!({"messages": image("data:image/tiff;base64,AA==")}), "messages[0].content[0]"),
        (json!({"messages": image("data:image/png,AA")}), "messages[0].content[0]"),
        (json!({"messages": image("s3://bucket/key")}), "messages[0].content[0]"),
        (
            json!({"messages": part(json!({"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}}))}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": part(json!({"type": "file", "file": {"file_id": "file-1"}}))}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": part(json!({"type": "file", "file": {"file_data": "data:application/zip;base64,AA=="}}))}),
            "messages[0].content[0]",
        ),
        (json!({"messages": part(json!({"type": "video_url", "video_url": {}}))}), "messages[0].content[0]"),
        (json!({"messages": call("{\"city\":")}), "messages"),
        (json!({"messages": call("[1]")}), "messages[1].tool_calls"),
    ] {
        let error = refusal(request.clone());
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{request}");
        assert_eq!(error.param(), Some(param), "{request}");
        assert!(!error.message().is_empty());
    }
}

#[test]
fn instructions_go_to_the_top_wherever_they_stand() {
    let sent = body(json!({"messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]},
    ]}));
    let system = json!([
        {"type": "text", "text": "Be brief."},
        {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
    ]);
    assert_eq!(sent["system"], system);
    assert_eq!(sent["messages"], json!([{"role": "user", "content": "Hi"}]));
    let one = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    assert_eq!(body(json!({"messages": one}))["system"], "Be brief.");
    let addition = json!({"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}});
    let placed = json!([{"role": "user", "content": "Hi"}, {"role": "system", "content": [addition]}]);
    assert_eq!(turns(placed)[1], json!({"role": "system", "content": [addition]}));
}

#[test]
fn turns_of_one_role_become_one_and_empty_ones_vanish() {
    let sent = turns(json!([
        {"role": "user", "content": "One"},
        {"role": "user", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": ""}]},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": null, "refusal": "No."},
        {"role": "user", "content": "Why?"},
    ]));
    let expected = json!([
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Why?"},
    ]);
    assert_eq!(sent, expected);
}

#[test]
fn images_and_documents_go_embedded_or_by_address() {
    let pdf = "data:application/pdf;base64,JVBERi0=";
    let sent = turns(json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}, "cache_control": {"type": "ephemeral"}},
        {"type": "file", "file": {"file_data": pdf, "filename": "a.pdf"}, "citations": {"enabled": true}},
        {"type": "file", "file": {"file_data": "data:text/markdown;base64,SGk="}},
        {"type": "file", "file": {"file_data": "SGk=", "filename": "a.txt"}},
        {"type": "file", "file": {"file_data": "https://x.org/a.pdf"}},
        {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
    ]}]));
    let text = |data: &str| json!({"type": "text", "media_type": "text/plain", "data": data});
    let expected = json!([
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}, "cache_control": {"type": "ephemeral"}},
        {
            "type": "document", "title": "a.pdf", "citations": {"enabled": true},
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        },
        {"type": "document", "source": text("Hi")},
        {"type": "document", "source": text("Hi"), "title": "a.txt"},
        {"type": "document", "source": {"type": "url", "url": "https://x.org/a.pdf"}},
        {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
    ]);
    assert_eq!(sent[0]["content"], expected);
}

#[test]
fn tools_and_the_choice_among_them_are_translated() {
    let function = json!({
        "name": "weather", "description": "Tells it", "strict": true,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    });
    let tools = json!([
        {"type": "function", "function": function, "cache_control": {"type": "ephemeral"}, "defer_loading": true},
        {"type": "function", "function": {"name": "now"}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3, "user_location": null},
    ]);
    let sent = body(json!({"tools": tools}));
    let schema = json!({
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false,
    });
    let expected = json!([
        {
            "name": "weather", "description": "Tells it", "strict": true, "input_schema": schema,
            "cache_control": {"type": "ephemeral"}, "defer_loading": true,
        },
        {"name": "now", "input_schema": {"type": "object"}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    ]);
    assert_eq!(sent["tools"], expected);
    assert_eq!(sent.get("tool_choice"), None);
    let choice = |choice: Value, parallel: Value| {
        body(json!({"tools": tools, "tool_choice": choice, "parallel_tool_calls": parallel}))["tool_choice"]
            .take()
    };
    let named = json!({"type": "function", "function": {"name": "now"}});
    assert_eq!(choice(json!("auto"), json!(null)), json!({"type": "auto"}));
    assert_eq!(choice(json!("none"), json!(false)), json!({"type": "none"}));
    assert_eq!(choice(json!("required"), json!(true)), json!({"type": "any"}));
    assert_eq!(choice(named, json!(null)), json!({"type": "tool", "name": "now"}));
    assert_eq!(choice(json!(null), json!(false)), json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(
        choice(json!("required"), json!(false)),
        json!({"type": "any", "disable_parallel_tool_use": true})
    );
    assert_eq!(
        choice(json!({"type": "tool", "name": "now"}), json!(null)),
        json!({"type": "tool", "name": "now"})
    );
}

#[test]
fn all_results_of_a_turn_stand_first_in_one_user_message() {
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let sent = turns(json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call("a.1", "{\"x\": 1}"), call("b", "")]},
        {"role": "tool", "tool_call_id": "a.1", "content": "sunny"},
        {"role": "user", "content": "Hurry"},
        {"role": "tool", "tool_call_id": "b", "is_error": true, "content": [
            {"type": "text", "text": "failed"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ]},
    ]));
    let image =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}});
    let expected = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "a_1", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "b", "name": "f", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a_1", "content": "sunny"},
            {"type": "tool_result", "tool_use_id": "b", "is_error": true, "content": [
                {"type": "text", "text": "failed"}, image,
            ]},
            {"type": "text", "text": "Hurry"},
        ]},
    ]);
    assert_eq!(sent, expected);
}

#[test]
fn signed_reasoning_goes_back_unchanged_before_the_calls_and_unsigned_reasoning_does_not() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let sent = turns(json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "So:", "reasoning_content": "Hmm.", "tool_calls": [call], "thinking_blocks": [
            {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "ENC", "index": 1},
            {"type": "thinking", "thinking": "of another provider"},
        ]},
    ]));
    let expected = json!([
        {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "ENC"},
        {"type": "text", "text": "So:"},
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
    ]);
    assert_eq!(sent[1]["content"], expected);
}

#[test]
fn a_schema_goes_into_output_config_and_is_closed() {
    let open = json!({
        "type": "object",
        "properties": {
            "a": {"type": ["object", "null"], "properties": {}},
            "b": {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}},
            "c": {"anyOf": [{"$ref": "#/$defs/d"}, {"type": "null"}]},
        },
        "$defs": {"d": {"type": "object"}},
    });
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": open}});
    let closed = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "a": {"type": ["object", "null"], "properties": {}, "additionalProperties": false},
            "b": {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}},
            "c": {"anyOf": [{"$ref": "#/$defs/d"}, {"type": "null"}]},
        },
        "$defs": {"d": {"type": "object", "additionalProperties": false}},
    });
    let sent = body(json!({"response_format": format, "reasoning_effort": "low"}));
    assert_eq!(
        sent["output_config"],
        json!({"format": {"type": "json_schema", "schema": closed}, "effort": "low"})
    );
}

#[test]
fn any_json_object_is_asked_for_in_the_last_system_block() {
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    let sent = body(json!({"messages": messages, "response_format": {"type": "json_object"}}));
    assert_eq!(sent["system"][0], json!({"type": "text", "text": "Be brief."}));
    assert!(sent["system"][1]["text"].as_str().unwrap().contains("JSON object"), "{sent}");
    assert_eq!(sent.get("output_config"), None);
    let alone = body(json!({"response_format": {"type": "json_object"}}));
    assert!(alone["system"].as_str().unwrap().contains("JSON object"), "{alone}");
}

#[test]
fn effort_is_a_word_for_newer_models() {
    assert_eq!(body(json!({"reasoning_effort": "max"}))["output_config"], json!({"effort": "max"}));
    assert_eq!(body(json!({"reasoning_effort": "minimal"}))["output_config"], json!({"effort": "low"}));
    assert_eq!(body(json!({"reasoning_effort": "none"}))["thinking"], json!({"type": "disabled"}));
    let both = body(json!({"reasoning_effort": "low", "thinking": {"type": "adaptive"}}));
    assert_eq!(both["thinking"], json!({"type": "adaptive"}));
    assert_eq!(both["output_config"], json!({"effort": "low"}));
    let own = body(json!({"reasoning_effort": "low", "output_config": {"effort": "high"}}));
    assert_eq!(own["output_config"], json!({"effort": "high"}));
}

#[test]
fn effort_is_a_budget_for_older_models_and_nothing_for_the_oldest() {
    let older = |members: Value| body_for("claude-sonnet-4-5", members);
    let sent = older(json!({"reasoning_effort": "medium"}));
    assert_eq!(sent["thinking"], json!({"type": "enabled", "budget_tokens": 4096}));
    assert_eq!(sent["max_tokens"], 8192, "the default answer comes on top of the budget");
    assert_eq!(sent.get("output_config"), None);
    let short = older(json!({"reasoning_effort": "high", "max_tokens": 3000}));
    assert_eq!((&short["thinking"]["budget_tokens"], &short["max_tokens"]), (&json!(1500), &json!(3000)));
    let tool = json!({"type": "function", "function": {"name": "f"}});
    for hindered in [
        json!({"reasoning_effort": "high", "max_tokens": 1000}),
        json!({"reasoning_effort": "high", "temperature": 0.5}),
        json!({"reasoning_effort": "high", "top_p": 0.5}),
        json!({"reasoning_effort": "high", "top_k": 5}),
        json!({"reasoning_effort": "high", "tools": [tool], "tool_choice": "required"}),
    ] {
        assert_eq!(older(hindered.clone()).get("thinking"), None, "{hindered}");
    }
    let own =
        older(json!({"reasoning_effort": "high", "thinking": {"type": "enabled", "budget_tokens": 2000}}));
    assert_eq!(own["thinking"]["budget_tokens"], 2000);
    assert_eq!(own["max_tokens"], 6096);
    let oldest = body_for("claude-3-5-haiku-latest", json!({"reasoning_effort": "high"}));
    assert_eq!((oldest.get("thinking"), oldest.get("output_config")), (None, None));
}

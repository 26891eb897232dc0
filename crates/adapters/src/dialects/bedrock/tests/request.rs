use mainstay_provider_core::ErrorKind;
use serde_json::{Value, json};

use super::*;

fn text(text: &str) -> Value {
    json!({"text": text})
}

#[test]
fn a_request_goes_to_the_models_path_percent_encoded() {
    let model = "us.amazon.nova-lite-v1:0";
    let sent = send_to(model, &*plain(), with_defaults(json!({}))).unwrap();
    assert_eq!(sent.path, "/model/us.amazon.nova-lite-v1%3A0/converse");
    assert_eq!(body_of(&sent), json!({"messages": [{"role": "user", "content": [text("Hi")]}]}));
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x";
    let sent = send_to(arn, &*plain(), with_defaults(json!({"stream": true}))).unwrap();
    assert_eq!(
        sent.path,
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fx/converse-stream"
    );
    assert_eq!(sent.headers["accept"], "application/vnd.amazon.eventstream");
    assert_eq!(body_of(&sent).get("stream"), None);
}

#[test]
fn s1_9_parameters_go_where_converse_or_the_model_looks_for_them() {
    let guardrail = json!({"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"});
    let sent = body(json!({
        "temperature": 0.5, "top_p": 0.9, "max_tokens": 10, "max_completion_tokens": 99, "stop": ["a", "b"], "user": "u-1",
        "metadata": {"team": "x", "odd": "{}", "number": 1}, "service_tier": "flex", "guardrailConfig": guardrail,
        "performanceConfig": {"latency": "optimized"}, "top_k": 40, "anthropic_beta": ["context-1m"],
        "additionalModelRequestFields": {"top_k": 41}, "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }));
    let expected = json!({
        "messages": [{"role": "user", "content": [text("Hi")]}],
        "inferenceConfig": {"temperature": 0.5, "topP": 0.9, "maxTokens": 99, "stopSequences": ["a", "b"]},
        "requestMetadata": {"team": "x", "user": "u-1"}, "serviceTier": {"type": "flex"}, "guardrailConfig": guardrail,
        "performanceConfig": {"latency": "optimized"},
        "additionalModelRequestFields": {"top_k": 41, "anthropic_beta": ["context-1m"]},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    });
    assert_eq!(sent, expected);
}

#[test]
fn what_bedrock_lacks_and_does_not_change_the_meaning_is_left_out() {
    let sent = body(json!({
        "n": 1, "seed": 7, "presence_penalty": 0.1, "frequency_penalty": 0.2, "logprobs": false, "store": true,
        "logit_bias": {"1": 1}, "metadata": {}, "prompt_cache_key": "k", "safety_identifier": "s", "verbosity": "low",
        "modalities": ["text"], "stream_options": {"include_usage": true}, "service_tier": "auto",
        "web_search_options": {}, "prediction": {"type": "content", "content": "x"}, "parallel_tool_calls": false,
        "stop": [], "top_k": null,
    }));
    assert_eq!(sent, json!({"messages": [{"role": "user", "content": [text("Hi")]}]}));
}

#[test]
fn what_would_change_the_meaning_is_refused_and_the_parameter_is_named() {
    let part = |part: Value| json!([{"role": "user", "content": [part]}]);
    let image = |url: &str| part(json!({"type": "image_url", "image_url": {"url": url}}));
    let file = |file: Value| part(json!({"type": "file", "file": file}));
    let call = |arguments: &str| {
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
        json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}])
    };
    for (request, param) in [
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"temperature": 1.5}), "temperature"),
        (json!({"functions": []}), "functions"),
        (json!({"reasoning_effort": "extreme"}), "reasoning_effort"),
        (json!({"response_format": {"type": "grammar"}}), "response_format"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (
            json!({"tool_choice": {"type": "allowed_tools"}, "tools": [{"type": "function", "function": {"name": "f"}}]}),
            "tool_choice",
        ),
        (json!({"tools": [{"type": "function"}]}), "tools[0]"),
        (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), "tools[0]"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": 1}}]}),
            "tools[0].function.parameters",
        ),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "system", "content": "Be brief."}]}), "messages"),
        (json!({"messages": [{"role": "function", "name": "f", "content": "1"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "tool", "content": "1"}]}), "messages[0].tool_call_id"),
        (json!({"messages": image("https://x.org/a.png")}), "messages[0].content[0]"),
        (json!({"messages": image("data:image/tiff;base64,AA==")}), "messages[0].content[0]"),
        (json!({"messages": image("s3://bucket/key")}), "messages[0].content[0]"),
        (json!({"messages": file(json!({"file_id": "file-1"}))}), "messages[0].content[0]"),
        (json!({"messages": file(json!({"file_data": "https://x.org/a.pdf"}))}), "messages[0].content[0]"),
        (
            json!({"messages": file(json!({"file_data": "data:application/zip;base64,AA=="}))}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": part(json!({"type": "input_audio", "input_audio": {"data": "", "format": "au"}}))}),
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
fn instructions_go_to_the_top_and_turns_of_one_role_become_one() {
    let sent = body(json!({"messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": ""}]},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": null, "refusal": "No."},
        {"role": "user", "content": "Why?"},
    ]}));
    assert_eq!(
        sent["system"],
        json!([text("Be brief."), text("Be kind."), {"cachePoint": {"type": "default"}}])
    );
    let expected = json!([
        {"role": "user", "content": [text("One"), text("Two")]},
        {"role": "assistant", "content": [text("No.")]},
        {"role": "user", "content": [text("Why?")]},
    ]);
    assert_eq!(sent["messages"], expected);
}

#[test]
fn a_cache_control_becomes_a_cache_point_behind_its_part_message_or_tool() {
    let mark = |ttl: &str| json!({"type": "ephemeral", "ttl": ttl});
    let sent = body(json!({
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Long", "cache_control": mark("1h")}, {"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": "So.", "cache_control": mark("5m")},
            {"role": "user", "content": "Go on."},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}],
    }));
    let point = |ttl: &str| json!({"cachePoint": {"type": "default", "ttl": ttl}});
    assert_eq!(sent["messages"][0]["content"], json!([text("Long"), point("1h"), text("Hi")]));
    assert_eq!(sent["messages"][1]["content"], json!([text("So."), point("5m")]));
    assert_eq!(sent["toolConfig"]["tools"][1], json!({"cachePoint": {"type": "default"}}));
}

#[test]
fn images_documents_and_recordings_are_sent_as_bytes_or_from_s3() {
    let url = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let sent = turns(json!([{"role": "user", "content": [
        url("data:image/jpg;base64,AAAA"),
        url("s3://bucket/a.webp"),
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a_b (1).pdf"}},
        {"type": "file", "file": {"file_data": "SGk=", "filename": "a b (1).txt"}, "citations": {"enabled": true}},
        {"type": "file", "file": {"file_data": "s3://bucket/t.xlsx"}},
        {"type": "file", "file": {"file_data": "SGk="}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"guardContent": {"text": {"text": "x", "qualifiers": ["query"]}}},
        {"type": "video", "video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/v.mp4"}}}},
    ]}]));
    let s3 = |uri: &str| json!({"s3Location": {"uri": uri}});
    let expected = json!([
        {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}},
        {"image": {"format": "webp", "source": s3("s3://bucket/a.webp")}},
        {"document": {"format": "pdf", "name": "a b (1)", "source": {"bytes": "JVBERi0="}}},
        {"document": {"format": "txt", "name": "a b (1) 2", "source": {"bytes": "SGk="}, "citations": {"enabled": true}}},
        {"document": {"format": "xlsx", "name": "Document", "source": s3("s3://bucket/t.xlsx")}},
        {"document": {"format": "pdf", "name": "Document 2", "source": {"bytes": "SGk="}}},
        {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}},
        {"guardContent": {"text": {"text": "x", "qualifiers": ["query"]}}},
        {"video": {"format": "mp4", "source": s3("s3://bucket/v.mp4")}},
    ]);
    assert_eq!(sent[0]["content"], expected);
}

#[test]
fn tools_and_the_choice_among_them_are_translated() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tools = json!([
        {"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": schema, "strict": true}},
        {"type": "function", "function": {"name": "now", "description": ""}},
        {"type": "systemTool", "systemTool": {"name": "nova_grounding"}},
        {"type": "systemTool", "name": "nova_code_interpreter"},
    ]);
    let closed =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": false});
    let spec = |spec: Value| json!({"toolSpec": spec});
    let expected = json!({"tools": [
        spec(json!({"name": "weather", "description": "Tells it", "inputSchema": {"json": closed}, "strict": true})),
        spec(json!({"name": "now", "inputSchema": {"json": {"type": "object"}}})),
        {"systemTool": {"name": "nova_grounding"}},
        {"systemTool": {"name": "nova_code_interpreter"}},
    ]});
    assert_eq!(body(json!({"tools": tools}))["toolConfig"], expected);
    let choice = |choice: Value| {
        body(json!({"tools": tools, "tool_choice": choice}))["toolConfig"]["toolChoice"].take()
    };
    assert_eq!(choice(json!("auto")), json!({"auto": {}}));
    assert_eq!(choice(json!("required")), json!({"any": {}}));
    let named = json!({"type": "function", "function": {"name": "now"}});
    assert_eq!(choice(named), json!({"tool": {"name": "now"}}));
    assert_eq!(body(json!({"tools": tools, "tool_choice": "none"})).get("toolConfig"), None);
}

#[test]
fn a_conversation_with_calls_always_declares_tools() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let messages = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]);
    let without = body(json!({"messages": messages}));
    assert_eq!(without["toolConfig"]["tools"][0]["toolSpec"]["name"], "no_tool");
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let none = body(json!({"messages": messages, "tools": tools, "tool_choice": "none"}));
    assert_eq!(none["toolConfig"], without["toolConfig"], "the model must not call what it is not offered");
    let with = body(json!({"messages": messages, "tools": tools}));
    assert_eq!(with["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
}

#[test]
fn all_results_of_a_turn_stand_first_in_one_user_message() {
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let long = "x".repeat(70);
    let sent = turns(json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call("a/1", "{\"x\": 1}"), call(&long, "")]},
        {"role": "tool", "tool_call_id": "a/1", "content": "sunny", "is_error": false},
        {"role": "user", "content": "Hurry"},
        {"role": "tool", "tool_call_id": long, "is_error": true, "content": [
            {"type": "text", "text": "failed", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ]},
    ]));
    let short = &long[6..];
    let image = json!({"image": {"format": "png", "source": {"bytes": "AAAA"}}});
    let expected = json!([
        {"role": "user", "content": [text("Hi")]},
        {"role": "assistant", "content": [
            text("Let me see."),
            {"toolUse": {"toolUseId": "a_1", "name": "f", "input": {"x": 1}}},
            {"toolUse": {"toolUseId": short, "name": "f", "input": {}}},
        ]},
        {"role": "user", "content": [
            {"toolResult": {"toolUseId": "a_1", "content": [text("sunny")], "status": "success"}},
            {"toolResult": {"toolUseId": short, "content": [text("failed"), image], "status": "error"}},
            text("Hurry"),
            {"cachePoint": {"type": "default"}},
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
            {"type": "redacted_thinking", "data": "ENC"},
            {"type": "thinking", "thinking": "unsigned"},
        ]},
    ]));
    let expected = json!([
        {"reasoningContent": {"reasoningText": {"text": "Hmm.", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "ENC"}},
        text("So:"),
        {"toolUse": {"toolUseId": "c", "name": "f", "input": {}}},
    ]);
    assert_eq!(sent[1]["content"], expected);
}

#[test]
fn a_schema_goes_into_output_config_as_closed_text_and_any_object_into_the_system_prompt() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "description": "An x.", "schema": schema}});
    let sent = body(json!({"response_format": format}));
    let format = &sent["outputConfig"]["textFormat"];
    assert_eq!(format["type"], "json_schema");
    let definition = &format["structure"]["jsonSchema"];
    assert_eq!((&definition["name"], &definition["description"]), (&json!("x"), &json!("An x.")));
    let read: Value = serde_json::from_str(definition["schema"].as_str().unwrap()).unwrap();
    assert_eq!(
        read,
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false})
    );
    let object = body(json!({"response_format": {"type": "json_object"}}));
    assert!(object["system"][0]["text"].as_str().unwrap().contains("JSON object"), "{object}");
}

#[test]
fn effort_goes_where_the_family_looks_for_it() {
    let sent = |model: &str, members: Value| {
        let mut sent = body_for(model, members);
        let sent = sent.as_object_mut().unwrap();
        sent.remove("messages");
        sent.remove("inferenceConfig");
        Value::Object(std::mem::take(sent))
    };
    let high = || json!({"reasoning_effort": "high"});
    let fields = |fields: Value| json!({"additionalModelRequestFields": fields});
    assert_eq!(sent(MODEL, high()), json!({"outputConfig": {"effort": "high"}}));
    assert_eq!(
        sent("us.anthropic.claude-sonnet-4-5-20250929-v1:0", high()),
        fields(json!({"thinking": {"type": "enabled", "budget_tokens": 8192}})),
    );
    assert_eq!(sent("anthropic.claude-3-5-haiku-20241022-v1:0", high()), json!({}));
    let nova =
        |effort: &str| fields(json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}));
    assert_eq!(sent("us.amazon.nova-2-lite-v1:0", high()), nova("high"));
    let bounded = json!({"reasoning_effort": "high", "max_tokens": 100});
    assert_eq!(sent("us.amazon.nova-2-lite-v1:0", bounded), nova("medium"));
    assert_eq!(sent("us.amazon.nova-lite-v1:0", high()), json!({}));
    assert_eq!(sent("openai.gpt-oss-120b-1:0", high()), fields(json!({"reasoning_effort": "high"})));
    assert_eq!(sent("deepseek.v3-v1:0", high()), json!({"outputConfig": {"effort": "high"}}));
    let own = json!({"reasoning_effort": "high", "thinking": {"type": "adaptive"}});
    assert_eq!(sent(MODEL, own), fields(json!({"thinking": {"type": "adaptive"}})));
    let none = json!({"reasoning_effort": "none"});
    assert_eq!(sent(MODEL, none), fields(json!({"thinking": {"type": "disabled"}})));
}

//! What is sent.

use mainstay_provider_core::{Error, ErrorKind};
use serde_json::{Value, json};

use super::support::{encode, whole};
use super::{gemini, vertex};
use crate::config::AdapterConfig;

const MODEL: &str = "gemini-2.5-flash";

fn sent(request: Value) -> Value {
    encode(&*gemini(), MODEL, request).unwrap().1
}

fn sent_to(model: &str, request: Value) -> Value {
    encode(&*gemini(), model, request).unwrap().1
}

fn refused(request: Value) -> Error {
    let error = encode(&*gemini(), MODEL, request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    error
}

fn user(parts: Value) -> Value {
    json!({"messages": [{"role": "user", "content": parts}]})
}

/// A plain question with other members.
fn with(members: Value) -> Value {
    let mut request = user("Hi".into());
    members.as_object().unwrap().iter().for_each(|(name, value)| request[name] = value.clone());
    request
}

fn generation(members: Value) -> Value {
    sent(with(members))["generationConfig"].clone()
}

// S1.1
#[test]
fn a_conversation_has_roles_user_and_model_and_its_instructions_apart() {
    let body = sent(json!({"messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
    ]}));
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "Be short."}, {"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"text": "Hello"}]},
            {"role": "user", "parts": [{"text": "A"}, {"text": "B"}]},
        ],
    });
    assert_eq!(body, expected);
}

#[test]
fn instructions_alone_are_the_users_turn() {
    let body = sent(json!({"messages": [{"role": "system", "content": "Say hello."}]}));
    assert_eq!(body, json!({"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]}));
}

#[test]
fn paths_name_the_model_and_the_method() {
    let path =
        |model: &str, stream: bool| encode(&*gemini(), model, with(json!({"stream": stream}))).unwrap().0;
    assert_eq!(path(MODEL, false), "/models/gemini-2.5-flash:generateContent");
    assert_eq!(path(MODEL, true), "/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    assert_eq!(path("tunedModels/my one", false), "/tunedModels/my%20one:generateContent");
    let path = |model: &str| encode(&*vertex(), model, with(json!({}))).unwrap().0;
    let parent = "/projects/acme/locations/europe-west4";
    assert_eq!(path(MODEL), format!("{parent}/publishers/google/models/gemini-2.5-flash:generateContent"));
    assert_eq!(path("models/m"), format!("{parent}/publishers/google/models/m:generateContent"));
    assert_eq!(
        path("publishers/meta/models/m"),
        format!("{parent}/publishers/meta/models/m:generateContent")
    );
    assert_eq!(path("endpoints/12"), format!("{parent}/endpoints/12:generateContent"));
    assert_eq!(
        path("projects/p/locations/l/endpoints/1"),
        "/projects/p/locations/l/endpoints/1:generateContent"
    );
}

#[test]
fn vertex_without_a_project_is_a_configuration_error() {
    let error = super::super::dialect(&AdapterConfig::new("vertex")).err().unwrap();
    assert_eq!((error.kind(), error.param()), (ErrorKind::Configuration, Some("project")));
}

// S1.9
#[test]
fn sampling_parameters_go_to_the_generation_config() {
    let config = generation(json!({
        "temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 100, "stop": "END", "seed": 7, "n": 2,
        "presence_penalty": 0.5, "frequency_penalty": 0.25, "logprobs": true, "top_logprobs": 3,
    }));
    let expected = json!({
        "temperature": 0.5, "topP": 0.9, "maxOutputTokens": 100, "stopSequences": ["END"], "seed": 7,
        "candidateCount": 2, "presencePenalty": 0.5, "frequencyPenalty": 0.25, "responseLogprobs": true, "logprobs": 3,
    });
    assert_eq!(config, expected);
    assert_eq!(
        generation(json!({"n": 1, "logprobs": false, "parallel_tool_calls": false, "user": "u"})),
        Value::Null
    );
    let seed = generation(json!({"seed": i64::MAX}))["seed"].as_i64().unwrap();
    assert!(i32::try_from(seed).is_ok());
}

// S1.9
#[test]
fn googles_own_parameters_pass_through_in_either_spelling_and_place() {
    let body = sent(with(json!({
        "max_tokens": 10,
        "top_k": 40,
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "cached_content": "cachedContents/1",
        "generation_config": {"max_output_tokens": 20, "thinking_config": {"thinking_budget": 5}},
        "labels": {"team": "a"},
        "extra_body": {"google": {"response_modalities": ["TEXT"]}},
        "something_new": 1,
    })));
    let expected = json!({
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "cachedContent": "cachedContents/1",
        "labels": {"team": "a"},
        "something_new": 1,
        "generationConfig": {
            "maxOutputTokens": 20, "topK": 40, "thinkingConfig": {"thinkingBudget": 5}, "responseModalities": ["TEXT"],
        },
    });
    assert_eq!(body, expected);
}

#[test]
fn parameters_that_only_openai_has_are_dropped() {
    let body = sent(with(json!({
        "store": true, "metadata": {"a": "b"}, "logit_bias": {"1": 2}, "prompt_cache_key": "k", "verbosity": "low",
        "safety_identifier": "s", "stream_options": {"include_usage": true}, "modalities": ["text"], "user": "u",
        "service_tier": "auto", "tools": [], "tool_choice": "auto",
    })));
    assert_eq!(body, json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}));
    assert_eq!(sent(with(json!({"service_tier": "flex"})))["serviceTier"], "flex");
    let pictures = generation(json!({"modalities": ["text", "image"]}));
    assert_eq!(pictures["responseModalities"], json!(["TEXT", "IMAGE"]));
}

#[test]
fn response_formats_ask_for_json_and_for_a_schema() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = |format: Value| generation(json!({"response_format": format}));
    assert_eq!(format(json!({"type": "text"})), Value::Null);
    assert_eq!(format(json!({"type": "json_object"})), json!({"responseMimeType": "application/json"}));
    let expected = json!({"responseMimeType": "application/json", "responseJsonSchema": schema});
    let asked =
        json!({"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": schema}});
    assert_eq!(format(asked), expected);
    assert_eq!(format(json!({"type": "json_object", "schema": schema})), expected);
    assert_eq!(
        refused(with(json!({"response_format": {"type": "grammar"}}))).param(),
        Some("response_format")
    );
}

#[test]
fn an_effort_goes_together_with_the_rest_of_a_thinking_config_and_gives_way_to_its_measure() {
    let thinking = |own: Value| {
        let request = with(json!({"reasoning_effort": "low", "generationConfig": {"thinkingConfig": own}}));
        sent_to("gemini-3-flash-preview", request)["generationConfig"]["thinkingConfig"].clone()
    };
    let hidden = json!({"includeThoughts": false});
    assert_eq!(thinking(hidden), json!({"thinkingLevel": "LOW", "includeThoughts": false}));
    assert_eq!(thinking(json!({"thinkingLevel": "HIGH"})), json!({"thinkingLevel": "HIGH"}));
    assert_eq!(thinking(json!({"thinkingBudget": 9})), json!({"thinkingBudget": 9}));
}

#[test]
fn an_effort_is_a_budget_for_2_5_and_a_level_from_3_on() {
    let thinking = |model: &str, effort: &str| {
        sent_to(model, with(json!({"reasoning_effort": effort})))["generationConfig"]["thinkingConfig"]
            .clone()
    };
    let budget = |tokens: u32| json!({"thinkingBudget": tokens, "includeThoughts": true});
    let level = |level: &str| json!({"thinkingLevel": level, "includeThoughts": true});
    assert_eq!(thinking("gemini-2.5-flash", "none"), json!({"thinkingBudget": 0}));
    assert_eq!(thinking("gemini-2.5-pro", "none"), json!({"thinkingBudget": 128}));
    assert_eq!(thinking("gemini-2.5-flash-lite", "low"), budget(1024));
    assert_eq!(thinking("models/gemini-2.5-pro-preview-05-06", "medium"), budget(8192));
    assert_eq!(thinking("gemini-2.5-flash", "max"), budget(24_576));
    assert_eq!(thinking("gemini-2.5-pro", "xhigh"), budget(32_768));
    assert_eq!(thinking("gemini-3-flash-preview", "none"), json!({"thinkingLevel": "MINIMAL"}));
    assert_eq!(thinking("gemini-3.1-pro-preview", "minimal"), level("LOW"));
    assert_eq!(thinking("gemini-3-pro-preview", "medium"), level("HIGH"));
    assert_eq!(thinking("gemini-3.1-pro-preview", "medium"), level("MEDIUM"));
    assert_eq!(thinking("gemini-flash-latest", "high"), level("HIGH"));
    assert_eq!(thinking("gemini-2.0-flash", "high"), Value::Null);
    assert_eq!(thinking("tunedModels/mine", "minimal"), level("LOW"));
    assert_eq!(refused(with(json!({"reasoning_effort": "enormous"}))).param(), Some("reasoning_effort"));
    // The caller's own setting stands alone: a level and a budget together are refused.
    let own = with(json!({"reasoning_effort": "low", "thinking_config": {"thinking_level": "high"}}));
    let config = sent_to("gemini-3-flash-preview", own)["generationConfig"]["thinkingConfig"].clone();
    assert_eq!(config, json!({"thinkingLevel": "HIGH"}));
}

#[test]
fn images_recordings_and_files_are_embedded_or_named_by_their_address() {
    let parts = sent(user(json!([
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.JPG?size=1"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/image"}},
        {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "mp3"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,CCCC"}},
        {"type": "file", "file": {"filename": "a.csv", "file_data": "DDDD"}},
        {"type": "file", "file": {"file_id": "files/abc"}},
        {"type": "file", "file": {"file_id": "gs://bucket/film.mp4"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/v.webm"}},
        {"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"fps": 1}},
    ])))["contents"][0]["parts"]
        .clone();
    let expected = json!([
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"fileData": {"fileUri": "https://example.com/cat.JPG?size=1", "mimeType": "image/jpeg"}},
        {"fileData": {"fileUri": "https://example.com/image"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "BBBB"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}},
        {"inlineData": {"mimeType": "text/csv", "data": "DDDD"}},
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
        {"fileData": {"fileUri": "gs://bucket/film.mp4", "mimeType": "video/mp4"}},
        {"fileData": {"fileUri": "https://example.com/v.webm", "mimeType": "video/webm"}},
        {"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"fps": 1}},
    ]);
    assert_eq!(parts, expected);
}

#[test]
fn vertex_is_always_told_a_media_type() {
    let image = json!([{"type": "image_url", "image_url": {"url": "https://example.com/image"}}]);
    let body = encode(&*vertex(), MODEL, user(image)).unwrap().1;
    assert_eq!(body["contents"][0]["parts"][0]["fileData"]["mimeType"], "image/jpeg");
}

#[test]
fn functions_stand_in_one_entry_and_googles_tools_in_one_each() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let body = sent(with(json!({"tools": [
        {"type": "function", "function": {"name": "weather", "description": "d", "parameters": schema, "strict": true},
         "cache_control": {"type": "ephemeral"}},
        {"type": "google_search"},
        {"type": "function", "function": {"name": "now"}},
        {"type": "file_search", "file_search": {"fileSearchStoreNames": ["s"]}},
        {"type": "urlContext", "cache_control": {"type": "ephemeral"}},
    ]})));
    let expected = json!([
        {"functionDeclarations": [
            {"name": "weather", "description": "d", "parametersJsonSchema": schema},
            {"name": "now"},
        ]},
        {"googleSearch": {}},
        {"fileSearch": {"fileSearchStoreNames": ["s"]}},
        {"urlContext": {}},
    ]);
    assert_eq!(body["tools"], expected);
    assert_eq!(body.get("toolConfig"), None);
}

#[test]
fn a_tool_choice_is_a_mode() {
    let config = |choice: Value| {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        sent(with(json!({"tools": tools, "tool_choice": choice})))["toolConfig"]["functionCallingConfig"]
            .clone()
    };
    assert_eq!(config("auto".into()), json!({"mode": "AUTO"}));
    assert_eq!(config("none".into()), json!({"mode": "NONE"}));
    assert_eq!(config("required".into()), json!({"mode": "ANY"}));
    assert_eq!(config("validated".into()), json!({"mode": "VALIDATED"}));
    let named = json!({"mode": "ANY", "allowedFunctionNames": ["f"]});
    assert_eq!(config(json!({"type": "function", "function": {"name": "f"}})), named);
    let allowed = |mode: &str| {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
    };
    assert_eq!(config(allowed("required")), named);
    assert_eq!(config(allowed("auto")), json!({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}));
    assert_eq!(refused(with(json!({"tool_choice": {"type": "custom"}}))).param(), Some("tool_choice"));
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

#[test]
fn results_of_parallel_calls_stand_in_one_content_as_objects() {
    let body = sent(json!({"messages": [
        {"role": "user", "content": "Bern and Oslo?"},
        {"role": "assistant", "content": "", "tool_calls": [call("a", "weather", "{\"city\":\"Bern\"}"), call("b", "now", "")]},
        {"role": "tool", "tool_call_id": "a", "content": "{\"sky\": \"clear\"}"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "15"}, {"type": "text", "text": ":00"}]},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "tool_calls": [call("c", "now", "{}")]},
        {"role": "tool", "tool_call_id": "c", "content": "[1]"},
    ]}));
    let expected = json!([
        {"role": "user", "parts": [{"text": "Bern and Oslo?"}]},
        {"role": "model", "parts": [
            {"functionCall": {"id": "a", "name": "weather", "args": {"city": "Bern"}}},
            {"functionCall": {"id": "b", "name": "now", "args": {}}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"id": "a", "name": "weather", "response": {"sky": "clear"}}},
            {"functionResponse": {"id": "b", "name": "now", "response": {"output": "15:00"}}},
        ]},
        {"role": "user", "parts": [{"text": "And?"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c", "name": "now", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c", "name": "now", "response": {"output": [1]}}}]},
    ]);
    assert_eq!(body["contents"], expected);
}

#[test]
fn an_image_as_a_result_is_inside_it_from_gemini_3_on_and_beside_it_before() {
    let request = json!({"messages": [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "tool_calls": [call("a", "look", "{}")]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
    ]});
    let image = json!({"inlineData": {"mimeType": "image/png", "data": "AA"}});
    let parts = |model: &str| sent_to(model, request.clone())["contents"][2]["parts"].clone();
    let response = |parts: Option<&Value>| {
        let mut response = json!({"id": "a", "name": "look", "response": {"output": ""}});
        parts.into_iter().for_each(|parts| response["parts"] = json!([parts]));
        json!({"functionResponse": response})
    };
    assert_eq!(parts("gemini-3-pro-preview"), json!([response(Some(&image))]));
    assert_eq!(parts("gemini-2.5-flash"), json!([response(None), image]));
}

#[test]
fn calls_of_other_models_are_marked_for_gemini_3_which_wants_a_signature() {
    let request = json!({"messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [call("a", "f", "{}"), call("b", "f", "{}")]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
    ]});
    let parts = |model: &str| sent_to(model, request.clone())["contents"][1]["parts"].clone();
    assert_eq!(parts("gemini-3-pro-preview")[0]["thoughtSignature"], "skip_thought_signature_validator");
    assert_eq!(parts("gemini-3-pro-preview")[1].get("thoughtSignature"), None);
    assert_eq!(parts("gemini-2.5-flash")[0].get("thoughtSignature"), None);
}

#[test]
fn what_the_model_signed_comes_back_to_it_part_by_part() {
    let parts = json!([
        {"text": "Let me see.", "thought": true, "thoughtSignature": "s0"},
        {"executableCode": {"language": "PYTHON", "code": "1+1"}, "thoughtSignature": "s1"},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        {"text": "Looking.", "thoughtSignature": "s2"},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}, "thoughtSignature": "s3"},
        {"functionCall": {"id": "a", "name": "f", "args": {"x": [1, null]}}, "thoughtSignature": "s4"},
        {"functionCall": {"id": "b", "name": "g", "args": {}}},
    ]);
    let candidate = json!({"content": {"role": "model", "parts": parts}, "finishReason": "STOP"});
    let answer = whole(&*gemini(), &json!({"candidates": [candidate]})).unwrap();
    let message = serde_json::to_value(&answer.choices[0].message).unwrap();
    let again =
        sent_to("gemini-3-pro-preview", json!({"messages": [{"role": "user", "content": "Hi"}, message]}));
    assert_eq!(again["contents"][1], json!({"role": "model", "parts": parts}));
}

#[test]
fn other_providers_signatures_are_kept_from_google() {
    let request = json!({"messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "reasoning_content": "A greeting.", "thinking_blocks": [
            {"type": "thinking", "thinking": "A greeting.", "signature": "anthropic's"},
            {"type": "redacted_thinking", "data": "AAAA"},
        ]},
    ]});
    let parts = |model: &str| sent_to(model, request.clone())["contents"][1]["parts"].clone();
    assert_eq!(parts(MODEL), json!([{"text": "A greeting.", "thought": true}, {"text": "Hello"}]));
    assert_eq!(parts("gemini-2.0-flash"), json!([{"text": "Hello"}]));
}

#[test]
fn bad_input_is_refused_with_the_place_and_the_cure() {
    let assistant = |arguments: &str| json!({"role": "assistant", "tool_calls": [call("a", "f", arguments)]});
    let messages =
        |message: Value| refused(json!({"messages": [{"role": "user", "content": "Hi"}, message]}));
    let cases = [
        (messages(assistant("{")), "messages"),
        (messages(assistant("[1]")), "messages[1].tool_calls[0].function.arguments"),
        (messages(json!({"role": "tool", "tool_call_id": "x", "content": "1"})), "messages[1].tool_call_id"),
        (messages(json!({"role": "robot", "content": "1"})), "messages[1].role"),
        (messages(json!({"role": "user", "content": [{"type": "hologram"}]})), "messages[1].content[0]"),
        (
            messages(json!({"role": "user", "content": [{"type": "file", "file": {}}]})),
            "messages[1].content[0]",
        ),
        (
            messages(json!({"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]})),
            "messages[1].tool_calls[0]",
        ),
    ];
    for (error, param) in cases {
        assert_eq!(error.param(), Some(param), "{}", error.message());
        assert!(error.message().len() > 30, "{}", error.message());
    }
}

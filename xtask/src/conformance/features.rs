//! A neutral request for each feature of the chat surface.

use serde_json::{Value, json};

/// A red pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

/// Every feature by name, without a model.
pub(crate) fn features() -> Vec<(String, Value)> {
    let mut all = said();
    all.extend(sampling());
    all.extend(tools());
    all.extend(histories());
    all.extend(["none", "minimal", "low", "medium", "high", "xhigh", "max"].map(|effort| {
        (
            format!("reasoning_effort {effort}"),
            with(json!({"reasoning_effort": effort, "max_completion_tokens": 8192})),
        )
    }));
    all
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

/// A plain question with other members.
fn with(members: Value) -> Value {
    let mut request = json!({"messages": [user("Say hello.")]});
    for (name, value) in members.as_object().into_iter().flatten() {
        request[name] = value.clone();
    }
    request
}

fn conversation(messages: Value) -> Value {
    json!({"messages": messages, "tools": [weather()]})
}

fn weather() -> Value {
    json!({"type": "function", "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
            "required": ["city"],
            "additionalProperties": false,
        },
    }})
}

/// What can stand in a message.
fn said() -> Vec<(String, Value)> {
    let parts = |parts: Value| json!({"messages": [{"role": "user", "content": parts}]});
    let text = json!({"type": "text", "text": "What is this?"});
    let png = format!("data:image/png;base64,{PNG}");
    let cached = json!({"type": "text", "text": "A long text.", "cache_control": {"type": "ephemeral"}});
    let pdf = json!({"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQK"});
    [
        ("plain", with(json!({}))),
        ("streamed", with(json!({"stream": true, "stream_options": {"include_usage": true}}))),
        ("system", json!({"messages": [{"role": "system", "content": "Be short."}, user("Hello")]})),
        ("developer", json!({"messages": [{"role": "developer", "content": "Be short."}, user("Hello")]})),
        ("two system messages", json!({"messages": [
            {"role": "system", "content": "Be short."}, {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
            user("Hello"),
        ]})),
        ("late system message", json!({"messages": [
            user("Hello"), {"role": "assistant", "content": "Hi"}, {"role": "system", "content": "Now in French."}, user("Again"),
        ]})),
        ("two user messages in a row", json!({"messages": [user("Hello"), user("World")]})),
        ("parts", parts(json!([text, {"type": "text", "text": "Tell me."}]))),
        ("image by data", parts(json!([text, {"type": "image_url", "image_url": {"url": png, "detail": "low"}}]))),
        ("image by address", parts(json!([text, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]))),
        ("audio", parts(json!([text, {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]))),
        ("file", parts(json!([text, {"type": "file", "file": pdf}]))),
        ("cache_control", parts(json!([cached, text]))),
        ("user", with(json!({"user": "user-1"}))),
        ("metadata and store", with(json!({"metadata": {"a": "b"}, "store": false, "service_tier": "auto"}))),
    ]
    .map(|(name, request)| (name.to_owned(), request))
    .into()
}

fn sampling() -> Vec<(String, Value)> {
    let schema = json!({
        "type": "object",
        "properties": {"answer": {"type": "string"}},
        "required": ["answer"],
        "additionalProperties": false,
    });
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": true}});
    [
        ("temperature", json!({"temperature": 0.5})),
        ("top_p", json!({"top_p": 0.9})),
        ("max_tokens", json!({"max_tokens": 100})),
        ("max_completion_tokens", json!({"max_completion_tokens": 100})),
        ("stop text", json!({"stop": "END"})),
        ("stop list", json!({"stop": ["END", "STOP"]})),
        ("n", json!({"n": 2})),
        ("n of 1", json!({"n": 1})),
        ("seed", json!({"seed": 42})),
        ("penalties", json!({"presence_penalty": 0.5, "frequency_penalty": 0.25})),
        ("logprobs", json!({"logprobs": true, "top_logprobs": 2})),
        ("no logprobs", json!({"logprobs": false})),
        ("json_object", json!({"response_format": {"type": "json_object"}})),
        ("json_schema", json!({"response_format": format})),
        ("text format", json!({"response_format": {"type": "text"}})),
        ("hints", json!({"prompt_cache_key": "k", "safety_identifier": "s", "verbosity": "low"})),
    ]
    .map(|(name, members)| (name.to_owned(), with(members)))
    .into()
}

fn tools() -> Vec<(String, Value)> {
    let bare = json!({"type": "function", "function": {"name": "now"}});
    let mut strict = weather();
    strict["function"]["strict"] = true.into();
    let named = json!({"type": "function", "function": {"name": "get_weather"}});
    [
        ("tool", json!({"tools": [weather()]})),
        ("tool without schema", json!({"tools": [bare]})),
        ("strict tool", json!({"tools": [strict]})),
        ("tool_choice auto", json!({"tools": [weather()], "tool_choice": "auto"})),
        ("tool_choice none", json!({"tools": [weather()], "tool_choice": "none"})),
        ("tool_choice required", json!({"tools": [weather()], "tool_choice": "required"})),
        ("tool_choice by name", json!({"tools": [weather(), bare], "tool_choice": named})),
        ("no parallel calls", json!({"tools": [weather()], "parallel_tool_calls": false})),
        ("parallel calls", json!({"tools": [weather()], "parallel_tool_calls": true})),
        ("no tools", json!({"tools": []})),
    ]
    .map(|(name, members)| (name.to_owned(), with(members)))
    .into()
}

fn call(id: &str, city: &str) -> Value {
    let arguments = json!({"city": city}).to_string();
    json!({"id": id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}})
}

fn histories() -> Vec<(String, Value)> {
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "{\"sky\": \"clear\"}"});
    let calls = json!({"role": "assistant", "content": null, "tool_calls": [call("call_1aB2cD3e", "Bern"), call("call_4fG5hI6j", "Oslo")]});
    let thinking = json!({"type": "thinking", "thinking": "I should look.", "signature": "c2lnbmF0dXJl"});
    let png = format!("data:image/png;base64,{PNG}");
    [
        ("many turns", json!({"messages": [user("Hi"), {"role": "assistant", "content": "Hello"}, user("Bye")]})),
        ("one tool result", conversation(json!([
            user("Weather in Bern?"),
            {"role": "assistant", "content": "I look.", "tool_calls": [call("call_1aB2cD3e", "Bern")]},
            result("call_1aB2cD3e"),
        ]))),
        ("parallel tool results", conversation(json!([user("Bern and Oslo?"), calls, result("call_1aB2cD3e"), result("call_4fG5hI6j")]))),
        ("a tool result, then the user", conversation(json!([
            user("Bern?"), {"role": "assistant", "tool_calls": [call("call_1aB2cD3e", "Bern")]}, result("call_1aB2cD3e"), user("And now?"),
        ]))),
        ("a call without arguments", conversation(json!([
            user("Now?"),
            {"role": "assistant", "tool_calls": [{"id": "call_1aB2cD3e", "type": "function", "function": {"name": "get_weather", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "call_1aB2cD3e", "content": ""},
        ]))),
        ("a tool result in parts", conversation(json!([
            user("Bern?"),
            {"role": "assistant", "tool_calls": [call("call_1aB2cD3e", "Bern")]},
            {"role": "tool", "tool_call_id": "call_1aB2cD3e", "content": [{"type": "text", "text": "clear"}, {"type": "text", "text": "warm"}]},
        ]))),
        ("an image as tool result", conversation(json!([
            user("Bern?"),
            {"role": "assistant", "tool_calls": [call("call_1aB2cD3e", "Bern")]},
            {"role": "tool", "tool_call_id": "call_1aB2cD3e", "content": [{"type": "image_url", "image_url": {"url": png}}]},
        ]))),
        ("reasoning in the history", json!({"messages": [
            user("Hi"), {"role": "assistant", "content": "Hello", "reasoning_content": "A greeting."}, user("Bye"),
        ]})),
        ("signed reasoning before a call", conversation(json!([
            user("Bern?"),
            {"role": "assistant", "content": null, "reasoning_content": "I should look.", "thinking_blocks": [thinking], "tool_calls": [call("call_1aB2cD3e", "Bern")]},
            result("call_1aB2cD3e"),
        ]))),
        ("redacted reasoning", json!({"messages": [
            user("Hi"),
            {"role": "assistant", "content": "Hello", "thinking_blocks": [{"type": "redacted_thinking", "data": "ZGF0YQ=="}]},
            user("Bye"),
        ]})),
        ("a refusal in the history", json!({"messages": [user("Hi"), {"role": "assistant", "refusal": "No."}, user("Bye")]})),
        ("an annotated answer in the history", json!({"messages": [
            user("Hi"),
            {"role": "assistant", "content": "Hello", "annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com", "title": "E", "start_index": 0, "end_index": 5}}]},
            user("Bye"),
        ]})),
    ]
    .map(|(name, request)| (name.to_owned(), request))
    .into()
}

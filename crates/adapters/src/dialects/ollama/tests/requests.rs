//! What is sent.

use mainstay_provider_core::{EmbedRequest, Error, ErrorKind, Usage};
use serde_json::{Value, json};

use super::ollama;
use super::support::encode;

fn sent(request: Value) -> Value {
    let (path, body) = encode(&*ollama(), "llama3", request).unwrap();
    assert_eq!(path, "/api/chat");
    body
}

/// A plain question with other members.
fn with(members: Value) -> Value {
    let mut request = json!({"messages": [{"role": "user", "content": "Hi"}]});
    members.as_object().unwrap().iter().for_each(|(name, value)| request[name] = value.clone());
    request
}

/// What the members make of a plain question's body.
fn members(request: Value) -> Value {
    let mut body = sent(with(request));
    let plain = ["model", "messages", "stream"];
    plain.iter().for_each(|name| assert!(body.as_object_mut().unwrap().remove(*name).is_some()));
    body
}

// S1.9
#[test]
fn sampling_parameters_are_options_and_the_callers_options_win() {
    let body = members(json!({
        "max_tokens": 10, "temperature": 0.5, "top_p": 0.9, "stop": "END", "seed": 7, "presence_penalty": 0.5,
        "frequency_penalty": 0.25, "top_k": 40, "num_ctx": 4096, "keep_alive": "5m", "options": {"temperature": 0, "min_p": 0.1},
    }));
    let expected = json!({"keep_alive": "5m", "options": {
        "num_predict": 10, "temperature": 0, "top_p": 0.9, "stop": ["END"], "seed": 7, "presence_penalty": 0.5,
        "frequency_penalty": 0.25, "top_k": 40, "num_ctx": 4096, "min_p": 0.1,
    }});
    assert_eq!(body, expected);
    // Ollama streams unless it is told not to.
    assert_eq!(sent(with(json!({})))["stream"], false);
    assert_eq!(sent(with(json!({"stream": true})))["stream"], true);
}

#[test]
fn parameters_that_only_openai_has_are_dropped() {
    let body = members(json!({
        "store": true, "metadata": {"a": "b"}, "service_tier": "auto", "user": "u", "parallel_tool_calls": false, "n": 1,
        "stream_options": {"include_usage": true}, "logit_bias": {"1": 2}, "logprobs": false, "tools": [],
        "tool_choice": "auto", "response_format": {"type": "text"}, "keep_alive": null,
    }));
    assert_eq!(body, json!({}));
}

// S1.1
#[test]
fn messages_are_one_text_each_with_their_images_apart() {
    let body = sent(json!({"messages": [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [
            {"type": "text", "text": "What "}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "text", "text": "is it?"},
        ]},
        {"role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        ]},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "assistant", "refusal": "No."},
    ]}));
    let expected = json!([
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "What is it?", "images": ["AAAA"]},
        {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [
            {"function": {"name": "f", "arguments": {"x": 1}}}, {"function": {"name": "g", "arguments": {}}},
        ]},
        {"role": "tool", "content": "2", "tool_name": "g"},
        {"role": "tool", "content": "1", "tool_name": "f"},
        {"role": "assistant", "content": "No."},
    ]);
    assert_eq!(body["messages"], expected);
}

#[test]
fn tools_are_openais_and_none_may_be_called_when_none_are_sent() {
    let tool = json!({"type": "function", "function": {"name": "f", "description": "d", "strict": true}});
    let written = json!({"type": "function", "function": {
        "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}},
    }});
    assert_eq!(members(json!({"tools": [tool], "tool_choice": "auto"})), json!({"tools": [written]}));
    assert_eq!(members(json!({"tools": [tool], "tool_choice": "none"})), json!({}));
}

#[test]
fn formats_are_json_or_a_schema() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = |format: Value| members(json!({"response_format": format}))["format"].clone();
    assert_eq!(format(json!({"type": "json_object"})), "json");
    assert_eq!(
        format(json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})),
        schema
    );
    assert_eq!(format(json!({"type": "json_schema", "json_schema": {"name": "a"}})), "json");
}

#[test]
fn an_effort_is_a_level_for_gpt_oss_and_a_switch_for_the_others() {
    let think = |model: &str, effort: &str| {
        encode(&*ollama(), model, with(json!({"reasoning_effort": effort}))).unwrap().1["think"].clone()
    };
    assert_eq!(think("gpt-oss:20b", "minimal"), "low");
    assert_eq!(think("gpt-oss:20b", "xhigh"), "high");
    assert_eq!(think("qwen3", "medium"), true);
    assert_eq!(think("qwen3", "none"), false);
    let own = with(json!({"reasoning_effort": "low", "think": "medium"}));
    assert_eq!(encode(&*ollama(), "qwen3", own).unwrap().1["think"], "medium");
}

#[test]
fn probabilities_are_asked_for_by_openais_names() {
    let body = members(json!({"logprobs": true, "top_logprobs": 2}));
    assert_eq!(body, json!({"logprobs": true, "top_logprobs": 2}));
}

#[test]
fn what_ollama_cannot_do_is_refused_with_the_place_and_the_cure() {
    let user = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    let assistant = |arguments: &str| {
        let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}});
        json!({"messages": [{"role": "assistant", "tool_calls": [call]}]})
    };
    let cases = [
        (with(json!({"n": 2})), "n"),
        (with(json!({"tool_choice": "required"})), "tool_choice"),
        (with(json!({"tool_choice": {"type": "function", "function": {"name": "f"}}})), "tool_choice"),
        (with(json!({"tools": [{"type": "web_search"}]})), "tools[0].type"),
        (with(json!({"response_format": {"type": "grammar"}})), "response_format"),
        (with(json!({"reasoning_effort": "enormous"})), "reasoning_effort"),
        (
            user(json!({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})),
            "messages[0].content[0].image_url.url",
        ),
        (
            user(json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}})),
            "messages[0].content[0]",
        ),
        (user(json!({"type": "file", "file": {"file_id": "1"}})), "messages[0].content[0]"),
        (assistant("{"), "messages"),
        (assistant("[]"), "messages[0].tool_calls[0].function.arguments"),
        (json!({"messages": [{"role": "robot", "content": "1"}]}), "messages[0].role"),
    ];
    for (request, param) in cases {
        let error = encode(&*ollama(), "llama3", request).unwrap_err();
        assert_eq!(
            (error.kind(), error.param()),
            (ErrorKind::InvalidRequest, Some(param)),
            "{}",
            error.message()
        );
        assert!(error.message().len() > 30, "{}", error.message());
    }
}

// S4.5
#[test]
fn texts_are_embedded() {
    let encode = |request: Value| {
        let request: EmbedRequest = serde_json::from_value(request).unwrap();
        let outgoing = ollama().encode_embed(&request, "nomic")?;
        assert_eq!(outgoing.path, "/api/embed");
        Ok::<Value, Error>(serde_json::from_slice(&outgoing.body).unwrap())
    };
    let body = encode(json!({"model": "m", "input": "a", "user": "u", "encoding_format": "base64"})).unwrap();
    assert_eq!(body, json!({"model": "nomic", "input": "a"}));
    let body = encode(
        json!({"model": "m", "input": ["a", "b"], "dimensions": 8, "truncate": false, "keep_alive": null}),
    )
    .unwrap();
    assert_eq!(body, json!({"model": "nomic", "input": ["a", "b"], "dimensions": 8, "truncate": false}));
    assert_eq!(encode(json!({"model": "m", "input": [1]})).unwrap_err().param(), Some("input"));
    let answer = json!({"model": "m", "embeddings": [[0.5, -1]], "prompt_eval_count": 3});
    let (vectors, usage) = ollama().decode_embed(answer.to_string().into()).unwrap();
    assert_eq!((vectors, usage), (vec![vec![0.5, -1.0]], Some(Usage::new(3, 0))));
    assert_eq!(ollama().decode_embed("{}".into()).unwrap_err().kind(), ErrorKind::MalformedResponse);
}

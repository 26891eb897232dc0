//! What is sent.

use mainstay_provider_core::{EmbedRequest, Error, ErrorKind, Usage};
use serde_json::{Value, json};

use super::cohere;
use super::support::encode;

const MODEL: &str = "command-a-reasoning-08-2025";

fn sent(request: Value) -> Value {
    let (path, body) = encode(&*cohere(), MODEL, request).unwrap();
    assert_eq!(path, "/v2/chat");
    body
}

fn refused(request: Value) -> Error {
    let error = encode(&*cohere(), MODEL, request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    error
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
fn parameters_have_coheres_names_and_its_own_pass_through() {
    let body = members(json!({
        "max_tokens": 10, "temperature": 0.5, "top_p": 0.9, "stop": ["A", "B"], "seed": 7, "presence_penalty": 0.5,
        "frequency_penalty": 0.25, "top_k": 40, "logprobs": true, "documents": [{"id": "1", "data": {"text": "t"}}],
        "citation_options": {"mode": "FAST"}, "safety_mode": null,
    }));
    let expected = json!({
        "max_tokens": 10, "temperature": 0.5, "p": 0.9, "stop_sequences": ["A", "B"], "seed": 7, "presence_penalty": 0.5,
        "frequency_penalty": 0.25, "k": 40, "logprobs": true, "documents": [{"id": "1", "data": {"text": "t"}}],
        "citation_options": {"mode": "FAST"},
    });
    assert_eq!(body, expected);
    assert_eq!(
        members(json!({"top_p": 1, "max_completion_tokens": 5, "stop": "A"})),
        json!({
            "p": 0.99, "max_tokens": 5, "stop_sequences": ["A"],
        })
    );
    assert_eq!(sent(with(json!({"stream": true})))["stream"], true);
}

#[test]
fn parameters_that_only_openai_has_are_dropped() {
    let body = members(json!({
        "store": true, "metadata": {"a": "b"}, "service_tier": "auto", "user": "u", "parallel_tool_calls": false, "n": 1,
        "stream_options": {"include_usage": true}, "logit_bias": {"1": 2}, "logprobs": false, "verbosity": "low",
        "tools": [], "tool_choice": "none", "response_format": {"type": "text"},
    }));
    assert_eq!(body, json!({}));
}

// S1.1
#[test]
fn messages_keep_their_form_and_developers_speak_as_the_system() {
    let image =
        json!({"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}});
    let body = sent(json!({"messages": [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "What?", "cache_control": {"type": "ephemeral"}}, image]},
        {"role": "assistant", "refusal": "No."},
        {"role": "user", "content": "Why?"},
    ]}));
    let expected = json!([
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "What?"}, image]},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Why?"},
    ]);
    assert_eq!(body["messages"], expected);
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}})
}

#[test]
fn calls_go_back_with_the_plan_and_the_thoughts_that_led_to_them() {
    let document = json!({"type": "document", "document": {"id": "1", "data": {"text": "t"}}});
    let body = sent(json!({"messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_plan": "I call f.", "tool_calls": [call("a", "")]},
        {"role": "tool", "tool_call_id": "a", "name": "f", "content": [document]},
        {"role": "assistant", "content": "Well.", "reasoning_content": "Hm.", "tool_calls": [call("b", "{\"x\":1}")]},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "assistant", "content": "Two.", "reasoning_content": "So two."},
        {"role": "user", "content": "Thanks"},
    ]}));
    let said = json!([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Well."}]);
    let expected = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_plan": "I call f.", "tool_calls": [call("a", "{}")]},
        {"role": "tool", "tool_call_id": "a", "content": [document]},
        {"role": "assistant", "content": said, "tool_calls": [call("b", "{\"x\":1}")]},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Thanks"},
    ]);
    assert_eq!(body["messages"], expected);
}

#[test]
fn tools_are_openais_and_strictness_is_for_all_of_them() {
    let tool = |strict: bool| json!({"type": "function", "function": {"name": "f", "description": "d", "strict": strict}});
    let written = json!({"type": "function", "function": {
        "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}},
    }});
    assert_eq!(members(json!({"tools": [tool(true), tool(false)]})), json!({"tools": [written, written]}));
    assert_eq!(members(json!({"tools": [tool(true)]})), json!({"tools": [written], "strict_tools": true}));
    let choice = |choice: Value| {
        members(json!({"tools": [tool(false)], "tool_choice": choice}))["tool_choice"].clone()
    };
    assert_eq!(choice("auto".into()), Value::Null);
    assert_eq!(choice("none".into()), "NONE");
    assert_eq!(choice("required".into()), "REQUIRED");
}

#[test]
fn formats_are_json_objects_with_or_without_a_schema() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = |format: Value| members(json!({"response_format": format}))["response_format"].clone();
    assert_eq!(format(json!({"type": "json_object"})), json!({"type": "json_object"}));
    let expected = json!({"type": "json_object", "json_schema": schema});
    assert_eq!(
        format(json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})),
        expected
    );
    assert_eq!(format(expected.clone()), expected);
}

#[test]
fn an_effort_is_a_budget_of_thinking_where_the_model_thinks() {
    let thinking = |effort: &str| members(json!({"reasoning_effort": effort}))["thinking"].clone();
    assert_eq!(thinking("none"), json!({"type": "disabled"}));
    assert_eq!(thinking("low"), json!({"type": "enabled", "token_budget": 1024}));
    assert_eq!(thinking("high"), json!({"type": "enabled"}));
    let request = with(json!({"reasoning_effort": "high"}));
    assert_eq!(encode(&*cohere(), "command-r7b-12-2024", request).unwrap().1.get("thinking"), None);
    let own = json!({"reasoning_effort": "low", "thinking": {"token_budget": 9}});
    assert_eq!(members(own)["thinking"], json!({"type": "enabled", "token_budget": 9}));
}

#[test]
fn what_cohere_cannot_do_is_refused_with_the_place_and_the_cure() {
    let user = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    let assistant =
        |arguments: &str| json!({"messages": [{"role": "assistant", "tool_calls": [call("a", arguments)]}]});
    let cases = [
        (with(json!({"n": 2})), "n"),
        (with(json!({"logprobs": true, "top_logprobs": 2})), "top_logprobs"),
        (with(json!({"tool_choice": {"type": "function", "function": {"name": "f"}}})), "tool_choice"),
        (with(json!({"tools": [{"type": "web_search"}]})), "tools[0].type"),
        (with(json!({"response_format": {"type": "grammar"}})), "response_format"),
        (with(json!({"reasoning_effort": "enormous"})), "reasoning_effort"),
        (
            user(json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}})),
            "messages[0].content[0]",
        ),
        (user(json!({"type": "file", "file": {"file_id": "1"}})), "messages[0].content[0]"),
        (assistant("{"), "messages"),
        (json!({"messages": [{"role": "tool", "content": "1"}]}), "messages[0].tool_call_id"),
        (json!({"messages": [{"role": "robot", "content": "1"}]}), "messages[0].role"),
        (
            json!({"messages": [{"role": "tool", "tool_call_id": "a", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            ]}]}),
            "messages[0].content[0]",
        ),
    ];
    for (request, param) in cases {
        let error = refused(request);
        assert_eq!(error.param(), Some(param), "{}", error.message());
        assert!(error.message().len() > 30, "{}", error.message());
    }
}

// S4.5
#[test]
fn texts_are_embedded_as_documents_unless_said_otherwise() {
    let encode = |request: Value| {
        let request: EmbedRequest = serde_json::from_value(request).unwrap();
        let outgoing = cohere().encode_embed(&request, "embed-v4.0")?;
        assert_eq!(outgoing.path, "/v2/embed");
        Ok::<Value, Error>(serde_json::from_slice(&outgoing.body).unwrap())
    };
    let body = encode(json!({"model": "m", "input": "a", "dimensions": 256, "user": "u"})).unwrap();
    let expected = json!({
        "model": "embed-v4.0", "texts": ["a"], "input_type": "search_document", "embedding_types": ["float"],
        "output_dimension": 256,
    });
    assert_eq!(body, expected);
    let body =
        encode(json!({"model": "m", "input": ["a", "b"], "input_type": "search_query", "truncate": "END"}))
            .unwrap();
    assert_eq!((&body["input_type"], &body["truncate"]), (&json!("search_query"), &json!("END")));
    for (request, param) in [
        (json!({"model": "m", "input": [1, 2]}), "input"),
        (json!({"model": "m", "input": "a", "embedding_types": ["int8"]}), "embedding_types"),
    ] {
        assert_eq!(encode(request).unwrap_err().param(), Some(param));
    }
    let answer = json!({"embeddings": {"float": [[0.5, -1]]}, "meta": {"billed_units": {"input_tokens": 3}}});
    let (vectors, usage) = cohere().decode_embed(answer.to_string().into()).unwrap();
    assert_eq!((vectors, usage), (vec![vec![0.5, -1.0]], Some(Usage::new(3, 0))));
    let error = cohere().decode_embed("{\"embeddings\": {\"int8\": [[1]]}}".into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MalformedResponse);
}

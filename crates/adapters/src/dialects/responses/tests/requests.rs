use mainstay_provider_core::ErrorKind;
use serde_json::{Value, json};

use super::{call, message, openai, read, reasoning, sent};

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

#[test]
fn the_first_instruction_is_apart_and_the_rest_is_input() {
    let system = json!({"role": "system", "content": "Be short."});
    let late = json!({"role": "developer", "content": "In French."});
    let body = sent(json!({"model": "m", "messages": [system, user("Hi"), late]})).unwrap();
    assert_eq!(body["instructions"], "Be short.");
    assert_eq!(
        body["input"],
        json!([
            {"type": "message", "role": "user", "content": "Hi"},
            {"type": "message", "role": "developer", "content": "In French."},
        ])
    );
}

#[test]
fn parts_have_their_words_and_images_always_their_detail() {
    let parts = json!([
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "https://a.example/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
    ]);
    let body = sent(json!({"model": "m", "messages": [{"role": "user", "content": parts}]})).unwrap();
    assert_eq!(
        body["input"][0]["content"],
        json!([
            {"type": "input_text", "text": "What?"},
            {"type": "input_image", "image_url": "https://a.example/a.png", "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        ])
    );
}

#[test]
fn tools_are_flat_and_say_whether_they_are_strict() {
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}});
    let grammar = json!({"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: A"}});
    let custom = json!({"type": "custom", "custom": {"name": "math", "format": grammar}});
    let search = json!({"type": "web_search", "search_context_size": "low"});
    let choice = json!({"type": "function", "function": {"name": "weather"}});
    let request = json!({"model": "m", "messages": [user("Hi")], "tools": [tool, custom, search], "tool_choice": choice});
    let body = sent(request).unwrap();
    assert_eq!(
        body["tools"],
        json!([
            {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": false},
            {"type": "custom", "name": "math", "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"}},
            {"type": "web_search", "search_context_size": "low"},
        ])
    );
    assert_eq!(body["tool_choice"], json!({"type": "function", "name": "weather"}));
}

#[test]
fn parameters_have_their_places_and_own_ones_pass_through() {
    // S1.9
    let schema = json!({"name": "a", "schema": {"type": "object"}, "strict": true});
    let body = sent(json!({
        "model": "m", "messages": [user("Hi")],
        "max_completion_tokens": 9, "reasoning_effort": "low", "verbosity": "high", "seed": 1, "stop": [],
        "response_format": {"type": "json_schema", "json_schema": schema},
        "logprobs": true, "top_logprobs": 2,
        "reasoning": {"summary": "auto"}, "store": false, "previous_response_id": "resp_0", "stream_options": {"include_usage": true},
    }))
    .unwrap();
    assert_eq!(body["max_output_tokens"], 9);
    assert_eq!(body["reasoning"], json!({"effort": "low", "summary": "auto"}));
    assert_eq!(body["text"]["verbosity"], "high");
    assert_eq!(
        body["text"]["format"],
        json!({"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": true})
    );
    assert_eq!((&body["store"], &body["previous_response_id"]), (&json!(false), &json!("resp_0")));
    assert_eq!(body["include"], json!(["message.output_text.logprobs", "reasoning.encrypted_content"]));
    assert!(body.get("seed").is_none() && body.get("stream_options").is_none());
}

#[test]
fn what_there_is_no_word_for_is_refused_by_name() {
    for (name, value) in [("n", json!(2)), ("stop", json!("END"))] {
        let mut request = json!({"model": "m", "messages": [user("Hi")]});
        request[name] = value;
        let error = sent(request).unwrap_err();
        assert_eq!((error.kind(), error.param()), (ErrorKind::InvalidRequest, Some(name)));
    }
}

#[test]
fn an_answer_comes_back_as_the_items_that_it_was() {
    let answer = read(json!([reasoning(), message("I look."), call("call_1", "{}")]), "completed");
    let said = &answer["choices"][0]["message"];
    let result = json!({"role": "tool", "tool_call_id": "call_1", "content": "clear"});
    let body = sent(json!({"model": "m", "messages": [user("Bern?"), said, result]})).unwrap();
    let input = &body["input"];
    assert_eq!(input[1]["encrypted_content"], "c2VjcmV0");
    assert_eq!((&input[1]["type"], &input[1]["id"]), (&json!("reasoning"), &json!("rs_1")));
    assert_eq!((&input[2]["role"], &input[2]["content"]), (&json!("assistant"), &json!("I look.")));
    assert_eq!(input[3]["type"], "function_call");
    assert_eq!(input[4], json!({"type": "function_call_output", "call_id": "call_1", "output": "clear"}));
}

#[test]
fn reasoning_that_was_said_openly_comes_back_openly() {
    let open = json!({"type": "reasoning", "id": "5e1f", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]});
    let answer = read(json!([open, message("Hi")]), "completed");
    let said = &answer["choices"][0]["message"];
    assert_eq!(said["reasoning_content"], "Hm.");
    let body = sent(json!({"model": "m", "messages": [user("Hi"), said, user("Bye")]})).unwrap();
    assert_eq!(body["input"][1]["content"], json!([{"type": "reasoning_text", "text": "Hm."}]));
}

#[test]
fn items_of_server_tools_are_replayed_where_they_stood_until_the_answer_is_edited() {
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed"});
    let output = json!([reasoning(), search, message("Found.")]);
    let answer = read(output.clone(), "completed");
    let mut said = answer["choices"][0]["message"].clone();
    let replayed =
        |said: &Value| sent(json!({"model": "m", "messages": [user("?"), said, user("Go on")]})).unwrap();
    assert_eq!(replayed(&said)["input"].as_array().unwrap()[1..4], *output.as_array().unwrap());
    said["content"] = "Edited.".into();
    assert!(!replayed(&said).to_string().contains("web_search_call"));
}

#[test]
fn the_result_of_a_custom_call_says_so() {
    let custom = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "call_9", "type": "custom", "custom": {"name": "math", "input": "1 + 1"}},
    ]});
    let result = json!({"role": "tool", "tool_call_id": "call_9", "content": "2"});
    let body = sent(json!({"model": "m", "messages": [user("?"), custom, result]})).unwrap();
    assert_eq!(
        body["input"][1],
        json!({"type": "custom_tool_call", "call_id": "call_9", "name": "math", "input": "1 + 1"})
    );
    assert_eq!(body["input"][2]["type"], "custom_tool_call_output");
}

#[test]
fn an_answer_that_is_not_stored_includes_its_reasoning_where_the_model_has_any() {
    let include = |model: &str, members: Value| {
        let mut request = json!({"model": "m", "messages": [user("Hi")]});
        members.as_object().unwrap().iter().for_each(|(name, value)| request[name] = value.clone());
        let request = serde_json::from_value(request).unwrap();
        let outgoing = openai().encode_chat(&request, model).unwrap();
        serde_json::from_slice::<Value>(&outgoing.body).unwrap()["include"].clone()
    };
    let encrypted = json!(["reasoning.encrypted_content"]);
    assert_eq!(include("gpt-5", json!({"store": false})), encrypted);
    assert_eq!(
        include("gpt-5", json!({"store": false, "include": ["reasoning.encrypted_content"]})),
        encrypted
    );
    assert_eq!(include("grok-4.3", json!({"store": false})), encrypted);
    assert_eq!(include("my-deployment", json!({"store": false, "reasoning_effort": "low"})), encrypted);
    for (model, members) in
        [("gpt-4.1", json!({"store": false})), ("gpt-5", json!({"store": true})), ("gpt-5", json!({}))]
    {
        assert_eq!(include(model, members), Value::Null, "{model}");
    }
}

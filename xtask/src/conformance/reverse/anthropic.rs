//! Anthropic messages.

use serde_json::{Value, json};

use super::{function_call, function_tool, plain_if_one_text};
use crate::conformance::json::{Look as _, Object, drop_nulls, object, put, rename};

pub(super) fn messages(body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &["input_schema", "schema", "input"]);
    let mut rest = object(&body);
    let mut chat = Object::new();
    for name in ["model", "max_tokens", "temperature", "top_p", "stream"] {
        if let Some(value) = rest.remove(name) {
            chat.insert(name.into(), value);
        }
    }
    rename(&mut rest, "stop_sequences", &mut chat, "stop");
    let system = rest.remove("system").unwrap_or_default();
    let mut turns = Vec::new();
    if !crate::conformance::json::is_empty(&system) {
        turns.push(json!({"role": "system", "content": blocks(&system)}));
    }
    for message in rest.remove("messages").unwrap_or_default().as_array().into_iter().flatten() {
        turn(message, &mut turns);
    }
    chat.insert("messages".into(), turns.into());
    tools(&mut rest, &mut chat);
    output(&mut rest, &mut chat);
    if let Some(user) = rest.get("metadata").and_then(|metadata| metadata.some("user_id")).cloned() {
        chat.insert("user".into(), user);
        rest.remove("metadata");
    }
    // What the neutral form has no word for: thinking, top_k, container, mcp_servers, …
    chat.extend(rest);
    Value::Object(chat)
}

fn tools(rest: &mut Object, chat: &mut Object) {
    if let Some(Value::Array(tools)) = rest.remove("tools") {
        chat.insert("tools".into(), tools.iter().map(tool).collect());
    }
    let Some(choice) = rest.remove("tool_choice") else { return };
    put(
        chat,
        "tool_choice",
        match choice.text("type") {
            "auto" => "auto".into(),
            "none" => "none".into(),
            "any" => "required".into(),
            _ => json!({"type": "function", "function": {"name": choice["name"]}}),
        },
    );
    if choice.get("disable_parallel_tool_use") == Some(&Value::Bool(true)) {
        chat.insert("parallel_tool_calls".into(), false.into());
    }
}

fn tool(tool: &Value) -> Value {
    let mut rest = object(tool);
    let own_type = rest.get("type").is_some_and(|kind| kind != "custom");
    if own_type {
        return tool.clone();
    }
    rest.remove("type");
    let mut take = |name: &str| rest.remove(name).unwrap_or_default();
    let (name, description, schema, strict) =
        (take("name"), take("description"), take("input_schema"), take("strict"));
    function_tool(&name, &description, &schema, &strict, rest)
}

/// `output_config`: a schema is a response format, an effort stays Anthropic's own.
fn output(rest: &mut Object, chat: &mut Object) {
    let Some(Value::Object(mut config)) = rest.remove("output_config") else { return };
    if let Some(format) = config.remove("format") {
        let schema = json!({"name": "response", "schema": format["schema"], "strict": true});
        chat.insert("response_format".into(), json!({"type": "json_schema", "json_schema": schema}));
    }
    if !config.is_empty() {
        rest.insert("output_config".into(), config.into());
    }
}

fn turn(message: &Value, turns: &mut Vec<Value>) {
    let content = message.get("content").unwrap_or(&Value::Null);
    match message.text("role") {
        "user" => user(content, turns),
        "assistant" => turns.push(assistant(content)),
        role => turns.push(json!({"role": role, "content": blocks(content)})),
    }
}

/// Tool results become messages of their own, in front of what the user says.
fn user(content: &Value, turns: &mut Vec<Value>) {
    let Some(list) = content.as_array() else {
        turns.push(json!({"role": "user", "content": content}));
        return;
    };
    let (results, said): (Vec<&Value>, Vec<&Value>) =
        list.iter().partition(|block| block.text("type") == "tool_result");
    for result in results {
        let mut message = object(result);
        message.remove("type");
        let mut tool = Object::new();
        tool.insert("role".into(), "tool".into());
        rename(&mut message, "tool_use_id", &mut tool, "tool_call_id");
        tool.insert("content".into(), blocks(&message.remove("content").unwrap_or("".into())));
        // `is_error`, `cache_control`.
        tool.extend(message);
        turns.push(Value::Object(tool));
    }
    if !said.is_empty() {
        let said: Vec<Value> = said.into_iter().map(part).collect();
        turns.push(json!({"role": "user", "content": plain_if_one_text(said)}));
    }
}

fn assistant(content: &Value) -> Value {
    let Some(list) = content.as_array() else { return json!({"role": "assistant", "content": content}) };
    let mut message = Object::new();
    message.insert("role".into(), "assistant".into());
    if interleaved(list) {
        // The order of an answer that thinks and uses server tools in turns is kept beside its neutral form.
        message.insert("extra_content".into(), json!({"anthropic": {"content": list}}));
        let text: String = list
            .iter()
            .filter(|block| block.text("type") == "text")
            .map(|block| block.text("text"))
            .collect();
        message.insert("content".into(), text.into());
        return Value::Object(message);
    }
    let (mut said, mut calls, mut thinking) = (Vec::new(), Vec::new(), Vec::new());
    for block in list {
        match block.text("type") {
            "thinking" | "redacted_thinking" => thinking.push(block.clone()),
            "tool_use" => calls.push(function_call(block.text("id"), block.text("name"), &block["input"])),
            _ => said.push(part(block)),
        }
    }
    if !said.is_empty() {
        message.insert("content".into(), plain_if_one_text(said));
    }
    for (name, list) in [("tool_calls", calls), ("thinking_blocks", thinking)] {
        if !list.is_empty() {
            message.insert(name.into(), list.into());
        }
    }
    Value::Object(message)
}

/// Whether reasoning stands behind anything else.
fn interleaved(blocks: &[Value]) -> bool {
    let is_reasoning = |block: &Value| block.text("type").ends_with("thinking");
    blocks.iter().skip_while(|block| is_reasoning(block)).any(is_reasoning)
}

/// Content in Anthropic's words as content in the neutral form.
fn blocks(content: &Value) -> Value {
    match content {
        Value::Array(list) => plain_if_one_text(list.iter().map(part).collect()),
        other => other.clone(),
    }
}

fn part(block: &Value) -> Value {
    if block.text("type") != "image" {
        return block.clone();
    }
    let source = &block["source"];
    let url = match source.text("type") {
        "base64" => format!("data:{};base64,{}", source.text("media_type"), source.text("data")),
        "url" => source.text("url").to_owned(),
        _ => return block.clone(),
    };
    let mut part = object(block);
    part.remove("source");
    part.insert("type".into(), "image_url".into());
    part.insert("image_url".into(), json!({"url": url}));
    Value::Object(part)
}

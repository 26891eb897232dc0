//! Bedrock Converse.

use serde_json::{Value, json};

use super::{function_call, function_tool, plain_if_one_text};
use crate::conformance::dialect::percent_decoded;
use crate::conformance::json::{Look as _, Object, is_empty, object, parsed, put, rename};

pub(super) fn converse(body: &Value, path: &str) -> Value {
    let mut rest = object(body);
    let mut chat = Object::new();
    let model = path.trim_start_matches("/model/").split('/').next().unwrap_or_default();
    chat.insert("model".into(), percent_decoded(model).into());
    if path.contains("converse-stream") {
        chat.insert("stream".into(), true.into());
    }
    let mut turns = Vec::new();
    let system = content(rest.remove("system").unwrap_or_default().as_array().map_or(&[], Vec::as_slice));
    if !is_empty(&system) {
        turns.push(json!({"role": "system", "content": system}));
    }
    for message in rest.remove("messages").unwrap_or_default().as_array().into_iter().flatten() {
        match message.text("role") {
            "assistant" => turns.push(assistant(message.items("content"))),
            _ => user(message.items("content"), &mut turns),
        }
    }
    chat.insert("messages".into(), turns.into());
    sampling(&mut rest, &mut chat);
    tools(&mut rest, &mut chat);
    output(&mut rest, &mut chat);
    // guardrailConfig, additionalModelRequestFields, performanceConfig, …
    chat.extend(rest);
    Value::Object(chat)
}

fn sampling(rest: &mut Object, chat: &mut Object) {
    let Some(Value::Object(mut inference)) = rest.remove("inferenceConfig") else { return };
    rename(&mut inference, "maxTokens", chat, "max_tokens");
    rename(&mut inference, "temperature", chat, "temperature");
    rename(&mut inference, "topP", chat, "top_p");
    if let Some(stop) = inference.remove("stopSequences").filter(|stop| !is_empty(stop)) {
        chat.insert("stop".into(), stop);
    }
    if !inference.is_empty() {
        rest.insert("inferenceConfig".into(), inference.into());
    }
}

fn tools(rest: &mut Object, chat: &mut Object) {
    let Some(Value::Object(mut config)) = rest.remove("toolConfig") else { return };
    let mut list: Vec<Value> = Vec::new();
    for tool in config.remove("tools").unwrap_or_default().as_array().into_iter().flatten() {
        match (tool.get("toolSpec"), tool.get("cachePoint")) {
            (Some(spec), _) => {
                let schema = spec["inputSchema"].get("json").unwrap_or(&Value::Null);
                list.push(function_tool(
                    &spec["name"],
                    &spec["description"],
                    schema,
                    &spec["strict"],
                    Object::new(),
                ));
            }
            (None, Some(point)) => mark(list.last_mut(), point),
            _ => list.push(native(tool)),
        }
    }
    chat.insert("tools".into(), list.into());
    if let Some(choice) = config.remove("toolChoice") {
        put(chat, "tool_choice", tool_choice(&choice));
    }
}

fn tool_choice(choice: &Value) -> Value {
    if choice.get("any").is_some() {
        return "required".into();
    }
    match choice.get("tool") {
        Some(tool) => json!({"type": "function", "function": {"name": tool["name"]}}),
        None => "auto".into(),
    }
}

/// A tool of Bedrock's own (`{"systemTool": {…}}`) under the name of its only member.
fn native(tool: &Value) -> Value {
    let mut tool = object(tool);
    let kind = tool.keys().next().cloned().unwrap_or_default();
    tool.insert("type".into(), kind.into());
    Value::Object(tool)
}

fn output(rest: &mut Object, chat: &mut Object) {
    let Some(format) = rest.get("outputConfig").and_then(|config| config.get("textFormat")).cloned() else {
        return;
    };
    let schema = &format["structure"]["jsonSchema"];
    let mut neutral = Object::new();
    neutral.insert("name".into(), schema.some("name").cloned().unwrap_or("response".into()));
    put(&mut neutral, "description", schema["description"].clone());
    neutral.insert("schema".into(), parsed(schema.text("schema")));
    neutral.insert("strict".into(), true.into());
    chat.insert("response_format".into(), json!({"type": "json_schema", "json_schema": neutral}));
    if let Some(Value::Object(config)) = rest.get_mut("outputConfig") {
        config.remove("textFormat");
        if config.is_empty() {
            rest.remove("outputConfig");
        }
    }
}

fn user(blocks: &[Value], turns: &mut Vec<Value>) {
    let mut said: Vec<Value> = Vec::new();
    for block in blocks {
        match (block.get("toolResult"), block.get("cachePoint")) {
            (Some(result), _) => turns.push(tool_result(result)),
            (None, Some(point)) if said.is_empty() => mark(turns.last_mut(), point),
            _ => add(block, &mut said),
        }
    }
    if !said.is_empty() {
        turns.push(json!({"role": "user", "content": plain_if_one_text(said)}));
    }
}

fn tool_result(result: &Value) -> Value {
    let mut message = Object::new();
    message.insert("role".into(), "tool".into());
    message.insert("tool_call_id".into(), result["toolUseId"].clone());
    let parts: Vec<Value> = result.items("content").iter().map(part).collect();
    message.insert("content".into(), plain_if_one_text(parts));
    if result.text("status") == "error" {
        message.insert("is_error".into(), true.into());
    }
    Value::Object(message)
}

fn assistant(blocks: &[Value]) -> Value {
    let (mut said, mut calls, mut thinking) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks {
        if let Some(call) = block.get("toolUse") {
            calls.push(function_call(call.text("toolUseId"), call.text("name"), &call["input"]));
        } else if let Some(reasoning) = block.get("reasoningContent") {
            thinking.push(thinking_block(reasoning));
        } else {
            add(block, &mut said);
        }
    }
    let mut message = Object::new();
    message.insert("role".into(), "assistant".into());
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

fn thinking_block(reasoning: &Value) -> Value {
    match reasoning.get("reasoningText") {
        Some(text) => {
            let mut block = object(&json!({"type": "thinking", "thinking": text["text"]}));
            put(&mut block, "signature", text["signature"].clone());
            Value::Object(block)
        }
        None => json!({"type": "redacted_thinking", "data": reasoning["redactedContent"]}),
    }
}

fn content(blocks: &[Value]) -> Value {
    let mut said = Vec::new();
    blocks.iter().for_each(|block| add(block, &mut said));
    plain_if_one_text(said)
}

/// Adds a block; a cache point marks the part in front of it.
fn add(block: &Value, said: &mut Vec<Value>) {
    match block.get("cachePoint") {
        Some(point) => mark(said.last_mut(), point),
        None => said.push(part(block)),
    }
}

fn mark(part: Option<&mut Value>, point: &Value) {
    let mut control = object(&json!({"type": "ephemeral"}));
    put(&mut control, "ttl", point["ttl"].clone());
    if let Some(Value::Object(part)) = part {
        part.insert("cache_control".into(), control.into());
    }
}

fn part(block: &Value) -> Value {
    if let Some(text) = block.get("text") {
        return json!({"type": "text", "text": text});
    }
    if let Some(value) = block.get("json") {
        return json!({"type": "text", "text": value.to_string()});
    }
    match block.get("image") {
        Some(image) if image["source"].get("bytes").is_some() => {
            let url = format!("data:image/{};base64,{}", image.text("format"), image["source"].text("bytes"));
            json!({"type": "image_url", "image_url": {"url": url}})
        }
        // Documents, videos, guarded content, images in S3: Bedrock's own words pass through.
        _ => block.clone(),
    }
}

//! OpenAI's Responses.

use serde_json::{Value, json};

use super::{function_tool, plain_if_one_text};
use crate::conformance::json::{Look as _, Object, drop_nulls, is_empty, object, put, rename};

pub(super) fn responses(body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &["parameters", "schema", "arguments"]);
    let mut rest = object(&body);
    let mut chat = Object::new();
    for name in ["model", "temperature", "top_p", "stream", "user", "parallel_tool_calls", "top_logprobs"] {
        if let Some(value) = rest.remove(name) {
            chat.insert(name.into(), value);
        }
    }
    rename(&mut rest, "max_output_tokens", &mut chat, "max_completion_tokens");
    let mut turns = Vec::new();
    if let Some(instructions) = rest.remove("instructions").filter(|text| !is_empty(text)) {
        turns.push(json!({"role": "system", "content": instructions}));
    }
    match rest.remove("input") {
        Some(Value::Array(items)) => items.iter().for_each(|item| add(item, &mut turns)),
        Some(text) => turns.push(json!({"role": "user", "content": text})),
        None => {}
    }
    chat.insert("messages".into(), turns.into());
    if let Some(Value::Array(tools)) = rest.remove("tools") {
        chat.insert("tools".into(), tools.iter().map(tool).collect());
    }
    if let Some(choice) = rest.remove("tool_choice") {
        let named = choice.text("type") == "function";
        let neutral =
            if named { json!({"type": "function", "function": {"name": choice["name"]}}) } else { choice };
        chat.insert("tool_choice".into(), neutral);
    }
    text(&mut rest, &mut chat);
    if let Some(Value::Object(reasoning)) = rest.get_mut("reasoning") {
        rename(reasoning, "effort", &mut chat, "reasoning_effort");
        if reasoning.is_empty() {
            rest.remove("reasoning");
        }
    }
    // store, include, previous_response_id, prompt, truncation, …
    chat.extend(rest);
    Value::Object(chat)
}

fn text(rest: &mut Object, chat: &mut Object) {
    let Some(Value::Object(mut text)) = rest.remove("text") else { return };
    if let Some(Value::Object(mut format)) = text.remove("format") {
        let kind = format.remove("type").unwrap_or_default();
        let neutral = if kind == "json_schema" {
            json!({"type": kind, "json_schema": format})
        } else {
            json!({"type": kind})
        };
        chat.insert("response_format".into(), neutral);
    }
    rename(&mut text, "verbosity", chat, "verbosity");
    if !text.is_empty() {
        rest.insert("text".into(), text.into());
    }
}

fn tool(tool: &Value) -> Value {
    if tool.text("type") != "function" {
        return tool.clone();
    }
    let mut rest = object(tool);
    rest.remove("type");
    let mut take = |name: &str| rest.remove(name).unwrap_or_default();
    let (name, description, schema, strict) =
        (take("name"), take("description"), take("parameters"), take("strict"));
    function_tool(&name, &description, &schema, &strict, rest)
}

fn add(item: &Value, turns: &mut Vec<Value>) {
    match item.text("type") {
        "" | "message" => message(item, turns),
        "function_call" => {
            let call = json!({
                "id": item["call_id"],
                "type": "function",
                "function": {"name": item["name"], "arguments": item["arguments"]},
            });
            push(
                assistant(turns, &["tool_calls", "content", "thinking_blocks", "annotations"]),
                "tool_calls",
                call,
            );
        }
        "function_call_output" => turns.push(json!({
            "role": "tool",
            "tool_call_id": item["call_id"],
            "content": parts(&item["output"]),
        })),
        "reasoning" => push(assistant(turns, &["thinking_blocks"]), "thinking_blocks", thinking(item)),
        // Items of server tools stand among the assistant's parts, in OpenAI's own words.
        _ => push_part(assistant(turns, &["thinking_blocks", "content"]), item.clone()),
    }
}

/// The assistant's turn that goes on, if the last turn is one and holds nothing but `open` members.
fn assistant<'a>(turns: &'a mut Vec<Value>, open: &[&str]) -> &'a mut Object {
    let goes_on = turns.last().and_then(Value::as_object).is_some_and(|last| {
        last.get("role").is_some_and(|role| role == "assistant")
            && last.keys().all(|name| name == "role" || open.contains(&name.as_str()))
    });
    if !goes_on {
        turns.push(json!({"role": "assistant"}));
    }
    match turns.last_mut() {
        Some(Value::Object(last)) => last,
        _ => unreachable!("an object was pushed"),
    }
}

fn push(message: &mut Object, name: &str, item: Value) {
    if let Value::Array(list) = message.entry(name).or_insert_with(|| json!([])) {
        list.push(item);
    }
}

fn push_part(message: &mut Object, part: Value) {
    if let Some(Value::String(text)) = message.get("content") {
        let text = json!({"type": "text", "text": text});
        message.insert("content".into(), json!([text]));
    }
    push(message, "content", part);
}

fn message(item: &Value, turns: &mut Vec<Value>) {
    let role = item.text("role");
    let content = parts(&item["content"]);
    if role != "assistant" {
        turns.push(json!({"role": role, "content": content}));
        return;
    }
    let annotations: Vec<Value> =
        item.items("content").iter().flat_map(|part| part.items("annotations")).map(annotation).collect();
    let message = assistant(turns, &["thinking_blocks"]);
    message.insert("content".into(), content);
    if !annotations.is_empty() {
        message.insert("annotations".into(), annotations.into());
    }
}

fn annotation(flat: &Value) -> Value {
    let mut inner = object(flat);
    let kind = inner.remove("type").unwrap_or_default();
    json!({"type": kind, kind.as_str().unwrap_or_default(): inner})
}

fn parts(content: &Value) -> Value {
    match content {
        Value::Array(list) => plain_if_one_text(list.iter().map(part).collect()),
        other => other.clone(),
    }
}

fn part(part: &Value) -> Value {
    let mut rest = object(part);
    rest.remove("type");
    match part.text("type") {
        "input_text" | "output_text" => {
            rest.remove("annotations");
            rest.remove("logprobs");
            rest.insert("type".into(), "text".into());
        }
        "input_image" if part.some("image_url").is_some() => {
            let mut image = Object::new();
            rename(&mut rest, "image_url", &mut image, "url");
            rename(&mut rest, "detail", &mut image, "detail");
            rest.insert("type".into(), "image_url".into());
            rest.insert("image_url".into(), image.into());
        }
        "input_file" => {
            return json!({"type": "file", "file": rest});
        }
        _ => return part.clone(),
    }
    Value::Object(rest)
}

/// A reasoning item: its text, and what the provider needs to take it up again.
fn thinking(item: &Value) -> Value {
    let summary: String = item.items("summary").iter().map(|part| part.text("text")).collect();
    let raw: String = item.items("content").iter().map(|part| part.text("text")).collect();
    let mut block = Object::new();
    block.insert("type".into(), "thinking".into());
    block.insert("thinking".into(), if summary.is_empty() { raw } else { summary }.into());
    put(&mut block, "signature", item["encrypted_content"].clone());
    put(&mut block, "id", item["id"].clone());
    Value::Object(block)
}

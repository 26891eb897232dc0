//! OpenAI's Responses.

use serde_json::{Value, json};

use super::{arguments, drop_empty, members};
use crate::conformance::json::{Look as _, Object, drop_default, drop_nulls, is_empty, object};

pub(super) fn meaning(body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &["parameters", "schema"]);
    members(&mut body, "tools").for_each(tool);
    let mut request = object(&body);
    let mut items = Vec::new();
    // Instructions are the first thing said to the model, as a system message is.
    if let Some(instructions) = request.remove("instructions").filter(|text| !is_empty(text)) {
        items.push(json!({"type": "message", "role": "system", "content": instructions}));
    }
    match request.remove("input") {
        Some(Value::Array(list)) => items.extend(list.iter().map(item).filter(says_something)),
        Some(text) => items.push(json!({"type": "message", "role": "user", "content": text})),
        None => {}
    }
    if !items.is_empty() {
        request.insert("input".into(), items.into());
    }
    drop_empty(&mut request, &["tools"]);
    drop_default(&mut request, "tool_choice", |choice| choice == "auto");
    drop_default(&mut request, "stream", |stream| stream == false);
    drop_default(&mut request, "parallel_tool_calls", |parallel| parallel == true);
    drop_default(&mut request, "text", |text| *text == json!({"format": {"type": "text"}}));
    Value::Object(request)
}

/// An empty text of the assistant, beside its calls, says nothing.
fn says_something(item: &Value) -> bool {
    !(item.text("type") == "message" && item.text("role") == "assistant" && is_empty(&item["content"]))
}

fn item(item: &Value) -> Value {
    let mut members = object(item);
    members.entry("type").or_insert("message".into());
    let kind = members["type"].clone();
    // The ids are the provider's own bookkeeping; without stored state they have no effect.
    members.remove("status");
    if matches!(kind.as_str(), Some("message" | "function_call" | "function_call_output" | "reasoning")) {
        members.remove("id");
    }
    match kind.as_str() {
        Some("message") => message(&mut members),
        Some("function_call") => arguments(&mut members),
        Some("function_call_output") => content(&mut members, "output"),
        Some("reasoning") => {
            joined(&mut members, "summary");
            joined(&mut members, "content");
        }
        _ => {}
    }
    Value::Object(members)
}

/// The paragraphs of reasoning, in whatever pieces.
fn joined(members: &mut Object, name: &str) {
    if let Some(Value::Array(parts)) = members.remove(name).filter(|parts| !is_empty(parts)) {
        let text: String = parts.iter().flat_map(|part| part.text("text").split_whitespace()).collect();
        members.insert(name.into(), text.into());
    }
}

fn message(members: &mut Object) {
    if members.get("role").is_some_and(|role| role == "developer") {
        members.insert("role".into(), "system".into());
    }
    members.remove("phase");
    content(members, "content");
}

fn content(members: &mut Object, name: &str) {
    let Some(Value::Array(parts)) = members.get_mut(name) else { return };
    for part in parts.iter_mut().filter_map(Value::as_object_mut) {
        drop_default(part, "detail", |detail| detail == "auto");
        // What the model was cited or measured with says nothing to it.
        part.remove("logprobs");
        part.remove("annotations");
        if part.get("type").is_some_and(|kind| kind == "output_text" || kind == "input_text") {
            part.insert("type".into(), "text".into());
        }
    }
    if let [only] = parts.as_slice()
        && only.text("type") == "text"
        && only.as_object().is_some_and(|part| part.len() == 2)
    {
        let text = only["text"].clone();
        members.insert(name.into(), text);
    }
}

fn tool(tool: &mut Object) {
    if tool.get("type").is_some_and(|kind| kind == "function") {
        drop_empty(tool, &["description"]);
        drop_default(tool, "strict", |strict| strict == false);
    }
}

//! Bedrock Converse.

use serde_json::{Value, json};

use super::drop_empty;
use crate::conformance::json::{Look as _, Object, drop_default, drop_nulls, object, parsed};

pub(super) fn meaning(body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &["json", "input"]);
    let mut request = object(&body);
    if let Some(messages) = request.remove("messages") {
        request.insert("messages".into(), turns(&messages));
    }
    if let Some(Value::Object(inference)) = request.get_mut("inferenceConfig") {
        drop_empty(inference, &["stopSequences"]);
    }
    if let Some(Value::Object(tools)) = request.get_mut("toolConfig") {
        drop_default(tools, "toolChoice", |choice| choice.get("auto").is_some());
        for tool in tools.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(Value::Object(spec)) = tool.get_mut("toolSpec") {
                drop_empty(spec, &["description"]);
            }
        }
    }
    let schema = ["textFormat", "structure", "jsonSchema"]
        .iter()
        .try_fold(request.get_mut("outputConfig"), |value, name| value.map(|value| value.get_mut(name)))
        .flatten();
    if let Some(Value::Object(schema)) = schema {
        let value = parsed(schema.get("schema").and_then(Value::as_str).unwrap_or_default());
        schema.insert("schema".into(), value);
        // A name is demanded of the neutral form, not of Bedrock.
        drop_default(schema, "name", |name| name == "response");
    }
    drop_empty(&mut request, &["system", "inferenceConfig", "additionalModelRequestFields"]);
    Value::Object(request)
}

fn turns(messages: &Value) -> Value {
    let mut joined: Vec<Value> = Vec::new();
    for message in messages.as_array().into_iter().flatten() {
        let content: Vec<Value> = message.items("content").iter().map(block).collect();
        match joined.last_mut() {
            Some(last) if last["role"] == message["role"] => {
                if let Some(list) = last["content"].as_array_mut() {
                    list.extend(content);
                }
            }
            _ => joined.push(json!({"role": message["role"], "content": content})),
        }
    }
    joined.into()
}

fn block(block: &Value) -> Value {
    let Some(result) = block.get("toolResult") else { return block.clone() };
    let mut result: Object = object(result);
    drop_default(&mut result, "status", |status| status == "success");
    for part in result.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten() {
        // A JSON result may be sent as its text.
        if let Some(text) = part.get("text").and_then(Value::as_str)
            && let value @ (Value::Object(_) | Value::Array(_)) = parsed(text)
        {
            *part = json!({"json": value});
        }
    }
    json!({"toolResult": result})
}

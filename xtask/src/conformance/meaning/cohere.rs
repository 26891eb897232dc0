//! Cohere v2 chat.

use serde_json::{Value, json};

use super::{chat, drop_empty, members};
use crate::conformance::json::{Look as _, Object, drop_default, drop_nulls, object};

pub(super) fn meaning(body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &["parameters", "json_schema", "schema"]);
    members(&mut body, "messages").for_each(message);
    members(&mut body, "tools").for_each(chat::tool);
    let mut request = object(&body);
    drop_default(&mut request, "stream", |stream| stream == false);
    drop_default(&mut request, "strict_tools", |strict| strict == false);
    drop_empty(&mut request, &["tools", "stop_sequences", "documents"]);
    Value::Object(request)
}

fn message(message: &mut Object) {
    // An empty text beside tool calls says nothing.
    if let Some(Value::Array(parts)) = message.get_mut("content") {
        parts.retain(|part| !(part.text("type") == "text" && part.text("text").is_empty()));
        let texts: Option<Vec<&str>> =
            parts.iter().map(|part| (part.text("type") == "text").then(|| part.text("text"))).collect();
        if let Some([only]) = texts.as_deref() {
            let only = json!(only);
            message.insert("content".into(), only);
        }
    }
    chat::message(message);
}

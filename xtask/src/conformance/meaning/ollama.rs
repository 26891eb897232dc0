//! Ollama's native chat.

use serde_json::{Value, json};

use super::{chat, drop_empty, members};
use crate::conformance::json::{Object, drop_default, drop_nulls, object};

pub(super) fn meaning(body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &["parameters", "format", "arguments"]);
    members(&mut body, "messages").for_each(message);
    members(&mut body, "tools").for_each(chat::tool);
    let mut request = object(&body);
    // It streams unless told not to.
    request.entry("stream").or_insert(true.into());
    drop_empty(&mut request, &["format", "options", "tools"]);
    if let Some(Value::Object(options)) = request.get_mut("options")
        && let Some(stop) = options.get("stop").filter(|stop| stop.is_string()).cloned()
    {
        options.insert("stop".into(), json!([stop]));
    }
    Value::Object(request)
}

fn message(message: &mut Object) {
    drop_empty(message, &["images", "tool_calls", "thinking", "content"]);
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(call) = call.as_object_mut() {
            // Ollama's calls have neither; newer servers take an id.
            call.remove("id");
            drop_default(call, "type", |kind| kind == "function");
        }
    }
}

//! Gemini generateContent, also Vertex.

use serde_json::{Value, json};

use super::drop_empty;
use crate::conformance::json::{Look as _, Object, drop_default, drop_nulls, object, rename};
use crate::conformance::reverse::INVENTED_ID;

/// Members whose content is not Gemini's: names inside stay as they are.
const OPAQUE: &[&str] =
    &["args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema"];

pub(super) fn meaning(body: &Value) -> Value {
    let mut body = camel_case(body);
    drop_nulls(&mut body, OPAQUE);
    let mut request = object(&body);
    request.remove("model");
    if let Some(contents) = request.remove("contents") {
        request.insert("contents".into(), turns(&contents));
    }
    if let Some(system) = request.remove("systemInstruction") {
        let text: String = system.items("parts").iter().map(|part| part.text("text")).collect();
        request.insert("systemInstruction".into(), text.into());
    }
    if let Some(Value::Object(config)) = request.get_mut("generationConfig") {
        generation(config);
    }
    if let Some(tools) = request.remove("tools") {
        request.insert("tools".into(), self::tools(&tools));
    }
    if let Some(Value::Object(config)) = request.get_mut("toolConfig") {
        drop_default(config, "functionCallingConfig", |calling| *calling == json!({"mode": "AUTO"}));
    }
    drop_empty(
        &mut request,
        &["generationConfig", "toolConfig", "tools", "safetySettings", "systemInstruction"],
    );
    Value::Object(request)
}

/// The wire takes `snake_case` too.
pub(crate) fn camel_case(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let name = camel(name);
                let value = if OPAQUE.contains(&name.as_str()) { value.clone() } else { camel_case(value) };
                (name, value)
            })
            .collect::<Object>()
            .into(),
        Value::Array(items) => items.iter().map(camel_case).collect(),
        other => other.clone(),
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

fn generation(config: &mut Object) {
    drop_default(config, "candidateCount", |count| *count == 1);
    drop_default(config, "responseMimeType", |kind| kind == "text/plain");
    let mut renamed = Object::new();
    rename(config, "responseSchema", &mut renamed, "responseJsonSchema");
    config.extend(renamed);
    if let Some(schema) = config.get_mut("responseJsonSchema") {
        lower_types(schema);
    }
    drop_empty(config, &["stopSequences"]);
    if let Some(Value::Object(thinking)) = config.get_mut("thinkingConfig")
        && let Some(Value::String(level)) = thinking.get_mut("thinkingLevel")
    {
        *level = level.to_uppercase();
    }
}

/// All declarations of functions in one list; Gemini's own tools one by one.
fn tools(tools: &Value) -> Value {
    let mut functions = Vec::new();
    let mut others = Object::new();
    for tool in tools.as_array().into_iter().flatten() {
        for (kind, settings) in object(tool) {
            match settings {
                Value::Array(list) if kind == "functionDeclarations" => functions.extend(list),
                settings => {
                    others.insert(kind, settings);
                }
            }
        }
    }
    for function in functions.iter_mut().filter_map(Value::as_object_mut) {
        drop_empty(function, &["description"]);
        let mut renamed = Object::new();
        rename(function, "parameters", &mut renamed, "parametersJsonSchema");
        function.extend(renamed);
        if let Some(schema) = function.get_mut("parametersJsonSchema") {
            lower_types(schema);
        }
    }
    if !functions.is_empty() {
        others.insert("functionDeclarations".into(), functions.into());
    }
    Value::Object(others)
}

/// `"type": "OBJECT"` is the same as `"type": "object"`.
fn lower_types(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(kind)) = members.get_mut("type") {
                *kind = kind.to_lowercase();
            }
            members.values_mut().for_each(lower_types);
        }
        Value::Array(items) => items.iter_mut().for_each(lower_types),
        _ => {}
    }
}

fn turns(contents: &Value) -> Value {
    let mut joined: Vec<Value> = Vec::new();
    for content in contents.as_array().into_iter().flatten() {
        let role = match content.text("role") {
            "" | "function" => "user",
            role => role,
        };
        let parts: Vec<Value> = content.items("parts").iter().map(part).collect();
        match joined.last_mut() {
            Some(last) if last["role"] == role => {
                if let Some(list) = last["parts"].as_array_mut() {
                    list.extend(parts);
                }
            }
            _ => joined.push(json!({"role": role, "parts": parts})),
        }
    }
    joined.into()
}

fn part(part: &Value) -> Value {
    let mut part = object(part);
    for name in ["functionCall", "functionResponse"] {
        if let Some(Value::Object(call)) = part.get_mut(name) {
            drop_default(call, "id", |id| id.as_str().is_some_and(|id| id.starts_with(INVENTED_ID)));
            drop_empty(call, &["args"]);
        }
    }
    if let Some(Value::Object(file)) = part.get_mut("fileData") {
        // Gemini finds the kind of an image out by itself.
        drop_default(file, "mimeType", |kind| kind.as_str().is_some_and(|kind| kind.starts_with("image/")));
    }
    Value::Object(part)
}

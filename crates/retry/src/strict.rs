//! Schemas that a provider can hold a model to.

use mainstay_provider_core::chat::Tool;
use serde_json::Value;

/// Asks for arguments that follow the schema to the letter, where the schema lets it: providers refuse a strict tool
/// whose schema leaves something open. What the caller said on it stays.
pub(crate) fn make_strict(tool: &mut Tool) {
    let Some(function) = &mut tool.function else { return };
    if function.strict.is_some() {
        return;
    }
    let Some(parameters) = &mut function.parameters else { return };
    if is_object(parameters) && can_be_strict(parameters, 0) {
        close(parameters);
        function.strict = Some(true);
    }
}

/// Whether every object names all its members as required, and nothing else is in the schema that providers refuse.
fn can_be_strict(schema: &Value, depth: usize) -> bool {
    let Value::Object(members) = schema else { return false };
    if depth > DEEPEST || members.keys().any(|name| REFUSED.contains(&name.as_str())) {
        return false;
    }
    if members.get("additionalProperties").is_some_and(|value| *value != Value::Bool(false)) {
        return false;
    }
    let required = |name: &String| {
        let required = members.get("required").and_then(Value::as_array);
        required.is_some_and(|names| names.iter().any(|required| required == name))
    };
    let properties = members.get("properties").and_then(Value::as_object);
    if is_object(schema) != properties.is_some() {
        return false;
    }
    properties.into_iter().flatten().all(|(name, schema)| required(name) && can_be_strict(schema, depth + 1))
        && parts(members).all(|schema| can_be_strict(schema, depth + 1))
}

/// Adds what is only left unsaid: that an object has no other members.
fn close(schema: &mut Value) {
    let closes = is_object(schema);
    let Value::Object(members) = schema else { return };
    if closes {
        members.insert("additionalProperties".into(), false.into());
    }
    for (name, value) in members {
        match (name.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(schemas)) => {
                schemas.values_mut().for_each(close);
            }
            ("items", schema) => close(schema),
            ("anyOf", Value::Array(schemas)) => schemas.iter_mut().for_each(close),
            _ => {}
        }
    }
}

fn parts(members: &serde_json::Map<String, Value>) -> impl Iterator<Item = &Value> {
    let named = ["$defs", "definitions"].into_iter().filter_map(|name| members.get(name)?.as_object());
    let any_of = members.get("anyOf").and_then(Value::as_array);
    named.flat_map(|schemas| schemas.values()).chain(any_of.into_iter().flatten()).chain(members.get("items"))
}

fn is_object(schema: &Value) -> bool {
    match schema.get("type") {
        // `["object", "null"]`
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        kind => kind.is_some_and(|kind| kind == "object"),
    }
}

/// OpenAI refuses a strict schema with one of these.
const REFUSED: [&str; 10] = [
    "allOf",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "not",
    "oneOf",
    "patternProperties",
    "then",
    "unevaluatedProperties",
];
/// Deeper than any schema that a provider takes.
const DEEPEST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made_strict(parameters: Value) -> Tool {
        let mut tool = Tool::function("get_weather", "The weather.", parameters);
        make_strict(&mut tool);
        tool
    }

    fn strict(parameters: Value) -> Option<bool> {
        made_strict(parameters).function.and_then(|function| function.strict)
    }

    // S2.1: a stricter schema
    #[test]
    fn a_schema_that_leaves_nothing_open_is_made_strict_and_closed_at_every_depth() {
        let tool = made_strict(json!({
            "type": "object",
            "required": ["place", "days", "note"],
            "properties": {
                "note": {"type": ["string", "null"]},
                "place": {"type": ["null", "object"], "required": ["city"], "properties": {"city": {"type": "string"}}},
                "days": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            },
        }));
        let function = tool.function.unwrap();
        assert_eq!(function.strict, Some(true));
        let parameters = function.parameters.unwrap();
        assert_eq!(parameters["additionalProperties"], false);
        assert_eq!(parameters["properties"]["place"]["additionalProperties"], false);
        assert_eq!(parameters["properties"]["days"].get("additionalProperties"), None);
    }

    #[test]
    fn a_schema_that_a_provider_would_refuse_stays_as_it_is() {
        let city = json!({"city": {"type": "string"}});
        for parameters in [
            json!({"type": "object", "properties": city}),
            json!({"type": "object", "properties": city, "required": ["city"], "additionalProperties": true}),
            json!({"type": "object", "properties": city, "required": ["city"], "oneOf": []}),
            json!({"type": "object", "required": ["free"], "properties": {"free": {"type": "object"}}}),
            json!({"type": "object", "required": ["any"], "properties": {"any": true}}),
            json!({"properties": city, "required": ["city"]}),
            json!({"type": "array"}),
            json!(true),
            json!(null),
        ] {
            let tool = made_strict(parameters.clone());
            let function = tool.function.unwrap();
            assert_eq!(function.strict, None, "{parameters}");
            assert_eq!(function.parameters, Some(parameters));
        }
    }

    #[test]
    fn what_the_caller_said_stays() {
        let parameters = json!({"type": "object", "properties": {}});
        let mut tool = Tool::function("f", "", parameters.clone());
        if let Some(function) = &mut tool.function {
            function.strict = Some(false);
        }
        let before = tool.clone();
        make_strict(&mut tool);
        assert_eq!(tool, before);
        assert_eq!(strict(parameters), Some(true), "an object without members can be strict");
    }

    #[test]
    fn a_schema_without_end_is_left_alone() {
        let mut schema = json!({"type": "string"});
        for _ in 0..100 {
            schema = json!({"type": "array", "items": schema});
        }
        assert_eq!(strict(json!({"type": "object", "required": ["a"], "properties": {"a": schema}})), None);
    }
}

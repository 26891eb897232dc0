//! Vertex's arguments in pieces: `{"jsonPath": "$.a.b[0]", "stringValue": "…"}`.

use serde_json::{Value, json};

use crate::conformance::json::Look as _;

/// Puts a piece where its path says; texts are appended.
pub(super) fn set(arguments: &mut Value, piece: &Value) {
    let mut place = arguments;
    for step in steps(piece.text("jsonPath")) {
        place = match step.parse::<usize>() {
            Ok(at) => item(place, at),
            Err(_) => {
                if !place.is_object() {
                    *place = json!({});
                }
                &mut place[step.as_str()]
            }
        };
    }
    if let Some(text) = piece.get("stringValue").and_then(Value::as_str) {
        *place = format!("{}{text}", place.as_str().unwrap_or_default()).into();
    } else if let Some(value) = piece.get("numberValue").or(piece.get("boolValue")) {
        *place = value.clone();
    } else if piece.get("nullValue").is_some() {
        *place = Value::Null;
    }
}

fn item(list: &mut Value, at: usize) -> &mut Value {
    if !list.is_array() {
        *list = json!([]);
    }
    if let Value::Array(items) = list {
        while items.len() <= at && at < 1_000 {
            items.push(Value::Null);
        }
    }
    &mut list[at]
}

fn steps(path: &str) -> Vec<String> {
    let path = path.trim_start_matches('$').replace('[', ".").replace([']', '\'', '"'], "");
    path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_arguments_are_put_where_their_paths_say() {
        let mut arguments = json!({});
        set(&mut arguments, &json!({"jsonPath": "$.a.list[1].name", "stringValue": "Bos"}));
        set(&mut arguments, &json!({"jsonPath": "$.a.list[1].name", "stringValue": "ton"}));
        set(&mut arguments, &json!({"jsonPath": "$.n", "numberValue": 3}));
        assert_eq!(arguments, json!({"a": {"list": [null, {"name": "Boston"}]}, "n": 3}));
    }
}

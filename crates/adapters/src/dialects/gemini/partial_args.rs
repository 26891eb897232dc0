//! Arguments of a function call that come in pieces, each with the JSON path of the value it belongs to.

use mainstay_provider_core::{Error, ErrorKind};
use serde_json::{Map, Value};

use super::wire::PartialArg;

/// How deep a path may lead: as deep as JSON text may nest.
const DEEPEST: usize = 128;

/// Puts a piece into its place. Pieces of one text are joined.
pub(super) fn apply(args: &mut Value, piece: PartialArg) -> Result<(), Error> {
    let path = piece.json_path.as_deref().unwrap_or("$");
    let steps = steps(path).ok_or_else(|| unreadable(path))?;
    let place =
        steps.iter().try_fold(args, |value, step| descend(value, step)).ok_or_else(|| unreadable(path))?;
    match (piece.string_value, piece.number_value, piece.bool_value) {
        (Some(text), ..) => match place {
            Value::String(whole) => whole.push_str(&text),
            other => *other = text.into(),
        },
        (None, Some(number), _) => *place = number,
        (None, None, Some(truth)) => *place = truth.into(),
        (None, None, None) => *place = Value::Null,
    }
    Ok(())
}

fn unreadable(path: &str) -> Error {
    let message = format!("a piece of the tool call's arguments has no readable place: {path:?}");
    Error::new(ErrorKind::MalformedToolCall, message)
}

enum Step {
    Member(String),
    Item(usize),
}

/// `$.a.b[0]['c d']` as steps.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let step = if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            rest = &after[end..];
            Step::Member(after[..end].to_owned())
        } else {
            let after = rest.strip_prefix('[')?;
            match after.chars().next()? {
                quote @ ('\'' | '"') => {
                    let (name, after) = after[1..].split_once(quote)?;
                    rest = after.strip_prefix(']')?;
                    Step::Member(name.to_owned())
                }
                _ => {
                    let (number, after) = after.split_once(']')?;
                    rest = after;
                    Step::Item(number.parse().ok()?)
                }
            }
        };
        steps.push(step);
        if steps.len() > DEEPEST {
            return None;
        }
    }
    Some(steps)
}

/// One step down, making what is not there yet. A list grows by one at a time: an index far beyond its end is
/// no piece of an honest answer.
fn descend<'a>(value: &'a mut Value, step: &Step) -> Option<&'a mut Value> {
    match step {
        Step::Member(name) => {
            if value.is_null() {
                *value = Value::Object(Map::new());
            }
            Some(value.as_object_mut()?.entry(name.as_str()).or_insert(Value::Null))
        }
        Step::Item(index) => {
            if value.is_null() {
                *value = Value::Array(Vec::new());
            }
            let items = value.as_array_mut()?;
            if *index == items.len() {
                items.push(Value::Null);
            }
            items.get_mut(*index)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn piece(value: Value) -> PartialArg {
        serde_json::from_value(value).unwrap()
    }

    fn assemble(pieces: &[Value]) -> Result<Value, Error> {
        let mut args = Value::Null;
        pieces.iter().try_for_each(|value| apply(&mut args, piece(value.clone())))?;
        Ok(args)
    }

    #[test]
    fn pieces_of_a_text_are_joined_and_paths_lead_into_lists_and_objects() {
        let args = assemble(&[
            json!({"jsonPath": "$.city", "stringValue": "Bos", "willContinue": true}),
            json!({"jsonPath": "$.city", "stringValue": "ton"}),
            json!({"jsonPath": "$.days[0].n", "numberValue": 3}),
            json!({"jsonPath": "$.days[1]['in words']", "stringValue": "two"}),
            json!({"jsonPath": "$[\"ok\"]", "boolValue": true}),
            json!({"jsonPath": "$.none", "nullValue": "NULL_VALUE"}),
        ]);
        let expected =
            json!({"city": "Boston", "days": [{"n": 3}, {"in words": "two"}], "ok": true, "none": null});
        assert_eq!(args.unwrap(), expected);
    }

    #[test]
    fn a_path_that_leads_nowhere_is_a_malformed_tool_call_and_no_panic() {
        let deep = format!("${}", ".a".repeat(200));
        for path in
            ["", "city", "$x", "$[", "$[99999999999999999999]", "$[5]", "$['a", "$['a'x", "$[é]", &deep]
        {
            let error = assemble(&[json!({"jsonPath": path, "stringValue": "x"})]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MalformedToolCall, "{path}");
        }
        let clash =
            [json!({"jsonPath": "$.a", "numberValue": 1}), json!({"jsonPath": "$.a.b", "numberValue": 1})];
        assert_eq!(assemble(&clash).unwrap_err().kind(), ErrorKind::MalformedToolCall);
    }
}

//! Small helpers over JSON values: looking in, normalising, and finding the first difference.

use serde_json::{Map, Value};

pub(crate) type Object = Map<String, Value>;

/// Looks into a value without fear of its shape.
pub(crate) trait Look {
    /// The text of a member; empty when it is absent or no text.
    fn text(&self, name: &str) -> &str;
    /// The items of a member; none when it is absent or no list.
    fn items(&self, name: &str) -> &[Value];
    /// A member that is there and not null.
    fn some(&self, name: &str) -> Option<&Value>;
    /// The count in a member; 0 when it is absent or no count.
    fn count(&self, name: &str) -> u64;
}

impl Look for Value {
    fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn items(&self, name: &str) -> &[Value] {
        self.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn some(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|value| !value.is_null())
    }

    fn count(&self, name: &str) -> u64 {
        self.get(name).and_then(Value::as_u64).unwrap_or(0)
    }
}

/// The object of a value; empty when it is none.
pub(crate) fn object(value: &Value) -> Object {
    value.as_object().cloned().unwrap_or_default()
}

/// Puts a member in unless its value is null.
pub(crate) fn put(target: &mut Object, name: &str, value: Value) {
    if !value.is_null() {
        target.insert(name.to_owned(), value);
    }
}

/// Moves a member from one object to another, under another name.
pub(crate) fn rename(from: &mut Object, old: &str, to: &mut Object, new: &str) {
    if let Some(value) = from.remove(old) {
        put(to, new, value);
    }
}

/// Whether a value says nothing: null, `""`, `[]` or `{}`.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Removes null members at every depth, except inside the members named in `opaque` (schemas, arguments).
pub(crate) fn drop_nulls(value: &mut Value, opaque: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            for (_, member) in members.iter_mut().filter(|(name, _)| !opaque.contains(&name.as_str())) {
                drop_nulls(member, opaque);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| drop_nulls(item, opaque)),
        _ => {}
    }
}

/// Removes a member when `is_default` says that it only repeats the default.
pub(crate) fn drop_default(members: &mut Object, name: &str, is_default: impl Fn(&Value) -> bool) {
    if members.get(name).is_some_and(is_default) {
        members.remove(name);
    }
}

/// JSON in a text, parsed; the text itself when it is none, `{}` when it is empty.
pub(crate) fn parsed(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Object::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// The first place where two values differ, in the order of names and indices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// `$.messages[0].content`
    pub(crate) path: String,
    pub(crate) expected: Option<Value>,
    pub(crate) got: Option<Value>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: expected {}, got {}",
            self.path,
            shown(self.expected.as_ref()),
            shown(self.got.as_ref())
        )
    }
}

fn shown(value: Option<&Value>) -> String {
    const LONGEST: usize = 160;
    let Some(value) = value else { return "nothing".into() };
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

pub(crate) fn difference(expected: &Value, got: &Value) -> Option<Difference> {
    differ("$".into(), Some(expected), Some(got))
}

fn differ(path: String, expected: Option<&Value>, got: Option<&Value>) -> Option<Difference> {
    match (expected, got) {
        (None, None) => None,
        (Some(Value::Object(expected)), Some(Value::Object(got))) => {
            let names: std::collections::BTreeSet<_> = expected.keys().chain(got.keys()).collect();
            names
                .into_iter()
                .find_map(|name| differ(format!("{path}.{name}"), expected.get(name), got.get(name)))
        }
        (Some(Value::Array(expected)), Some(Value::Array(got))) => {
            let longest = expected.len().max(got.len());
            (0..longest).find_map(|at| differ(format!("{path}[{at}]"), expected.get(at), got.get(at)))
        }
        (Some(Value::Number(a)), Some(Value::Number(b))) if close(a.as_f64(), b.as_f64()) => None,
        (Some(a), Some(b)) if a == b => None,
        (expected, got) => Some(Difference { path, expected: expected.cloned(), got: got.cloned() }),
    }
}

/// Numbers that are equal but for rounding on the way (`f32` vectors, `0` and `0.0`).
fn close(a: Option<f64>, b: Option<f64>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_by_its_path() {
        let a = json!({"a": [1, {"b": "x"}], "c": 0});
        let b = json!({"a": [1.0, {"b": "y"}], "c": 0.0});
        let found = difference(&a, &b).unwrap();
        assert_eq!(found.path, "$.a[1].b");
        assert_eq!(found.to_string(), "$.a[1].b: expected \"x\", got \"y\"");
        assert_eq!(difference(&a, &a), None);
    }

    #[test]
    fn nulls_inside_a_schema_stay() {
        let mut value = json!({"a": null, "tools": [{"parameters": {"default": null}, "b": null}]});
        drop_nulls(&mut value, &["parameters"]);
        assert_eq!(value, json!({"tools": [{"parameters": {"default": null}}]}));
    }
}

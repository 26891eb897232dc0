//! Cache breakpoints set by us (S4.8), where the caller sets none.
//!
//! Anthropic caches a prompt's prefix, in the order tools, system, messages, up to a block that is marked. Writing costs a
//! quarter more than reading the block unmarked, every reading within five minutes a tenth; so what stays the same from
//! request to request is marked, as soon as it is long enough for the provider to cache it at all:
//!
//! - the last system block, when tools and system prompt together are long enough;
//! - the last tool, when the tools alone are: they stay when the system prompt changes;
//! - the last user turn, when the conversation has gone on (two answers or more) and its turns alone are long enough: the
//!   next turn then reads all of it. A single long question is not marked, since nothing says that it will come again.
//!
//! Those are three of the four that the provider takes. Tokens are estimated as bytes / 4, which is on the low side for
//! most languages other than English; a prefix marked too early is not cached and costs nothing.

use serde_json::{Map, Value, json};

use crate::translate::claude::{Claude, json_len};

/// The provider's usual minimum, for models of another name.
const USUAL_MINIMUM: usize = 1024;
const BYTES_PER_TOKEN: usize = 4;
const MARK: &str = "cache_control";

pub(super) fn set_breakpoints(body: &mut Map<String, Value>, model: &str) {
    if has_breakpoint(body) {
        return;
    }
    let minimum = Claude::parse(model).map_or(USUAL_MINIMUM, Claude::cache_minimum) * BYTES_PER_TOKEN;
    let tools = body.get("tools").map_or(0, json_len);
    let system = body.get("system").map_or(0, json_len);
    if tools >= minimum
        && let Some(last) =
            body.get_mut("tools").and_then(Value::as_array_mut).and_then(|tools| tools.last_mut())
    {
        mark(last);
    }
    if tools + system >= minimum
        && let Some(system) = body.get_mut("system")
    {
        mark_last(system);
    }
    if let Some(Value::Array(turns)) = body.get_mut("messages") {
        mark_conversation(turns, minimum);
    }
}

/// Whether the caller set a breakpoint: then all are the caller's.
fn has_breakpoint(body: &Map<String, Value>) -> bool {
    let marked = |block: &Value| block.get(MARK).is_some();
    let any =
        |list: Option<&Value>| list.and_then(Value::as_array).is_some_and(|list| list.iter().any(marked));
    let in_turn = |turn: &Value| {
        let blocks = turn.get("content").and_then(Value::as_array);
        any(turn.get("content"))
            || blocks.is_some_and(|blocks| blocks.iter().any(|block| any(block.get("content"))))
    };
    body.contains_key(MARK)
        || any(body.get("tools"))
        || any(body.get("system"))
        || body.get("messages").and_then(Value::as_array).is_some_and(|turns| turns.iter().any(in_turn))
}

fn mark_conversation(turns: &mut [Value], minimum: usize) {
    let answers = turns.iter().filter(|turn| turn["role"] == "assistant").count();
    if answers < 2 || turns.iter().map(text_len).sum::<usize>() < minimum {
        return;
    }
    if let Some(Value::Object(last)) = turns.last_mut()
        && last.get("role").is_some_and(|role| role == "user")
        && let Some(content) = last.get_mut("content")
    {
        mark_last(content);
    }
}

/// The length of a turn without its images and documents, whose tokens do not go by their bytes.
fn text_len(turn: &Value) -> usize {
    match turn.get("content") {
        Some(Value::String(text)) => text.len(),
        Some(Value::Array(blocks)) => {
            blocks.iter().filter(|block| block.get("source").is_none()).map(json_len).sum()
        }
        _ => 0,
    }
}

/// Marks the last block of a content, which becomes a block if it is a plain text.
fn mark_last(content: &mut Value) {
    if let Value::String(text) = content {
        *content = json!([{"type": "text", "text": std::mem::take(text)}]);
    }
    if let Some(last) = content.as_array_mut().and_then(|blocks| blocks.last_mut()) {
        mark(last);
    }
}

fn mark(block: &mut Value) {
    if let Value::Object(block) = block {
        block.insert(MARK.into(), json!({"type": "ephemeral"}));
    }
}

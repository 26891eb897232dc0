//! Cache points set by us (S4.8), where the caller sets none and the model caches prompts.
//!
//! The rule is the one of Anthropic's dialect: behind the system prompt when tools and system prompt together are long
//! enough for the model to cache them, behind the tools when they alone are, and behind the last user turn of a
//! conversation that has gone on (two answers or more) and is long enough by itself. Three of the four points that Bedrock
//! takes, at bytes / 4 tokens.
//!
//! Claude caches from 3.5 Haiku and 3.7 on, Amazon Nova its system prompt and messages but not its tools. To any other
//! model a cache point is an error, so none is set; nor where the model hides behind an ARN.

use serde_json::{Map, Value, json};

use crate::translate::claude::{Claude, json_len};

const BYTES_PER_TOKEN: usize = 4;
const NOVA_MINIMUM: usize = 1024;
const NOVA: &[&str] = &["nova-micro", "nova-lite", "nova-pro", "nova-premier", "nova-2-"];

/// How a model caches.
struct Caches {
    minimum: usize,
    tools: bool,
}

fn caches(model: &str) -> Option<Caches> {
    if let Some(claude) = Claude::parse(model) {
        return claude.bedrock_caches().then(|| Caches { minimum: claude.cache_minimum(), tools: true });
    }
    let nova = NOVA.iter().any(|name| model.contains(name));
    nova.then_some(Caches { minimum: NOVA_MINIMUM, tools: false })
}

pub(super) fn set_points(body: &mut Map<String, Value>, model: &str) {
    let Some(caches) = caches(model) else { return };
    if has_point(body) {
        return;
    }
    let minimum = caches.minimum * BYTES_PER_TOKEN;
    let tools = body.get("toolConfig").map_or(0, json_len);
    let system = body.get("system").map_or(0, json_len);
    if caches.tools
        && tools >= minimum
        && let Some(config) = body.get_mut("toolConfig")
    {
        push_point(config.get_mut("tools"));
    }
    if tools + system >= minimum {
        push_point(body.get_mut("system"));
    }
    if let Some(Value::Array(turns)) = body.get_mut("messages") {
        mark_conversation(turns, minimum);
    }
}

/// Whether the caller set a point: then all are the caller's.
fn has_point(body: &Map<String, Value>) -> bool {
    let any = |list: Option<&Value>| {
        list.and_then(Value::as_array)
            .is_some_and(|list| list.iter().any(|block| block.get("cachePoint").is_some()))
    };
    any(body.get("system"))
        || any(body.get("toolConfig").and_then(|config| config.get("tools")))
        || body
            .get("messages")
            .and_then(Value::as_array)
            .is_some_and(|turns| turns.iter().any(|turn| any(turn.get("content"))))
}

fn mark_conversation(turns: &mut [Value], minimum: usize) {
    let answers = turns.iter().filter(|turn| turn["role"] == "assistant").count();
    if answers < 2 || turns.iter().map(text_len).sum::<usize>() < minimum {
        return;
    }
    if let Some(last) = turns.last_mut().filter(|turn| turn["role"] == "user") {
        push_point(last.get_mut("content"));
    }
}

/// The length of a turn without its images, documents and recordings, whose tokens do not go by their bytes.
fn text_len(turn: &Value) -> usize {
    let is_text =
        |block: &&Value| ["image", "document", "video", "audio"].iter().all(|kind| block.get(kind).is_none());
    turn["content"].as_array().into_iter().flatten().filter(is_text).map(json_len).sum()
}

fn push_point(list: Option<&mut Value>) {
    if let Some(Value::Array(list)) = list {
        list.push(json!({"cachePoint": {"type": "default"}}));
    }
}

//! What the simulated provider says.

use std::time::Duration;

use mainstay_provider_core::chat::{
    ChatRequest, ChatResponse, ResponseFormat, Role, Tool, ToolCall, ToolChoice,
};
use mainstay_provider_core::{ChatChunk, Error, ErrorKind, FinishReason, Message, Timer, Usage};
use serde_json::{Map, Value, json};

/// What the simulated provider does with one request.
pub(super) struct Script {
    pub(super) answer: ChatResponse,
    pub(super) gap: Duration,
    pub(super) hangs: bool,
    pub(super) cut: bool,
}

impl Script {
    pub(super) fn of(request: &ChatRequest, model: &str) -> Result<Self, Error> {
        let asked = last_user_text(request);
        let message = match model {
            "echo" | "slow" | "cut" | "hang" => Message::assistant(asked.clone()),
            "tools" => tool_calls(request, &asked),
            "json" => Message::assistant(json_answer(request)),
            model => return Err(failure(model)),
        };
        let stopped =
            if message.tool_calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        let output = tokens(&message.text()) + message.tool_calls.len() as u64 * 8;
        let input = request.messages.iter().map(|message| tokens(&message.text()) + 4).sum();
        let mut answer = ChatResponse::new(model, message, stopped);
        answer.id = format!("chatcmpl-sim-{:016x}", fastrand::u64(..));
        answer.created = crate::clock::unix_seconds();
        answer.usage = Some(Usage::new(input, output).into());
        let gap = Duration::from_millis(if model == "slow" { 50 } else { 0 });
        Ok(Self { answer, gap, hangs: model == "hang", cut: model == "cut" })
    }
}

fn last_user_text(request: &ChatRequest) -> String {
    let last = request.messages.iter().rev().find(|message| message.role == Role::User);
    last.map(|message| message.text().into_owned()).unwrap_or_default()
}

fn tool_calls(request: &ChatRequest, asked: &str) -> Message {
    let answered = request.messages.last().is_some_and(|message| message.role == Role::Tool);
    if answered || request.tools.is_empty() || request.tool_choice == Some(ToolChoice::None) {
        let said = request.messages.last().map(|message| message.text().into_owned()).unwrap_or_default();
        return Message::assistant(said);
    }
    let all = asked.contains("all tools") && request.parallel_tool_calls != Some(false);
    let named = match &request.tool_choice {
        Some(ToolChoice::Function(name)) => Some(name.as_str()),
        _ => None,
    };
    let chosen =
        request.tools.iter().filter_map(|tool| tool.function.as_ref().map(|function| (tool, function)));
    let chosen = chosen.filter(|(_, function)| named.is_none_or(|name| name == function.name));
    let calls = chosen.take(if all { usize::MAX } else { 1 }).map(|(tool, function)| {
        ToolCall::function(crate::translate::new_tool_call_id(), &function.name, arguments(tool))
    });
    let mut message = Message::empty(Role::Assistant);
    message.tool_calls = calls.collect();
    message
}

fn arguments(tool: &Tool) -> String {
    let schema = tool.function.as_ref().and_then(|function| function.parameters.as_ref());
    schema.map_or_else(|| json!({}), |schema| example(schema, 0)).to_string()
}

fn json_answer(request: &ChatRequest) -> String {
    match &request.response_format {
        Some(ResponseFormat::JsonSchema(format)) => {
            format.schema.as_ref().map_or_else(|| json!({}), |schema| example(schema, 0)).to_string()
        }
        _ => json!({"answer": last_user_text(request)}).to_string(),
    }
}

/// A value that fits the schema, as far as types, enums and required members go.
fn example(schema: &Value, depth: usize) -> Value {
    const DEEPEST: usize = 16;
    if let Some(value) = schema.get("const").or_else(|| schema.get("enum")?.get(0)) {
        return value.clone();
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    };
    match kind {
        "object" if depth < DEEPEST => {
            let members = schema.get("properties").and_then(Value::as_object);
            let members = members
                .into_iter()
                .flatten()
                .map(|(name, schema)| (name.clone(), example(schema, depth + 1)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        "object" => json!({}),
        "array" => match schema.get("items") {
            Some(items) if depth < DEEPEST => json!([example(items, depth + 1)]),
            _ => json!([]),
        },
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!("text"),
    }
}

/// The failure that the model's name asks for, as a provider would report it.
pub(super) fn failure(model: &str) -> Error {
    let status = model.strip_prefix("error-").and_then(|status| status.parse::<u16>().ok());
    let (kind, code) = match (model, status) {
        ("error-context", _) => (ErrorKind::ContextLengthExceeded, "context_length_exceeded"),
        ("error-filter", _) => (ErrorKind::ContentFiltered, "content_filter"),
        ("error-quota", _) => (ErrorKind::QuotaExhausted, "insufficient_quota"),
        (_, Some(401)) => (ErrorKind::Authentication, "invalid_api_key"),
        (_, Some(403)) => (ErrorKind::PermissionDenied, "permission_denied"),
        (_, Some(404)) => (ErrorKind::ModelNotFound, "model_not_found"),
        (_, Some(408 | 504)) => (ErrorKind::Timeout(Timer::Upstream), "timeout"),
        (_, Some(429)) => (ErrorKind::RateLimited, "rate_limit_exceeded"),
        (_, Some(503 | 529)) => (ErrorKind::Overloaded, "server_is_overloaded"),
        (_, Some(500..=599)) => (ErrorKind::ServerError, "server_error"),
        (_, Some(400..=499)) => (ErrorKind::InvalidRequest, "invalid_request_error"),
        _ => {
            let message = format!(
                "the simulated provider has no model {model:?}; it has {} and error-STATUS",
                super::Sim::MODELS.join(", ")
            );
            return Error::new(ErrorKind::ModelNotFound, message)
                .with_status(404)
                .with_code("model_not_found");
        }
    };
    let status = status.unwrap_or(if kind == ErrorKind::QuotaExhausted { 429 } else { 400 });
    Error::new(kind, format!("simulated: {kind}")).with_status(status).with_code(code)
}

/// Cuts the text of each chunk into words, so that a stream has something to stream.
pub(super) fn words(chunks: Vec<ChatChunk>) -> Vec<ChatChunk> {
    let mut cut = Vec::new();
    for chunk in chunks {
        let text = chunk.text().to_owned();
        let mut words = text.split_inclusive(' ');
        let Some(first) = words.next() else {
            cut.push(chunk);
            continue;
        };
        let piece = |text: &str| {
            let mut piece = chunk.clone();
            piece.choices.truncate(1);
            piece.choices[0].delta.content = Some(text.to_owned());
            piece
        };
        cut.push(piece(first));
        for word in words {
            let mut piece = piece(word);
            piece.choices[0].delta.role = None;
            cut.push(piece);
        }
    }
    cut
}

/// A quarter of the bytes, rounded up.
pub(super) fn tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

/// A unit vector that counts hashed words: equal for equal texts, near for texts that share words.
pub(super) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    for word in text.split_whitespace() {
        // FNV-1a, 64 bit: enough to spread words.
        let hash = word.to_lowercase().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let at = (hash % dimensions as u64) as usize;
        vector[at] += 1.0;
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_fits_its_schema() {
        let schema = json!({"type": "object", "properties": {
            "city": {"type": "string", "enum": ["Bern", "Rome"]}, "days": {"type": "integer", "minimum": 2},
            "tags": {"type": "array", "items": {"type": "boolean"}}}});
        assert_eq!(example(&schema, 0), json!({"city": "Bern", "days": 2, "tags": [true]}));
    }

    #[test]
    fn equal_texts_have_equal_vectors_and_shared_words_are_near() {
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (a, b, c) = (vector("the red fox", 64), vector("The red fox", 64), vector("something else", 64));
        assert!(cosine(&a, &b) > 0.999 && cosine(&a, &c) < 0.5);
    }
}

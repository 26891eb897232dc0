//! Reads the many shapes that error bodies have.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::wait;

/// Where the object that describes the error may stand; else it is the whole body.
const PLACES: [&str; 4] = ["/error", "/response/error", "/promptFeedback", "/errors/0"];

/// Keys under which an object says in words what is wrong, the best first.
const WORDS: [&str; 9] =
    ["message", "Message", "error", "msg", "detail", "errors", "errorMessage", "blockReasonMessage", "title"];

/// What an error body says, whatever its shape. Says nothing if the body has none of the known shapes.
///
/// The shapes: `{"error": {…}}` (most), `{"error": "text", …}` (xAI, Ollama), flat `{"message": …}` (Bedrock, Cohere,
/// Mistral, older vLLM), `{"detail": …}` with a text or a list (Mistral, FastAPI), a list of one of these (Gemini's OpenAI
/// dialect), `{"response": {"error": {…}}}` (Responses), `{"promptFeedback": {"blockReason": …}}` (Gemini).
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    root: Value,
    /// One of [`PLACES`], or `""`.
    place: &'static str,
    names: Vec<String>,
    message: Option<String>,
    /// A text that is not JSON: fit to be shown, but no rule reads it.
    plain_text: Option<String>,
}

impl ErrorBody {
    /// The body of an answer that is known to be an error.
    pub(super) fn read(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(Value::Array(list)) => list.into_iter().next().map(Self::of).unwrap_or_default(),
            Ok(root) => Self::of(root),
            Err(_) => Self { plain_text: plain_text(body), ..Self::default() },
        }
    }

    /// The body of an answer that said it was well: it is an error only if it is marked as one. A whole answer of Cohere
    /// has a `message` too.
    pub(super) fn read_within_success(body: &[u8]) -> Self {
        let body = Self::read(body);
        let marked =
            ["type", "object"].iter().any(|key| body.root.get(key).is_some_and(|value| value == "error"));
        let has_error =
            matches!(body.root.get("error"), Some(Value::Object(_) | Value::Array(_) | Value::String(_)));
        let elsewhere = ["/response/error", "/promptFeedback"].contains(&body.place);
        if marked || has_error || elsewhere { body } else { Self::default() }
    }

    fn of(root: Value) -> Self {
        let is_error = |place: &&str| match root.pointer(place) {
            Some(Value::Object(object)) if *place == "/promptFeedback" => object.contains_key("blockReason"),
            Some(Value::Object(object)) => !object.is_empty(),
            _ => false,
        };
        let place = PLACES.into_iter().find(is_error).unwrap_or("");
        let mut body = Self { root, place, ..Self::default() };
        body.names = body.find_names();
        body.message = body.find_message();
        body
    }

    /// The error's code and type, and whatever else names it.
    fn find_names(&self) -> Vec<String> {
        let keys = ["code", "type", "status", "error_type", "blockReason"];
        let names = keys.into_iter().filter_map(|key| match self.field(key)? {
            Value::String(name) => Some(name.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        // `"type": "error"` marks Anthropic's body and an event of Responses; it does not name the error.
        names.filter(|name| !name.is_empty() && name != "error").collect()
    }

    /// The provider's words. OpenRouter says "Provider returned error" and puts its upstream's words beside it.
    fn find_message(&self) -> Option<String> {
        let message = self.error().and_then(words_of);
        let message = message.or_else(|| Some(format!("blocked: {}", self.string("blockReason")?)));
        let raw = self.at("/metadata/raw").and_then(|raw| match raw.as_str().map(serde_json::from_str) {
            Some(Ok(json)) => words(&json),
            _ => words(raw),
        });
        match (message, raw) {
            (Some(message), Some(raw)) if !message.contains(&raw) => Some(format!("{message}: {raw}")),
            (message, raw) => message.or(raw),
        }
    }

    /// What is wrong, in the provider's words.
    pub(super) fn message(&self) -> Option<&str> {
        self.message.as_deref().or(self.plain_text.as_deref())
    }

    /// The same for the rules to read, in lower case. A body that is not JSON was not written by the provider's API but
    /// by something in front of it, so its words do not count.
    pub(super) fn text(&self) -> String {
        self.message.as_deref().unwrap_or_default().to_lowercase()
    }

    /// Whether one of the error's names is this, in either case.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The most telling of the names: the code, else the type, else gRPC's status. A code that only repeats the HTTP
    /// status tells nothing.
    pub(super) fn code(&self) -> Option<&str> {
        self.names.iter().map(String::as_str).find(|name| status_in(name).is_none())
    }

    /// The request parameter at fault.
    pub(super) fn param(&self) -> Option<String> {
        let named = || self.string("param").map(str::to_owned);
        let located = || {
            let parts = ["/detail/0/loc", "/message/detail/0/loc"]
                .iter()
                .find_map(|path| self.at(path)?.as_array())?;
            let parts = parts.iter().filter(|part| *part != "body");
            Some(
                parts
                    .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                    .collect::<Vec<_>>()
                    .join("."),
            )
        };
        let violated = || {
            self.details()
                .find_map(|detail| detail.pointer("/fieldViolations/0/field")?.as_str().map(str::to_owned))
        };
        named().or_else(located).or_else(violated).filter(|param| !param.is_empty())
    }

    /// The HTTP status that the body names: within a stream, or in an answer that began with 200.
    pub(super) fn status(&self) -> Option<u16> {
        let keys = ["status_code", "statusCode", "http_status_code", "code", "status"];
        keys.iter().find_map(|key| match self.field(key)? {
            Value::Number(number) => {
                number.as_u64().and_then(|number| u16::try_from(number).ok()).filter(is_failure)
            }
            Value::String(text) => status_in(text),
            _ => None,
        })
    }

    /// The HTTP status that an error of this name has.
    pub(super) fn status_by_name(&self) -> Option<u16> {
        let status = |name: &str| match name {
            "invalid_request_error" | "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => {
                Some(400)
            }
            "authentication_error" | "UNAUTHENTICATED" => Some(401),
            "billing_error" => Some(402),
            "permission_error" | "PERMISSION_DENIED" => Some(403),
            "not_found_error" | "NOT_FOUND" => Some(404),
            "request_too_large" => Some(413),
            "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => Some(429),
            "api_error" | "server_error" | "INTERNAL" | "UNKNOWN" | "DATA_LOSS" => Some(500),
            "UNAVAILABLE" => Some(503),
            "timeout_error" | "DEADLINE_EXCEEDED" => Some(504),
            "overloaded_error" => Some(529),
            _ => None,
        };
        self.names.iter().find_map(|name| status(name))
    }

    /// The request id, where the body has one (Anthropic; Cohere calls it `id`).
    pub(super) fn request_id(&self) -> Option<&str> {
        let cohere = || self.string("id").filter(|_| self.place.is_empty());
        self.root.get("request_id").and_then(Value::as_str).or_else(cohere)
    }

    /// `google.rpc.RetryInfo`: the wait that Gemini asks for.
    pub(super) fn retry_delay(&self) -> Option<Duration> {
        self.details()
            .find_map(|detail| wait::span(detail.get("retryDelay")?.as_str()?))
            .filter(|wait| !wait.is_zero())
    }

    /// The rate-limit headers of its upstream that OpenRouter repeats in the body.
    pub(super) fn headers(&self) -> Option<HeaderMap> {
        let repeated = self.at("/metadata/headers")?.as_object()?.iter();
        let header = |(name, value): (&String, &Value)| {
            Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.as_str()?).ok()?))
        };
        Some(repeated.filter_map(header).collect())
    }

    /// The tool call that the model wrote and Groq could not read.
    pub(super) fn failed_generation(&self) -> Option<&str> {
        self.string("failed_generation")
    }

    /// The name of an AWS error, where the body has it (`"__type": "namespace#Name"`).
    pub(super) fn amazon_error(&self) -> Option<&str> {
        self.string("__type")?.rsplit('#').next()
    }

    /// Google's details: `QuotaFailure`, `RetryInfo`, `ErrorInfo` and others.
    pub(super) fn details(&self) -> impl Iterator<Item = &Value> {
        self.field("details").and_then(Value::as_array).into_iter().flatten()
    }

    /// A field of the error that is text and not empty.
    pub(super) fn string(&self, key: &str) -> Option<&str> {
        self.field(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// What stands in the error at this JSON pointer, unless it is null.
    pub(super) fn at(&self, path: &str) -> Option<&Value> {
        self.root.pointer(self.place)?.pointer(path).filter(|value| !value.is_null())
    }

    fn field(&self, key: &str) -> Option<&Value> {
        self.error()?.get(key)
    }

    fn error(&self) -> Option<&Map<String, Value>> {
        self.root.pointer(self.place)?.as_object()
    }
}

/// What a value says in words: a text, the words within an object, or those of all items of a list.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned),
        Value::Array(items) => {
            let all: Vec<_> = items.iter().filter_map(words).collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
        Value::Object(object) => words_of(object),
        _ => None,
    }
}

fn words_of(object: &Map<String, Value>) -> Option<String> {
    WORDS.iter().find_map(|key| words(object.get(*key)?))
}

/// A body that is not JSON, as a message: a line of text, but no page of a proxy.
fn plain_text(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    (!text.is_empty() && !text.starts_with('<')).then(|| text.to_owned())
}

fn status_in(text: &str) -> Option<u16> {
    text.parse().ok().filter(is_failure)
}

fn is_failure(status: &u16) -> bool {
    (400..600).contains(status)
}

//! What Anthropic's and Bedrock's dialects share: the models of the Claude family, whose abilities go by version and
//! not by where they run, and JSON schemas, which both want in the same form.

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{ChatRequest, FunctionDef, JsonSchema, ResponseFormat, Role, ToolChoice};
use serde_json::{Map, Value};

use super::invalid;

/// A Claude model, read from its name on any platform: `claude-sonnet-4-5-20250929`,
/// `us.anthropic.claude-3-7-sonnet-20250219-v1:0`, `claude-opus-4.1`, `claude-haiku-4-5@20251001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claude<'a> {
    /// `opus`, `sonnet`, `haiku`, …; empty before version 3.
    line: &'a str,
    /// `(4, 5)`; zeros when the name holds none.
    version: (u32, u32),
}

/// How a model is told how hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// It cannot.
    No,
    /// By a number of tokens.
    Budget,
    /// By a word.
    Effort,
}

impl<'a> Claude<'a> {
    /// `None` when the name is not one of Claude's.
    pub(crate) fn parse(model: &'a str) -> Option<Self> {
        let name = &model[model.rfind("claude")?..];
        let mut line = "";
        let mut numbers = [None; 2];
        for word in name.split(['-', '.', '@', ':', '_', '/']).skip(1) {
            let digits = if numbers[0].is_none() { word.trim_start_matches('v') } else { word };
            if word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_digit()) {
                break; // the date: what follows is a revision of the file, not of the model
            } else if let (true, Ok(number)) = (digits.len() <= 2, digits.parse()) {
                if let Some(place) = numbers.iter_mut().find(|place| place.is_none()) {
                    *place = Some(number);
                }
            } else if line.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()) {
                line = word;
            }
        }
        Some(Self { line, version: (numbers[0].unwrap_or(0), numbers[1].unwrap_or(0)) })
    }

    /// The shortest prefix in tokens that the provider caches; it ignores breakpoints in shorter ones.
    pub(crate) fn cache_minimum(self) -> usize {
        match (self.line, self.version) {
            ("fable" | "mythos", _) => 512,
            ("opus", (5.., _)) | ("haiku", (5.., _)) | ("sonnet", (6.., _) | (5, 5..)) => 512,
            ("opus", (4, 7)) => 2048,
            ("opus", (4, 5 | 6)) | ("haiku", (4, 5..)) => 4096,
            ("haiku", _) => 2048,
            _ => 1024,
        }
    }

    /// Whether Bedrock caches prompts for it at all; a cache point is an error otherwise.
    #[cfg(feature = "bedrock")]
    pub(crate) fn bedrock_caches(self) -> bool {
        let model = (self.line, self.version);
        matches!(model, (_, (3, 7..) | (4.., _)) | ("haiku", (3, 5)) | ("fable" | "mythos", _))
    }

    /// Whether it goes on with an assistant message that stands last. From 4.6 on every line refuses one, and so do those
    /// whose names tell no version.
    pub(crate) fn goes_on(self) -> bool {
        matches!((self.line, self.version), (_, (1..=3, _) | (4, ..=5)) | ("instant", _))
    }

    /// How it is told how hard to think: before Opus 4.5 and Sonnet 4.6 there was no word for it, and a model that
    /// does not know the word refuses the request.
    pub(crate) fn thinking(self) -> Thinking {
        match (self.line, self.version) {
            ("opus", (4, 5..)) | ("sonnet", (4, 6..)) => Thinking::Effort,
            (_, (3, 7..)) | ("opus" | "sonnet", (4, _)) | ("haiku", (4, _)) => Thinking::Budget,
            (_, (1..=3, _)) => Thinking::No,
            ("instant", _) => Thinking::No,
            _ => Thinking::Effort,
        }
    }
}

/// OpenAI's word for how hard to think as Anthropic's; `None` for `none`.
pub(crate) fn effort(word: &str) -> Result<Option<&str>, Error> {
    match word {
        "none" => Ok(None),
        "minimal" => Ok(Some("low")),
        "low" | "medium" | "high" | "xhigh" | "max" => Ok(Some(word)),
        _ => Err(invalid(
            "reasoning_effort",
            format!("reasoning_effort is {word:?}; send none, minimal, low, medium, high, xhigh or max"),
        )),
    }
}

/// The thinking budget that stands for an effort. At most half of the longest answer, since thinking counts towards it;
/// `None` when the answer leaves no room for the least budget that the provider takes.
pub(crate) fn thinking_budget(effort: &str, longest: Option<u64>) -> Option<u64> {
    const LEAST: u64 = 1024;
    let wanted = match effort {
        "low" => LEAST,
        "medium" => 4096,
        "high" => 8192,
        _ => 16_384,
    };
    match longest {
        None => Some(wanted),
        Some(longest) if longest <= LEAST => None,
        Some(longest) => Some(wanted.min(longest / 2).max(LEAST)),
    }
}

/// Whether the rest of the request goes with a thinking budget. The API refuses one with a forced tool, a temperature, a low
/// `top_p`, `top_k`, or within a tool's turn that was begun without thinking; an effort is a hint and gives way to all.
pub(crate) fn may_think(request: &ChatRequest) -> bool {
    let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_)));
    let sampled = request.temperature.is_some_and(|temperature| temperature < 1.0)
        || request.top_p.is_some_and(|top_p| top_p < 0.95)
        || request.extra.get("top_k").is_some();
    let last = request.messages.iter().rfind(|message| message.role == Role::Assistant);
    let begun = last.is_some_and(|last| !last.tool_calls.is_empty() && last.thinking_blocks.is_empty());
    !forced && !sampled && !begun
}

/// The schema of a function's arguments, closed if the function is strict. `param` is the tool's place in the request.
pub(crate) fn input_schema(function: &FunctionDef, param: &str) -> Result<Map<String, Value>, Error> {
    let mut schema = match &function.parameters {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(schema)) => schema.clone(),
        Some(_) => {
            let param = format!("{param}.function.parameters");
            let message = format!("{param} must be a JSON object: the schema of the arguments");
            return Err(invalid(param, message));
        }
    };
    if !schema.contains_key("type") {
        schema.insert("type".into(), "object".into());
    }
    if function.strict == Some(true) {
        close(&mut schema);
    }
    Ok(schema)
}

/// The form of the answer that the request asks for, as far as it constrains the model.
pub(crate) enum Form {
    /// Free text.
    Free,
    /// Any JSON object: neither provider has a switch for it, so the model is told in the system prompt.
    Object,
    /// This schema, closed.
    Schema(JsonSchema),
}

/// What the model is told when the caller wants any JSON object.
pub(crate) const JSON_OBJECT: &str =
    "Answer with exactly one JSON object and nothing else: no text around it and no code fence.";

/// Reads `response_format`.
pub(crate) fn form(format: Option<&ResponseFormat>) -> Result<Form, Error> {
    match format {
        None | Some(ResponseFormat::Text) => Ok(Form::Free),
        Some(ResponseFormat::JsonObject) => Ok(Form::Object),
        Some(ResponseFormat::JsonSchema(schema)) => schema_form(schema.clone()),
        Some(ResponseFormat::Other(members)) => other_form(members),
        Some(_) => Err(unknown_form()),
    }
}

fn schema_form(mut schema: JsonSchema) -> Result<Form, Error> {
    match &mut schema.schema {
        Some(Value::Object(members)) => {
            close(members);
            Ok(Form::Schema(schema))
        }
        None | Some(Value::Null) => Ok(Form::Object),
        Some(_) => Err(invalid(
            "response_format.json_schema.schema",
            "response_format.json_schema.schema must be a JSON object: a JSON schema",
        )),
    }
}

/// A known form with members that the contract does not know.
fn other_form(members: &Map<String, Value>) -> Result<Form, Error> {
    match members.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Form::Free),
        Some("json_object") => Ok(Form::Object),
        Some("json_schema") => {
            let schema = members.get("json_schema").cloned().unwrap_or_default();
            schema_form(serde_json::from_value(schema).map_err(|error| unknown_form().with_source(error))?)
        }
        _ => Err(unknown_form()),
    }
}

fn unknown_form() -> Error {
    let message = "response_format must be text, json_object, or json_schema with {\"name\", \"schema\"}";
    invalid("response_format", message)
}

/// Closes each object of a schema (`additionalProperties: false`) that says nothing about it: both providers refuse
/// open objects in structured output, and an answer to the closed schema is an answer to the open one.
fn close(schema: &mut Map<String, Value>) {
    let is_object = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        Some(kind) => kind == "object",
        None => schema.contains_key("properties"),
    };
    if is_object && !schema.contains_key("additionalProperties") {
        schema.insert("additionalProperties".into(), Value::Bool(false));
    }
    for (name, member) in schema.iter_mut() {
        match (name.as_str(), member) {
            ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                named.values_mut().filter_map(Value::as_object_mut).for_each(close);
            }
            ("items", Value::Object(inner)) => close(inner),
            // Not the parts of `allOf`: closed, they would exclude each other.
            ("anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(list)) => {
                list.iter_mut().filter_map(Value::as_object_mut).for_each(close);
            }
            _ => {}
        }
    }
}

/// The length of a value as JSON, for the estimate of a prompt's tokens.
pub(crate) fn json_len(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail, and a value always prints.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_by_its_name_on_every_platform() {
        let read = |name| Claude::parse(name).map(|model| (model.line, model.version));
        assert_eq!(read("claude-sonnet-4-5-20250929"), Some(("sonnet", (4, 5))));
        assert_eq!(read("claude-sonnet-4-20250514"), Some(("sonnet", (4, 0))));
        assert_eq!(read("us.anthropic.claude-3-7-sonnet-20250219-v1:0"), Some(("sonnet", (3, 7))));
        assert_eq!(read("anthropic.claude-3-5-sonnet-20241022-v2:0"), Some(("sonnet", (3, 5))));
        assert_eq!(read("global.anthropic.claude-opus-4-6-v1"), Some(("opus", (4, 6))));
        assert_eq!(read("anthropic/claude-opus-4.1"), Some(("opus", (4, 1))));
        assert_eq!(read("claude-haiku-4-5@20251001"), Some(("haiku", (4, 5))));
        assert_eq!(read("claude-3-opus-latest"), Some(("opus", (3, 0))));
        assert_eq!(read("anthropic.claude-v2:1"), Some(("", (2, 1))));
        assert_eq!(read("claude-instant-v1"), Some(("instant", (1, 0))));
        assert_eq!(read("claude-mythos-preview"), Some(("mythos", (0, 0))));
        assert_eq!(read("amazon.nova-lite-v1:0"), None);
    }

    #[test]
    fn the_shortest_cached_prefix_goes_by_line_and_version() {
        let minimum = |name| Claude::parse(name).map(Claude::cache_minimum);
        for (name, tokens) in [
            ("claude-3-haiku-20240307", 2048),
            ("claude-3-5-haiku-20241022", 2048),
            ("claude-3-5-sonnet-20240620", 1024),
            ("claude-haiku-4-5", 4096),
            ("claude-opus-4-1", 1024),
            ("claude-opus-4-5-20251101", 4096),
            ("claude-opus-4-6", 4096),
            ("claude-opus-4-7-20260416", 2048),
            ("claude-opus-4-8", 1024),
            ("claude-opus-5", 512),
            ("claude-sonnet-4-6", 1024),
            ("claude-sonnet-5", 1024),
            ("claude-sonnet-5-5", 512),
            ("claude-haiku-5-5", 512),
            ("claude-fable-5-1", 512),
        ] {
            assert_eq!(minimum(name), Some(tokens), "{name}");
        }
    }

    #[test]
    fn older_models_think_by_budget_and_the_oldest_not_at_all() {
        let thinking = |name| Claude::parse(name).map(Claude::thinking);
        for name in [
            "claude-opus-4-5",
            "claude-opus-4-8",
            "claude-sonnet-4-6",
            "claude-sonnet-5",
            "claude-mythos-preview",
        ] {
            assert_eq!(thinking(name), Some(Thinking::Effort), "{name}");
        }
        for name in ["claude-3-7-sonnet-20250219", "claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5"]
        {
            assert_eq!(thinking(name), Some(Thinking::Budget), "{name}");
        }
        for name in
            ["claude-3-5-haiku-latest", "claude-3-opus-20240229", "claude-2.1", "anthropic.claude-instant-v1"]
        {
            assert_eq!(thinking(name), Some(Thinking::No), "{name}");
        }
    }

    #[test]
    fn thinking_leaves_room_for_the_answer() {
        assert_eq!(thinking_budget("high", None), Some(8192));
        assert_eq!(thinking_budget("high", Some(4096)), Some(2048));
        assert_eq!(thinking_budget("low", Some(1025)), Some(1024));
        assert_eq!(thinking_budget("low", Some(1024)), None);
    }
}

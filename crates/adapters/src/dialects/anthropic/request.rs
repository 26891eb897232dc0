//! The request: everything but its messages.

use mainstay_provider_core::chat::{ChatRequest, FunctionDef, Tool, ToolChoice};
use mainstay_provider_core::{Error, Extra};
use serde_json::{Map, Value, json};

use super::messages;
use crate::translate::claude::{self, Claude, Form, Thinking};
use crate::translate::{invalid, merge_parameters, put};

/// Members of OpenAI's requests that Anthropic has no use for and would refuse.
pub(super) const DROPPED: &[&str] = &[
    "audio",
    "logit_bias",
    "metadata", // but for its `user_id`
    "modalities",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "verbosity",
    "web_search_options",
];

/// Names of the header's list in a request; not part of the body.
const BETAS: [&str; 2] = ["anthropic_beta", "betas"];

/// The body of a request to `model`.
pub(super) fn body(
    request: &ChatRequest,
    model: &str,
    default_max_tokens: u64,
) -> Result<Map<String, Value>, Error> {
    refuse_what_is_lost(request)?;
    let form = claude::form(request.response_format.as_ref())?;
    let mut conversation = messages::conversation(&request.messages)?;
    if let Form::Object = form {
        conversation.system.push(json!({"type": "text", "text": claude::JSON_OBJECT}));
    }
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), conversation.turns.into());
    put(&mut body, "system", messages::plain_or_list(conversation.system));
    put(&mut body, "temperature", request.temperature);
    put(&mut body, "top_p", request.top_p);
    put(&mut body, "stop_sequences", request.stop.as_ref().map(|stop| stop.as_slice().to_vec()));
    put(&mut body, "stream", request.is_stream().then_some(true));
    put_tools(&mut body, request)?;
    if let Form::Schema(schema) = form {
        let format = json!({"type": "json_schema", "schema": schema.schema});
        body.insert("output_config".into(), json!({"format": format}));
    }
    put_reasoning(&mut body, request, model)?;
    put(&mut body, "metadata", user_id(request).map(|id| json!({"user_id": id})));
    merge_parameters(&mut body, &own_parameters(&request.extra));
    put_max_tokens(&mut body, request, default_max_tokens);
    Ok(body)
}

/// The betas that the request itself asks for.
pub(super) fn betas(request: &ChatRequest) -> Result<Vec<&str>, Error> {
    let mut betas = Vec::new();
    for value in BETAS.iter().filter_map(|name| request.extra.get(name)) {
        match value {
            Value::String(name) => betas.push(name.as_str()),
            Value::Array(names) => betas.extend(names.iter().filter_map(Value::as_str)),
            Value::Null => {}
            _ => return Err(invalid("anthropic_beta", "anthropic_beta must be a name or a list of names")),
        }
    }
    Ok(betas)
}

/// Refuses parameters whose loss would change what the answer means.
fn refuse_what_is_lost(request: &ChatRequest) -> Result<(), Error> {
    if request.n.is_some_and(|n| n > 1) {
        return Err(invalid(
            "n",
            "Anthropic gives one answer per request; leave n out and ask several times",
        ));
    }
    if request.logprobs == Some(true) || request.top_logprobs.is_some_and(|n| n > 0) {
        return Err(invalid(
            "logprobs",
            "Anthropic has no token probabilities; leave logprobs and top_logprobs out",
        ));
    }
    if request.temperature.is_some_and(|temperature| temperature > 1.0) {
        return Err(invalid("temperature", "Anthropic's temperature goes from 0 to 1; send at most 1"));
    }
    if request.extra.get("functions").is_some() {
        return Err(invalid("functions", "functions is OpenAI's old form; send tools"));
    }
    Ok(())
}

/// The parameters that pass through (S1.9).
fn own_parameters(extra: &Extra) -> Extra {
    let passes = |name: &str, value: &Value| match name {
        // OpenAI's tiers are others; the two words they share mean the same.
        "service_tier" => value == "auto" || value == "standard_only",
        _ => !value.is_null() && !DROPPED.contains(&name) && !BETAS.contains(&name),
    };
    let own = extra.iter().filter(|(name, value)| passes(name, value));
    own.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
}

fn user_id(request: &ChatRequest) -> Option<&str> {
    const LONGEST: usize = 512; // it only serves abuse detection, and a longer one fails the request
    let metadata = request.extra.get("metadata").and_then(|metadata| metadata.get("user_id"));
    let id = metadata.and_then(Value::as_str).or(request.user.as_deref());
    id.filter(|id| id.chars().count() <= LONGEST)
}

/// The longest answer: the caller's word, or the default on top of what is spent on thinking, which counts towards it.
fn put_max_tokens(body: &mut Map<String, Value>, request: &ChatRequest, default: u64) {
    let budget =
        body.get("thinking").and_then(|thinking| thinking.get("budget_tokens")).and_then(Value::as_u64);
    let longest = request.max_output_tokens().unwrap_or(default.saturating_add(budget.unwrap_or(0)));
    body.insert("max_tokens".into(), longest.into());
}

fn put_tools(body: &mut Map<String, Value>, request: &ChatRequest) -> Result<(), Error> {
    let tools = request.tools.iter().enumerate().map(|(at, tool)| encode_tool(tool, at));
    let tools = tools.collect::<Result<Vec<_>, _>>()?;
    let choice = tool_choice(request)?;
    if tools.is_empty() {
        return match choice.as_ref().and_then(|choice| choice.get("type")).and_then(Value::as_str) {
            Some("any" | "tool") => {
                Err(invalid("tool_choice", "tool_choice demands a tool and tools has none"))
            }
            _ => Ok(()),
        };
    }
    body.insert("tools".into(), tools.into());
    put(body, "tool_choice", choice);
    Ok(())
}

fn encode_tool(tool: &Tool, at: usize) -> Result<Value, Error> {
    let mut members = Map::new();
    match &tool.function {
        Some(function) => put_function(&mut members, function, at)?,
        None if tool.kind == "function" => {
            return Err(invalid(format!("tools[{at}].function"), format!("tools[{at}] has no function")));
        }
        None if tool.extra.get("custom").is_some() => {
            let message =
                "Anthropic has no tools that take free text; describe it as a function with a string";
            return Err(invalid(format!("tools[{at}]"), message));
        }
        // Anthropic's own: web search, code execution, the editor.
        None => {
            members.insert("type".into(), tool.kind.as_str().into());
        }
    }
    put_extra(&mut members, &tool.extra);
    Ok(Value::Object(members))
}

fn put_function(members: &mut Map<String, Value>, function: &FunctionDef, at: usize) -> Result<(), Error> {
    let schema = claude::input_schema(function, &format!("tools[{at}]"))?;
    members.insert("name".into(), function.name.as_str().into());
    put(members, "description", function.description.as_deref());
    members.insert("input_schema".into(), schema.into());
    put(members, "strict", function.strict);
    put_extra(members, &function.extra);
    Ok(())
}

/// Anthropic's own members of something that the neutral form knows: `cache_control`, `citations`, `defer_loading`.
pub(super) fn put_extra(members: &mut Map<String, Value>, extra: &Extra) {
    for (name, value) in extra.iter().filter(|(_, value)| !value.is_null()) {
        members.insert(name.clone(), value.clone());
    }
}

fn tool_choice(request: &ChatRequest) -> Result<Option<Value>, Error> {
    let mut choice = match &request.tool_choice {
        None if request.parallel_tool_calls != Some(false) => return Ok(None),
        None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => return Ok(Some(json!({"type": "none"}))),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Function(name)) => json!({"type": "tool", "name": name}),
        Some(ToolChoice::Other(value)) if is_own_choice(value) => value.clone(),
        Some(_) => {
            let function = "{\"type\": \"function\", \"function\": {\"name\": …}}";
            let message = format!("tool_choice must be auto, none, required or {function}");
            return Err(invalid("tool_choice", message));
        }
    };
    if let (Some(false), Some(choice)) = (request.parallel_tool_calls, choice.as_object_mut()) {
        choice.insert("disable_parallel_tool_use".into(), true.into());
    }
    Ok(Some(choice))
}

/// Whether the choice is written as Anthropic writes it.
fn is_own_choice(choice: &Value) -> bool {
    matches!(choice.get("type").and_then(Value::as_str), Some("auto" | "any" | "none" | "tool"))
}

/// `reasoning_effort` in the model's own words.
fn put_reasoning(body: &mut Map<String, Value>, request: &ChatRequest, model: &str) -> Result<(), Error> {
    let Some(word) = &request.reasoning_effort else { return Ok(()) };
    let effort = claude::effort(word)?;
    let own = request.extra.get("thinking").is_some_and(|thinking| !thinking.is_null());
    // A model of another name behind this API is taken for a new one.
    let thinking = Claude::parse(model).map_or(Thinking::Effort, Claude::thinking);
    match (thinking, effort) {
        (Thinking::No, _) => {}
        (_, None) if own => {}
        (_, None) => {
            body.insert("thinking".into(), json!({"type": "disabled"}));
        }
        (Thinking::Effort, Some(effort)) => {
            let config = body.entry("output_config").or_insert_with(|| json!({}));
            if let Some(config) = config.as_object_mut() {
                config.insert("effort".into(), effort.into());
            }
        }
        (Thinking::Budget, Some(effort)) if !own && claude::may_think(request) => {
            if let Some(budget) = claude::thinking_budget(effort, request.max_output_tokens()) {
                body.insert("thinking".into(), json!({"type": "enabled", "budget_tokens": budget}));
            }
        }
        (Thinking::Budget, Some(_)) => {}
    }
    Ok(())
}

//! A chat request as Responses take it.

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{ChatRequest, FunctionDef, JsonSchema, ResponseFormat, Tool, ToolChoice};
use serde_json::{Map, Value, json};

use super::input;
use crate::dialects::openai::{self, Profile};
use crate::translate::{invalid, merge_parameters, put};

/// Parameters of chat completions that Responses have no use for.
const DROPPED: &[&str] =
    &["audio", "logit_bias", "modalities", "prediction", "stream_options", "web_search_options"];

pub(super) fn body(
    request: &ChatRequest,
    model: &str,
    profile: &Profile,
) -> Result<Map<String, Value>, Error> {
    check(request)?;
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    let own_instructions = request.extra.get("instructions").is_some();
    let input::Input { instructions, items } = input::input(&request.messages, own_instructions)?;
    put(&mut body, "instructions", instructions);
    // A stored prompt may be all there is to say.
    if !items.is_empty() || request.extra.get("prompt").is_none() {
        body.insert("input".into(), items.into());
    }
    put(&mut body, "temperature", request.temperature);
    put(&mut body, "top_p", request.top_p);
    put(&mut body, "max_output_tokens", request.max_output_tokens());
    put(&mut body, "stream", request.stream);
    put(&mut body, "parallel_tool_calls", request.parallel_tool_calls);
    put(&mut body, "user", request.user.as_deref().filter(|_| !profile.drops("user")));
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect::<Result<_, _>>()?);
    }
    put(&mut body, "tool_choice", request.tool_choice.as_ref().map(tool_choice));
    put(&mut body, "text", text(request));
    if let Some(effort) = &request.reasoning_effort {
        body.insert("reasoning".into(), json!({"effort": effort}));
    }
    let parameters = parameters(request);
    merge_parameters(&mut body, &parameters.into());
    include(request, model, &mut body);
    Ok(body)
}

/// Refuses what the answer would lack.
fn check(request: &ChatRequest) -> Result<(), Error> {
    if request.n.is_some_and(|n| n > 1) {
        return Err(invalid("n", "Responses give one answer at a time; send the request several times"));
    }
    if request.stop.as_ref().is_some_and(|stop| !stop.as_slice().is_empty()) {
        let message =
            "Responses have no stop texts; use the provider's chat completions, or cut the answer yourself";
        return Err(invalid("stop", message));
    }
    Ok(())
}

/// The caller's parameters that pass through.
fn parameters(request: &ChatRequest) -> Map<String, Value> {
    let own = |name: &str| DROPPED.contains(&name) || name == "verbosity";
    let kept = request.extra.iter().filter(|(name, value)| !own(name) && !value.is_null());
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What the answer shall hold beyond the usual: token probabilities, and reasoning that can be sent back though nothing is
/// stored.
fn include(request: &ChatRequest, model: &str, body: &mut Map<String, Value>) {
    if request.logprobs == Some(true) {
        put(body, "top_logprobs", request.top_logprobs);
        add_include(body, "message.output_text.logprobs");
    }
    if body.get("store") == Some(&Value::Bool(false))
        && (reasons(model) || request.reasoning_effort.is_some())
    {
        add_include(body, "reasoning.encrypted_content");
    }
}

fn add_include(body: &mut Map<String, Value>, what: &str) {
    if let Value::Array(include) = body.entry("include").or_insert_with(|| json!([]))
        && !include.iter().any(|name| name == what)
    {
        include.push(what.into());
    }
}

/// Whether the model's reasoning can be had encrypted; the others refuse to be asked for it.
fn reasons(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    openai::reasons(name) || (name.starts_with("grok-") && !name.contains("non-reasoning"))
}

/// The form of the answer, and how many words it may make.
fn text(request: &ChatRequest) -> Option<Value> {
    let mut text = Map::new();
    let format = match &request.response_format {
        None | Some(ResponseFormat::Text) => None,
        Some(ResponseFormat::JsonSchema(schema)) => Some(schema_format(schema)),
        Some(ResponseFormat::Other(members)) => Some(Value::Object(members.clone())),
        Some(_) => Some(json!({"type": "json_object"})),
    };
    put(&mut text, "format", format);
    put(&mut text, "verbosity", request.extra.get("verbosity").filter(|value| !value.is_null()).cloned());
    (!text.is_empty()).then_some(Value::Object(text))
}

fn schema_format(schema: &JsonSchema) -> Value {
    let mut format: Map<String, Value> = schema.extra.clone().into();
    format.insert("type".into(), "json_schema".into());
    format.insert("name".into(), schema.name.as_str().into());
    put(&mut format, "description", schema.description.as_deref());
    format.insert("schema".into(), schema.schema.clone().unwrap_or_else(|| json!({})));
    put(&mut format, "strict", schema.strict);
    Value::Object(format)
}

fn tool(tool: &Tool) -> Result<Value, Error> {
    let mut flat: Map<String, Value> = tool.extra.clone().into();
    flat.retain(|name, value| !value.is_null() && name != "cache_control");
    match (&tool.function, flat.remove("custom")) {
        (Some(function), _) => put_function(&mut flat, function),
        (None, Some(Value::Object(custom))) => put_custom(&mut flat, custom),
        (None, Some(_)) => return Err(invalid("tools", "a custom tool must be an object with a name")),
        (None, None) => {}
    }
    flat.insert("type".into(), tool.kind.as_str().into());
    Ok(Value::Object(flat))
}

fn put_function(flat: &mut Map<String, Value>, function: &FunctionDef) {
    flat.extend(Map::from(function.extra.clone()));
    flat.insert("name".into(), function.name.as_str().into());
    put(flat, "description", function.description.as_deref());
    let parameters = function.parameters.clone().filter(|parameters| !parameters.is_null());
    flat.insert(
        "parameters".into(),
        parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}})),
    );
    // Here a tool is strict unless it says otherwise; in chat completions it is the other way round.
    flat.insert("strict".into(), function.strict.unwrap_or(false).into());
}

/// A tool that takes text: flat too, and so is its grammar.
fn put_custom(flat: &mut Map<String, Value>, mut custom: Map<String, Value>) {
    if let Some(Value::Object(format)) = custom.get_mut("format")
        && let Some(Value::Object(grammar)) = format.remove("grammar")
    {
        format.extend(grammar);
    }
    flat.extend(custom);
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Function(name) => json!({"type": "function", "name": name}),
        ToolChoice::Other(Value::Object(members)) => {
            let mut flat = members.clone();
            if let Some(Value::Object(custom)) = flat.remove("custom") {
                flat.extend(custom);
            }
            Value::Object(flat)
        }
        choice => serde_json::to_value(choice).unwrap_or_default(),
    }
}

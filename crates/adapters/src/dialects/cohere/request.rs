//! Chat requests.

use mainstay_provider_core::chat::{ChatRequest, FunctionDef, ResponseFormat, Stop, Tool, ToolChoice};
use mainstay_provider_core::{Error, Extra};
use serde_json::{Map, Value, json};

use super::messages::messages;
use crate::translate::{invalid, merge_parameters, put};

/// OpenAI's parameters that Cohere has no use for. `user`, `stream_options` and `parallel_tool_calls` are
/// fields of the request and are simply not written.
const DROPPED: [&str; 13] = [
    "store",
    "service_tier",
    "metadata",
    "logit_bias",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "safety_identifier",
    "verbosity",
    "modalities",
    "prediction",
    "web_search_options",
    "cache_control",
];

/// The models that do not think and refuse to be told how hard they should.
const WITHOUT_THINKING: [&str; 6] =
    ["command-r", "command-a-03", "command-a-vision", "command-a-translate", "command-light", "c4ai-"];

/// The body of a chat request.
pub(super) fn body(request: &ChatRequest, model: &str) -> Result<Map<String, Value>, Error> {
    check(request)?;
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), messages(&request.messages)?.into());
    body.insert("stream".into(), request.is_stream().into());
    put(&mut body, "max_tokens", request.max_output_tokens());
    put(&mut body, "temperature", request.temperature);
    // Cohere takes no 0 and no 1, the value that OpenAI's clients send for "all tokens".
    put(&mut body, "p", request.top_p.map(|p| p.clamp(0.01, 0.99)));
    put(&mut body, "stop_sequences", request.stop.as_ref().map(Stop::as_slice).map(<[String]>::to_vec));
    put(&mut body, "seed", request.seed);
    put(&mut body, "presence_penalty", request.presence_penalty);
    put(&mut body, "frequency_penalty", request.frequency_penalty);
    put(&mut body, "logprobs", request.logprobs.filter(|asked| *asked));
    tools(request, &mut body)?;
    if let Some(format) = &request.response_format {
        put(&mut body, "response_format", response_format(format)?);
    }
    if let Some(effort) = &request.reasoning_effort {
        put(&mut body, "thinking", thinking(effort, model)?);
    }
    merge_parameters(&mut body, &parameters(&request.extra));
    Ok(body)
}

/// What Cohere cannot do and what must not be dropped in silence.
fn check(request: &ChatRequest) -> Result<(), Error> {
    if request.n.is_some_and(|n| n > 1) {
        return Err(invalid("n", "n: Cohere gives one answer per request; send n requests"));
    }
    if request.logprobs == Some(true) && request.top_logprobs.is_some_and(|top| top > 0) {
        let message = "top_logprobs: Cohere tells the probabilities of the chosen tokens only; leave it out";
        return Err(invalid("top_logprobs", message));
    }
    Ok(())
}

/// The caller's own parameters in Cohere's spelling.
fn parameters(extra: &Extra) -> Extra {
    let mut parameters = Extra::default();
    for (name, value) in
        extra.iter().filter(|(name, value)| !DROPPED.contains(&name.as_str()) && !value.is_null())
    {
        let name = if name == "top_k" { "k" } else { name };
        parameters.insert(name, value.clone());
    }
    parameters
}

fn tools(request: &ChatRequest, body: &mut Map<String, Value>) -> Result<(), Error> {
    if !request.tools.is_empty() {
        let tools: Result<Vec<_>, _> = request.tools.iter().enumerate().map(tool).collect();
        body.insert("tools".into(), tools?.into());
        let strict =
            |tool: &Tool| tool.function.as_ref().is_some_and(|function| function.strict == Some(true));
        if request.tools.iter().all(strict) {
            body.insert("strict_tools".into(), true.into());
        }
    }
    let choice = match &request.tool_choice {
        None | Some(ToolChoice::Auto) => return Ok(()),
        Some(ToolChoice::None) if request.tools.is_empty() => return Ok(()),
        Some(ToolChoice::None) => "NONE",
        Some(ToolChoice::Required) => "REQUIRED",
        Some(ToolChoice::Other(Value::String(word))) if word == "REQUIRED" || word == "NONE" => word,
        Some(_) => {
            let message = "tool_choice: Cohere cannot be told which function to call; send only that tool, \
                           with tool_choice \"required\"";
            return Err(invalid("tool_choice", message));
        }
    };
    body.insert("tool_choice".into(), choice.into());
    Ok(())
}

fn tool((number, tool): (usize, &Tool)) -> Result<Value, Error> {
    let Some(FunctionDef { name, description, parameters, .. }) = &tool.function else {
        let message = format!("tools[{number}] has type {:?}; Cohere takes only functions", tool.kind);
        return Err(invalid(format!("tools[{number}].type"), message));
    };
    let mut function = Map::new();
    function.insert("name".into(), name.as_str().into());
    put(&mut function, "description", description.as_deref());
    let none = || json!({ "type": "object", "properties": {} });
    function.insert("parameters".into(), parameters.clone().unwrap_or_else(none));
    Ok(json!({ "type": "function", "function": function }))
}

fn response_format(format: &ResponseFormat) -> Result<Option<Value>, Error> {
    match format {
        ResponseFormat::Text => Ok(None),
        ResponseFormat::JsonObject => Ok(Some(json!({ "type": "json_object" }))),
        ResponseFormat::JsonSchema(schema) => {
            let mut written = json!({ "type": "json_object" });
            if let Some(schema) = &schema.schema {
                written["json_schema"] = schema.clone();
            }
            Ok(Some(written))
        }
        // Cohere's own form: a schema beside the type.
        ResponseFormat::Other(members) if members.get("type").is_some_and(|kind| kind == "json_object") => {
            Ok(Some(Value::Object(members.clone())))
        }
        _ => {
            let message =
                "response_format has a type that Cohere does not know; take text, json_object or json_schema";
            Err(invalid("response_format", message))
        }
    }
}

/// Efforts as budgets of tokens: minimal 512, low 1024, medium 4096, from high on without bounds.
fn thinking(effort: &str, model: &str) -> Result<Option<Value>, Error> {
    let thinking = match effort {
        "none" => json!({ "type": "disabled" }),
        "minimal" => json!({ "type": "enabled", "token_budget": 512 }),
        "low" => json!({ "type": "enabled", "token_budget": 1024 }),
        "medium" => json!({ "type": "enabled", "token_budget": 4096 }),
        "high" | "xhigh" | "max" => json!({ "type": "enabled" }),
        other => {
            let message = format!(
                "reasoning_effort {other:?} is unknown; take none, minimal, low, medium, high, xhigh or max"
            );
            return Err(invalid("reasoning_effort", message));
        }
    };
    let thinks = model != "command" && !WITHOUT_THINKING.iter().any(|family| model.starts_with(family));
    Ok(thinks.then_some(thinking))
}

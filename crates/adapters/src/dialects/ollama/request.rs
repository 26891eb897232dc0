//! Chat requests.

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{ChatRequest, ResponseFormat, Stop, Tool, ToolChoice};
use serde_json::{Map, Value, json};

use super::messages::messages;
use crate::translate::{invalid, merge_parameters, put};

/// OpenAI's parameters that Ollama has no use for. `user`, `stream_options` and `parallel_tool_calls` are
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

/// Members of `options`: a caller may also write them at the top level, as other providers have it.
const OPTIONS: [&str; 22] = [
    "num_keep",
    "num_predict",
    "top_k",
    "min_p",
    "typical_p",
    "tfs_z",
    "repeat_last_n",
    "repeat_penalty",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "penalize_newline",
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "numa",
    "low_vram",
    "use_mmap",
    "use_mlock",
    "vocab_only",
];

/// The body of a chat request.
pub(super) fn body(request: &ChatRequest, model: &str) -> Result<Map<String, Value>, Error> {
    if request.n.is_some_and(|n| n > 1) {
        return Err(invalid("n", "n: Ollama gives one answer per request; send n requests"));
    }
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), messages(&request.messages)?.into());
    body.insert("stream".into(), request.is_stream().into());
    if let Some(tools) = tools(request)? {
        body.insert("tools".into(), tools.into());
    }
    if let Some(format) = &request.response_format {
        put(&mut body, "format", self::format(format)?);
    }
    if let Some(effort) = &request.reasoning_effort {
        body.insert("think".into(), think(effort, model)?);
    }
    if request.logprobs == Some(true) {
        body.insert("logprobs".into(), true.into());
        put(&mut body, "top_logprobs", request.top_logprobs.filter(|top| *top > 0));
    }
    let mut options = options(request);
    for (name, value) in request.extra.iter().filter(|(_, value)| !value.is_null()) {
        if OPTIONS.contains(&name.as_str()) {
            options.insert(name.clone(), value.clone());
        }
    }
    if !options.is_empty() {
        body.insert("options".into(), options.into());
    }
    let mut parameters: Map<String, Value> = request.extra.clone().into();
    parameters.retain(|name, value| {
        !DROPPED.contains(&name.as_str()) && !OPTIONS.contains(&name.as_str()) && !value.is_null()
    });
    merge_parameters(&mut body, &parameters.into());
    Ok(body)
}

fn options(request: &ChatRequest) -> Map<String, Value> {
    let mut options = Map::new();
    put(&mut options, "num_predict", request.max_output_tokens());
    put(&mut options, "temperature", request.temperature);
    put(&mut options, "top_p", request.top_p);
    put(&mut options, "seed", request.seed);
    put(&mut options, "stop", request.stop.as_ref().map(Stop::as_slice).map(<[String]>::to_vec));
    put(&mut options, "presence_penalty", request.presence_penalty);
    put(&mut options, "frequency_penalty", request.frequency_penalty);
    options
}

/// The tools; `None` where there are none or none may be called: Ollama has no other way to say so.
fn tools(request: &ChatRequest) -> Result<Option<Vec<Value>>, Error> {
    match &request.tool_choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::None) => return Ok(None),
        Some(_) => {
            let message = "tool_choice: Ollama cannot be made to call a tool; take auto or none, or ask for the form \
                           of the answer with response_format";
            return Err(invalid("tool_choice", message));
        }
    }
    if request.tools.is_empty() {
        return Ok(None);
    }
    request.tools.iter().enumerate().map(tool).collect::<Result<_, _>>().map(Some)
}

fn tool((number, tool): (usize, &Tool)) -> Result<Value, Error> {
    let Some(function) = &tool.function else {
        let message = format!("tools[{number}] has type {:?}; Ollama takes only functions", tool.kind);
        return Err(invalid(format!("tools[{number}].type"), message));
    };
    let mut written = Map::new();
    written.insert("name".into(), function.name.as_str().into());
    put(&mut written, "description", function.description.as_deref());
    let none = || json!({ "type": "object", "properties": {} });
    written.insert("parameters".into(), function.parameters.clone().unwrap_or_else(none));
    Ok(json!({ "type": "function", "function": written }))
}

fn format(format: &ResponseFormat) -> Result<Option<Value>, Error> {
    let json = || Some(Value::from("json"));
    match format {
        ResponseFormat::Text => Ok(None),
        ResponseFormat::JsonObject => Ok(json()),
        ResponseFormat::JsonSchema(schema) => Ok(schema.schema.clone().or_else(json)),
        // Several OpenAI-compatible servers take the schema beside the type.
        ResponseFormat::Other(members) if members.get("type").is_some_and(|kind| kind == "json_object") => {
            Ok(members.get("schema").cloned().or_else(json))
        }
        _ => {
            let message =
                "response_format has a type that Ollama does not know; take text, json_object or json_schema";
            Err(invalid("response_format", message))
        }
    }
}

/// gpt-oss takes a level of thinking; for the other models, which think or do not, a level is refused.
fn think(effort: &str, model: &str) -> Result<Value, Error> {
    let level = match effort {
        "none" => return Ok(false.into()),
        "minimal" | "low" => "low",
        "medium" => "medium",
        "high" | "xhigh" | "max" => "high",
        other => {
            let message = format!(
                "reasoning_effort {other:?} is unknown; take none, minimal, low, medium, high, xhigh or max"
            );
            return Err(invalid("reasoning_effort", message));
        }
    };
    Ok(if model.contains("gpt-oss") { level.into() } else { true.into() })
}

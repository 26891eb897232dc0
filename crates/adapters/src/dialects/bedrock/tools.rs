//! Tools and the choice among them.

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{ChatRequest, FunctionDef, Tool, ToolChoice};
use serde_json::{Map, Value, json};

use super::content::cache_point;
use crate::translate::{claude, invalid, put};

/// What is declared where Bedrock demands tools and the request offers none.
const PLACEHOLDER: &str = "no_tool";

/// The `toolConfig`, if the request needs one.
pub(super) fn config(request: &ChatRequest, turns: &[Value]) -> Result<Option<Value>, Error> {
    let mut tools = Vec::with_capacity(request.tools.len());
    for (at, tool) in request.tools.iter().enumerate() {
        tools.push(encode_tool(tool, at)?);
        tools.extend(cache_point(&tool.extra));
    }
    let choice = tool_choice(request)?;
    if tools.is_empty() && request.tool_choice.as_ref().is_some_and(demands_a_tool) {
        return Err(invalid("tool_choice", "tool_choice demands a tool and tools has none"));
    }
    if tools.is_empty() || request.tool_choice == Some(ToolChoice::None) {
        let placeholder = json!({"name": PLACEHOLDER, "description": "Not available.", "inputSchema": {"json": {"type": "object"}}});
        return Ok(holds_calls(turns).then(|| json!({"tools": [{"toolSpec": placeholder}]})));
    }
    let mut config = Map::new();
    config.insert("tools".into(), tools.into());
    put(&mut config, "toolChoice", choice);
    Ok(Some(Value::Object(config)))
}

fn demands_a_tool(choice: &ToolChoice) -> bool {
    matches!(choice, ToolChoice::Required | ToolChoice::Function(_))
}

/// Whether the conversation holds calls or results: then Bedrock refuses a request that declares no tools.
fn holds_calls(turns: &[Value]) -> bool {
    let blocks = turns.iter().filter_map(|turn| turn.get("content")?.as_array()).flatten();
    let mut names = blocks.filter_map(Value::as_object).flat_map(Map::keys);
    names.any(|name| name == "toolUse" || name == "toolResult")
}

fn encode_tool(tool: &Tool, at: usize) -> Result<Value, Error> {
    let param = format!("tools[{at}]");
    if let Some(function) = &tool.function {
        return Ok(json!({"toolSpec": spec(function, &param)?}));
    }
    // Bedrock's own, as `{"type": "systemTool", "systemTool": {"name": …}}`.
    for name in ["systemTool", "toolSpec"] {
        if let Some(value @ Value::Object(_)) = tool.extra.get(name) {
            return Ok(json!({name: value}));
        }
    }
    if let ("systemTool", Some(name)) = (tool.kind.as_str(), tool.extra.get("name")) {
        return Ok(json!({"systemTool": {"name": name}}));
    }
    let message =
        format!("{param} is no function; Bedrock's own tools are {{\"type\": \"systemTool\", \"name\": …}}");
    Err(invalid(param, message))
}

fn spec(function: &FunctionDef, param: &str) -> Result<Map<String, Value>, Error> {
    let mut spec = Map::new();
    spec.insert("name".into(), function.name.as_str().into());
    put(&mut spec, "description", function.description.as_deref().filter(|text| !text.is_empty()));
    spec.insert("inputSchema".into(), json!({"json": claude::input_schema(function, param)?}));
    put(&mut spec, "strict", function.strict);
    Ok(spec)
}

fn tool_choice(request: &ChatRequest) -> Result<Option<Value>, Error> {
    match &request.tool_choice {
        None | Some(ToolChoice::None) => Ok(None),
        Some(ToolChoice::Auto) => Ok(Some(json!({"auto": {}}))),
        Some(ToolChoice::Required) => Ok(Some(json!({"any": {}}))),
        Some(ToolChoice::Function(name)) => Ok(Some(json!({"tool": {"name": name}}))),
        Some(ToolChoice::Other(own))
            if ["auto", "any", "tool"].iter().any(|name| own.get(name).is_some()) =>
        {
            Ok(Some(own.clone()))
        }
        Some(_) => {
            let function = "{\"type\": \"function\", \"function\": {\"name\": …}}";
            let message = format!("tool_choice must be auto, none, required or {function}");
            Err(invalid("tool_choice", message))
        }
    }
}

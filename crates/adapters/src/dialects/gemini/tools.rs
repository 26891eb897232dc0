//! Tools and which of them may be called.

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{ChatRequest, FunctionDef, Tool, ToolChoice};
use serde_json::{Map, Value, json};

use super::request::camel_case;
use crate::translate::{invalid, put};

/// The `tools`: all functions in one entry, Google's own tools (`{"type": "google_search"}`) in one entry each.
pub(super) fn tools(tools: &[Tool]) -> Vec<Value> {
    let mut functions: Vec<_> =
        tools.iter().filter_map(|tool| tool.function.as_ref()).map(declaration).collect();
    let mut entries = Vec::new();
    for tool in tools {
        if tool.function.is_none() {
            entries.push(own_tool(tool));
        } else if !functions.is_empty() {
            entries.push(json!({ "functionDeclarations": std::mem::take(&mut functions) }));
        }
    }
    entries
}

fn declaration(function: &FunctionDef) -> Value {
    let mut entry = Map::new();
    // The description of a function's own result, for instance. Prompt caching is not a matter of tools here.
    for (name, value) in function.extra.iter().filter(|(name, _)| *name != "cache_control") {
        entry.insert(name.clone(), value.clone());
    }
    entry.insert("name".into(), function.name.as_str().into());
    put(&mut entry, "description", function.description.as_deref());
    put(&mut entry, "parametersJsonSchema", function.parameters.clone());
    Value::Object(entry)
}

/// A tool of another type than `function`: its settings stand under its name, or beside `type`.
fn own_tool(tool: &Tool) -> Value {
    let mut settings: Map<String, Value> = tool.extra.clone().into();
    settings.remove("cache_control");
    let name = camel_case(&tool.kind);
    let inner = settings.remove(&name).or_else(|| settings.remove(&tool.kind));
    json!({ name: inner.unwrap_or(Value::Object(settings)) })
}

/// The `functionCallingConfig`; `None` where the request leaves the choice to the model.
pub(super) fn calling_config(request: &ChatRequest) -> Result<Option<Value>, Error> {
    let mode = |mode: &str| Ok(Some(json!({ "mode": mode })));
    let named = |mode: &str, names: Value| Ok(Some(json!({ "mode": mode, "allowedFunctionNames": names })));
    match &request.tool_choice {
        None => Ok(None),
        // Without tools there is nothing to choose.
        Some(ToolChoice::Auto | ToolChoice::None) if request.tools.is_empty() => Ok(None),
        Some(ToolChoice::Auto) => mode("AUTO"),
        Some(ToolChoice::None) => mode("NONE"),
        Some(ToolChoice::Required) => mode("ANY"),
        Some(ToolChoice::Function(name)) => named("ANY", json!([name])),
        Some(ToolChoice::Other(choice)) => match allowed_tools(choice) {
            Some(("required", names)) => named("ANY", names),
            // AUTO takes no list of names; VALIDATED is AUTO with one.
            Some((_, names)) => named("VALIDATED", names),
            None if choice.as_str().is_some_and(|word| word.eq_ignore_ascii_case("validated")) => {
                mode("VALIDATED")
            }
            None => {
                let message = "tool_choice has a form that Gemini cannot express; take auto, none, required or a function";
                Err(invalid("tool_choice", message))
            }
        },
        Some(_) => Ok(None),
    }
}

/// `{"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": [{"type": "function", "function":
/// {"name": …}}]}}`
fn allowed_tools(choice: &Value) -> Option<(&str, Value)> {
    let allowed = choice.get("allowed_tools")?;
    let names: Option<Vec<_>> =
        allowed["tools"].as_array()?.iter().map(|tool| tool["function"]["name"].as_str()).collect();
    Some((allowed["mode"].as_str()?, names?.into()))
}

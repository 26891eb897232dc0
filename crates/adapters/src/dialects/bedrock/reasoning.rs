//! `reasoning_effort`, where the model's family looks for it:
//!
//! - Claude: `outputConfig.effort`; before Opus 4.5 and Sonnet 4.6 a thinking budget in the model's own fields, unless
//!   another parameter forbids it.
//! - Amazon Nova 2: `reasoningConfig` in the model's own fields; the first Nova cannot reason.
//! - OpenAI's open models: `reasoning_effort` in the model's own fields.
//! - Others: `outputConfig.effort`.
//!
//! A request that says itself how to think, in one of these places, is left alone.

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::ChatRequest;
use serde_json::{Map, Value, json};

use super::request::MODEL_FIELDS;
use crate::translate::claude::{Claude, Thinking, effort, may_think, thinking_budget};

pub(super) fn put(body: &mut Map<String, Value>, request: &ChatRequest, model: &str) -> Result<(), Error> {
    let Some(word) = &request.reasoning_effort else { return Ok(()) };
    let effort = effort(word)?;
    if says_itself(request) {
        return Ok(());
    }
    match (Claude::parse(model).map(Claude::thinking), effort) {
        (Some(Thinking::No), _) => {}
        (Some(_), None) => put_field(body, "thinking", json!({"type": "disabled"})),
        (Some(Thinking::Budget), Some(effort)) => {
            let budget = thinking_budget(effort, request.max_output_tokens()).filter(|_| may_think(request));
            if let Some(budget) = budget {
                put_field(body, "thinking", json!({"type": "enabled", "budget_tokens": budget}));
            }
        }
        (None, effort) if model.contains("nova") => put_nova(body, request, model, effort),
        (None, Some(effort)) if model.contains("gpt-oss") => {
            put_field(body, "reasoning_effort", of_three(effort).into());
        }
        (None, None) => {}
        (Some(Thinking::Effort) | None, Some(effort)) => {
            put_into(body, "outputConfig", "effort", effort.into())
        }
    }
    Ok(())
}

fn put_nova(body: &mut Map<String, Value>, request: &ChatRequest, model: &str, effort: Option<&str>) {
    if !model.contains("nova-2") {
        return;
    }
    let config = match effort.map(of_three) {
        None => json!({"type": "disabled"}),
        // With the highest effort the model refuses these; what was asked for outright counts more.
        Some("high") if has_inference(request) => json!({"type": "enabled", "maxReasoningEffort": "medium"}),
        Some(effort) => json!({"type": "enabled", "maxReasoningEffort": effort}),
    };
    put_field(body, "reasoningConfig", config);
}

fn has_inference(request: &ChatRequest) -> bool {
    request.temperature.is_some() || request.top_p.is_some() || request.max_output_tokens().is_some()
}

/// The words that models with three of them know.
fn of_three(effort: &str) -> &str {
    if matches!(effort, "xhigh" | "max") { "high" } else { effort }
}

fn put_field(body: &mut Map<String, Value>, name: &str, value: Value) {
    put_into(body, MODEL_FIELDS, name, value);
}

fn put_into(body: &mut Map<String, Value>, object: &str, name: &str, value: Value) {
    if let Value::Object(object) = body.entry(object).or_insert_with(|| json!({})) {
        object.insert(name.to_owned(), value);
    }
}

fn says_itself(request: &ChatRequest) -> bool {
    let extra = |name: &str| request.extra.get(name);
    let fields = extra(MODEL_FIELDS);
    ["thinking", "reasoningConfig", "reasoning_config"].iter().any(|name| {
        let said = extra(name).or_else(|| fields.and_then(|fields| fields.get(name)));
        said.is_some_and(|value| !value.is_null())
    })
}

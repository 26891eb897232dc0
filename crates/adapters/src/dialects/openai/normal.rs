//! What providers say otherwise in an answer, put into the neutral form: usage, reasoning, citations.
//!
//! Each function tells whether it changed anything; where none did, the provider's own text is passed on.

use mainstay_provider_core::Extra;
use mainstay_provider_core::chat::{CompletionDetails, PromptDetails, TokenUsage};
use serde_json::{Value, json};

use super::profile::Usage;
use crate::translate::tokens;

/// Puts the figures into the neutral convention: `completion_tokens` is all output, cached input is in the details.
pub(crate) fn usage(figures: &mut TokenUsage, convention: Usage) -> bool {
    let cached = cached_elsewhere(figures);
    let output = match convention {
        Usage::Whole => false,
        Usage::ReasoningApart => add_reasoning(figures),
        Usage::ReasoningInTotal => take_reasoning_from_total(figures),
    };
    cached | output
}

/// DeepSeek, Together and older Mistral count cached input under names of their own.
fn cached_elsewhere(figures: &mut TokenUsage) -> bool {
    const NAMES: [&str; 3] = ["prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"];
    if figures.extra.is_empty()
        || figures.prompt_tokens_details.as_ref().is_some_and(|all| all.cached_tokens.is_some())
    {
        return false;
    }
    let Some(cached) =
        NAMES.iter().find_map(|name| figures.extra.get(name)).filter(|cached| !cached.is_null())
    else {
        return false;
    };
    let cached = tokens(Some(cached));
    let details = figures.prompt_tokens_details.get_or_insert(PromptDetails {
        cached_tokens: None,
        cache_write_tokens: None,
        cache_write_1h_tokens: None,
        extra: Extra::default(),
    });
    details.cached_tokens = Some(cached);
    true
}

fn add_reasoning(figures: &mut TokenUsage) -> bool {
    let reasoning =
        figures.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens).unwrap_or(0);
    let output = figures.completion_tokens.saturating_add(reasoning);
    // Where the total does not count the reasoning on top, the provider has changed its convention.
    if reasoning == 0 || figures.total_tokens < figures.prompt_tokens.saturating_add(output) {
        return false;
    }
    figures.completion_tokens = output;
    true
}

fn take_reasoning_from_total(figures: &mut TokenUsage) -> bool {
    let output = figures.total_tokens.saturating_sub(figures.prompt_tokens);
    let Some(reasoning) = output.checked_sub(figures.completion_tokens).filter(|reasoning| *reasoning > 0)
    else {
        return false;
    };
    figures.completion_tokens = output;
    let details = figures
        .completion_tokens_details
        .get_or_insert(CompletionDetails { reasoning_tokens: None, extra: Extra::default() });
    details.reasoning_tokens.get_or_insert(reasoning);
    true
}

/// Copies reasoning from the name that Groq, OpenRouter, Cerebras, Ollama and vLLM give it, and leaves it there too for
/// clients that read it there.
pub(crate) fn reasoning(content: &mut Option<String>, extra: &Extra) -> bool {
    if extra.is_empty() || content.is_some() {
        return false;
    }
    match extra.get("reasoning") {
        Some(Value::String(text)) if !text.is_empty() => {
            *content = Some(text.clone());
            true
        }
        _ => false,
    }
}

/// The sources that stand at the top of an answer, from the one numbered `from` on, as annotations of its message. They
/// keep their place at the top too, where the `[1]` in the text counts them.
pub(crate) fn citations(top: &Extra, from: usize) -> Vec<Value> {
    let Some(Value::Array(addresses)) = top.get("citations") else { return Vec::new() };
    let results = top.get("search_results").and_then(Value::as_array);
    let annotation = |(number, address): (usize, &Value)| {
        let url = address.as_str()?;
        let result = results.and_then(|results| results.get(number)).filter(|result| result["url"] == url);
        let title = result.and_then(|result| result["title"].as_str()).unwrap_or(url);
        Some(json!({"type": "url_citation", "url_citation": {"url": url, "title": title}}))
    };
    addresses.iter().enumerate().skip(from).filter_map(annotation).collect()
}

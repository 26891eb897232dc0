//! What an answer says of its tokens and its cost.

use base64::Engine as _;
use mainstay_provider_core::Usage;
use serde_json::{Map, Value};

/// The answer's JSON documents: the one body, or the events of a stream.
pub(super) fn answers(response: &Value) -> Vec<Value> {
    if let Some(stream) = response["sse_text"].as_str() {
        return stream
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok())
            .collect();
    }
    if let Some(stream) = response["ndjson_text"].as_str() {
        return stream.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    }
    if let Some(stream) = response["eventstream_base64"].as_str() {
        return frames(&base64::engine::general_purpose::STANDARD.decode(stream).unwrap());
    }
    match &response["body"] {
        Value::Array(bodies) => bodies.clone(),
        body => vec![body.clone()],
    }
}

/// The payloads of Amazon's event stream.
fn frames(bytes: &[u8]) -> Vec<Value> {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut payloads) = (0, Vec::new());
    while at + 16 <= bytes.len() {
        let (total, headers) = (number(at), number(at + 4));
        payloads.extend(serde_json::from_slice::<Value>(&bytes[at + 12 + headers..at + total - 4]).ok());
        at += total;
    }
    payloads
}

pub(super) fn model(answers: &[Value]) -> Option<String> {
    let places = |answer: &Value| {
        let found = [
            &answer["model"],
            &answer["modelVersion"],
            &answer["response"]["model"],
            &answer["message"]["model"],
        ];
        found.into_iter().find_map(|model| model.as_str().map(str::to_owned))
    };
    answers.iter().find_map(places)
}

/// All members of all usage objects of the answer; the last one counts.
fn figures(answers: &[Value]) -> Option<Map<String, Value>> {
    let mut all = Map::new();
    for answer in answers {
        let places = [
            &answer["usage"],
            &answer["response"]["usage"],
            &answer["message"]["usage"],
            &answer["delta"]["usage"],
            &answer["x_groq"]["usage"],
            &answer["usageMetadata"],
        ];
        for usage in places.into_iter().filter_map(Value::as_object) {
            all.extend(
                usage
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
        }
        for name in ["prompt_eval_count", "eval_count"] {
            all.extend(answer[name].as_u64().map(|count| (name.to_owned(), count.into())));
        }
    }
    (!all.is_empty()).then_some(all)
}

pub(super) fn usage(api: &str, answers: &[Value]) -> Option<Usage> {
    let figures = Value::Object(figures(answers)?);
    let count = |pointer: &str| figures.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0) as u64;
    let has = |name: &str| figures.get(name).is_some();
    let mut usage;
    if has("prompt_eval_count") || has("eval_count") {
        usage = Usage::new(count("/prompt_eval_count"), count("/eval_count"));
    } else if has("promptTokenCount") || has("totalTokenCount") {
        let thoughts = count("/thoughtsTokenCount");
        usage = Usage::new(
            count("/promptTokenCount") + count("/toolUsePromptTokenCount"),
            count("/candidatesTokenCount") + thoughts,
        );
        usage.cache_read = count("/cachedContentTokenCount");
        usage.reasoning = thoughts;
    } else if has("inputTokens") {
        let (read, written) = (count("/cacheReadInputTokens"), count("/cacheWriteInputTokens"));
        usage = Usage::new(count("/inputTokens") + read + written, count("/outputTokens"));
        (usage.cache_read, usage.cache_write) = (read, written);
    } else if has("tokens") {
        usage = Usage::new(count("/tokens/input_tokens"), count("/tokens/output_tokens"));
        usage.cache_read = count("/cached_tokens");
    } else if api == "messages" {
        let (read, written) = (count("/cache_read_input_tokens"), count("/cache_creation_input_tokens"));
        usage = Usage::new(count("/input_tokens") + read + written, count("/output_tokens"));
        (usage.cache_read, usage.cache_write) = (read, written);
        usage.cache_write_long = count("/cache_creation/ephemeral_1h_input_tokens");
    } else {
        let (input, output) =
            if has("prompt_tokens") { ("prompt", "completion") } else { ("input", "output") };
        usage = Usage::new(count(&format!("/{input}_tokens")), count(&format!("/{output}_tokens")));
        usage.cache_read =
            count(&format!("/{input}_tokens_details/cached_tokens")).max(count("/prompt_cache_hit_tokens"));
        usage.cache_write = count(&format!("/{input}_tokens_details/cache_write_tokens"));
        usage.reasoning = count(&format!("/{output}_tokens_details/reasoning_tokens"));
        // xAI counts reasoning beside the completion.
        if has("total_tokens") && usage.input + usage.output + usage.reasoning == count("/total_tokens") {
            usage.output += usage.reasoning;
        }
    }
    Some(usage)
}

/// What the provider says that the tokens cost: OpenRouter, xAI, and Perplexity without its fee for the request.
pub(super) fn billed(answers: &[Value]) -> Option<f64> {
    let figures = Value::Object(figures(answers)?);
    if let Some(ticks) = figures["cost_in_usd_ticks"].as_f64() {
        return Some(ticks / 1e10).filter(|dollars| *dollars > 0.0);
    }
    let details = &figures["cost_details"];
    let parts = |input: &str, output: &str| Some(details[input].as_f64()? + details[output].as_f64()?);
    parts("upstream_inference_prompt_cost", "upstream_inference_completions_cost")
        .or_else(|| parts("upstream_inference_input_cost", "upstream_inference_output_cost"))
        .or_else(|| {
            let cost = &figures["cost"];
            Some(cost["input_tokens_cost"].as_f64()? + cost["output_tokens_cost"].as_f64()?)
        })
        .filter(|dollars| *dollars > 0.0)
}

//! Whole answers, and the small parts of an answer that are the same whole and streamed.

use mainstay_provider_core::chat::Assembler;
use mainstay_provider_core::{ChatResponse, Error, FinishReason, Usage, Wire};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::stream::Reader;
use super::wire::{Answer, LogprobsResult, TokenLogprob, UsageMetadata};
use crate::dialect::{Chunks, ReadStream as _};
use crate::failure;
use crate::translate::{malformed, read_json, tokens};

/// Reads a whole answer: one object, or the list of them that a stream is when nobody asked for events
/// (`alt=sse`).
pub(super) fn decode(provider: &str, body: &[u8], model: &str) -> Result<Wire<ChatResponse>, Error> {
    let mut reader = Reader::new(provider, model);
    let mut chunks = Chunks::new();
    let read = if body.trim_ascii_start().starts_with(b"[") {
        let answers: Vec<&RawValue> = read_json(body)?;
        answers
            .into_iter()
            .try_for_each(|answer| read(&mut reader, provider, answer.get().as_bytes(), &mut chunks))
    } else {
        read(&mut reader, provider, body, &mut chunks)
    };
    let read = read.and_then(|()| reader.end(&mut chunks));
    let mut whole = Assembler::default();
    chunks.iter().for_each(|chunk| whole.push(chunk));
    let whole = whole.finish();
    match read {
        Ok(()) if whole.choices.is_empty() => Err(malformed("the provider's answer has no candidates")),
        Ok(()) => Ok(ended(whole).into()),
        Err(error) if chunks.iter().any(|chunk| chunk.has_content()) => Err(error.with_partial(whole)),
        Err(error) => Err(error),
    }
}

/// Nothing follows a whole answer: a candidate without a reason has just ended.
fn ended(mut answer: ChatResponse) -> ChatResponse {
    for choice in answer.choices.iter_mut().filter(|choice| choice.finish_reason.is_none()) {
        let calls = !choice.message.tool_calls.is_empty();
        choice.finish_reason = Some(if calls { FinishReason::ToolCalls } else { FinishReason::Stop });
    }
    answer
}

fn read(reader: &mut Reader, provider: &str, body: &[u8], chunks: &mut Chunks) -> Result<(), Error> {
    let answer: Answer = read_json(body)?;
    if answer.error.is_some() {
        return Err(failure::classify_in_answer(provider, body));
    }
    reader.answer(answer, chunks)
}

/// Tokens used; `None` where there are no figures yet (Vertex sends the kind of traffic first).
///
/// What tools added to the prompt is counted apart from it, and so are thoughts from the answer.
pub(super) fn usage(metadata: &UsageMetadata) -> Option<Usage> {
    let counts = [
        &metadata.prompt_token_count,
        &metadata.tool_use_prompt_token_count,
        &metadata.candidates_token_count,
        &metadata.thoughts_token_count,
    ];
    if counts.iter().all(|count| count.is_none()) {
        return None;
    }
    let [prompt, tools, candidates, thoughts] = counts.map(|count| tokens(count.as_ref()));
    let mut usage = Usage::new(prompt.saturating_add(tools), candidates.saturating_add(thoughts));
    usage.cache_read = tokens(metadata.cached_content_token_count.as_ref());
    usage.reasoning = thoughts;
    Some(usage)
}

/// Token probabilities in OpenAI's shape.
pub(super) fn logprobs(result: LogprobsResult) -> Value {
    let mut tops = result.top_candidates.unwrap_or_default().into_iter();
    let content: Vec<_> = result
        .chosen_candidates
        .unwrap_or_default()
        .iter()
        .map(|chosen| {
            let top = tops.next().and_then(|top| top.candidates).unwrap_or_default();
            let mut entry = token(chosen);
            entry["top_logprobs"] = top.iter().map(token).collect();
            entry
        })
        .collect();
    json!({ "content": content })
}

fn token(chosen: &TokenLogprob) -> Value {
    let text = chosen.token.as_deref().unwrap_or_default();
    // The probability of a certain token is 1 and its logarithm 0, which proto3 JSON leaves out.
    json!({ "token": text, "logprob": chosen.log_probability.unwrap_or(0.0), "bytes": text.as_bytes() })
}

/// An RFC 3339 time as seconds since 1970.
pub(super) fn unix_seconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<jiff::Timestamp>().ok()?.as_second()).ok()
}

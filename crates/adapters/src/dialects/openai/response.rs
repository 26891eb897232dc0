//! Whole answers.

use bytes::Bytes;
use mainstay_provider_core::chat::{Answer, Choice, Content, Part};
use mainstay_provider_core::{ChatResponse, Error, Wire};
use serde_json::{Value, json};

use super::profile::{Profile, Usage};
use super::{failed_success, finish, normal, repair};
use crate::translate::{new_tool_call_id, parse};

/// Reads a whole answer; the provider's own text is kept unless something in it had to change.
pub(crate) fn decode(
    body: Bytes,
    model: &str,
    provider: &str,
    profile: &Profile,
) -> Result<Wire<ChatResponse>, Error> {
    // Where the figures need no change, neither does a plain answer: it is passed on as it came.
    if profile.usage == Usage::Whole
        && let Some(plain) = Wire::<ChatResponse>::plain(body.clone())
    {
        return Ok(plain);
    }
    let (mut answer, repaired) = match parse::<ChatResponse>(&body) {
        Ok(answer) => (answer, false),
        Err(_) => (repaired(&body, provider)?, true),
    };
    let failed = answer.object == "error" || answer.extra.get("error").is_some_and(|error| !error.is_null());
    if failed || answer.choices.is_empty() {
        return Err(failed_success(provider, &body));
    }
    let changed = normalise(&mut answer, model, provider, profile)?;
    Ok(if changed || repaired { answer.into() } else { Wire::with_raw(answer, body) })
}

fn repaired(body: &[u8], provider: &str) -> Result<ChatResponse, Error> {
    let shaped = parse::<Value>(body).and_then(repair::answer);
    shaped.map_err(|error| failed_success(provider, body).with_source(error))
}

fn normalise(
    answer: &mut ChatResponse,
    model: &str,
    provider: &str,
    profile: &Profile,
) -> Result<bool, Error> {
    let mut changed = false;
    if answer.model.is_empty() {
        model.clone_into(&mut answer.model);
        changed = true;
    }
    if let Some(usage) = &mut answer.usage {
        changed |= normal::usage(usage, profile.usage);
    }
    for choice in &mut answer.choices {
        changed |= normalise_choice(choice, provider, profile)?;
    }
    if profile.citations
        && let Some(choice) = answer.choices.first_mut()
        && choice.message.annotations.is_empty()
    {
        choice.message.annotations = normal::citations(&answer.extra, 0);
        changed |= !choice.message.annotations.is_empty();
    }
    Ok(changed)
}

fn normalise_choice(choice: &mut Choice, provider: &str, profile: &Profile) -> Result<bool, Error> {
    // OpenRouter says in the choice itself what broke it off.
    if let Some(error) = choice.extra.get("error").filter(|error| error.is_object()) {
        return Err(failed_success(provider, json!({ "error": error }).to_string().as_bytes()));
    }
    let message = &mut choice.message;
    let mut changed = plain_content(message);
    changed |= normal::reasoning(&mut message.0.reasoning_content, &message.0.extra);
    for call in message.tool_calls.iter_mut().filter(|call| call.id.is_empty()) {
        call.id = new_tool_call_id();
        changed = true;
    }
    let calls = profile.calls_decide && !message.tool_calls.is_empty();
    Ok(finish::normalise(&mut choice.finish_reason, calls)? | changed)
}

/// Makes one text of a list of parts, as Mistral answers when it has thought or cites.
fn plain_content(message: &mut Answer) -> bool {
    let Some(Content::Parts(parts)) = &mut message.0.content else { return false };
    let list = serde_json::to_value(&*parts).unwrap_or_default();
    let (spoken, thought) = repair::split(&list);
    parts.retain(|part| !matches!(part, Part::Other(other) if repair::has_place(other)));
    if parts.iter().all(|part| part.as_text().is_some()) {
        message.content = Some(Content::Text(spoken));
    }
    if !thought.is_empty() {
        message.reasoning_content.get_or_insert(thought);
    }
    message.annotations.extend(repair::references(&list));
    true
}

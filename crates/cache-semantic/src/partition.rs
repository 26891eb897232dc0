//! Which questions may be compared with each other.

use mainstay_provider_core::chat::{Content, Message, Part};
use mainstay_provider_core::{Call, ChatRequest, Digest, DigestWriter, Extra, Namespace};

/// Which questions may be compared with each other: those of one namespace, and in it of one model, system prompt,
/// earlier turns, tools, parameters, form of answer and embedder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Partition {
    /// Whose data it is.
    pub namespace: Namespace,
    /// Of everything else, and of the namespace too.
    pub digest: Digest,
}

impl Partition {
    /// The partition of a call, for questions that `embedder` (its identity) has embedded. Everything about the call that
    /// could change its answer is in it, except the text of the last turn.
    pub fn of(call: &Call, embedder: &str) -> Self {
        let namespace = call.context().namespace.clone();
        let mut writer = DigestWriter::new("mainstay semantic partition 1");
        writer.text("namespace", namespace.as_str());
        writer.text("embedder", embedder);
        writer.text("model", call.model());
        write_request(&mut writer, call.request());
        Self { namespace, digest: writer.finish() }
    }
}

/// A member that may be absent, which differs from anything that is there.
macro_rules! may {
    ($writer:expr, $name:literal, $value:expr) => {
        match $value {
            Some(value) => $writer.json($name, value),
            None => $writer.absent($name),
        }
    };
}

/// Without `..`: a new member of the request does not compile until somebody has said whether it changes the answer.
fn write_request(writer: &mut DigestWriter, request: &ChatRequest) {
    let ChatRequest {
        // The call's model stands in its place, which a router may have changed.
        model: _,
        messages,
        temperature,
        top_p,
        max_tokens,
        max_completion_tokens,
        n,
        stop,
        // How the answer is handed out, not what it says.
        stream: _,
        stream_options: _,
        seed,
        presence_penalty,
        frequency_penalty,
        logprobs,
        top_logprobs,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        reasoning_effort,
        // For the provider's abuse detection. Whose data it is, the namespace says.
        user: _,
        extra,
    } = request;
    if let Some((last, earlier)) = messages.split_last() {
        writer.json("earlier turns", earlier);
        write_last(writer, last);
    }
    may!(writer, "temperature", temperature);
    may!(writer, "top_p", top_p);
    may!(writer, "max_tokens", max_tokens);
    may!(writer, "max_completion_tokens", max_completion_tokens);
    may!(writer, "n", n);
    may!(writer, "stop", stop);
    may!(writer, "seed", seed);
    may!(writer, "presence_penalty", presence_penalty);
    may!(writer, "frequency_penalty", frequency_penalty);
    may!(writer, "logprobs", logprobs);
    may!(writer, "top_logprobs", top_logprobs);
    writer.json("tools", tools);
    may!(writer, "tool_choice", tool_choice);
    may!(writer, "parallel_tool_calls", parallel_tool_calls);
    may!(writer, "response_format", response_format);
    may!(writer, "reasoning_effort", reasoning_effort);
    unknown(writer, "extra", extra);
}

/// All of the last turn but its text.
fn write_last(writer: &mut DigestWriter, message: &Message) {
    let Message {
        role,
        content,
        name,
        tool_calls,
        tool_call_id,
        refusal,
        annotations,
        reasoning_content,
        thinking_blocks,
        extra,
    } = message;
    writer.text("role", role.as_str());
    may!(writer, "name", name);
    writer.json("tool_calls", tool_calls);
    may!(writer, "tool_call_id", tool_call_id);
    may!(writer, "refusal", refusal);
    writer.json("annotations", annotations);
    may!(writer, "reasoning_content", reasoning_content);
    writer.json("thinking_blocks", thinking_blocks);
    unknown(writer, "message extra", extra);
    let Some(Content::Parts(parts)) = content else { return };
    for part in parts {
        match part {
            Part::Text(part) if part.extra.is_empty() => {}
            Part::Text(part) => unknown(writer, "part extra", &part.extra),
            other => _ = writer.json("part", other),
        }
    }
}

/// Unknown members by name; their number keeps one list from running into the next.
fn unknown(writer: &mut DigestWriter, name: &str, members: &Extra) {
    writer.number(name, members.len() as u64);
    for (name, value) in members.iter() {
        writer.text("name", name);
        writer.json("value", value);
    }
}

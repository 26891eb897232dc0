//! What an answer is found by.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mainstay_provider_core::chat::{Content, Message};
use mainstay_provider_core::{Call, ChatRequest, Digest, DigestWriter, Extra, Namespace};

use crate::config::Sharing;

/// What an answer is found by: whose it is, and 256 bits of everything that was asked.
///
/// There is no key without a scope, and the digest covers the scope too: two tenants' keys are different even if somebody
/// compared the digests alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    scope: Scope,
    digest: Digest,
}

/// Whose an entry is. A tenant's name and the name of a shared scope never mean the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// A tenant's own. The empty namespace is that of the calls without a tenant, and a tenant like any other.
    Namespace(Namespace),
    /// Of all tenants whose cache shares across this name ([`Sharing::Across`]).
    Shared(Arc<str>),
}

impl Scope {
    pub(crate) fn of(namespace: &Namespace, sharing: &Sharing) -> Self {
        match sharing {
            Sharing::PerNamespace => Self::Namespace(namespace.clone()),
            Sharing::Across(name) => Self::Shared(name.clone()),
        }
    }

    /// The name of the tenant or of the shared scope.
    pub fn name(&self) -> &str {
        match self {
            Self::Namespace(namespace) => namespace.as_str(),
            Self::Shared(name) => name,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Namespace(_) => "namespace",
            Self::Shared(_) => "shared",
        }
    }

    /// 256 bits of it, for stores whose keys are texts.
    pub fn digest(&self) -> Digest {
        let mut writer = DigestWriter::new("mainstay exact scope 1");
        writer.text(self.kind(), self.name());
        writer.finish()
    }
}

impl Key {
    /// The key of a call: the only way to make one, for writing and for reading.
    ///
    /// It covers the scope, the model and all of the request, members that the contract does not know included; the order of
    /// members never matters. Only whether and how the answer is streamed is left out, since a stream and a whole answer
    /// are one entry.
    pub fn of(call: &Call, sharing: &Sharing) -> Self {
        let scope = Scope::of(&call.context().namespace, sharing);
        let mut writer = DigestWriter::new("mainstay exact 2");
        writer.text(scope.kind(), scope.name()).text("model", call.model());
        write(&mut writer, call.request());
        Self { scope, digest: writer.finish() }
    }

    /// Whose it is.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Everything that was asked, and whose it is.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}:{:?} {})", self.scope.kind(), self.scope.name(), self.digest)
    }
}

type Members<'a> = BTreeMap<&'a str, &'a serde_json::Value>;

fn members(extra: &Extra) -> Members<'_> {
    extra.iter().map(|(name, value)| (name.as_str(), value)).collect()
}

/// What is absent is not written; each field has its name, its kind and its length before it, so nothing else can look the
/// same.
macro_rules! write_if_there {
    ($writer:ident, $how:ident: $($field:ident)*) => {
        $( if let Some(value) = $field { write_if_there!(@$how $writer, stringify!($field), value); } )*
    };
    (@text $writer:ident, $name:expr, $value:ident) => { $writer.text($name, $value) };
    (@json $writer:ident, $name:expr, $value:ident) => { $writer.json($name, $value) };
    (@number $writer:ident, $name:expr, $value:ident) => { $writer.number($name, u64::from(*$value)) };
    // `-0.0` is the same number as `0.0`, and has other bits.
    (@float $writer:ident, $name:expr, $value:ident) => { $writer.number($name, (*$value + 0.0).to_bits()) };
}

/// Every field of the request stands here: a new one does not compile until somebody has said whether it can change the
/// answer.
fn write(writer: &mut DigestWriter, request: &ChatRequest) {
    let ChatRequest {
        model: _, // the call's model stands for it: a router may have put another in its place
        messages,
        temperature,
        top_p,
        max_tokens,
        max_completion_tokens,
        n,
        stop,
        stream: _,
        stream_options,
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
        user,
        extra,
    } = request;
    write_if_there!(writer, float: temperature top_p presence_penalty frequency_penalty);
    write_if_there!(writer, number: max_tokens max_completion_tokens n top_logprobs logprobs parallel_tool_calls);
    write_if_there!(writer, text: reasoning_effort user);
    write_if_there!(writer, json: stop seed tool_choice response_format);
    if !tools.is_empty() {
        writer.json("tools", tools);
    }
    // `include_usage` says what the stream tells of the answer; anything else there may be about the answer.
    if let Some(options) = stream_options
        && !options.extra.is_empty()
    {
        writer.json("stream options", &members(&options.extra));
    }
    if !extra.is_empty() {
        writer.json("other members", &members(extra));
    }
    // Last, so that nothing of the request can be taken for a part of a message.
    writer.number("messages", messages.len() as u64);
    messages.iter().for_each(|message| write_message(writer, message));
}

/// Most of a request is what its messages say: text is written as it is, which is quicker than as JSON. Each message begins
/// with its role, so where one ends is never in doubt.
fn write_message(writer: &mut DigestWriter, message: &Message) {
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
    match content {
        Some(Content::Text(text)) => {
            writer.text("content", text);
        }
        Some(Content::Parts(parts)) => {
            writer.json("content", parts);
        }
        None => {}
    }
    write_if_there!(writer, text: name tool_call_id refusal reasoning_content);
    macro_rules! write_lists {
        ($($field:ident)*) => { $( if !$field.is_empty() { writer.json(stringify!($field), $field); } )* };
    }
    write_lists!(tool_calls annotations thinking_blocks);
    if !extra.is_empty() {
        writer.json("other members", &members(extra));
    }
}

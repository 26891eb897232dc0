//! A chat request as a provider takes it, printed straight from the caller's: nothing is copied.

use mainstay_provider_core::chat::{
    ChatRequest, Content, FunctionDef, Part, ResponseFormat, Tool, ToolChoice,
};
use mainstay_provider_core::{Error, Extra};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::message::OutMessage;
use super::profile::{MaxTokens, Profile};
use crate::translate::invalid;

/// Refuses what the provider would ignore and the answer would lack.
pub(super) fn check(request: &ChatRequest, profile: &Profile) -> Result<(), Error> {
    if request.n.is_some_and(|n| n > 1) && profile.drops("n") {
        return Err(invalid("n", "this provider gives one answer at a time; send the request several times"));
    }
    let probabilities = request.logprobs == Some(true) || request.top_logprobs.is_some_and(|top| top > 0);
    if probabilities && profile.drops("logprobs") {
        return Err(invalid("logprobs", "this provider tells no token probabilities; leave logprobs out"));
    }
    if !profile.json_schema && matches!(request.response_format, Some(ResponseFormat::JsonSchema(_))) {
        let message = "this provider cannot be held to a schema: ask for {\"type\": \"json_object\"} and put the schema into \
                       the prompt, or offer a tool with that schema";
        return Err(invalid("response_format", message));
    }
    if profile.messages.embedded_images
        && request.messages.iter().any(|message| has_remote_image(message.content.as_ref()))
    {
        let message = "this provider does not fetch images: send the image itself as a data: URL";
        return Err(invalid("messages", message));
    }
    if !profile.messages.files {
        check_files(request)?;
    }
    Ok(())
}

fn check_files(request: &ChatRequest) -> Result<(), Error> {
    for (at, message) in request.messages.iter().enumerate() {
        let Some(Content::Parts(parts)) = &message.content else { continue };
        if let Some(number) = parts.iter().position(|part| matches!(part, Part::Audio(_) | Part::File(_))) {
            let param = format!("messages[{at}].content[{number}]");
            let message =
                format!("{param}: this provider takes no recordings and documents; send their text");
            return Err(invalid(param, message));
        }
    }
    Ok(())
}

fn has_remote_image(content: Option<&Content>) -> bool {
    match content {
        Some(Content::Parts(parts)) => parts
            .iter()
            .any(|part| matches!(part, Part::Image(image) if !image.image_url.url.starts_with("data:"))),
        _ => false,
    }
}

/// The body of a chat request.
pub(super) struct Body<'a> {
    pub(super) request: &'a ChatRequest,
    pub(super) model: &'a str,
    pub(super) profile: &'a Profile,
    pub(super) stream_options: bool,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { request, profile, .. } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", self.model)?;
        map.serialize_entry("messages", &OutMessages { request, profile })?;
        macro_rules! as_it_is {
            ($($field:ident)*) => { $(
                if let Some(value) = &request.$field && !profile.drops(stringify!($field)) {
                    map.serialize_entry(stringify!($field), value)?;
                }
            )* };
        }
        as_it_is!(temperature top_p n presence_penalty frequency_penalty parallel_tool_calls response_format user stream);
        self.print_max_tokens(&mut map)?;
        self.print_words(&mut map)?;
        self.print_stream_options(&mut map)?;
        self.print_tools(&mut map)?;
        print_extra(&mut map, &request.extra, |name| !profile.drops(name))?;
        map.end()
    }
}

impl Body<'_> {
    fn print_max_tokens<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let (newer, older) = (self.request.max_completion_tokens, self.request.max_tokens);
        let Some(most) = newer.or(older) else { return Ok(()) };
        let name = match self.profile.max_tokens {
            MaxTokens::Older => "max_tokens",
            MaxTokens::ByModel if reasons(self.model) => "max_completion_tokens",
            _ if newer.is_some() => "max_completion_tokens",
            _ => "max_tokens",
        };
        map.serialize_entry(name, &most)
    }

    /// Parameters whose name or form differs: seed, stop, logprobs, the effort.
    fn print_words<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { request, profile, .. } = self;
        if let Some(seed) = request.seed
            && !profile.drops("seed")
            && request.extra.get(profile.seed).is_none()
        {
            map.serialize_entry(profile.seed, &seed)?;
        }
        match &request.stop {
            Some(stop) if profile.stop_list => map.serialize_entry("stop", stop.as_slice())?,
            Some(stop) => map.serialize_entry("stop", stop)?,
            None => {}
        }
        if !profile.drops("logprobs") {
            match (request.logprobs, request.top_logprobs) {
                (Some(true), top) if profile.counted_logprobs => {
                    map.serialize_entry("logprobs", &top.unwrap_or(1).max(1))?;
                }
                _ if profile.counted_logprobs => {}
                (logprobs, top) => {
                    put(map, "logprobs", logprobs.as_ref())?;
                    put(map, "top_logprobs", top.as_ref())?;
                }
            }
        }
        let effort = request.reasoning_effort.as_deref().map(|effort| nearest(effort, profile.efforts));
        put(map, "reasoning_effort", effort.as_ref())
    }

    /// Asks for the usage of a stream, always: budgets need it. The gateway keeps it from clients that did not ask.
    fn print_stream_options<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if !self.stream_options || !self.request.is_stream() {
            return Ok(());
        }
        let more = self.request.stream_options.as_ref().map(|options| &options.extra);
        map.serialize_entry("stream_options", &StreamOptions { more, profile: self.profile })
    }

    fn print_tools<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { request, profile, .. } = self;
        if !request.tools.is_empty() {
            map.serialize_entry("tools", &OutTools { tools: &request.tools, profile })?;
        }
        match &request.tool_choice {
            Some(ToolChoice::Required) => map.serialize_entry("tool_choice", profile.any_tool),
            Some(choice) => map.serialize_entry("tool_choice", choice),
            None => Ok(()),
        }
    }
}

fn put<M: SerializeMap, T: Serialize>(map: &mut M, name: &str, value: Option<&T>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, value))
}

/// Prints the members that the contract has no field for, except nulls and those that are not kept.
pub(super) fn print_extra<M: SerializeMap>(
    map: &mut M,
    extra: &Extra,
    keeps: impl Fn(&str) -> bool,
) -> Result<(), M::Error> {
    for (name, value) in extra.iter() {
        if !value.is_null() && keeps(name) {
            map.serialize_entry(name, value)?;
        }
    }
    Ok(())
}

/// Whether a model of OpenAI's reasons before it answers: `o1` to `o9`, `gpt-5` and later. Such models refuse `max_tokens`.
pub(crate) fn reasons(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let generation = |rest: &str| {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let ends = matches!(rest.as_bytes().get(digits), None | Some(b'-' | b'.' | b'_'));
        rest[..digits].parse::<u32>().ok().filter(|_| ends)
    };
    let o_series = name.strip_prefix('o').and_then(generation).is_some();
    o_series || name.strip_prefix("gpt-").and_then(generation).is_some_and(|generation| generation >= 5)
}

/// The effort that the provider knows and that is nearest to the one asked for; the higher of two that are as near.
fn nearest<'a>(effort: &'a str, known: &[&'static str]) -> &'a str {
    const RISING: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    let rank = |word: &str| RISING.iter().position(|known| *known == word);
    let Some(wanted) = rank(effort) else { return effort };
    let distance = |word: &&&'static str| rank(word).map_or(usize::MAX, |rank| rank.abs_diff(wanted));
    known.iter().rev().min_by_key(distance).copied().unwrap_or(effort)
}

struct OutMessages<'a> {
    request: &'a ChatRequest,
    profile: &'a Profile,
}

impl Serialize for OutMessages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.request.messages.len()))?;
        for message in &self.request.messages {
            list.serialize_element(&OutMessage { message, rules: &self.profile.messages })?;
        }
        list.end()
    }
}

struct StreamOptions<'a> {
    more: Option<&'a Extra>,
    profile: &'a Profile,
}

impl Serialize for StreamOptions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("include_usage", &true)?;
        if let Some(more) = self.more {
            print_extra(&mut map, more, |name| !self.profile.drops(name))?;
        }
        map.end()
    }
}

struct OutTools<'a> {
    tools: &'a [Tool],
    profile: &'a Profile,
}

impl Serialize for OutTools<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.tools.len()))?;
        for tool in self.tools {
            list.serialize_element(&OutTool { tool, profile: self.profile })?;
        }
        list.end()
    }
}

struct OutTool<'a> {
    tool: &'a Tool,
    profile: &'a Profile,
}

impl Serialize for OutTool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &self.tool.kind)?;
        if let Some(function) = &self.tool.function {
            map.serialize_entry("function", &OutFunction { function, profile: self.profile })?;
        }
        print_extra(&mut map, &self.tool.extra, |name| self.profile.messages.keeps(name))?;
        map.end()
    }
}

struct OutFunction<'a> {
    function: &'a FunctionDef,
    profile: &'a Profile,
}

impl Serialize for OutFunction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let function = self.function;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &function.name)?;
        put(&mut map, "description", function.description.as_ref())?;
        match function.parameters.as_ref().filter(|parameters| !parameters.is_null()) {
            Some(parameters) => map.serialize_entry("parameters", parameters)?,
            // Only OpenAI and its closest kin take a function without parameters as one that has none.
            None if self.profile.messages.mistral => {
                map.serialize_entry("parameters", &Value::Object(serde_json::Map::new()))?;
            }
            None => {}
        }
        if !self.profile.drops("strict") {
            put(&mut map, "strict", function.strict.as_ref())?;
        }
        print_extra(&mut map, &function.extra, |name| self.profile.messages.keeps(name))?;
        map.end()
    }
}

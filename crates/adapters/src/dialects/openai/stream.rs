//! Streamed answers.

use mainstay_provider_core::chat::{PlainSeries, TokenUsage};
use mainstay_provider_core::{ChatChunk, Error, Wire};
use serde::Deserialize;
use serde_json::Value;

use super::profile::Profile;
use super::{finish, normal, repair};
use crate::dialect::{Chunks, Flow, ReadStream};
use crate::failure;
use crate::framing::Frame;
use crate::translate::{malformed, parse};

mod calls;

/// Reads the events of one stream. A chunk keeps the provider's own text unless something in it had to change.
pub(super) struct Reader {
    provider: String,
    profile: &'static Profile,
    model: String,
    calls: calls::Calls,
    texts: PlainSeries,
    /// Which choices were seen and which have ended, one bit each; beyond 64 they share the last one.
    seen: u64,
    ended: u64,
    /// How many of the sources at the top were handed out as annotations.
    cited: usize,
}

impl ReadStream for Reader {
    fn read(&mut self, frame: Frame, out: &mut Chunks) -> Result<Flow, Error> {
        if frame.data.trim_ascii() == b"[DONE]" {
            return Ok(Flow::Done);
        }
        if frame.event() == "error" {
            return Err(self.failure(&frame));
        }
        if let Some(chunk) = self.plain(&frame) {
            out.push_back(chunk);
            return Ok(Flow::More);
        }
        let (chunk, repaired) = match parse::<ChatChunk>(&frame.data) {
            Ok(chunk) => (chunk, false),
            Err(_) => match self.repaired(&frame)? {
                Some(chunk) => (chunk, true),
                None => return Ok(Flow::More),
            },
        };
        out.push_back(self.normalised(chunk, repaired, frame)?);
        Ok(Flow::More)
    }
}

impl Reader {
    pub(super) fn new(provider: &str, profile: &'static Profile, model: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            profile,
            model: model.to_owned(),
            calls: calls::Calls::default(),
            texts: PlainSeries::default(),
            seen: 0,
            ended: 0,
            cited: 0,
        }
    }

    /// An event with some text and nothing else is passed on as it came.
    fn plain(&mut self, frame: &Frame) -> Option<Wire<ChatChunk>> {
        if !is_one_line(&frame.data) {
            return None;
        }
        let chunk = Wire::plain_in(&mut self.texts, frame.data.clone())?;
        self.seen |= bit(chunk.as_plain()?.index);
        Some(chunk)
    }

    fn normalised(
        &mut self,
        mut chunk: ChatChunk,
        repaired: bool,
        frame: Frame,
    ) -> Result<Wire<ChatChunk>, Error> {
        let mut changed = self.check_error(&mut chunk, &frame)? | repaired;
        // Azure's verdict on the prompt comes before the model's name is known.
        if chunk.model.is_empty() && !chunk.choices.is_empty() {
            self.model.clone_into(&mut chunk.model);
            changed = true;
        }
        changed |= self.usage(&mut chunk)? | self.choices(&mut chunk)?;
        Ok(if changed || !is_one_line(&frame.data) {
            chunk.into()
        } else {
            Wire::with_raw(chunk, frame.data)
        })
    }

    /// An error in a chunk ends the stream, unless the answer had ended before: OpenRouter reports its upstream's complaint
    /// after a finish reason, together with the usage.
    fn check_error(&self, chunk: &mut ChatChunk, frame: &Frame) -> Result<bool, Error> {
        let failed =
            chunk.object == "error" || chunk.extra.get("error").is_some_and(|error| !error.is_null());
        if !failed {
            return Ok(false);
        }
        if !self.is_complete() {
            return Err(self.failure(frame));
        }
        // Clients take an `error` member for a failure of the whole.
        if let Some(error) = chunk.extra.remove("error") {
            chunk.extra.insert("provider_error", error);
        }
        Ok(true)
    }

    fn usage(&self, chunk: &mut ChatChunk) -> Result<bool, Error> {
        let mut changed = false;
        if chunk.usage.is_none()
            && let Some(groq) = chunk.extra.get("x_groq")
            && let Some(usage @ Value::Object(_)) = groq.get("usage")
        {
            chunk.usage = TokenUsage::deserialize(usage).ok();
            changed = true;
        }
        Ok(match &mut chunk.usage {
            Some(usage) => changed | normal::usage(usage, self.profile.usage),
            None => changed,
        })
    }

    fn choices(&mut self, chunk: &mut ChatChunk) -> Result<bool, Error> {
        let mut changed = false;
        for choice in &mut chunk.choices {
            let delta = &mut choice.delta;
            changed |= normal::reasoning(&mut delta.reasoning_content, &delta.extra);
            if !delta.tool_calls.is_empty() {
                changed |= self.calls.number(choice.index, &mut delta.tool_calls);
            }
            let calls = self.profile.calls_decide && self.calls.of(choice.index);
            changed |= finish::normalise(&mut choice.finish_reason, calls)?;
            let bit = bit(choice.index);
            self.seen |= bit;
            if choice.finish_reason.is_some() {
                self.ended |= bit;
            }
        }
        if self.profile.citations
            && let Some(choice) = chunk.choices.first_mut()
        {
            let new = normal::citations(&chunk.extra, self.cited);
            self.cited += new.len();
            changed |= !new.is_empty();
            choice.delta.annotations.extend(new);
        }
        Ok(changed)
    }

    /// Whether every choice that was begun has a finish reason.
    fn is_complete(&self) -> bool {
        self.ended != 0 && self.seen == self.ended
    }

    /// A chunk out of an event that is not of the documented shape; `None` if the event can be left out.
    fn repaired(&self, frame: &Frame) -> Result<Option<ChatChunk>, Error> {
        match parse::<Value>(&frame.data) {
            Ok(body @ Value::Object(_)) => repair::chunk(body).map(Some).map_err(unreadable),
            // Gemini's dialect wraps its errors into a list.
            Ok(Value::Array(list)) if list.iter().any(|item| item.get("error").is_some()) => {
                Err(self.failure(frame))
            }
            Ok(_) => Err(malformed("an event of the provider's stream is not an object")),
            // A connection that was cut after the last content lost nothing.
            Err(_) if !frame.terminated && self.is_complete() => Ok(None),
            // An event with a name of its own is not a chunk: a ping, a metric.
            Err(_) if frame.terminated && !matches!(frame.event(), "" | "message") => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    fn failure(&self, frame: &Frame) -> Error {
        failure::classify_in_stream(&self.provider, frame)
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    malformed("an event of the provider's stream cannot be read").with_source(error)
}

/// An event of several lines cannot be sent on as one.
fn is_one_line(data: &[u8]) -> bool {
    memchr::memchr2(b'\n', b'\r', data).is_none()
}

/// The bit of a choice; those beyond 64 share the last one.
fn bit(choice: u32) -> u64 {
    1 << choice.min(63)
}

//! Reads answers: the events of a stream, or the one event that a whole answer is.

use mainstay_provider_core::chat::{ChunkChoice, Delta, FunctionDelta, Role, ThinkingBlock, ToolCallDelta};
use mainstay_provider_core::{ChatChunk, Error, ErrorKind, Extra, Usage};
use serde_json::{Map, Value, json};

use super::citations::Citations;
use super::wire::{Answer, Blob, Candidate, EnumValue, FunctionCall, Part, PromptFeedback};
use super::{finish, partial_args, response};
use crate::dialect::{Chunks, Flow, ReadStream};
use crate::failure;
use crate::framing::Frame;
use crate::translate::{new_tool_call_id, read_json};

/// Reads the events of one answer.
pub(super) struct Reader {
    provider: String,
    id: String,
    model: String,
    created: u64,
    candidates: Vec<CandidateState>,
    /// Each event has figures; the last ones count.
    usage: Option<Usage>,
}

impl Reader {
    pub(super) fn new(provider: &str, model: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            id: String::new(),
            model: model.to_owned(),
            created: 0,
            candidates: Vec::new(),
            usage: None,
        }
    }

    /// Reads one event. On failure, what came with it has been appended to `out`.
    pub(super) fn answer(&mut self, answer: Answer, out: &mut Chunks) -> Result<(), Error> {
        if let Some(id) = answer.response_id {
            self.id = id;
        }
        if let Some(model) = answer.model_version {
            self.model = model;
        }
        if let Some(created) = answer.create_time.as_deref().and_then(response::unix_seconds) {
            self.created = created;
        }
        self.usage = answer.usage_metadata.as_ref().and_then(response::usage).or(self.usage);
        let candidates = answer.candidates.unwrap_or_default();
        if candidates.is_empty() {
            return answer.prompt_feedback.and_then(blocked).map_or(Ok(()), Err);
        }
        let mut chunk = self.chunk();
        let mut failure = None;
        for candidate in candidates {
            let state = CandidateState::of(&mut self.candidates, candidate.index.unwrap_or(0));
            let (choice, failed) = state.read(candidate);
            chunk.choices.push(choice);
            failure = failure.or(failed);
        }
        out.push_back(chunk.into());
        failure.map_or(Ok(()), Err)
    }

    fn chunk(&self) -> ChatChunk {
        ChatChunk { created: self.created, ..ChatChunk::empty(self.id.as_str(), self.model.as_str()) }
    }
}

impl ReadStream for Reader {
    fn read(&mut self, frame: Frame, out: &mut Chunks) -> Result<Flow, Error> {
        // Google sends no such end; gateways between do.
        if frame.data == "[DONE]" {
            self.end(out)?;
            return Ok(Flow::Done);
        }
        let answer: Answer = read_json(&frame.data)?;
        if answer.error.is_some() {
            return Err(failure::classify_in_stream(&self.provider, &frame));
        }
        self.answer(answer, out).map(|()| Flow::More)
    }

    fn end(&mut self, out: &mut Chunks) -> Result<(), Error> {
        if let Some(usage) = self.usage.take() {
            let mut last = self.chunk();
            last.usage = Some(usage.into());
            out.push_back(last.into());
        }
        Ok(())
    }
}

/// The prompt was refused: a success without candidates.
fn blocked(feedback: PromptFeedback) -> Option<Error> {
    let reason = match feedback.block_reason? {
        EnumValue::Name(name) if name == "BLOCK_REASON_UNSPECIFIED" => return None,
        EnumValue::Name(name) => name,
        EnumValue::Number(number) => number.to_string(),
    };
    let words = feedback
        .block_reason_message
        .unwrap_or_else(|| format!("the provider's filter blocked the prompt ({reason}); rephrase it"));
    Some(Error::new(ErrorKind::ContentFiltered, words).with_code(reason))
}

/// What is known of one candidate so far.
#[derive(Default)]
struct CandidateState {
    index: u32,
    started: bool,
    calls: u32,
    /// The call whose arguments are coming in pieces.
    open_call: Option<OpenCall>,
    /// The thoughts since the last signed one.
    thought: String,
    signed_thoughts: u32,
    citations: Citations,
    /// The images so far, and those that no chunk has told yet.
    images: usize,
    new_images: Vec<Value>,
    /// What Google wants back on the next turn and the neutral form has no field for.
    google: Map<String, Value>,
    google_changed: bool,
}

struct OpenCall {
    index: u32,
    args: Value,
}

impl CandidateState {
    fn of(states: &mut Vec<Self>, index: u32) -> &mut Self {
        let at = states.iter().position(|state| state.index == index).unwrap_or_else(|| {
            states.push(Self { index, ..Self::default() });
            states.len() - 1
        });
        &mut states[at]
    }

    fn read(&mut self, candidate: Candidate) -> (ChunkChoice, Option<Error>) {
        let mut delta = Delta::default();
        if !std::mem::replace(&mut self.started, true) {
            delta.role = Some(Role::Assistant);
        }
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        let mut failure = parts.into_iter().try_for_each(|part| self.part(part, &mut delta)).err();
        if !self.new_images.is_empty() {
            delta.extra.insert("images", std::mem::take(&mut self.new_images));
        }
        // Said whole each time: of a member that the contract does not know the last word counts.
        if std::mem::take(&mut self.google_changed) {
            delta.extra.insert("extra_content", json!({ "google": self.google }));
        }
        let mut extra = Extra::default();
        if let Some(metadata) = candidate.citation_metadata {
            delta.annotations.extend(self.citations.recitation(&metadata));
            extra.insert("citationMetadata", metadata);
        }
        if let Some(metadata) = candidate.grounding_metadata {
            delta.annotations.extend(self.citations.grounding(&metadata));
            extra.insert("groundingMetadata", metadata);
        }
        for (name, value) in [
            ("urlContextMetadata", candidate.url_context_metadata),
            ("safetyRatings", candidate.safety_ratings),
        ] {
            value.and_then(|value| extra.insert(name, value));
        }
        let mut finish_reason = None;
        if let Some(reason) = candidate.finish_reason.filter(|_| failure.is_none()) {
            self.close_call(&mut delta);
            delta.annotations.extend(self.citations.uncited());
            match finish::reason(&reason, self.calls > 0, candidate.finish_message.as_deref()) {
                Ok(reason) => finish_reason = reason,
                Err(error) => failure = Some(error),
            }
        }
        let logprobs = candidate.logprobs_result.map(response::logprobs);
        (ChunkChoice { index: self.index, delta, finish_reason, logprobs, extra }, failure)
    }

    fn part(&mut self, part: Part, delta: &mut Delta) -> Result<(), Error> {
        if let Some(call) = part.function_call {
            return self.call(call, part.signature, delta);
        }
        match (part.inline_data, part.text) {
            // An image that the model drew while thinking is no part of its answer.
            (Some(_), _) if part.thought => {}
            (Some(blob), _) => self.blob(blob, part.signature),
            (None, Some(text)) if part.thought => self.thought(text, part.signature, delta),
            (None, Some(text)) => {
                if !text.is_empty() {
                    self.citations.text(&text);
                    push(&mut delta.content, text);
                }
                self.sign(part.signature);
            }
            (None, None) if part.rest.is_empty() => self.sign(part.signature),
            (None, None) => {
                let mut raw = part.rest;
                part.signature.and_then(|signature| raw.insert("thoughtSignature".into(), signature.into()));
                self.keep(raw);
            }
        }
        Ok(())
    }

    fn thought(&mut self, text: String, signature: Option<String>, delta: &mut Delta) {
        self.thought.push_str(&text);
        if !text.is_empty() {
            push(&mut delta.reasoning_content, text);
        }
        if let Some(signature) = signature {
            let mut block =
                ThinkingBlock::thinking(std::mem::take(&mut self.thought), Some(signature.clone()));
            block.index = Some(self.signed_thoughts);
            // Says whose signature it is: no other provider may see it.
            block.extra.insert("extra_content", json!({ "google": { "thought_signature": signature } }));
            self.signed_thoughts += 1;
            delta.thinking_blocks.push(block);
        }
    }

    fn sign(&mut self, signature: Option<String>) {
        if let Some(signature) = signature {
            self.google.insert("thought_signature".into(), signature.into());
            self.google_changed = true;
        }
    }

    fn blob(&mut self, blob: Blob, signature: Option<String>) {
        let (media_type, data) = (blob.mime_type.unwrap_or_default(), blob.data.unwrap_or_default());
        if !media_type.starts_with("image/") {
            let mut raw = Map::new();
            raw.insert("inlineData".into(), json!({ "mimeType": media_type, "data": data }));
            signature.and_then(|signature| raw.insert("thoughtSignature".into(), signature.into()));
            return self.keep(raw);
        }
        let url = format!("data:{media_type};base64,{data}");
        let mut image = json!({ "type": "image_url", "index": self.images, "image_url": { "url": url } });
        if let Some(signature) = signature {
            image["extra_content"] = json!({ "google": { "thought_signature": signature } });
        }
        self.images += 1;
        self.new_images.push(image);
    }

    /// Keeps a part as it came.
    fn keep(&mut self, raw: Map<String, Value>) {
        let parts = self.google.entry("parts").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(parts) = parts {
            parts.push(Value::Object(raw));
        }
        self.google_changed = true;
    }

    fn call(
        &mut self,
        call: FunctionCall,
        signature: Option<String>,
        delta: &mut Delta,
    ) -> Result<(), Error> {
        let continues = call.will_continue == Some(true);
        let pieces = call.partial_args.unwrap_or_default();
        if let Some(name) = call.name.filter(|name| !name.is_empty()) {
            self.close_call(delta);
            let whole = !continues && pieces.is_empty();
            let arguments = call.args.as_deref().map_or("{}", |args| args.get());
            let arguments = match (whole, arguments) {
                (true, "null") => "{}",
                (true, arguments) => arguments,
                (false, _) => "",
            };
            let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(new_tool_call_id);
            delta.tool_calls.push(begin(self.calls, id, name, arguments, signature));
            self.open_call = (!whole).then_some(OpenCall { index: self.calls, args: Value::Null });
            self.calls += 1;
        }
        // Without a name and without an open call it is the end of a call that was whole already.
        let Some(open) = &mut self.open_call else { return Ok(()) };
        pieces.into_iter().try_for_each(|piece| partial_args::apply(&mut open.args, piece))?;
        if !continues {
            self.close_call(delta);
        }
        Ok(())
    }

    /// Hands out the arguments that came in pieces: their paths can jump, so only the whole is JSON text.
    fn close_call(&mut self, delta: &mut Delta) {
        let Some(OpenCall { index, args }) = self.open_call.take() else { return };
        let arguments = if args.is_null() { "{}".to_owned() } else { args.to_string() };
        let begun = delta.tool_calls.iter_mut().find(|piece| piece.index == index);
        match begun.and_then(|piece| piece.function.as_mut()) {
            Some(function) => push(&mut function.arguments, arguments),
            None => delta.tool_calls.push(ToolCallDelta {
                index,
                function: Some(FunctionDelta { arguments: Some(arguments), ..FunctionDelta::default() }),
                ..ToolCallDelta::default()
            }),
        }
    }
}

fn begin(index: u32, id: String, name: String, arguments: &str, signature: Option<String>) -> ToolCallDelta {
    let mut extra = Extra::default();
    if let Some(signature) = signature {
        extra.insert("extra_content", json!({ "google": { "thought_signature": signature } }));
    }
    let function =
        FunctionDelta { name: Some(name), arguments: Some(arguments.to_owned()), extra: Extra::default() };
    ToolCallDelta { index, id: Some(id), kind: Some("function".into()), function: Some(function), extra }
}

fn push(whole: &mut Option<String>, text: String) {
    match whole {
        Some(whole) => whole.push_str(&text),
        None => *whole = Some(text),
    }
}

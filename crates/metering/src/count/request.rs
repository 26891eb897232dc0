//! What of a request is counted, and how it adds up.

use mainstay_provider_core::ChatRequest;
use mainstay_provider_core::chat::{
    Content, JsonSchema, Message, Part, ResponseFormat, Role, Tool, ToolCall,
};
use serde::Serialize;
use serde_json::Value;

use super::family::Family;
use super::{Error, TokenCount, image, media, share};

/// Counts a request. `text` tells the tokens of a text in thousandths.
pub(super) fn count(
    request: &ChatRequest,
    family: &Family,
    text: impl Fn(&str) -> u64,
    error: Error,
) -> TokenCount {
    let mut sum = Sum { family, text, milli: 0, whole: family.request, unseen: 0 };
    // Reasoning of turns that are over is left out by every provider.
    let last_question = request.messages.iter().rposition(|message| message.role == Role::User);
    for (index, message) in request.messages.iter().enumerate() {
        sum.message(message, last_question.is_none_or(|last| index > last));
    }
    if asks_for_reasoning(request) {
        sum.add(family.thinking);
    }
    sum.tools(&request.tools);
    match &request.response_format {
        Some(ResponseFormat::JsonSchema(schema)) => sum.schema(schema),
        Some(ResponseFormat::Other(form)) => sum.json(form, sum.family.schema_json),
        Some(_) | None => {}
    }
    let counted = error.of(sum.whole.saturating_add(sum.milli.div_ceil(1_000)));
    TokenCount::about(counted.tokens(), (counted.at_most() - counted.tokens()).saturating_add(sum.unseen))
}

fn asks_for_reasoning(request: &ChatRequest) -> bool {
    let effort = request.reasoning_effort.as_deref().is_some_and(|effort| effort != "none");
    let asked = |name: &str| {
        request.extra.get(name).is_some_and(|asked| asked.get("type").is_none_or(|kind| kind != "disabled"))
    };
    effort || asked("thinking") || asked("reasoning")
}

/// A text without the reasoning that it begins with: models that write `<think>` are not shown it again.
fn without_reasoning(text: &str) -> &str {
    let rest = text.trim_start().strip_prefix("<think>").and_then(|thought| thought.split_once("</think>"));
    rest.map_or(text, |(_, rest)| rest)
}

struct Sum<'a, F> {
    family: &'a Family,
    text: F,
    /// Thousandths of tokens.
    milli: u64,
    /// Whole tokens.
    whole: u64,
    /// Tokens that an image may have on top, because nobody has seen it.
    unseen: u64,
}

impl<F: Fn(&str) -> u64> Sum<'_, F> {
    fn message(&mut self, message: &Message, with_reasoning: bool) {
        self.add(self.family.message);
        match &message.content {
            Some(Content::Text(text)) if message.role == Role::Assistant && !with_reasoning => {
                self.text(without_reasoning(text));
            }
            Some(Content::Text(text)) => self.text(text),
            Some(Content::Parts(parts)) => parts.iter().for_each(|part| self.part(part)),
            None => {}
        }
        for text in [&message.name, &message.refusal].into_iter().flatten() {
            self.text(text);
        }
        for call in &message.tool_calls {
            self.call(call);
        }
        if with_reasoning {
            match &message.reasoning_content {
                Some(reasoning) => self.text(reasoning),
                None => message
                    .thinking_blocks
                    .iter()
                    .filter_map(|block| block.thinking.as_deref())
                    .for_each(|text| self.text(text)),
            }
        }
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Text(part) => self.text(&part.text),
            Part::Refusal(part) => self.text(&part.refusal),
            Part::Image(part) => {
                let size = image::size_in_url(&part.image_url.url);
                let (tokens, more) = media::image(self.family.images, size, part.image_url.detail.as_deref());
                self.add(tokens);
                self.unseen = self.unseen.saturating_add(more);
            }
            Part::Audio(part) => self.add(media::recording(&part.data, &part.format, self.family.second)),
            Part::File(part) => self.add(media::document(part.file_data.as_deref())),
            Part::Other(members) => self.json(members, 1_000),
            _ => {}
        }
    }

    fn call(&mut self, call: &ToolCall) {
        self.add(self.family.call);
        if let Some(function) = &call.function {
            self.text(&function.name);
            self.text(&function.arguments);
        }
    }

    fn tools(&mut self, tools: &[Tool]) {
        if tools.is_empty() {
            return;
        }
        self.add(self.family.tools);
        for tool in tools {
            self.add(self.family.tool);
            match &tool.function {
                Some(function) => {
                    let described = Described {
                        name: &function.name,
                        description: function.description.as_deref(),
                        parameters: function.parameters.as_ref(),
                    };
                    self.json(&described, self.family.tool_json);
                }
                None => self.json(tool, self.family.tool_json),
            }
        }
    }

    fn schema(&mut self, schema: &JsonSchema) {
        self.add(self.family.schema);
        self.json(schema, self.family.schema_json);
    }

    fn json(&mut self, value: &impl Serialize, permille: u64) {
        // It was read from JSON, so it can be written; what cannot be counts as nothing.
        let written = serde_json::to_string(value).unwrap_or_default();
        self.milli = self.milli.saturating_add(share((self.text)(&written), permille));
    }

    fn text(&mut self, text: &str) {
        self.milli = self.milli.saturating_add((self.text)(text));
    }

    fn add(&mut self, tokens: u64) {
        self.whole = self.whole.saturating_add(tokens);
    }
}

/// A function as it is shown to a model.
#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a Value>,
}

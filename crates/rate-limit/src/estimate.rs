//! How many tokens a call will take, before anybody has counted them.

use mainstay_provider_core::chat::{Content, Part};
use mainstay_provider_core::{Call, Message};
use serde_json::Value;

/// Guesses the input tokens of a call, when it is sent. The actual figure corrects the guess when the answer ends.
///
/// A function of the call is one too: `|call: &Call| tokens_of(call.request())`.
pub trait TokenEstimator: Send + Sync {
    /// The input tokens of `call`, about.
    fn input_tokens(&self, call: &Call) -> u64;
}

impl<F: Fn(&Call) -> u64 + Send + Sync> TokenEstimator for F {
    fn input_tokens(&self, call: &Call) -> u64 {
        self(call)
    }
}

/// A token for every four bytes of text, in messages, tool calls and the tools on offer; 3 more a message, 800 an
/// image, a recording or a document.
///
/// Four bytes are four letters of English, two of Russian, and a little more than one of Chinese, which is near what
/// tokenizers make of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextLength;

const BYTES_A_TOKEN: usize = 4;
/// Roles and separators.
const MESSAGE: usize = 3 * BYTES_A_TOKEN;
const MEDIUM: usize = 800 * BYTES_A_TOKEN;

impl TokenEstimator for TextLength {
    fn input_tokens(&self, call: &Call) -> u64 {
        let request = call.request();
        let messages: usize = request.messages.iter().map(message).sum();
        let functions = request.tools.iter().filter_map(|tool| tool.function.as_ref());
        let tools: usize = functions
            .map(|function| {
                let about = function.description.as_ref().map_or(0, String::len);
                function.name.len() + about + function.parameters.as_ref().map_or(0, |schema| json(schema, 0))
            })
            .sum();
        ((messages + tools) / BYTES_A_TOKEN) as u64 + 1
    }
}

fn message(message: &Message) -> usize {
    let said = message.content.as_ref().map_or(0, content);
    let reasoning = message.reasoning_content.as_ref().map_or(0, String::len);
    let functions = message.tool_calls.iter().filter_map(|call| call.function.as_ref());
    let calls: usize = functions.map(|function| function.name.len() + function.arguments.len()).sum();
    MESSAGE + said + reasoning + calls
}

fn content(content: &Content) -> usize {
    match content {
        Content::Text(text) => text.len(),
        Content::Parts(parts) => parts.iter().map(part).sum(),
    }
}

fn part(part: &Part) -> usize {
    match part {
        Part::Text(part) => part.text.len(),
        Part::Refusal(part) => part.refusal.len(),
        _ => MEDIUM,
    }
}

/// The length of a value as it is written, nearly.
fn json(value: &Value, depth: u32) -> usize {
    const DEEPEST: u32 = 128;
    match value {
        _ if depth > DEEPEST => 0,
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| json(item, depth + 1) + 1).sum::<usize>() + 2,
        Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + 4 + json(value, depth + 1)).sum::<usize>() + 2
        }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_provider_core::ChatRequest;
    use mainstay_provider_core::chat::Tool;

    use super::*;

    fn tokens(messages: Vec<Message>, tools: Vec<Tool>) -> u64 {
        let mut request = ChatRequest::new("m", messages);
        request.tools = tools;
        TextLength.input_tokens(&Call::new(request))
    }

    #[test]
    fn texts_of_all_kinds_count_a_quarter_of_their_bytes() {
        assert_eq!(tokens(vec![Message::user("x".repeat(400))], Vec::new()), 104);
        let parts = vec![Part::text("x".repeat(200)), Part::text("x".repeat(200))];
        assert_eq!(tokens(vec![Message::user(parts)], Vec::new()), 104);
        let image = Message::user(vec![Part::image("data:image/png;base64,AAAA")]);
        assert_eq!(tokens(vec![image], Vec::new()), 804);
        let schema = serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let written = schema.to_string().len() as u64;
        let tool = tokens(vec![], vec![Tool::function("f", "", schema)]);
        assert!(tool.abs_diff(written / 4) <= 4, "{tool} of {written} bytes");
    }
}

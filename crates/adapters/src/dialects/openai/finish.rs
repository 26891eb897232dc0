//! Why an answer ended, in every provider's words.

use mainstay_provider_core::{Error, ErrorKind, FinishReason};

/// What a finish reason means.
enum Meaning {
    Reason(FinishReason),
    /// The answer goes on: some servers send an empty reason with every piece.
    NotYet,
    /// The answer failed.
    Failed(ErrorKind, &'static str),
}

/// Puts a finish reason into OpenAI's words. `calls` tells whether the answer calls tools and that alone decides. Returns
/// whether anything changed; a reason that is a failure is an `Err`.
pub(crate) fn normalise(reason: &mut Option<FinishReason>, calls: bool) -> Result<bool, Error> {
    let word = match reason {
        Some(FinishReason::Stop) if calls => {
            *reason = Some(FinishReason::ToolCalls);
            return Ok(true);
        }
        Some(FinishReason::Other(word)) => word.as_str(),
        _ => return Ok(false),
    };
    match meaning(word) {
        None => Ok(false),
        Some(Meaning::Reason(FinishReason::Stop)) if calls => {
            *reason = Some(FinishReason::ToolCalls);
            Ok(true)
        }
        Some(Meaning::Reason(known)) => {
            *reason = Some(known);
            Ok(true)
        }
        Some(Meaning::NotYet) => {
            *reason = None;
            Ok(true)
        }
        Some(Meaning::Failed(kind, message)) => Err(Error::new(kind, message).with_code(word)),
    }
}

/// `None` for words that are nobody's synonym; they pass as they are.
fn meaning(word: &str) -> Option<Meaning> {
    use FinishReason::{ContentFilter, Length, Stop, ToolCalls};
    Some(match word {
        "" => Meaning::NotYet,
        // Together, text-generation-inference, xAI.
        "eos" | "eos_token" | "stop_sequence" | "end_turn" => Meaning::Reason(Stop),
        // Mistral, Z.ai.
        "model_length" | "model_context_window_exceeded" | "max_tokens" => Meaning::Reason(Length),
        "tool_use" => Meaning::Reason(ToolCalls),
        // Z.ai.
        "sensitive" => Meaning::Reason(ContentFilter),
        "network_error" => {
            Meaning::Failed(ErrorKind::ServerError, "the provider lost its own connection to the model")
        }
        // DeepSeek.
        "insufficient_system_resource" => {
            Meaning::Failed(ErrorKind::Overloaded, "the provider broke the answer off for want of resources")
        }
        // OpenRouter, Mistral.
        "error" => Meaning::Failed(ErrorKind::ServerError, "the provider broke the answer off with an error"),
        // Gemini puts its own reason behind OpenAI's.
        word if word.starts_with("content_filter") => Meaning::Reason(ContentFilter),
        word if word.starts_with("function_call_filter") => Meaning::Failed(
            ErrorKind::MalformedToolCall,
            "the model wrote a tool call that the provider cannot read",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(word: &str, calls: bool) -> Result<Option<FinishReason>, Error> {
        let mut reason = Some(FinishReason::from(word));
        normalise(&mut reason, calls).map(|_| reason)
    }

    #[test]
    fn synonyms_become_openais_words_and_unknown_words_pass() {
        assert_eq!(normal("eos", false).unwrap(), Some(FinishReason::Stop));
        assert_eq!(normal("model_length", false).unwrap(), Some(FinishReason::Length));
        assert_eq!(
            normal("content_filter: PROHIBITED_CONTENT", false).unwrap(),
            Some(FinishReason::ContentFilter)
        );
        assert_eq!(normal("abort", false).unwrap(), Some(FinishReason::Other("abort".into())));
        assert_eq!(normal("", false).unwrap(), None);
    }

    #[test]
    fn a_reason_that_is_a_failure_is_an_error_of_its_kind() {
        let kind = |word| normal(word, false).unwrap_err().kind();
        assert_eq!(kind("insufficient_system_resource"), ErrorKind::Overloaded);
        assert_eq!(kind("error"), ErrorKind::ServerError);
        assert_eq!(kind("function_call_filter: MALFORMED_FUNCTION_CALL"), ErrorKind::MalformedToolCall);
    }

    #[test]
    fn tool_calls_decide_where_the_provider_says_stop() {
        assert_eq!(normal("stop", true).unwrap(), Some(FinishReason::ToolCalls));
        assert_eq!(normal("length", true).unwrap(), Some(FinishReason::Length));
    }
}

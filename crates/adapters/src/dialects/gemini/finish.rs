//! Why a candidate ended.

use mainstay_provider_core::{Error, ErrorKind, FinishReason};

use super::wire::EnumValue;

/// The names in the order of their numbers in Google's enumeration.
const NAMES: [&str; 21] = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_OTHER",
    "NO_IMAGE",
    "IMAGE_RECITATION",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
    "ESCALATION",
];

/// The reason in the neutral form; an error for the reasons that are failures. Gemini says STOP for tool
/// calls too, so whether there were any decides.
pub(super) fn reason(
    value: &EnumValue,
    called_tools: bool,
    message: Option<&str>,
) -> Result<Option<FinishReason>, Error> {
    let name = match value {
        EnumValue::Name(name) => name.as_str(),
        EnumValue::Number(number) => {
            let known = usize::try_from(*number).ok().and_then(|number| NAMES.get(number));
            known.copied().unwrap_or("OTHER")
        }
    };
    let kind = match name {
        "FINISH_REASON_UNSPECIFIED" => return Ok(None),
        "STOP" | "NO_IMAGE" if called_tools => return Ok(Some(FinishReason::ToolCalls)),
        "STOP" | "NO_IMAGE" => return Ok(Some(FinishReason::Stop)),
        "MAX_TOKENS" => return Ok(Some(FinishReason::Length)),
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
        | "MODEL_ARMOR" | "ESCALATION" => return Ok(Some(FinishReason::ContentFilter)),
        image if image.starts_with("IMAGE_") => return Ok(Some(FinishReason::ContentFilter)),
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" => {
            ErrorKind::MalformedToolCall
        }
        "MISSING_THOUGHT_SIGNATURE" => ErrorKind::InvalidRequest,
        "MALFORMED_RESPONSE" | "OTHER" => ErrorKind::MalformedResponse,
        other => return Ok(Some(FinishReason::Other(other.to_ascii_lowercase()))),
    };
    // Google's words quote what the model wrote: a reprompt needs them.
    let words = message.map_or_else(|| format!("the model ended its answer with {name}"), str::to_owned);
    Err(Error::new(kind, words).with_code(name))
}

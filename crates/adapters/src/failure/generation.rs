//! What a model wrote when it failed to write a tool call.

use std::fmt;

/// The text that a model wrote and its provider could not read as a tool call: the source of a
/// [`MalformedToolCall`](mainstay_provider_core::ErrorKind::MalformedToolCall) error, where the provider quotes it (Groq).
///
/// A reprompt can show the model its own words. Neither `Display` nor `Debug` tells them, since they may quote the prompt.
pub struct FailedGeneration(String);

impl FailedGeneration {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What the model wrote.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FailedGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the provider could not read the model's tool call")
    }
}

impl fmt::Debug for FailedGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FailedGeneration({} bytes)", self.0.len())
    }
}

impl std::error::Error for FailedGeneration {}

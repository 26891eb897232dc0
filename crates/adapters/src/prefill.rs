//! Who goes on with an assistant message that stands last (prefill), and how each is told to.
//!
//! A model that is not told so takes that message for a finished turn: it answers it, repeats it, or says nothing. So a
//! call that needs a prefill ([`Needs::prefill`](mainstay_provider_core::Needs::prefill)) is refused before it is sent
//! wherever it is not known that the model goes on.

use mainstay_provider_core::chat::{ChatRequest, Content, Message, Part, Role};
use mainstay_provider_core::{Error, ErrorKind};
use serde_json::json;

use crate::config::{AdapterConfig, Api};
use crate::translate::claude::Claude;

/// Whether `model`, by the provider's own name of it, goes on with an assistant message that stands last, at the
/// provider of this kind. What is not known to go on does not.
///
/// | kind | models | known from |
/// |---|---|---|
/// | `anthropic`, `bedrock`, `openrouter` | Claude up to 4.5; from 4.6 on it answers 400 | Anthropic's migration guide |
/// | `bedrock` | Amazon Nova | its request schema ("for prefilling assistant response") |
/// | `mistral` | all but Voxtral and the labs' models | its specification (`prefix`), LiteLLM's table |
/// | `deepseek` | all but the reasoners | its guide "Chat Prefix Completion (Beta)" |
/// | `vllm` | all | its specification (`continue_final_message`) |
/// | `ollama` | all but gpt-oss | its maintainers, ollama/ollama#6778 |
/// | `groq` | all but gpt-oss | its guide "Assistant Message Prefilling" |
/// | `gemini`, `vertex` | Flash before 3.5; from 3.5 Flash-Lite on it answers 400 | reports of users |
///
/// OpenAI's own models (also at Azure) take such a message and begin a new answer.
pub fn accepts_prefill(kind: &str, model: &str) -> bool {
    let model = model.to_ascii_lowercase();
    let claude = || Claude::parse(&model).is_some_and(Claude::goes_on);
    match kind {
        "anthropic" | "openrouter" => claude(),
        "bedrock" => claude() || model.contains("amazon.nova"),
        "mistral" => !model.starts_with("voxtral") && !model.starts_with("labs-"),
        "deepseek" => !model.contains("reasoner") && !model.contains("r1"),
        "vllm" => true,
        "ollama" | "groq" => !model.contains("gpt-oss"),
        "gemini" | "vertex" => {
            model.contains("flash") && gemini_version(&model).is_some_and(|it| it < (3, 5))
        }
        _ => false,
    }
}

/// `gemini-2.5-flash-lite` is 2.5; a name without a version (`gemini-flash-latest`) is whatever is newest.
fn gemini_version(model: &str) -> Option<(u32, u32)> {
    let version = model.strip_prefix("gemini-")?.split('-').next()?;
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// How one adapter asks for a continuation.
#[derive(Debug)]
pub(crate) struct Prefill {
    kind: String,
    /// What the configuration says; the table is not asked then.
    configured: Option<bool>,
    /// Whether the interface in use has a place for it.
    possible: bool,
    /// Whether requests go to `/beta`: DeepSeek's, unless the configured address says where they go.
    beta: bool,
}

impl Prefill {
    pub(crate) fn new(config: &AdapterConfig) -> Self {
        let other_dialect =
            config.api == Api::Responses || (config.kind == "gemini" && config.api != Api::Default);
        let public = config
            .base_url
            .as_deref()
            .is_none_or(|url| url.trim_end_matches('/') == "https://api.deepseek.com");
        Self {
            kind: config.kind.clone(),
            configured: config.prefill,
            possible: !other_dialect,
            beta: config.kind == "deepseek" && public,
        }
    }

    /// Whether the model goes on.
    pub(crate) fn accepts(&self, model: &str) -> bool {
        self.configured.unwrap_or_else(|| self.possible && accepts_prefill(&self.kind, model))
    }

    /// The request as the provider must get it to go on with its last message.
    pub(crate) fn request(&self, request: &ChatRequest, model: &str) -> Result<Box<ChatRequest>, Error> {
        if !self.accepts(model) {
            let message = "this model does not go on with an assistant message that stands last; ask it anew, or another one";
            return Err(Error::new(ErrorKind::InvalidRequest, message).with_param("messages"));
        }
        let mut request = Box::new(request.clone());
        let Some(last) = request.messages.last_mut().filter(|last| last.role == Role::Assistant) else {
            return Ok(request);
        };
        trim_end(last);
        // Two providers have a mark for the message, one for the request; elsewhere it is enough that it stands last.
        if matches!(&*self.kind, "mistral" | "deepseek") {
            last.extra.insert("prefix", true);
        }
        if self.kind == "vllm" {
            request.extra.insert("continue_final_message", true);
            request.extra.insert("add_generation_prompt", false);
        }
        self.stop_thinking(&mut request, model);
        Ok(request)
    }

    /// Where it is sent.
    pub(crate) fn path(&self, path: String) -> String {
        if self.beta { format!("/beta{path}") } else { path }
    }

    /// What was to be thought has been thought before the text began; thinking and a prefill exclude each other.
    fn stop_thinking(&self, request: &mut ChatRequest, model: &str) {
        request.reasoning_effort = None;
        for name in ["thinking", "reasoning", "think"] {
            request.extra.remove(name);
        }
        match &*self.kind {
            // Thinks unless it is told not to.
            "deepseek" if !matches!(model, "deepseek-chat" | "deepseek-coder") => {
                request.extra.insert("thinking", json!({"type": "disabled"}));
            }
            "ollama" => request.reasoning_effort = Some("none".into()),
            _ => {}
        }
    }
}

/// Takes the white space off the end of a message: Anthropic refuses it, and a model that begins a word with its blank would
/// write a second one.
fn trim_end(message: &mut Message) {
    let text = match &mut message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => match parts.last_mut() {
            Some(Part::Text(part)) => &mut part.text,
            _ => return,
        },
        None => return,
    };
    text.truncate(text.trim_end().len());
}

#[cfg(test)]
mod tests;

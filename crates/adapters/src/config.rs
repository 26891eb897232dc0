//! What an adapter is told.

use std::sync::Arc;

use http::HeaderMap;
use mainstay_provider_core::Events;
use secrecy::SecretString;

/// How one provider is reached. Everything has a default but the kind; keys are secrets that no `Debug` shows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdapterConfig {
    /// The provider's row in the [registry](crate::registry): `openai`, `anthropic`, `gemini`, …
    pub kind: String,
    /// The name in replies, errors and metrics. Default: the kind.
    pub name: Arc<str>,
    /// The address up to the dialect's paths. Default: the provider's public address.
    pub base_url: Option<String>,
    /// The keys, in the order of their use: when one is rejected, the next is taken (S2.1).
    pub keys: Vec<SecretString>,
    /// Headers added to each request.
    pub headers: HeaderMap,
    /// Which of the provider's interfaces is spoken, where it has several.
    pub api: Api,
    /// Whether cache breakpoints are set on a long static prefix (S4.8).
    pub prompt_caching: PromptCaching,
    /// Whether the models here go on with an assistant message that stands last, where the
    /// [table](crate::accepts_prefill) cannot know it. Default: as the table says.
    pub prefill: Option<bool>,
    /// Longest answer in tokens where the provider demands one and the request names none. Default 4096.
    pub default_max_tokens: u64,
    /// Azure: the `api-version`. Default `2024-10-21`.
    pub api_version: Option<String>,
    /// Bedrock and Vertex: the region. Default `us-east-1` and `global`.
    pub region: Option<String>,
    /// Vertex: the project.
    pub project: Option<String>,
    /// Bedrock: the access key's id; the secret is the key.
    pub access_key_id: Option<String>,
    /// Bedrock: the session token of temporary credentials.
    pub session_token: Option<SecretString>,
    /// Where a rejected key is reported.
    pub events: Events,
}

/// Which of a provider's interfaces is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Api {
    /// The provider's usual one: chat completions at OpenAI and its kin, the native one elsewhere.
    #[default]
    Default,
    /// OpenAI's chat completions, where it is not the usual one (Ollama's `/v1`, Gemini's `/openai`).
    ChatCompletions,
    /// OpenAI's Responses.
    Responses,
}

/// Whether cache breakpoints are set on a long static prefix: system prompt and tools (S4.8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PromptCaching {
    /// When the prefix is long enough and the request sets no breakpoint of its own.
    #[default]
    Auto,
    /// Never; breakpoints in the request still pass through.
    Off,
}

impl AdapterConfig {
    /// A provider of this kind, with every default and no key.
    pub fn new(kind: impl Into<String>) -> Self {
        let kind = kind.into();
        Self {
            name: kind.as_str().into(),
            kind,
            base_url: None,
            keys: Vec::new(),
            headers: HeaderMap::new(),
            api: Api::Default,
            prompt_caching: PromptCaching::Auto,
            prefill: None,
            default_max_tokens: 4096,
            api_version: None,
            region: None,
            project: None,
            access_key_id: None,
            session_token: None,
            events: Events::default(),
        }
    }

    /// The same with one more key.
    #[must_use]
    pub fn key(mut self, key: impl Into<SecretString>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// The same at another address.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// The same under another name.
    #[must_use]
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }
}

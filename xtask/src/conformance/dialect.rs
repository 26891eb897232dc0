//! Which interface an exchange speaks, and how an adapter is pointed at it.

use mainstay_adapters::{AdapterConfig, Api, PromptCaching};

use super::fixture::{Fixture, Request};
use super::json::Look as _;

/// An interface: how requests and answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    OpenAiChat,
    Responses,
    Anthropic,
    Gemini,
    Bedrock,
    Cohere,
    OllamaChat,
    OpenAiEmbed,
    CohereEmbed,
    OllamaEmbed,
    GeminiEmbed,
    /// Not an adapter's job (token counts, model lists, rerank, caches): only its error answers are replayed.
    Other,
}

impl Wire {
    pub(crate) fn of(fixture: &Fixture) -> Self {
        match (fixture.api.as_str(), fixture.provider.as_str()) {
            ("chat", _) => Self::OpenAiChat,
            // Filed under the address that was asked; the answer tells what was spoken.
            ("responses", _) if fixture.request.is_none() && fixture.response.is_chat_completion() => {
                Self::OpenAiChat
            }
            ("responses", _) => Self::Responses,
            ("messages", _) => Self::Anthropic,
            ("generate", _) => Self::Gemini,
            ("converse", _) => Self::Bedrock,
            ("cohere_chat", _) => Self::Cohere,
            ("ollama_chat", _) => Self::OllamaChat,
            ("embeddings", "cohere") => Self::CohereEmbed,
            ("embeddings", "ollama") => Self::OllamaEmbed,
            ("embeddings", "gemini" | "vertex") => Self::GeminiEmbed,
            ("embeddings", _) => Self::OpenAiEmbed,
            _ => Self::Other,
        }
    }

    pub(crate) fn is_embedding(self) -> bool {
        matches!(self, Self::OpenAiEmbed | Self::CohereEmbed | Self::OllamaEmbed | Self::GeminiEmbed)
    }
}

/// How the adapter for one exchange is set up.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The id of the exchange.
    pub(crate) exchange: String,
    /// The adapter's kind: `azure-openai`.
    pub(crate) kind: String,
    pub(crate) api: Api,
    /// The part of the recorded path that belongs to the base URL: `/v1`.
    pub(crate) prefix: String,
    /// The provider's name of the model.
    pub(crate) model: String,
    pub(crate) project: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) api_version: Option<String>,
    /// Headers that a caller of the provider sets itself.
    pub(crate) headers: Vec<(String, String)>,
}

/// The key that the adapter is given; it must arrive in the provider's header and nowhere else.
pub(crate) const KEY: &str = "test-key-0123456789";
/// The id of the AWS key pair whose secret is [`KEY`].
pub(crate) const ACCESS_KEY_ID: &str = "AKIDCONFORMANCE";

impl Target {
    pub(crate) fn of(fixture: &Fixture, wire: Wire) -> Self {
        let kind = fixture.provider.replace('_', "-");
        let path = fixture.request.as_ref().map_or("", |request| request.path.as_str());
        let path = path.split('?').next().unwrap_or_default();
        let api = match (wire, kind.as_str()) {
            (Wire::Responses, _) => Api::Responses,
            (Wire::OpenAiChat, "gemini" | "ollama") => Api::ChatCompletions,
            _ => Api::Default,
        };
        Self {
            exchange: fixture.id(),
            prefix: prefix(&kind, api, path),
            model: model(fixture, path),
            project: segment_after(path, "projects"),
            region: segment_after(path, "locations"),
            api_version: fixture.request.as_ref().and_then(|request| query(&request.path, "api-version")),
            headers: fixture.request.as_ref().map(own_headers).unwrap_or_default(),
            kind,
            api,
        }
    }

    /// The adapter's settings, with `origin` in place of the provider's address.
    pub(crate) fn config(&self, origin: &str) -> AdapterConfig {
        let base = format!("{origin}{}", self.prefix);
        let mut config = AdapterConfig::new(self.kind.as_str()).base_url(base).key(KEY);
        config.api = self.api;
        config.prompt_caching = PromptCaching::Off;
        config.project.clone_from(&self.project);
        config.region.clone_from(&self.region);
        config.api_version.clone_from(&self.api_version);
        if self.kind == "bedrock" {
            config.access_key_id = Some(ACCESS_KEY_ID.into());
        }
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) =
                (http::HeaderName::try_from(name), http::HeaderValue::try_from(value))
            {
                config.headers.insert(name, value);
            }
        }
        config
    }
}

/// Headers by which a caller switches on what the request's body then uses.
fn own_headers(request: &Request) -> Vec<(String, String)> {
    let own = request.headers.iter().filter(|(name, _)| name.as_str() == "anthropic-beta");
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What of the recorded path is the base URL's: everything before the interface's own path.
fn prefix(kind: &str, api: Api, path: &str) -> String {
    let own = ["/deployments/", "/chat/completions", "/responses", "/embeddings", "/projects/", "/models/"];
    let default = || default_prefix(kind, api);
    if path.is_empty() {
        return default();
    }
    match kind {
        "azure-openai" | "huggingface" | "vertex" | "gemini" => {
            let cut = own.iter().filter_map(|own| path.find(own)).filter(|at| *at > 0).min();
            cut.map_or_else(default, |at| path[..at].to_owned())
        }
        _ => default(),
    }
}

/// The path of the provider's public address, as the adapters' registry has it.
fn default_prefix(kind: &str, api: Api) -> String {
    let base = mainstay_adapters::provider(kind).map_or("", |info| info.base_url);
    let after_host = base.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    let path = after_host.unwrap_or_default();
    match (kind, api) {
        ("azure-openai", _) => "/openai".to_owned(),
        ("gemini", Api::ChatCompletions) => format!("{path}/openai"),
        ("ollama", Api::ChatCompletions) => format!("{path}/v1"),
        _ => path.to_owned(),
    }
}

/// The provider's name of the model: from the body, else from the path.
fn model(fixture: &Fixture, path: &str) -> String {
    let in_path = ["deployments", "models", "model"].iter().find_map(|name| segment_after(path, name));
    let in_path = in_path.map(|segment| segment.split(':').next().unwrap_or_default().to_owned());
    let body = fixture.asked().text("model");
    match (fixture.api.as_str(), fixture.provider.as_str()) {
        ("converse" | "invoke", _) => segment_after(path, "model").map(|segment| percent_decoded(&segment)),
        ("generate", _) | (_, "vertex") => in_path,
        (_, "azure_openai") if path.contains("/deployments/") => in_path,
        _ if !body.is_empty() => Some(body.to_owned()),
        _ => in_path,
    }
    .filter(|model| !model.is_empty() && model != "chat")
    .unwrap_or_else(|| "some-model".into())
}

fn segment_after(path: &str, name: &str) -> Option<String> {
    let mut segments = path.split('/');
    segments.find(|segment| *segment == name)?;
    segments.next().map(str::to_owned)
}

fn query(path: &str, name: &str) -> Option<String> {
    let (_, query) = path.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, v)| v.to_owned())
}

/// A path segment without percent escapes.
pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], escape.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

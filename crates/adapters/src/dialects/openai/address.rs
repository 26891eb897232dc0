//! Where a request goes, after the base URL.

use crate::config::AdapterConfig;
use crate::translate::path_segment;

/// Azure's data plane, unless another version is configured.
const DEPLOYMENTS_VERSION: &str = "2024-10-21";
/// Azure's model inference, which serves other makers' models.
const MODELS_VERSION: &str = "2024-05-01-preview";

/// The path of one kind of request.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    /// The same for all models.
    Fixed(String),
    /// Azure: the model's name is that of its deployment, and stands in the middle.
    Deployment {
        /// Up to the deployment.
        before: String,
        /// From there on.
        after: String,
    },
}

impl Address {
    /// `path` behind the configured base URL. What the base URL already ends with is not repeated: `…/v1` and
    /// `/v1/embeddings` make one `/v1`.
    pub(crate) fn new(config: &AdapterConfig, path: &str) -> Self {
        let base = config.base_url.as_deref().unwrap_or_default().trim_end_matches('/');
        let first = path[1..].find('/').map_or(path.len(), |slash| slash + 1);
        let (segment, rest) = path.split_at(first);
        Self::Fixed(if !rest.is_empty() && base.ends_with(segment) { rest } else { path }.to_owned())
    }

    /// The same at Azure, which has one surface for each ending of the base URL: `/openai` for deployments, `/openai/v1`
    /// for OpenAI's own paths, `/models` for model inference.
    pub(crate) fn azure(config: &AdapterConfig, path: &str) -> Self {
        let base = config.base_url.as_deref().unwrap_or_default().trim_end_matches('/');
        let version = config.api_version.as_deref();
        let query = |version: Option<&str>| {
            version.map(|version| format!("?api-version={version}")).unwrap_or_default()
        };
        if base.ends_with("/models") {
            return Self::Fixed(format!("{path}{}", query(version.or(Some(MODELS_VERSION)))));
        }
        if base.contains("/openai/deployments/") {
            return Self::Fixed(format!("{path}{}", query(version.or(Some(DEPLOYMENTS_VERSION)))));
        }
        let prefix = match host_only(base) {
            true => "/openai",
            false if base.ends_with("/openai") => "",
            false => return Self::Fixed(format!("{path}{}", query(version))),
        };
        if path == RESPONSES {
            return Self::Fixed(format!("{prefix}/v1{path}{}", query(version)));
        }
        Self::Deployment {
            before: format!("{prefix}/deployments/"),
            after: format!("{path}{}", query(version.or(Some(DEPLOYMENTS_VERSION)))),
        }
    }

    /// The path for a model.
    pub(crate) fn path(&self, model: &str) -> String {
        match self {
            Self::Fixed(path) => path.clone(),
            Self::Deployment { before, after } => format!("{before}{}{after}", path_segment(model)),
        }
    }

    /// Whether Azure's version knows `stream_options`; it refuses what it does not know.
    pub(crate) fn knows_stream_options(config: &AdapterConfig) -> bool {
        let base = config.base_url.as_deref().unwrap_or_default().trim_end_matches('/');
        if base.ends_with("/models") {
            return true; // model inference has versions of its own, and all know it
        }
        // Versions are dates, so their texts are in order.
        config.api_version.as_deref().is_none_or(|version| !version.starts_with("20") || version >= "2024-09")
    }
}

/// Where Responses are; at Azure outside the deployments.
pub(crate) const RESPONSES: &str = "/responses";

fn host_only(base: &str) -> bool {
    base.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn azure(base: &str, version: Option<&str>, path: &str) -> String {
        let mut config = AdapterConfig::new("azure-openai").base_url(base);
        config.api_version = version.map(str::to_owned);
        Address::azure(&config, path).path("my gpt")
    }

    #[test]
    fn azure_has_one_surface_for_each_ending_of_the_base_url() {
        let chat = "/chat/completions";
        let deployment = "/deployments/my%20gpt/chat/completions?api-version=2024-10-21";
        assert_eq!(azure("https://r.openai.azure.com/openai", None, chat), deployment);
        assert_eq!(azure("https://r.openai.azure.com/openai/", None, chat), deployment);
        assert_eq!(azure("https://r.openai.azure.com", None, chat), format!("/openai{deployment}"));
        assert_eq!(azure("https://r.openai.azure.com/openai/v1", None, chat), chat);
        assert_eq!(
            azure("https://r.openai.azure.com/openai/v1", Some("preview"), chat),
            "/chat/completions?api-version=preview"
        );
        assert_eq!(
            azure("https://r.services.ai.azure.com/models", None, chat),
            "/chat/completions?api-version=2024-05-01-preview"
        );
        assert_eq!(
            azure("https://r.openai.azure.com/openai/deployments/d", Some("2025-01-01"), chat),
            "/chat/completions?api-version=2025-01-01"
        );
    }

    #[test]
    fn model_inference_knows_stream_options_in_every_version() {
        let knows = |base: &str, version: &str| {
            let mut config = AdapterConfig::new("azure-openai").base_url(base);
            config.api_version = Some(version.into());
            Address::knows_stream_options(&config)
        };
        assert!(knows("https://r.services.ai.azure.com/models", "2024-05-01-preview"));
        assert!(knows("https://r.openai.azure.com/openai", "2024-10-21"));
        assert!(!knows("https://r.openai.azure.com/openai", "2024-02-01"));
    }

    #[test]
    fn azure_has_responses_outside_its_deployments() {
        assert_eq!(azure("https://r.openai.azure.com/openai", None, RESPONSES), "/v1/responses");
        assert_eq!(azure("https://r.openai.azure.com/openai/v1", None, RESPONSES), "/responses");
    }

    #[test]
    fn what_the_base_url_ends_with_is_not_repeated() {
        let path = |base: &str, path| Address::new(&AdapterConfig::new("x").base_url(base), path).path("m");
        assert_eq!(path("http://localhost:11434", "/v1/chat/completions"), "/v1/chat/completions");
        assert_eq!(path("http://localhost:11434/v1/", "/v1/chat/completions"), "/chat/completions");
        assert_eq!(path("https://g/v1beta/openai", "/openai/chat/completions"), "/chat/completions");
        assert_eq!(path("https://api.openai.com/v1", "/responses"), "/responses");
    }
}

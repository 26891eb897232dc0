//! The providers: one row each.

use mainstay_provider_core::{Error, ErrorKind};

use crate::auth::Auth;
use crate::config::{AdapterConfig, Api};
use crate::dialect::Dialect;
use crate::dialects;

/// What is known of a provider before it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderInfo {
    /// The name in configuration and model strings: `anthropic`.
    pub name: &'static str,
    /// The address that is used unless another is configured; empty when one must be.
    pub base_url: &'static str,
    /// The environment variable where the key usually stands. No layer reads it; the facade does.
    pub key_env: &'static str,
    /// Whether the public address demands a key.
    pub needs_key: bool,
}

pub(crate) struct Row {
    pub(crate) info: ProviderInfo,
    pub(crate) dialect: fn(&AdapterConfig) -> Result<Box<dyn Dialect>, Error>,
    pub(crate) auth: fn(&AdapterConfig) -> Result<Auth, Error>,
}

/// The providers that are compiled in, in the order of their names.
pub fn providers() -> impl Iterator<Item = ProviderInfo> {
    ROWS.iter().map(|row| row.info)
}

/// The provider of this name, if it is compiled in.
pub fn provider(name: &str) -> Option<ProviderInfo> {
    ROWS.iter().map(|row| row.info).find(|info| info.name == name)
}

pub(crate) fn row(name: &str) -> Result<&'static Row, Error> {
    ROWS.iter().find(|row| row.info.name == name).ok_or_else(|| {
        let known: Vec<_> = ROWS.iter().map(|row| row.info.name).collect();
        let message = if ALL.contains(&name) {
            format!("provider {name:?} is not compiled in: switch on its feature of the same name")
        } else {
            format!(
                "no provider {name:?}; there are {}; a server that speaks OpenAI's dialect is kind \"openai\" with its base_url",
                known.join(", ")
            )
        };
        Error::new(ErrorKind::Configuration, message)
    })
}

/// Where the provider is reached, without a slash at the end.
pub(crate) fn base_url(row: &Row, config: &AdapterConfig) -> Result<String, Error> {
    if let Some(url) = &config.base_url {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let region = config.region.as_deref();
    match row.info.name {
        "bedrock" => Ok(format!("https://bedrock-runtime.{}.amazonaws.com", region.unwrap_or("us-east-1"))),
        "vertex" => Ok(match region {
            None | Some("global") => "https://aiplatform.googleapis.com/v1".into(),
            Some(region) => format!("https://{region}-aiplatform.googleapis.com/v1"),
        }),
        name if row.info.base_url.is_empty() => {
            let message = format!("provider {name:?} has no public address: set base_url");
            Err(Error::new(ErrorKind::Configuration, message))
        }
        _ => Ok(row.info.base_url.to_owned()),
    }
}

/// Every provider there is, compiled in or not.
const ALL: &[&str] = &[
    "anthropic",
    "azure-openai",
    "bedrock",
    "cerebras",
    "cohere",
    "deepseek",
    "gemini",
    "groq",
    "huggingface",
    "mistral",
    "ollama",
    "openai",
    "openrouter",
    "perplexity",
    "together",
    "vertex",
    "vllm",
    "xai",
    "zai",
];

/// A row of a provider that speaks OpenAI's dialect: its name, address, key variable and profile.
macro_rules! openai_compatible {
    ($name:literal, $base_url:literal, $key_env:literal, $needs_key:literal, $profile:ident) => {
        Row {
            info: ProviderInfo { name: $name, base_url: $base_url, key_env: $key_env, needs_key: $needs_key },
            dialect: |config| match config.api {
                Api::Responses => dialects::responses::dialect(config, &dialects::openai::profile::$profile),
                _ => dialects::openai::dialect(config, &dialects::openai::profile::$profile),
            },
            auth: |_| Ok(Auth::Bearer),
        }
    };
}

static ROWS: &[Row] = &[
    #[cfg(feature = "anthropic")]
    Row {
        info: ProviderInfo {
            name: "anthropic",
            base_url: "https://api.anthropic.com",
            key_env: "ANTHROPIC_API_KEY",
            needs_key: true,
        },
        dialect: dialects::anthropic::dialect,
        auth: |_| Ok(Auth::Header("x-api-key")),
    },
    #[cfg(feature = "azure-openai")]
    Row {
        info: ProviderInfo {
            name: "azure-openai",
            base_url: "",
            key_env: "AZURE_OPENAI_API_KEY",
            needs_key: true,
        },
        dialect: |config| match config.api {
            Api::Responses => dialects::responses::dialect(config, &dialects::openai::profile::AZURE),
            _ => dialects::openai::dialect(config, &dialects::openai::profile::AZURE),
        },
        auth: |_| Ok(Auth::Header("api-key")),
    },
    #[cfg(feature = "bedrock")]
    Row {
        info: ProviderInfo {
            name: "bedrock",
            base_url: "https://bedrock-runtime.us-east-1.amazonaws.com",
            key_env: "AWS_SECRET_ACCESS_KEY",
            needs_key: true,
        },
        dialect: dialects::bedrock::dialect,
        auth: bedrock_auth,
    },
    #[cfg(feature = "cerebras")]
    openai_compatible!("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", true, CEREBRAS),
    #[cfg(feature = "cohere")]
    Row {
        info: ProviderInfo {
            name: "cohere",
            base_url: "https://api.cohere.com",
            key_env: "COHERE_API_KEY",
            needs_key: true,
        },
        dialect: dialects::cohere::dialect,
        auth: |_| Ok(Auth::Bearer),
    },
    #[cfg(feature = "deepseek")]
    openai_compatible!("deepseek", "https://api.deepseek.com", "DEEPSEEK_API_KEY", true, DEEPSEEK),
    #[cfg(feature = "gemini")]
    Row {
        info: ProviderInfo {
            name: "gemini",
            base_url: "https://generativelanguage.googleapis.com/v1beta",
            key_env: "GEMINI_API_KEY",
            needs_key: true,
        },
        dialect: |config| match config.api {
            Api::ChatCompletions => {
                dialects::openai::dialect(config, &dialects::openai::profile::GEMINI_OPENAI)
            }
            _ => dialects::gemini::dialect(config),
        },
        // In the header and never in the address, where logs would keep it.
        auth: |config| match config.api {
            Api::ChatCompletions => Ok(Auth::Bearer),
            _ => Ok(Auth::Header("x-goog-api-key")),
        },
    },
    #[cfg(feature = "groq")]
    openai_compatible!("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", true, GROQ),
    #[cfg(feature = "huggingface")]
    openai_compatible!("huggingface", "https://router.huggingface.co/v1", "HF_TOKEN", true, HUGGINGFACE),
    #[cfg(feature = "mistral")]
    openai_compatible!("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", true, MISTRAL),
    #[cfg(feature = "ollama")]
    Row {
        info: ProviderInfo {
            name: "ollama",
            base_url: "http://localhost:11434",
            key_env: "OLLAMA_API_KEY",
            needs_key: false,
        },
        dialect: |config| match config.api {
            Api::ChatCompletions => dialects::openai::dialect(config, &dialects::openai::profile::OLLAMA_V1),
            _ => dialects::ollama::dialect(config),
        },
        auth: |_| Ok(Auth::Bearer),
    },
    #[cfg(feature = "openai")]
    openai_compatible!("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", true, OPENAI),
    #[cfg(feature = "openrouter")]
    openai_compatible!("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", true, OPENROUTER),
    #[cfg(feature = "perplexity")]
    openai_compatible!("perplexity", "https://api.perplexity.ai", "PERPLEXITY_API_KEY", true, PERPLEXITY),
    #[cfg(feature = "together")]
    openai_compatible!("together", "https://api.together.ai/v1", "TOGETHER_API_KEY", true, TOGETHER),
    #[cfg(feature = "vertex")]
    Row {
        info: ProviderInfo {
            name: "vertex",
            base_url: "https://aiplatform.googleapis.com/v1",
            key_env: "VERTEX_ACCESS_TOKEN",
            needs_key: true,
        },
        dialect: dialects::gemini::dialect,
        auth: |_| Ok(Auth::Bearer),
    },
    #[cfg(feature = "vllm")]
    openai_compatible!("vllm", "http://localhost:8000/v1", "VLLM_API_KEY", false, VLLM),
    #[cfg(feature = "xai")]
    openai_compatible!("xai", "https://api.x.ai/v1", "XAI_API_KEY", true, XAI),
    #[cfg(feature = "zai")]
    openai_compatible!("zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", true, ZAI),
];

/// With an access key's id the key signs; without one it is a Bedrock API key.
#[cfg(feature = "bedrock")]
fn bedrock_auth(config: &AdapterConfig) -> Result<Auth, Error> {
    let Some(access_key_id) = config.access_key_id.clone() else { return Ok(Auth::Bearer) };
    let region = config.region.clone().unwrap_or_else(|| "us-east-1".into());
    Ok(Auth::SigV4 { access_key_id, session_token: config.session_token.clone(), region })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_one_row_and_the_rows_are_sorted() {
        let names: Vec<_> = providers().map(|info| info.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert!(names.iter().all(|name| ALL.contains(name)));
    }

    #[test]
    fn an_unknown_provider_is_told_what_there_is() {
        let error = row("opnai").err().unwrap();
        assert!(error.message().contains("openai"), "{}", error.message());
    }
}

//! Names of providers and models that mean the same.

use std::borrow::Cow;

pub(super) const OPENROUTER: &str = "openrouter";

/// The provider's name as the adapters have it.
pub(super) fn canonical(provider: &str) -> &str {
    match provider {
        "azure" | "azure_openai" | "azure-ai" => "azure-openai",
        "google" | "google-gemini" | "google_gemini" => "gemini",
        "vertex-ai" | "vertex_ai" | "google-vertex" => "vertex",
        "aws-bedrock" | "amazon-bedrock" | "aws_bedrock" => "bedrock",
        "together-ai" | "together_ai" | "togetherai" => "together",
        "z-ai" | "zhipu" => "zai",
        "x-ai" => "xai",
        "mistralai" => "mistral",
        other => other,
    }
}

/// Whether models of the provider run on one's own machine.
pub(super) fn is_local(provider: &str) -> bool {
    matches!(provider, "ollama" | "vllm" | "sim")
}

/// Other names for the same model, the nearest first: without the date of its snapshot, without a region, without a
/// version. All are pieces of the name itself.
pub(super) fn related<'a>(provider: &str, model: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
    let model = model.strip_prefix("models/").unwrap_or(model);
    let names: [Option<&'a str>; 6] = match provider {
        "bedrock" => {
            let bare = model.rsplit_once('/').map_or(model, |(_, name)| name);
            let anywhere = without_region(bare);
            let versionless = without_version(bare);
            let neither = without_version(anywhere);
            [
                Some(bare),
                Some(anywhere),
                Some(versionless),
                Some(neither),
                Some(without_date(versionless)),
                Some(without_date(neither)),
            ]
        }
        _ => {
            // A fine-tuned model: `ft:gpt-4o-2024-08-06:acme::id`.
            let tuned_from = model.strip_prefix("ft:").and_then(|rest| rest.split_once(':'));
            let tuned_from = tuned_from.map(|(base, _)| &model[..base.len() + "ft:".len()]);
            let release = model.split_once('@').map_or(model, |(name, _)| name);
            [Some(model), tuned_from, Some(release), Some(without_date(release)), None, None]
        }
    };
    names.into_iter().flatten()
}

const REGIONS: [&str; 9] = ["us.", "eu.", "apac.", "jp.", "au.", "ca.", "in.", "us-gov.", "global."];

fn without_region(model: &str) -> &str {
    REGIONS.iter().find_map(|region| model.strip_prefix(region)).unwrap_or(model)
}

/// Without `-v1:0`, `-v1`, `:0`.
fn without_version(model: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let model = match model.rsplit_once(':') {
        Some((name, number)) if digits(number) => name,
        _ => model,
    };
    match model.rsplit_once("-v") {
        Some((name, number)) if digits(number) => name,
        _ => model,
    }
}

/// Without `-2024-08-06`, `-20250929`, `-latest`.
fn without_date(model: &str) -> &str {
    if let Some(name) = model.strip_suffix("-latest") {
        return name;
    }
    for pattern in ["-dddd-dd-dd", "-dddddddd"] {
        let Some(start) = model.len().checked_sub(pattern.len()) else { continue };
        let fits = |(byte, shape): (u8, u8)| match shape {
            b'd' => byte.is_ascii_digit(),
            _ => byte == shape,
        };
        if model.as_bytes()[start..].iter().copied().zip(pattern.bytes()).all(fits) {
            return &model[..start];
        }
    }
    model
}

/// The provider behind OpenRouter and its name of the model: OpenRouter bills tokens at their list prices. `None` when the
/// model may be served by many, each at its own price.
pub(super) fn behind_openrouter(model: &str) -> Option<(&'static str, Cow<'_, str>)> {
    let (vendor, name) = model.split_once('/')?;
    // `:free`, `:nitro` and the like are other offers at other prices.
    if name.contains(':') {
        return None;
    }
    match vendor {
        "openai" => Some(("openai", name.into())),
        "anthropic" => Some(("anthropic", anthropic(name))),
        "google" => Some(("gemini", name.into())),
        "x-ai" => Some(("xai", name.into())),
        "perplexity" => Some(("perplexity", name.into())),
        "cohere" => Some(("cohere", name.into())),
        _ => None,
    }
}

/// `claude-sonnet-4.6` and `claude-4.6-sonnet-20260217` are `claude-sonnet-4-6`.
fn anthropic(name: &str) -> Cow<'_, str> {
    let undated = without_date(name);
    let parts: Vec<&str> = undated.split('-').collect();
    match parts.as_slice() {
        ["claude", number, tier] if number.starts_with(|first: char| first.is_ascii_digit()) => {
            format!("claude-{tier}-{}", number.replace('.', "-")).into()
        }
        _ if undated.contains('.') => undated.replace('.', "-").into(),
        _ => undated.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_related_to_its_model() {
        let names = |provider, model| related(provider, model).collect::<Vec<_>>();
        assert!(names("openai", "gpt-4o-2024-08-06").contains(&"gpt-4o"));
        assert!(names("anthropic", "claude-sonnet-4-5-20250929").contains(&"claude-sonnet-4-5"));
        assert!(names("vertex", "claude-opus-5@20260101").contains(&"claude-opus-5"));
        assert!(names("vertex", "claude-opus-5@default").contains(&"claude-opus-5"));
        assert!(names("openai", "ft:gpt-4o-mini-2024-07-18:acme::a1").contains(&"ft:gpt-4o-mini-2024-07-18"));
        assert!(names("gemini", "models/gemini-2.5-flash").contains(&"gemini-2.5-flash"));
        assert!(!names("openai", "ft:gpt-4o-mini-2024-07-18:acme::a1").contains(&"gpt-4o-mini"));
        let bedrock = names("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0");
        assert!(bedrock.contains(&"anthropic.claude-sonnet-4-5-20250929-v1:0"));
        assert!(bedrock.contains(&"anthropic.claude-sonnet-4-5"));
        assert!(
            names("bedrock", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0")
                .contains(&"amazon.nova-lite-v1:0")
        );
        assert!(names("openai", "é-2024-08-06").contains(&"é"));
        assert_eq!(without_date("20250929"), "20250929");
    }

    #[test]
    fn openrouter_names_the_provider_behind_it() {
        let behind = |model| behind_openrouter(model).map(|(provider, model)| (provider, model.into_owned()));
        let sonnet = Some(("anthropic", "claude-sonnet-4-6".to_owned()));
        assert_eq!(behind("anthropic/claude-sonnet-4.6"), sonnet);
        assert_eq!(behind("anthropic/claude-4.6-sonnet-20260217"), sonnet);
        assert_eq!(behind("google/gemini-2.5-flash"), Some(("gemini", "gemini-2.5-flash".to_owned())));
        assert_eq!(behind("google/gemini-2.5-flash:free"), None, "another offer");
        assert_eq!(behind("meta-llama/llama-3.3-70b-instruct"), None, "served by many");
        assert_eq!(behind("gpt-4o"), None);
    }
}

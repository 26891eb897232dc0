//! LiteLLM's list: a JSON object of models, with US dollars per token.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use mainstay_metering::Price;
use serde_json::{Map, Value};

/// A model in the list.
#[derive(Debug)]
pub(super) struct Listed {
    /// As the adapters name it.
    pub(super) provider: &'static str,
    pub(super) name: String,
    pub(super) prices: Prices,
    pub(super) context_window: Option<u64>,
    pub(super) max_output: Option<u64>,
    is_embedding: bool,
    switched_off: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prices {
    pub(super) base: Base,
    pub(super) tiers: BTreeMap<u64, Tier>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) input: Price,
    pub(super) output: Price,
    pub(super) read: Option<Price>,
    pub(super) write: Option<Price>,
    pub(super) write_1h: Option<Price>,
    pub(super) reasoning: Option<Price>,
    pub(super) audio: Option<Price>,
    pub(super) audio_out: Option<Price>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tier {
    pub(super) input: Option<Price>,
    pub(super) output: Option<Price>,
    pub(super) read: Option<Price>,
    pub(super) write: Option<Price>,
}

/// Models of the providers that we know and that have a price.
pub(super) fn read(path: &Path) -> Result<Vec<Listed>> {
    let list: BTreeMap<String, Map<String, Value>> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let mut found: BTreeMap<(&'static str, String), Listed> = BTreeMap::new();
    for (name, model) in &list {
        let provider = model.get("provider").and_then(Value::as_str).context("a model without provider")?;
        let Some((provider, name)) = place(provider, name) else { continue };
        let Some(prices) = prices(model) else { continue };
        let count = |name: &str| model.get(name).and_then(Value::as_u64);
        let is_embedding = model.get("mode").is_some_and(|mode| mode == "embedding");
        let listed = Listed {
            provider,
            name: name.to_owned(),
            prices,
            context_window: count("max_input_tokens"),
            max_output: count("max_output_tokens").filter(|_| !is_embedding),
            is_embedding,
            switched_off: model.get("deprecation_date").and_then(Value::as_str).map(str::to_owned),
        };
        // Some stand there twice, with and without their prefix.
        found.entry((provider, name.to_owned())).or_insert(listed);
    }
    Ok(found.into_values().collect())
}

/// The provider and the model as the adapters name them.
fn place<'a>(provider: &str, name: &'a str) -> Option<(&'static str, &'a str)> {
    let bare = |prefix: &str| name.strip_prefix(prefix).unwrap_or(name);
    // What still has a slash is a region, or a model of somebody else.
    let own = |name: &'a str| (!name.contains('/')).then_some(name);
    Some(match provider {
        "openai" => ("openai", name),
        "azure" => ("azure-openai", own(bare("azure/"))?),
        "anthropic" => ("anthropic", name),
        "gemini" => ("gemini", bare("gemini/")),
        provider if provider.starts_with("vertex_ai") => ("vertex", bare("vertex_ai/")),
        "bedrock" | "bedrock_converse" => ("bedrock", own(name)?),
        "mistral" => ("mistral", bare("mistral/")),
        "cohere" | "cohere_chat" => ("cohere", bare("cohere/")),
        "deepseek" => ("deepseek", bare("deepseek/")),
        "groq" => ("groq", bare("groq/")),
        "xai" => ("xai", bare("xai/")),
        "cerebras" => ("cerebras", bare("cerebras/")),
        "perplexity" => ("perplexity", own(bare("perplexity/"))?),
        "together_ai" => ("together", bare("together_ai/")),
        "zai" => ("zai", bare("zai/")),
        _ => return None,
    })
}

fn prices(model: &Map<String, Value>) -> Option<Prices> {
    let price = |name: &str| model.get(name).and_then(Value::as_f64).map(picos);
    let input = price("input_cost_per_token")?;
    let base = Base {
        input,
        output: price("output_cost_per_token").unwrap_or(Price::FREE),
        read: price("cache_read_input_token_cost"),
        // Nothing for writing to the cache does not mean that the input is free.
        write: price("cache_creation_input_token_cost").filter(|price| *price > Price::FREE),
        write_1h: price("cache_creation_input_token_cost_above_1hr"),
        reasoning: price("output_cost_per_reasoning_token"),
        audio: price("input_cost_per_audio_token"),
        audio_out: price("output_cost_per_audio_token"),
    };
    let mut tiers: BTreeMap<u64, Tier> = BTreeMap::new();
    for (name, value) in model {
        let Some((kind, above)) = name.strip_suffix("k_tokens").and_then(|name| name.rsplit_once("_above_"))
        else {
            continue;
        };
        let (Ok(above), Some(value)) = (above.parse::<u64>(), value.as_f64()) else { continue };
        let tier = tiers.entry(above * 1_000).or_default();
        let value = Some(picos(value));
        match kind {
            "input_cost_per_token" => tier.input = value,
            "output_cost_per_token" => tier.output = value,
            "cache_read_input_token_cost" => tier.read = value,
            "cache_creation_input_token_cost" if base.write.is_some() => tier.write = value,
            _ => {}
        }
    }
    Some(Prices { base, tiers })
}

/// The list has floats, and noise in their last digits.
fn picos(dollars_a_token: f64) -> Price {
    Price::from_picos_a_token((dollars_a_token * 1e12).round() as u64)
}

/// Models that cost nothing at a provider that bills for others, by its own list.
const FREE: [(&str, &str); 5] = [
    ("zai", "glm-4.5-flash"),
    ("zai", "glm-4.7-flash"),
    ("gemini", "gemma-3-27b-it"),
    ("gemini", "gemma-4-26b-a4b-it"),
    ("gemini", "gemma-4-31b-it"),
];

impl Listed {
    /// Whether the table should know it.
    pub(super) fn is_wanted(&self) -> bool {
        let is_zero = self.prices.base.input == Price::FREE && self.prices.base.output == Price::FREE;
        if is_zero && !FREE.contains(&(self.provider, &self.name)) {
            return false;
        }
        // Ten dollars for a million tokens of an embedding is a slip of the unit.
        if self.is_embedding && self.prices.base.input > Price::per_million("10").expect("ten is a number") {
            return false;
        }
        let name = self.name.as_str();
        let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        match self.provider {
            "openai" => !begins(&["daybreak", "gpt-daybreak"]),
            "azure-openai" => name != "ada" && !begins(&["model-router", "mistral-"]),
            "vertex" => begins(&["claude", "gemini", "gemma", "text-", "multimodal", "codestral", "mistral"]),
            "bedrock" => !name.contains('@') && !begins(&["claude-", "us-gov."]),
            "mistral" => !begins(&["zai-", "glm-", "deepseek", "mistral-vibe", "mistral-code"]),
            "cerebras" => !begins(&["llama3.1", "llama-3.1-70b"]),
            "perplexity" => {
                matches!(
                    name,
                    "sonar" | "sonar-pro" | "sonar-reasoning" | "sonar-reasoning-pro" | "sonar-deep-research"
                ) || begins(&["pplx-embed"])
            }
            "together" => !begins(&["together-ai-", "together/", "Prism-ML"]),
            _ => true,
        }
    }

    /// Whether it was switched off before that day (`YYYY-MM-DD`).
    pub(super) fn was_off_before(&self, day: &str) -> bool {
        self.switched_off.as_deref().is_some_and(|off| off < day)
    }
}

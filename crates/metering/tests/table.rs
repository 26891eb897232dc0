//! The built-in table.

use mainstay_metering::{Price, PriceTable};

#[test]
fn it_knows_the_models_that_matter() {
    let table = PriceTable::built_in();
    assert!(table.models().count() >= 500);
    for (provider, model) in [
        ("openai", "gpt-4o"),
        ("openai", "gpt-4o-mini-2024-07-18"),
        ("openai", "gpt-5-nano"),
        ("openai", "o4-mini-2025-04-16"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::x1"),
        ("openai", "text-embedding-3-large"),
        ("azure-openai", "gpt-4.1-mini"),
        ("anthropic", "claude-haiku-4-5-20251001"),
        ("anthropic", "claude-opus-5-5"),
        ("gemini", "gemini-2.5-flash-lite"),
        ("gemini", "models/gemini-2.5-flash"),
        ("vertex", "gemini-3-flash-preview"),
        ("vertex", "claude-opus-4-8@default"),
        ("bedrock", "us.anthropic.claude-sonnet-4-6"),
        ("bedrock", "eu.amazon.nova-pro-v1:0"),
        ("mistral", "mistral-small-latest"),
        ("cohere", "command-a-03-2025"),
        ("deepseek", "deepseek-reasoner"),
        ("xai", "grok-4.20-beta-0309-reasoning"),
        ("openrouter", "openai/gpt-5-mini"),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("perplexity", "sonar-pro"),
        ("zai", "glm-5.3"),
    ] {
        assert!(table.prices(provider, model).is_some(), "{provider}/{model}");
    }
}

#[test]
fn no_listed_price_is_a_slip_of_the_unit() {
    // A thousand dollars per million tokens is beyond any model; a cached token costs no more than a new one, and a
    // model of a provider that bills is not free unless its list says so.
    let free = ["gemma-3-27b-it", "gemma-4-26b-a4b-it", "gemma-4-31b-it", "glm-4.5-flash", "glm-4.7-flash"];
    for (provider, model, prices) in PriceTable::built_in().models() {
        for rates in std::iter::once(prices.base()).chain(prices.tiers().iter().map(|tier| &tier.rates)) {
            let name = format!("{provider}/{model}");
            assert!(rates.input.max(rates.output).as_f64_per_million() < 1_000.0, "{name}");
            assert!(rates.cache_read <= rates.input, "{name}");
            assert!(rates.cache_write <= rates.cache_write_long, "{name}");
            assert!(rates.input > Price::FREE || free.contains(&model), "{name}");
        }
        let longer = prices.tiers().iter().map(|tier| tier.rates.input);
        assert!(longer.clone().all(|price| price >= prices.base().input), "{provider}/{model}");
    }
}

#[test]
fn names_of_strangers_are_not_taken_apart_wrongly() {
    let table = PriceTable::built_in();
    for name in ["", "/", "-", "@", ":", "gpt-4o-", "é", "-2024-08-06", "ft:", "us.", "gpt-4o-2024-08-0é"] {
        for provider in ["openai", "bedrock", "openrouter", "vertex", "é"] {
            assert!(table.prices(provider, name).is_none(), "{provider}/{name}");
        }
    }
}

//! Costs of real usage blocks, one of each kind of provider, reckoned by hand from the price lists.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use mainstay_metering::{Basis, Kind, NanoUsd, PriceTable, Tokens};
use mainstay_provider_core::Usage;
use mainstay_provider_core::chat::TokenUsage;
use serde_json::json;

/// The parts in nano-dollars, and that they are all.
#[track_caller]
fn costs(provider: &str, model: &str, usage: Usage, parts: &[(Kind, u64)]) {
    let cost = PriceTable::built_in().cost(provider, model, &usage).unwrap();
    let found: Vec<_> = cost.parts().map(|(kind, amount)| (kind, amount.as_nanos())).collect();
    assert_eq!(found, parts, "{provider}/{model}");
    assert_eq!(cost.total().as_nanos(), parts.iter().map(|(_, nanos)| nanos).sum::<u64>());
}

fn usage(input: u64, output: u64, change: impl FnOnce(&mut Usage)) -> Usage {
    let mut usage = Usage::new(input, output);
    change(&mut usage);
    usage
}

#[test]
fn openai_bills_cached_input_at_half() {
    // {"prompt_tokens": 2006, "completion_tokens": 300, "prompt_tokens_details": {"cached_tokens": 1920}}
    let used = usage(2_006, 300, |usage| usage.cache_read = 1_920);
    let parts = [(Kind::Input, 86 * 2_500), (Kind::CacheRead, 1_920 * 1_250), (Kind::Output, 300 * 10_000)];
    costs("openai", "gpt-4o-2024-08-06", used, &parts);
}

#[test]
fn reasoning_is_output_and_is_shown_apart() {
    // {"prompt_tokens": 75, "completion_tokens": 1186, "completion_tokens_details": {"reasoning_tokens": 1024}}
    let used = usage(75, 1_186, |usage| usage.reasoning = 1_024);
    costs(
        "openai",
        "o3-mini",
        used,
        &[(Kind::Input, 75 * 1_100), (Kind::Output, 162 * 4_400), (Kind::Reasoning, 1_024 * 4_400)],
    );
    let deep = usage(33, 7_163, |usage| usage.reasoning = 5_000);
    costs(
        "perplexity",
        "sonar-deep-research",
        deep,
        &[(Kind::Input, 33 * 2_000), (Kind::Output, 2_163 * 8_000), (Kind::Reasoning, 5_000 * 3_000)],
    );
}

#[test]
fn anthropic_bills_both_lifetimes_of_a_cache_write() {
    // {"input_tokens": 21, "cache_creation_input_tokens": 556, "cache_read_input_tokens": 2000, "output_tokens": 77,
    //  "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 456}}
    let used = usage(21 + 556 + 2_000, 77, |usage| {
        (usage.cache_read, usage.cache_write, usage.cache_write_long) = (2_000, 556, 456);
    });
    costs(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        used,
        &[
            (Kind::Input, 21 * 3_000),
            (Kind::CacheRead, 2_000 * 300),
            (Kind::CacheWrite, 100 * 3_750),
            (Kind::CacheWriteLong, 456 * 6_000),
            (Kind::Output, 77 * 15_000),
        ],
    );
}

#[test]
fn a_longer_input_raises_the_price_of_every_token() {
    let at = usage(200_000, 1_000, |usage| usage.cache_read = 100_000);
    costs(
        "gemini",
        "gemini-2.5-pro",
        at,
        &[(Kind::Input, 100_000 * 1_250), (Kind::CacheRead, 100_000 * 125), (Kind::Output, 1_000 * 10_000)],
    );
    let above = usage(200_001, 1_000, |usage| usage.cache_read = 100_000);
    costs(
        "gemini",
        "gemini-2.5-pro",
        above,
        &[(Kind::Input, 100_001 * 2_500), (Kind::CacheRead, 100_000 * 250), (Kind::Output, 1_000 * 15_000)],
    );
    // Where the list says nothing of a kind above the threshold, it rises as input does: 6.00 for an hour becomes 12.00.
    let written = usage(200_001, 0, |usage| (usage.cache_write, usage.cache_write_long) = (200_001, 200_001));
    costs(
        "bedrock",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        written,
        &[(Kind::CacheWriteLong, 200_001 * 12_000)],
    );
}

#[test]
fn gemini_bills_thoughts_as_output() {
    // {"promptTokenCount": 11, "candidatesTokenCount": 9, "thoughtsTokenCount": 25}
    let used = usage(11, 34, |usage| usage.reasoning = 25);
    let parts = [(Kind::Input, 11 * 300), (Kind::Output, 9 * 2_500), (Kind::Reasoning, 25 * 2_500)];
    costs("gemini", "gemini-2.5-flash", used, &parts);
    costs("vertex", "gemini-2.5-flash", used, &parts);
}

#[test]
fn other_providers_bill_by_their_own_lists() {
    let deepseek = usage(1_000, 10, |usage| usage.cache_read = 896);
    let parts = [(Kind::Input, 104 * 280), (Kind::CacheRead, 896 * 28), (Kind::Output, 10 * 420)];
    costs("deepseek", "deepseek-chat", deepseek, &parts);
    let nova = usage(500, 20, |usage| (usage.cache_read, usage.cache_write) = (300, 100));
    costs(
        "bedrock",
        "amazon.nova-lite-v1:0",
        nova,
        &[
            (Kind::Input, 100 * 60),
            (Kind::CacheRead, 300 * 15),
            (Kind::CacheWrite, 100 * 60),
            (Kind::Output, 20 * 240),
        ],
    );
    costs(
        "mistral",
        "mistral-large-latest",
        Usage::new(9, 8),
        &[(Kind::Input, 4_500), (Kind::Output, 12_000)],
    );
    costs("cohere", "command-a-03-2025", Usage::new(9, 8), &[(Kind::Input, 22_500), (Kind::Output, 80_000)]);
    let tokens = usage(100, 20, |usage| usage.cache_read = 64);
    costs(
        "groq",
        "openai/gpt-oss-120b",
        tokens,
        &[(Kind::Input, 36 * 150), (Kind::CacheRead, 64 * 75), (Kind::Output, 20 * 600)],
    );
    costs("openai", "text-embedding-3-small", Usage::new(8, 0), &[(Kind::Input, 160)]);
}

#[test]
fn the_region_of_a_model_has_its_own_price() {
    let used = Usage::new(1_000, 0);
    costs("bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0", used, &[(Kind::Input, 1_000_000)]);
    costs("bedrock", "global.anthropic.claude-haiku-4-5-20251001-v1:0", used, &[(Kind::Input, 1_000_000)]);
    costs("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", used, &[(Kind::Input, 1_100_000)]);
}

#[test]
fn what_is_less_than_a_nano_dollar_is_rounded_up_once() {
    // 7 tokens at 0.0375 dollars a million are 262.5 nano-dollars, 3 at 0.15 are 450: 712.5 together.
    let cost = PriceTable::built_in().cost("cohere", "command-r7b-12-2024", &Usage::new(7, 3)).unwrap();
    assert_eq!(cost.total(), NanoUsd::from_nanos(713));
    assert_eq!(cost.of(Kind::Input), NanoUsd::from_nanos(263));
    assert_eq!(cost.of(Kind::Output), NanoUsd::from_nanos(450));
}

#[test]
fn recordings_have_their_own_price() {
    let told = json!({
        "prompt_tokens": 120, "completion_tokens": 60, "total_tokens": 180,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 50},
    });
    let told: TokenUsage = serde_json::from_value(told).unwrap();
    let table = PriceTable::built_in();
    let prices = table.prices("openai", "gpt-audio").unwrap().prices;
    let cost = prices.cost(Tokens::from(&told), table.version());
    let found: Vec<_> = cost.parts().map(|(kind, amount)| (kind, amount.as_nanos())).collect();
    assert_eq!(
        found,
        [
            (Kind::Input, 20 * 2_500),
            (Kind::AudioInput, 100 * 32_000),
            (Kind::Output, 10 * 10_000),
            (Kind::AudioOutput, 50 * 64_000),
        ]
    );
}

#[test]
fn cohere_bills_less_than_its_models_read() {
    // {"billed_units": {"input_tokens": 62, "output_tokens": 38}, "tokens": {"input_tokens": 1531, "output_tokens": 77}}
    let told = json!({
        "prompt_tokens": 1_531, "completion_tokens": 77, "total_tokens": 1_608,
        "billed_units": {"input_tokens": 62.0, "output_tokens": 38.0},
    });
    let told: TokenUsage = serde_json::from_value(told).unwrap();
    let cost = mainstay_metering::Meter::default().cost("cohere", "command-r7b-12-2024", &told).unwrap();
    assert_eq!(cost.of(Kind::Input).as_nanos(), (62 * 375u64).div_ceil(10));
    assert_eq!(cost.of(Kind::Output).as_nanos(), 38 * 150);
}

#[test]
fn a_provider_that_contradicts_itself_is_taken_at_the_dearer_word() {
    // More read than there was input, more reasoning than there was output.
    let used = usage(10, 5, |usage| (usage.cache_read, usage.reasoning) = (4_000, 70));
    costs("openai", "gpt-5", used, &[(Kind::CacheRead, 4_000 * 125), (Kind::Reasoning, 70 * 10_000)]);
}

#[test]
fn a_cost_says_which_prices_it_was_reckoned_with_and_where_they_are_from() {
    let table = PriceTable::built_in();
    let basis = |provider, model| {
        let cost = table.cost(provider, model, &Usage::new(1, 1)).unwrap();
        assert_eq!(cost.version(), table.version());
        cost.basis()
    };
    assert_eq!(table.version().as_str(), "2026-11-21");
    assert_eq!(basis("openai", "gpt-4o"), Basis::Listed);
    assert_eq!(basis("openai", "gpt-4o-2024-08-06"), Basis::Related);
    assert_eq!(basis("azure-openai", "gpt-4o"), Basis::Related);
    assert_eq!(basis("openrouter", "anthropic/claude-sonnet-4.6"), Basis::Related);
    assert_eq!(basis("ollama", "llama3.3"), Basis::Local);
}

// S1.8
#[test]
fn local_models_cost_nothing() {
    for provider in ["ollama", "vllm", "sim"] {
        let cost = PriceTable::built_in().cost(provider, "any", &Usage::new(1_000_000, 1_000_000)).unwrap();
        assert_eq!((cost.total(), cost.basis()), (NanoUsd::ZERO, Basis::Local));
    }
}

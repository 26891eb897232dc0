//! What is reserved before a call is the most that it can be billed (M1).

use mainstay_metering::{
    Meter, NanoUsd, PriceFile, PriceTable, TokenCount, TokenCounter, UnknownPricePolicy,
};
use mainstay_provider_core::chat::Part;
use mainstay_provider_core::{ChatRequest, Message, Usage};
use serde_json::json;

/// Says that every request has so many tokens, and ten more at most.
struct Fixed(u64);

impl TokenCounter for Fixed {
    fn count(&self, _: &str, _: &str, _: &ChatRequest) -> TokenCount {
        TokenCount::about(self.0, 10)
    }

    fn count_text(&self, _: &str, _: &str, _: &str) -> TokenCount {
        TokenCount::exactly(self.0)
    }
}

fn meter(input: u64) -> Meter {
    Meter::builder().counter(Fixed(input)).build()
}

fn request() -> ChatRequest {
    ChatRequest::new("any", vec![Message::user("Hello")])
}

#[test]
fn the_error_of_the_count_and_the_largest_output_are_in_it() {
    let mut request = request();
    request.max_completion_tokens = Some(100);
    let reserve = meter(990).reserve(&request, [("openai", "gpt-4o")]).unwrap();
    assert_eq!((reserve.input, reserve.output, reserve.tokens()), (1_000, 100, 1_100));
    assert_eq!(reserve.cost, NanoUsd::from_nanos(1_000 * 2_500 + 100 * 10_000));
}

#[test]
fn without_a_limit_in_the_request_the_models_own_counts_and_each_answer() {
    let mut request = request();
    assert_eq!(meter(990).reserve(&request, [("openai", "gpt-4o")]).unwrap().output, 16_384);
    request.n = Some(3);
    assert_eq!(meter(990).reserve(&request, [("openai", "gpt-4o")]).unwrap().output, 3 * 16_384);
    // A limit beyond the model's own buys nothing.
    request.max_tokens = Some(1_000_000_000);
    assert_eq!(meter(990).reserve(&request, [("openai", "gpt-4o")]).unwrap().output, 3 * 16_384);
}

#[test]
fn a_model_without_any_limit_has_that_of_the_meter() {
    let policy =
        || UnknownPricePolicy::Estimate(mainstay_metering::ModelPrices::per_million("1", "1").unwrap());
    let meter = Meter::builder().counter(Fixed(1)).unknown_price(policy()).largest_output(500).build();
    assert_eq!(meter.reserve(&request(), [("openai", "gpt-99")]).unwrap().output, 500);
    let table =
        PriceFile::from_json(r#"{"prices": {"a/b": {"input": 1, "output": 1, "context_window": 300}}}"#);
    let table = PriceTable::built_in().with(&table.unwrap()).unwrap();
    let meter = Meter::builder().counter(Fixed(90)).table(table).build();
    assert_eq!(meter.reserve(&request(), [("a", "b")]).unwrap().output, 200, "what the window leaves");
}

#[test]
fn the_dearest_of_those_who_may_answer_counts() {
    let mut request = request();
    request.max_tokens = Some(100);
    let both = [("openai", "gpt-4o-mini"), ("anthropic", "claude-opus-4-8"), ("ollama", "llama3")];
    let reserve = meter(990).reserve(&request, both).unwrap();
    // At Anthropic input may be written to the cache, at 1.25 times its price.
    assert_eq!(reserve.cost, NanoUsd::from_nanos(1_000 * 6_250 + 100 * 25_000));
}

#[test]
fn a_tier_that_the_input_may_reach_counts() {
    let mut request = request();
    request.max_tokens = Some(1_000);
    let cost =
        |input| meter(input).reserve(&request, [("gemini", "gemini-2.5-pro")]).unwrap().cost.as_nanos();
    assert_eq!(cost(199_990), 200_000 * 1_250 + 1_000 * 10_000);
    assert_eq!(cost(199_991), 200_001 * 2_500 + 1_000 * 15_000, "with the error of the count");
}

#[test]
fn the_one_hour_cache_counts_when_it_is_asked_for() {
    let mut part = Part::text("A long document");
    if let Part::Text(text) = &mut part {
        text.extra.insert("cache_control", json!({"type": "ephemeral", "ttl": "1h"}));
    }
    let mut request = ChatRequest::new("any", vec![Message::user(vec![part])]);
    request.max_tokens = Some(0);
    let reserve = meter(990).reserve(&request, [("anthropic", "claude-sonnet-4-6")]).unwrap();
    assert_eq!(reserve.cost, NanoUsd::from_nanos(1_000 * 6_000));
}

#[test]
fn recordings_count_at_their_own_price() {
    let audio: Part = serde_json::from_value(
        json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}),
    )
    .unwrap();
    let mut request = ChatRequest::new("any", vec![Message::user(vec![audio])]);
    request.max_tokens = Some(10);
    let reserve = meter(90).reserve(&request, [("openai", "gpt-audio")]).unwrap();
    assert_eq!(reserve.cost, NanoUsd::from_nanos(100 * 32_000 + 10 * 64_000));
}

#[test]
fn an_unknown_price_is_refused_before_the_call() {
    assert!(meter(1).reserve(&request(), [("openai", "gpt-4o"), ("openai", "gpt-99")]).is_err());
}

#[test]
fn the_settled_cost_is_within_the_reserve() {
    let mut request = request();
    request.max_tokens = Some(200);
    let meter = meter(5_000);
    for (provider, model) in
        [("openai", "gpt-5"), ("anthropic", "claude-haiku-5-5"), ("gemini", "gemini-3-flash-preview")]
    {
        let reserve = meter.reserve(&request, [(provider, model)]).unwrap();
        let mut used = Usage::new(5_010, 200);
        (used.cache_write, used.reasoning) = (4_000, 150);
        assert!(meter.cost(provider, model, used).unwrap().total() <= reserve.cost, "{model}");
    }
}

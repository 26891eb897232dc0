//! The estimate, against OpenAI's own tokenizer.

#[path = "common/texts.rs"]
mod texts;

use mainstay_metering::{Estimate, TokenCount, TokenCounter};
use mainstay_provider_core::chat::{Part, Tool};
use mainstay_provider_core::{ChatRequest, Message};
use serde_json::json;

fn text(model: &str, text: &str) -> u64 {
    Estimate.count_text("openai", model, text).tokens()
}

#[test]
fn english_code_and_data_are_within_ten_percent_or_eight_tokens() {
    for (name, said, tokens, _) in &texts::TEXTS[..11] {
        let estimate = text("gpt-4o", said);
        let allowed = (tokens / 10).max(8);
        assert!(estimate.abs_diff(*tokens) <= allowed, "{name}: {estimate} for {tokens}");
    }
}

#[test]
fn all_of_it_together_is_within_five_percent() {
    let sum = |pick: fn(&(&str, &str, u64, u64)) -> u64| texts::TEXTS[..11].iter().map(pick).sum::<u64>();
    let (estimate, tokens) = (sum(|case| text("gpt-4o", case.1)), sum(|case| case.2));
    assert!(estimate.abs_diff(tokens) * 20 <= tokens, "{estimate} for {tokens}");
}

#[test]
fn other_languages_are_within_a_quarter() {
    for (name, said, tokens, _) in &texts::TEXTS[11..29] {
        let estimate = text("gpt-4o", said);
        let allowed = (tokens / 4).max(6);
        assert!(estimate.abs_diff(*tokens) <= allowed, "{name}: {estimate} for {tokens}");
    }
}

#[test]
fn nothing_is_nothing() {
    assert_eq!(text("gpt-4o", ""), 0);
    let empty = ChatRequest::new("gpt-4o", vec![]);
    assert!(Estimate.count("openai", "gpt-4o", &empty).tokens() <= 4);
}

#[test]
fn the_error_is_stated() {
    let count = Estimate.count_text("anthropic", "claude-sonnet-4-6", &"word ".repeat(1_000));
    assert_eq!(count.at_most(), count.tokens() + count.tokens() / 10 + 10);
    assert_eq!(TokenCount::exactly(7).at_most(), 7);
}

#[test]
fn tools_calls_and_schemas_count() {
    let mut request = ChatRequest::new("gpt-4o", vec![Message::user("What is the weather in Paris?")]);
    let count = |request: &ChatRequest| Estimate.count("openai", "gpt-4o", request).tokens();
    let bare = count(&request);
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string", "description": "The city"}}});
    request.tools = vec![Tool::function("get_weather", "The weather of a city", schema.clone())];
    let with_tool = count(&request);
    assert!((20..60).contains(&(with_tool - bare)), "{bare} {with_tool}");
    request.response_format = serde_json::from_value(
        json!({"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}}),
    )
    .ok();
    assert!(count(&request) >= with_tool + 15);
    // Claude is told at length how to call tools.
    assert!(Estimate.count("anthropic", "claude-haiku-4-5", &request).tokens() > 500);
}

#[test]
fn reasoning_of_turns_that_are_over_is_not_sent_again() {
    let thought = |turns: Vec<Message>| {
        let request = ChatRequest::new("deepseek-chat", turns);
        Estimate.count("deepseek", "deepseek-chat", &request).tokens()
    };
    let mut answer = Message::assistant("Four.");
    answer.reasoning_content = Some("Two and two. ".repeat(100));
    let over = thought(vec![Message::user("2+2?"), answer.clone(), Message::user("And 3+3?")]);
    let going_on = thought(vec![Message::user("2+2?"), answer, Message::tool("1", "ok")]);
    assert!(over < 40 && going_on > 300, "{over} {going_on}");
}

#[test]
fn images_count_by_their_size_and_by_the_family() {
    // The beginning of a PNG of 1024 × 1024.
    let png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAABAAAAAQA";
    let count = |model: &str, url: &str, detail: Option<&str>| {
        let mut part = Part::image(url);
        if let (Part::Image(image), Some(detail)) = (&mut part, detail) {
            image.image_url.detail = Some(detail.into());
        }
        let request = ChatRequest::new(model, vec![Message::user(vec![part])]);
        Estimate.count("any", model, &request)
    };
    let tokens = |model: &str| count(model, png, None).tokens();
    // OpenAI's documentation: a square of 1024 is 4 tiles of 512 after it was made smaller, 765 tokens; 85 at low detail.
    assert_eq!(tokens("gpt-4o"), 765 + 7);
    assert_eq!(count("gpt-4o", png, Some("low")).tokens(), 85 + 7);
    assert_eq!(tokens("gpt-5"), 70 + 4 * 140 + 6);
    // 1024 patches of 32, times 1.62, rounded up.
    assert_eq!(tokens("gpt-4.1-mini"), 1_659 + 7);
    // Anthropic's: width times height by 750.
    assert_eq!(tokens("claude-sonnet-4-5"), 1_399 + 8);
    assert_eq!(tokens("gemini-2.5-flash"), 5 * 258, "four tiles and the whole");
    // One that nobody has seen has more slack.
    let unseen = count("gpt-4o", "https://example.com/a.png", None);
    assert!(unseen.at_most() > count("gpt-4o", png, None).at_most());
}

#[test]
fn recordings_and_documents_count_too() {
    let count = |part: serde_json::Value| {
        let part: Part = serde_json::from_value(part).unwrap();
        let request = ChatRequest::new("gpt-4o", vec![Message::user(vec![part])]);
        Estimate.count("openai", "gpt-4o", &request).tokens()
    };
    // Ten seconds of plain samples.
    let audio = json!({"type": "input_audio", "input_audio": {"data": "A".repeat(426_668), "format": "wav"}});
    assert!((100..120).contains(&count(audio)));
    let file = json!({"type": "file", "file": {"file_data": "A".repeat(100_000)}});
    assert!(count(file) > 2_000);
    let other = json!({"type": "custom_thing", "text": "Some words that a provider may read."});
    assert!(count(other) > 8);
}

#[test]
fn hostile_texts_are_counted_too() {
    let odd = [
        "\u{0}\u{1}",
        "\u{200d}\u{200d}",
        "𓀀𓀁",
        "e\u{301}",
        "ﷺ",
        "🏳️‍🌈",
        "\u{7f}",
        "×÷",
        "ß",
        "İ",
        "AÉz",
        "aB1 _",
    ];
    for said in odd {
        assert!(text("gpt-4o", said) > 0, "{said:?}");
    }
    for piece in ["a", "A", "1", " ", "\n", "!", "é", "字", "🎉", "aA", "1a", "\u{301}"] {
        let long = piece.repeat(10_000);
        let count = text("gpt-4o", &long);
        assert!((1..=40_000).contains(&count), "{piece:?}: {count}");
    }
}

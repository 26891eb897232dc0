//! OpenAI's models, counted with their own encodings.
#![cfg(feature = "exact")]

#[path = "common/texts.rs"]
mod texts;

use std::time::Instant;

use mainstay_metering::{Estimate, Exact, TokenCount, TokenCounter};
use mainstay_provider_core::{ChatRequest, Message};

#[test]
fn texts_have_the_tokens_that_openais_tokenizer_finds() {
    let exact = Exact::new();
    for (name, text, o200k, cl100k) in texts::TEXTS {
        for model in
            ["gpt-4o", "gpt-4o-mini-2024-07-18", "gpt-4.1", "gpt-5-nano", "o3-mini", "ft:gpt-4o:acme::1"]
        {
            assert_eq!(
                exact.count_text("openai", model, text),
                TokenCount::exactly(*o200k),
                "{name} {model}"
            );
        }
        for model in ["gpt-4", "gpt-4-turbo", "gpt-3.5-turbo-0125", "gpt-35-turbo", "text-embedding-3-small"]
        {
            assert_eq!(
                exact.count_text("openai", model, text),
                TokenCount::exactly(*cl100k),
                "{name} {model}"
            );
        }
    }
    let behind = exact.count_text("openrouter", "openai/gpt-4o", "A mainstay");
    assert_eq!(behind, exact.count_text("openai", "gpt-4o", "A mainstay"));
}

#[test]
fn models_of_others_are_estimated() {
    let exact = Exact::new();
    for model in
        ["claude-sonnet-4-6", "gemini-2.5-flash", "text-embedding-004", "llama-3.3-70b", "my-deployment"]
    {
        assert_eq!(
            exact.count_text("any", model, "Some text"),
            Estimate.count_text("any", model, "Some text")
        );
    }
}

// From OpenAI's answers: {"messages": [{"role": "user", "content": …}]} and its prompt_tokens.
#[test]
fn a_plain_conversation_is_counted_to_the_token() {
    let count = |model: &str, turns: Vec<Message>| {
        Exact::new().count("openai", model, &ChatRequest::new(model, turns)).tokens()
    };
    assert_eq!(count("gpt-4o", vec![Message::user("Hello, how are you?")]), 13);
    assert_eq!(count("gpt-3.5-turbo", vec![Message::user("Hello, how are you?")]), 13);
    let turns = vec![Message::system("You are a helpful assistant."), Message::user("Hello!")];
    assert_eq!(count("gpt-4o", turns), 19);
}

// A caller must not be able to hold a thread for seconds with a text that is built for it.
#[test]
#[allow(clippy::disallowed_methods, reason = "it is about real time")]
fn a_megabyte_of_one_letter_takes_no_seconds() {
    let exact = Exact::new();
    for piece in ["a", "A", "1", " ", "!", "é", "字", "ab", "\n", "\u{301}", "aA", " \n", "。", "🎉"] {
        let text = piece.repeat(1_000_000 / piece.len());
        let begun = Instant::now();
        let count = exact.count_text("openai", "gpt-4o", &text);
        let took = begun.elapsed();
        println!("{piece:?}: {count:?} in {took:?}");
        assert!(took.as_secs_f64() < 3.0, "{piece:?}: {took:?}");
        // Counted in one go, on another day.
        let told =
            [("a", 125_000), ("A", 125_000), (" ", 7_813), ("!", 62_500), ("é", 500_000), ("字", 333_333)];
        let more = [("ab", 250_000), ("\n", 62_500), ("\u{301}", 500_000), (" \n", 250_000), ("🎉", 500_000)];
        if let Some((_, tokens)) = told.iter().chain(&more).find(|(of, _)| *of == piece) {
            assert!(count.at_most() >= *tokens, "{piece:?}: {count:?}");
        }
    }
}

#[test]
fn a_long_piece_is_counted_in_pieces_and_says_so() {
    let exact = Exact::new();
    let count = |text: &str| exact.count_text("openai", "gpt-4o", text);
    // 8 letters a token, whether in one piece or in several.
    assert_eq!(count(&"a".repeat(256)), TokenCount::exactly(32));
    let long = count(&"a".repeat(20_480));
    assert!(long.at_most() > long.tokens() && long.tokens() == 2_560, "{long:?}");
    // Beyond what anybody would write it is estimated, and not too low.
    let longest = count(&"a".repeat(1_000_000));
    assert!((125_000..250_000).contains(&longest.tokens()), "{longest:?}");
    // The text around it is counted as ever.
    let around = count(&format!("A mainstay. {} The end.", "a".repeat(2_560)));
    let apart = count("A mainstay. ").tokens() + 320 + count(" The end.").tokens();
    assert!(around.tokens().abs_diff(apart) <= 2 && around.at_most() >= apart, "{around:?} {apart}");
    // Ordinary texts are never cut, in no language.
    for (name, text, ..) in texts::TEXTS {
        let page = format!("{text}\n").repeat(200);
        let count = count(&page);
        assert_eq!(count, TokenCount::exactly(count.tokens()), "{name}");
    }
}

//! Model strings, trace headers, subjects.
#![allow(clippy::unwrap_used)]

use mainstay_provider_core::{ModelId, Subject, TraceParent};
use proptest::prelude::*;

fn parse(model: &str) -> (&str, &str) {
    let id = ModelId::parse(model, |name| ["openai", "anthropic", "gemini", "together"].contains(&name));
    (id.provider, id.model)
}

#[test]
fn a_prefix_picks_the_provider_and_none_means_openai() {
    // S1.2
    assert_eq!(parse("anthropic/claude-sonnet-4-20250514"), ("anthropic", "claude-sonnet-4-20250514"));
    assert_eq!(parse("gemini/gemini-2.5-flash"), ("gemini", "gemini-2.5-flash"));
    assert_eq!(parse("gpt-4o-mini"), ("openai", "gpt-4o-mini"));
    assert_eq!(parse("openai/gpt-4o-mini"), ("openai", "gpt-4o-mini"));
}

#[test]
fn only_the_first_part_is_a_prefix_and_only_a_providers_name() {
    assert_eq!(parse("together/meta-llama/Llama-3-70b"), ("together", "meta-llama/Llama-3-70b"));
    assert_eq!(parse("meta-llama/Llama-3-70b"), ("openai", "meta-llama/Llama-3-70b"));
    assert_eq!(parse("together/together/x"), ("together", "together/x"));
}

#[test]
fn what_is_no_prefix_stays_in_the_model() {
    for model in ["", "/", "//", "/gpt-4o", "openai/", "Anthropic/claude", " anthropic/claude"] {
        assert_eq!(parse(model), ("openai", model));
    }
}

#[test]
fn a_traceparent_reads_and_prints() {
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let parent = TraceParent::parse(header).unwrap();
    assert_eq!((parent.span_id, parent.flags), (0x00f0_67aa_0ba9_02b7, 1));
    assert_eq!(parent.to_string(), header);
    assert_eq!(TraceParent::parse(&format!(" {header} ")), Some(parent));
}

#[test]
fn a_later_version_may_say_more_and_the_first_may_not() {
    let parts = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert!(TraceParent::parse(&format!("cc-{parts}")).is_some());
    assert!(TraceParent::parse(&format!("cc-{parts}-what-the-future-brings")).is_some());
    assert!(TraceParent::parse(&format!("00-{parts}-more")).is_none());
    assert!(TraceParent::parse(&format!("ff-{parts}")).is_none());
}

#[test]
fn what_is_no_traceparent_is_none() {
    for header in [
        "",
        "00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(TraceParent::parse(header), None, "{header}");
    }
}

#[test]
fn a_subject_has_a_kind_and_an_id() {
    let subject = Subject::parse("user:alice:smith").unwrap();
    assert_eq!((subject.kind(), subject.id(), subject.as_str()), ("user", "alice:smith", "user:alice:smith"));
    assert_eq!(Subject::new("org", "acme").to_string(), "org:acme");
    for text in ["", "user", "user:", ":alice"] {
        assert_eq!(Subject::parse(text), None);
    }
}

proptest! {
    #[test]
    fn every_traceparent_prints_as_what_it_reads(trace_id in 1u128.., span_id in 1u64.., flags: u8) {
        let parent = TraceParent { trace_id, span_id, flags };
        prop_assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
    }

    #[test]
    fn nothing_of_a_model_string_is_lost(model: String) {
        let id = ModelId::parse(&model, |name| name == "anthropic");
        let again = if id.provider == "anthropic" { id.to_string() } else { id.model.to_owned() };
        prop_assert_eq!(again, model);
    }
}

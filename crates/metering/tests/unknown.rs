//! A model whose price nobody knows is never free in silence.

use std::sync::{Arc, Mutex};

use mainstay_metering::{Basis, Meter, ModelPrices, NanoUsd, PriceTable, UnknownPricePolicy};
use mainstay_provider_core::{Event, Events, Severity, Usage};

fn meter(policy: UnknownPricePolicy) -> Meter {
    Meter::builder().unknown_price(policy).build()
}

#[test]
fn it_is_an_error_unless_something_else_was_declared() {
    let error = Meter::default().cost("openai", "gpt-99", Usage::new(1, 1)).unwrap_err();
    assert_eq!((error.provider(), error.model()), ("openai", "gpt-99"));
    assert_eq!(error.to_string(), "no price is known of the model \"gpt-99\" at \"openai\"");
    assert!(PriceTable::built_in().cost("nobody", "gpt-4o", &Usage::new(1, 1)).is_err());
    assert!(PriceTable::empty().cost("openai", "gpt-4o", &Usage::new(1, 1)).is_err());
}

#[test]
fn it_costs_what_was_declared_and_says_so() {
    let meter = meter(UnknownPricePolicy::Estimate(ModelPrices::per_million("5", "15").unwrap()));
    let cost = meter.cost("openai", "gpt-99", Usage::new(10, 10)).unwrap();
    assert_eq!((cost.total(), cost.basis()), (NanoUsd::from_nanos(200_000), Basis::Assumed));
    assert_eq!(meter.cost("openai", "gpt-4o", Usage::new(1, 0)).unwrap().basis(), Basis::Listed);
}

#[test]
fn it_is_let_through_with_one_alarm_a_model() {
    let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
    let sink = heard.clone();
    let meter = Meter::builder()
        .unknown_price(UnknownPricePolicy::AllowWithAlarm)
        .events(Events::to(move |event| sink.lock().unwrap().push(event)))
        .build();
    for model in ["gpt-99", "gpt-98", "gpt-99", "gpt-4o"] {
        let cost = meter.cost("openai", model, Usage::new(10, 10)).unwrap();
        let basis = if model == "gpt-4o" { Basis::Listed } else { Basis::Unpriced };
        assert_eq!(cost.basis(), basis);
    }
    let heard = heard.lock().unwrap();
    let models: Vec<_> = heard.iter().map(|event| event.attributes[1].1.to_string()).collect();
    assert_eq!(models, ["gpt-99", "gpt-98"]);
    assert!(heard.iter().all(|event| event.name == "price.unknown" && event.severity == Severity::Alert));
}

#[test]
fn invented_names_take_no_memory_without_end() {
    let heard: Arc<Mutex<u32>> = Arc::default();
    let sink = heard.clone();
    let meter = Meter::builder()
        .unknown_price(UnknownPricePolicy::AllowWithAlarm)
        .events(Events::to(move |_| *sink.lock().unwrap() += 1))
        .build();
    for number in 0..5_000 {
        meter.cost("openai", &format!("invented-{number}"), Usage::new(1, 1)).unwrap();
    }
    assert_eq!(*heard.lock().unwrap(), 1_000);
}

#[test]
fn a_price_that_is_not_written_down_is_not_zero() {
    let table = "version test\n[openai]\ngpt-99 in=2.5\n";
    assert_eq!(PriceTable::from_text(table).unwrap_err().to_string(), "line 3: there is no `out`");
    for provider in ["openrouter", "huggingface", "together"] {
        assert!(PriceTable::built_in().prices(provider, "some/model").is_none());
    }
    // Another offer of a known model: not for nothing, and not for its price.
    assert!(PriceTable::built_in().prices("openrouter", "openai/gpt-4o:free").is_none());
}

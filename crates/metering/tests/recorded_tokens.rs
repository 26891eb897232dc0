//! Counts before the call beside the usage that providers told after it.
#![allow(clippy::print_stdout, reason = "the figures of the documentation are printed here")]

mod common;

use std::collections::BTreeMap;

use common::Exchange;
use mainstay_metering::{Estimate, TokenCounter};

#[derive(Default)]
struct Errors {
    count: u64,
    told: u64,
    counted: u64,
    apart: u64,
    near: u64,
    /// Those that used no more than would have been reserved.
    covered: u64,
}

fn measure(counter: &impl TokenCounter, exchanges: &[Exchange]) -> BTreeMap<String, Errors> {
    let mut by_provider: BTreeMap<String, Errors> = BTreeMap::new();
    for exchange in exchanges {
        let (Some(request), None, told) = (&exchange.request, exchange.hidden, exchange.usage.input) else {
            continue;
        };
        if told == 0 {
            continue;
        }
        let count = counter.count(&exchange.provider, &exchange.model, request);
        let counted = count.tokens();
        let apart = counted.abs_diff(told);
        let near = apart <= (told / 10).max(10);
        if !near {
            println!("   {:<55} {:<28} told {told:>6} counted {counted:>6}", exchange.id, exchange.model);
        }
        for name in [&exchange.provider, "all"] {
            let errors = by_provider.entry(name.to_owned()).or_default();
            errors.count += 1;
            errors.told += told;
            errors.counted += counted;
            errors.apart += apart;
            errors.near += u64::from(near);
            errors.covered += u64::from(told <= count.at_most());
        }
    }
    for (provider, errors) in &by_provider {
        let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole as f64;
        println!(
            "{provider:<14} {:>4} requests, {:>7} tokens told: sum off by {:>5.1} %, apart {:>5.1} %, near {:>5.1} %, covered {:>5.1} %",
            errors.count,
            errors.told,
            percent(errors.counted, errors.told) - 100.0,
            percent(errors.apart, errors.told),
            percent(errors.near, errors.count),
            percent(errors.covered, errors.count),
        );
    }
    by_provider
}

#[test]
fn the_estimate_is_within_ten_percent_of_what_was_told() {
    let Some(exchanges) = common::exchanges() else { return };
    let errors = measure(&Estimate, &exchanges);
    let all = &errors["all"];
    assert!(all.count >= 200, "{}", all.count);
    assert!(all.apart * 10 <= all.told, "{} of {}", all.apart, all.told);
    assert!(all.near * 100 >= all.count * 85, "{} of {}", all.near, all.count);
    for (provider, errors) in errors.iter().filter(|(_, errors)| errors.told >= 1_000) {
        assert!(errors.apart * 100 <= errors.told * 11, "{provider}: {} of {}", errors.apart, errors.told);
    }
}

#[cfg(feature = "exact")]
#[test]
fn the_exact_count_is_within_five_percent_of_what_openai_told() {
    let Some(exchanges) = common::exchanges() else { return };
    let errors = measure(&mainstay_metering::Exact::new(), &exchanges);
    let openai = &errors["openai"];
    assert!(openai.apart * 20 <= openai.told, "{} of {}", openai.apart, openai.told);
}

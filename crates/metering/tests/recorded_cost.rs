//! Costs of recorded exchanges beside what the providers themselves say that they cost.
#![allow(clippy::print_stdout, reason = "the figures of the documentation are printed here")]

mod common;

use mainstay_metering::{Basis, NanoUsd, PriceTable};

#[test]
fn every_recorded_usage_has_a_cost_that_adds_up() {
    let Some(exchanges) = common::exchanges() else { return };
    let table = PriceTable::built_in();
    let (mut known, mut unknown) = (0, Vec::new());
    for exchange in &exchanges {
        match table.cost(&exchange.provider, &exchange.model, &exchange.usage) {
            Ok(cost) => {
                known += 1;
                let used = exchange.usage.total() > 0 && cost.basis() != Basis::Local;
                let parts: NanoUsd = cost.parts().map(|(_, amount)| amount).sum();
                assert_eq!(parts, cost.total(), "{}", exchange.id);
                assert!(!used || !cost.total().is_zero(), "{} {}", exchange.id, exchange.model);
            }
            Err(error) => unknown.push(format!("{}/{}", error.provider(), error.model())),
        }
    }
    unknown.sort();
    unknown.dedup();
    println!(
        "{known} of {} recorded usages have a price; without one: {}",
        exchanges.len(),
        unknown.join(", ")
    );
    assert!(known * 3 >= exchanges.len() * 2, "{known} of {}", exchanges.len());
}

#[test]
fn costs_are_what_the_providers_say() {
    let Some(exchanges) = common::exchanges() else { return };
    let table = PriceTable::built_in();
    let (mut compared, mut off) = (0, Vec::new());
    for exchange in &exchanges {
        let Some(billed) = exchange.billed else { continue };
        let Ok(cost) = table.cost(&exchange.provider, &exchange.model, &exchange.usage) else { continue };
        compared += 1;
        let ours = cost.total().as_nanos() as f64 / 1e9;
        // Perplexity rounds to hundred-thousandths of a dollar.
        let allowed = if exchange.provider == "perplexity" { 1e-5 } else { 1e-8 };
        if (ours - billed).abs() > allowed {
            off.push(format!(
                "{} {}: {ours} beside {billed} {:?}",
                exchange.id, exchange.model, exchange.usage
            ));
        }
    }
    println!("{compared} compared, {} differ:\n{}", off.len(), off.join("\n"));
    assert!(compared >= 20, "{compared}");
    assert!(off.len() <= compared / 5, "{off:#?}");
}

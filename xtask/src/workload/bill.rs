//! What the desk costs: with and without caches, with and without the provider's prompt cache (S4.8).

use anyhow::{Context as _, Result};
use mainstay_metering::PriceTable;
use mainstay_provider_core::Usage;

use super::run::{Caches, Outcome};

/// The desk's instructions, the same in every call.
pub(super) const SYSTEM_TOKENS: u64 = 1_200;
/// What a customer writes.
const QUESTION_TOKENS: u64 = 15;
/// What the model writes.
pub(super) const ANSWER_TOKENS: u64 = 120;
/// Whose prices these are.
pub(super) const MODEL: (&str, &str) = ("anthropic", "claude-sonnet-4-5");

/// What 2,000 questions cost.
pub(super) struct Bill {
    pub(super) caches: Caches,
    pub(super) prompt_caching: bool,
    pub(super) usd: f64,
    /// Of the bill without any cache.
    pub(super) saved: f64,
}

pub(super) fn all(outcomes: &[Outcome]) -> Result<Vec<Bill>> {
    let table = PriceTable::built_in();
    let mut bills = Vec::new();
    for outcome in outcomes {
        for prompt_caching in [false, true] {
            let mut nano_usd = 0;
            for call in 0..outcome.asked() {
                nano_usd += cost(&table, &usage(prompt_caching, call == 0))?;
            }
            let usd = nano_usd as f64 / 1e9;
            bills.push(Bill { caches: outcome.caches, prompt_caching, usd, saved: 0.0 });
        }
    }
    let whole = bills.first().map_or(0.0, |bill| bill.usd);
    for bill in &mut bills {
        bill.saved = 1.0 - bill.usd / whole;
    }
    Ok(bills)
}

/// A question every few seconds keeps the provider's prompt cache warm: the first call writes it, the others read it.
fn usage(prompt_caching: bool, is_first: bool) -> Usage {
    let mut usage = Usage::new(SYSTEM_TOKENS + QUESTION_TOKENS, ANSWER_TOKENS);
    match (prompt_caching, is_first) {
        (true, true) => usage.cache_write = SYSTEM_TOKENS,
        (true, false) => usage.cache_read = SYSTEM_TOKENS,
        (false, _) => {}
    }
    usage
}

fn cost(table: &PriceTable, usage: &Usage) -> Result<i128> {
    let (provider, model) = MODEL;
    let cost =
        table.cost(provider, model, usage).with_context(|| format!("{provider}/{model} has no price"))?;
    Ok(i128::from(cost.total().as_nanos()))
}

pub(super) fn table(bills: &[Bill]) -> String {
    let mut table = format!(
        "At the prices of {}/{}\n{:<20} {:>15} {:>9} {:>8}\n",
        MODEL.0, MODEL.1, "caches", "prompt caching", "USD", "saved"
    );
    for bill in bills {
        let caching = if bill.prompt_caching { "on" } else { "off" };
        table.push_str(&format!(
            "{:<20} {:>15} {:>9.3} {:>7.1}%\n",
            bill.caches.name(),
            caching,
            bill.usd,
            100.0 * bill.saved
        ));
    }
    table
}

pub(super) fn missed(bills: &[Bill]) -> Vec<String> {
    let all = bills.iter().filter(|bill| bill.caches == Caches::Both && bill.prompt_caching);
    all.filter(|bill| bill.saved < 0.40)
        .map(|bill| format!("{:.1} % saved, wanted at least 40 %", 100.0 * bill.saved))
        .collect()
}

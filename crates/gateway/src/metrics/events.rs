//! How often each event happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts events by their names, which are words of the code: what an event says besides is told to nobody here. Cloning
/// copies a pointer.
#[derive(Debug, Clone)]
pub(crate) struct Tally(Arc<[AtomicU64]>);

/// Every event that there is, in the order of the alphabet. Each is told from the start, as 0: a counter that begins with its
/// first event has never grown, and no alert would see it.
pub(super) const NAMES: &[&str] = &[
    "breaker.closed",
    "breaker.cooling",
    "breaker.forced_closed",
    "breaker.forced_open",
    "breaker.half_open",
    "breaker.opened",
    "breaker.parked",
    "breaker.released",
    "breaker.reset",
    "breaker.unparked",
    "budget.forecast",
    "budget.hard_limit",
    "budget.hold_lost",
    "budget.journal_damaged",
    "budget.settlement_dropped",
    "budget.soft_limit",
    "budget.store_back",
    "budget.store_down",
    "cache.purged",
    "cache.store_back",
    "cache.store_lost",
    "key.rejected",
    "keys.damaged",
    "keys.store_back",
    "keys.store_lost",
    "price.unknown",
    "rate_limit.exhaustion_foreseen",
    "rate_limit.throttled",
    "rescue.failed",
    "rescue.held_back",
    "rescue.restarted",
    "rescue.resumed",
    "retry.authentication",
    "retry.exhausted",
    "retry.reprompted",
    "retry.shortened",
    "retry.waiting",
    "router.fallback",
    "router.hedged",
    "router.trial",
    "semantic.embedder_back",
    "semantic.embedder_down",
    "semantic.exact_only",
    "semantic.store_back",
    "semantic.store_down",
    "semantic.threshold",
    "semantic.wrong_hit",
];

/// What is in no list.
const OTHER: &str = "other";

impl Default for Tally {
    fn default() -> Self {
        Self((0..=NAMES.len()).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Tally {
    pub(crate) fn count(&self, name: &str) {
        let place = NAMES.binary_search(&name).unwrap_or(NAMES.len());
        if let Some(count) = self.0.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        let names = NAMES.iter().copied().chain([OTHER]);
        names.zip(self.0.iter()).map(|(name, count)| (name, count.load(Ordering::Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_in_the_list_is_counted_by_name_and_the_rest_together() {
        let tally = Tally::default();
        for name in ["key.rejected", "key.rejected", "user:ann", "budget.soft_limit"] {
            tally.count(name);
        }
        let counted: Vec<_> = tally.all().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("budget.soft_limit", 1), ("key.rejected", 2), (OTHER, 1)]);
    }

    /// The words in quotes that are made like the name of an event: `breaker.opened`.
    fn names_in(folder: &Path, found: &mut Vec<String>) {
        let layers: Vec<_> = NAMES.iter().filter_map(|name| name.split('.').next()).collect();
        let is_name = |word: &&str| {
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
            word.split_once('.').is_some_and(|(layer, what)| {
                layers.contains(&layer) && !what.is_empty() && what.chars().all(is_plain)
            })
        };
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names_in(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(text.split('"').filter(is_name).map(ToOwned::to_owned));
            }
        }
    }

    #[test]
    fn the_list_has_every_event_of_the_layers_and_no_other() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(crates).unwrap() {
            let folder = entry.unwrap().path();
            // The facade and the gateway send none; what looks like one there is a setting.
            if !folder.ends_with("mainstay") && !folder.ends_with("gateway") && folder.join("src").is_dir() {
                names_in(&folder.join("src"), &mut found);
            }
        }
        found.sort();
        found.dedup();
        assert_eq!(found, NAMES, "put the list right");
    }
}

//! The semantic cache.

use crate::metrics::table::Kind::Counter;
use crate::metrics::table::{Metric, counter, gauge, labelled};

pub(super) static ALL: &[Metric] = &[
    labelled(
        Counter,
        "mainstay_semantic_cache_calls_total",
        &["outcome"],
        "Calls that the cache was asked about: exact_hit (the very text), near_hit, miss, skipped (not looked for).",
        |at, out| {
            let cache = at.semantic_cache.as_ref()?;
            out.all([
                ("exact_hit", cache.exact_hits),
                ("near_hit", cache.near_hits),
                ("miss", cache.misses),
                ("skipped", cache.skipped),
            ])
        },
    ),
    labelled(
        Counter,
        "mainstay_semantic_cache_vetoes_total",
        &["guard"],
        "Misses because a guard saw a difference: number, negation, order and the others.",
        |at, out| out.all(at.semantic_cache.as_ref()?.vetoes.iter().map(|(guard, count)| (*guard, *count))),
    ),
    labelled(
        Counter,
        "mainstay_semantic_cache_rechecks_total",
        &["outcome"],
        "Hits that were asked again: confirmed, or wrong.",
        |at, out| {
            let cache = at.semantic_cache.as_ref()?;
            let confirmed = cache.rechecked.saturating_sub(cache.confirmed_wrong);
            out.all([("confirmed", confirmed), ("wrong", cache.confirmed_wrong)])
        },
    ),
    counter("mainstay_semantic_cache_kept_total", "Answers that the semantic cache kept.", |at| {
        Some(at.semantic_cache.as_ref()?.kept.into())
    }),
    gauge("mainstay_semantic_cache_entries", "Entries in the store of the semantic cache.", |at| {
        Some(at.semantic_cache.as_ref()?.store.entries.into())
    }),
    gauge("mainstay_semantic_cache_store_bytes", "Bytes of its entries, as far as the store knows.", |at| {
        Some(at.semantic_cache.as_ref()?.store.bytes.into())
    }),
    counter(
        "mainstay_semantic_cache_evictions_total",
        "Entries of the semantic cache that had to go for others.",
        |at| Some(at.semantic_cache.as_ref()?.store.evictions.into()),
    ),
    labelled(
        Counter,
        "mainstay_semantic_cache_saved_tokens_total",
        &["kind"],
        "Tokens that hits of the semantic cache did not take: input, output.",
        |at, out| {
            let saved = at.semantic_cache.as_ref()?.saved;
            out.all([("input", saved.input), ("output", saved.output)])
        },
    ),
    labelled(
        Counter,
        "mainstay_semantic_cache_errors_total",
        &["part"],
        "Misses because the embedder or the store failed, or said nothing in time.",
        |at, out| {
            let cache = at.semantic_cache.as_ref()?;
            out.all([("embedder", cache.embedder_failed), ("store", cache.store_failed)])
        },
    ),
    gauge(
        "mainstay_semantic_cache_store_up",
        "0 while the store of the semantic cache is left alone because it failed.",
        |at| {
            at.semantic_cache.as_ref()?;
            Some(at.is_there("semantic.store_down", "semantic.store_back")?.into())
        },
    ),
    gauge("mainstay_semantic_cache_embedder_up", "0 while no question can be turned into a vector.", |at| {
        at.semantic_cache.as_ref()?;
        Some(at.is_there("semantic.embedder_down", "semantic.embedder_back")?.into())
    }),
];

//! The exact cache.

use mainstay::metering::NanoUsd;

use crate::metrics::table::Kind::Counter;
use crate::metrics::table::{Metric, counter, gauge, labelled};

pub(super) static ALL: &[Metric] = &[
    labelled(
        Counter,
        "mainstay_cache_calls_total",
        &["outcome"],
        "Calls that the cache was asked about: hit (both levels), stale, coalesced (shared the call of another), miss, bypassed.",
        |at, out| {
            let cache = at.cache.as_ref()?;
            out.all([
                ("hit", cache.hits),
                ("stale", cache.stale_hits),
                ("coalesced", cache.coalesced),
                ("miss", cache.misses),
                ("bypassed", cache.bypassed),
            ])
        },
    ),
    labelled(
        Counter,
        "mainstay_cache_not_cached_total",
        &["reason"],
        "Calls that the cache has nothing to do with: random, tools, several_answers, time_sensitive, other.",
        |at, out| out.all(at.cache.as_ref()?.not_cached.iter().map(|(why, count)| (why.as_str(), *count))),
    ),
    labelled(
        Counter,
        "mainstay_cache_answers_total",
        &["outcome"],
        "Complete answers: kept, or not (too large, cut off, refused).",
        |at, out| {
            let cache = at.cache.as_ref()?;
            out.all([("kept", cache.stored), ("not_kept", cache.not_stored)])
        },
    ),
    gauge("mainstay_cache_entries", "Entries of the exact cache in memory.", |at| {
        Some(at.cache.as_ref()?.entries.into())
    }),
    gauge("mainstay_cache_memory_bytes", "Bytes of the entries in memory, about.", |at| {
        Some(at.cache.as_ref()?.bytes.into())
    }),
    counter("mainstay_cache_evictions_total", "Entries in memory that had to go for others.", |at| {
        Some(at.cache.as_ref()?.evictions.into())
    }),
    labelled(
        Counter,
        "mainstay_cache_saved_tokens_total",
        &["kind"],
        "Tokens that answers of the cache did not take: input, output.",
        |at, out| {
            let saved = at.cache.as_ref()?.saved;
            out.all([("input", saved.input), ("output", saved.output)])
        },
    ),
    counter(
        "mainstay_cache_saved_usd_total",
        "What those tokens would have cost, in USD; of models whose price is known.",
        |at| Some(NanoUsd::from_nanos(at.cache.as_ref()?.saved_nano_usd).into()),
    ),
    gauge("mainstay_cache_store_up", "0 while the second level is left alone because it failed.", |at| {
        Some((!at.cache.as_ref()?.second?.is_left_alone).into())
    }),
    labelled(
        Counter,
        "mainstay_cache_store_lookups_total",
        &["outcome"],
        "Look-ups in the second level: hit, miss.",
        |at, out| {
            let second = at.cache.as_ref()?.second?;
            out.all([("hit", second.hits), ("miss", second.misses)])
        },
    ),
    labelled(
        Counter,
        "mainstay_cache_store_errors_total",
        &["reason"],
        "Look-ups and writes in the second level that were a failure, did not come in time (timeout), or gave a damaged entry.",
        |at, out| {
            let second = at.cache.as_ref()?.second?;
            out.all([("failure", second.failures), ("timeout", second.timeouts), ("damaged", second.damaged)])
        },
    ),
    counter(
        "mainstay_cache_store_skipped_total",
        "Look-ups and writes in the second level that were not made: it was left alone, or the writes were too many.",
        |at| Some(at.cache.as_ref()?.second?.skipped.into()),
    ),
];

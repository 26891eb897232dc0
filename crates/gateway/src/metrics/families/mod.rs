//! The table of metrics: what stands here is on the page and nothing else.

mod budget;
mod cache;
mod callers;
mod deployments;
mod process;
mod semantic_cache;

use super::table::Metric;

/// All metrics, in the order of the page.
pub(super) fn all() -> impl Iterator<Item = &'static Metric> {
    let parts: [&[Metric]; 6] =
        [process::ALL, budget::ALL, deployments::ALL, cache::ALL, semantic_cache::ALL, callers::ALL];
    parts.into_iter().flatten()
}

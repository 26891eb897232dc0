//! All that the page is written from, read once, so that its figures are of one moment.

use std::time::Duration;

use jiff::Timestamp;
use mainstay::cache_semantic::SemanticStats;
use mainstay::virtual_keys::{KeyRing, RingStats};
use mainstay::{Client, budget, cache_exact};

use super::connections::Connections;
use super::deployments::Deployments;
use super::events::Tally;
use crate::alerts::{AlertStats, Figures};
use crate::shutdown::Shutdown;

/// Where the figures are read. None of it is a store: who is slow or away must not be waited for.
pub(crate) struct Sources {
    pub(crate) client: Client,
    pub(crate) ring: Option<KeyRing>,
    pub(crate) alerts: Option<Figures>,
    pub(crate) events: Tally,
    pub(crate) connections: Connections,
    pub(crate) shutdown: Shutdown,
    /// When the process began.
    pub(crate) begun: Timestamp,
}

/// How things stand.
#[derive(Default)]
pub(super) struct Snapshot {
    /// Since 1970.
    pub(super) begun: Duration,
    pub(super) resident_bytes: Option<u64>,
    pub(super) connections: u64,
    pub(super) is_draining: bool,
    pub(super) events: Vec<(&'static str, u64)>,
    pub(super) budget: Option<budget::Stats>,
    pub(super) cache: Option<cache_exact::Stats>,
    pub(super) semantic_cache: Option<SemanticStats>,
    pub(super) deployments: Deployments,
    pub(super) keys: Option<RingStats>,
    pub(super) alerts: Option<AlertStats>,
}

impl Snapshot {
    pub(super) fn of(sources: &Sources) -> Self {
        let client = &sources.client;
        Self {
            begun: Duration::try_from(sources.begun.duration_since(Timestamp::UNIX_EPOCH))
                .unwrap_or_default(),
            resident_bytes: resident_bytes(),
            connections: sources.connections.count(),
            is_draining: sources.shutdown.has_begun(),
            events: sources.events.all(),
            budget: client.budget().map(budget::Budget::stats),
            cache: client.exact_cache().map(cache_exact::ExactCache::stats),
            semantic_cache: client.semantic_cache().map(|cache| cache.stats()),
            deployments: Deployments::of(client),
            keys: sources.ring.as_ref().map(KeyRing::stats),
            alerts: sources.alerts.as_ref().map(Figures::read),
        }
    }

    /// How often an event happened.
    pub(super) fn event(&self, name: &str) -> Option<u64> {
        self.events.iter().find(|(known, _)| *known == name).map(|(_, count)| *count)
    }

    /// Whether what tells when it goes and when it comes back is there.
    pub(super) fn is_there(&self, lost: &str, back: &str) -> Option<bool> {
        Some(self.event(lost)? <= self.event(back)?)
    }
}

/// Memory of the process; `None` where the system does not tell it in this way.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

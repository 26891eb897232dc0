//! What an operator and a router hold of a limiter.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_provider_core::ReportHeadroom;
use tokio::time::Instant;

use crate::cost::Dimension;
use crate::gate::Gate;
use crate::limiter::Look;

/// A limiter, to be read. Cloning copies a pointer.
#[derive(Clone)]
pub struct RateLimitHandle(Arc<Gate>);

impl RateLimitHandle {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self(gate)
    }

    /// The deployment's name.
    pub fn deployment(&self) -> &str {
        &self.0.config().deployment
    }

    /// What it counted, and how it stands.
    pub fn stats(&self) -> RateLimitStats {
        let now = Instant::now();
        let (counts, headroom) = (&self.0.counts, self.0.headroom(now));
        self.0.look(now, |limiter, waiting| RateLimitStats {
            admitted: counts.admitted.load(Ordering::Relaxed),
            waited: counts.waited.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            left: counts.left.load(Ordering::Relaxed),
            throttled: limiter.throttles(),
            in_flight: limiter.in_flight(),
            waiting,
            headroom,
            paused_for: limiter.paused_until().map(|until| until.saturating_duration_since(now)),
            dimensions: Dimension::ALL.map(|of| DimensionStats::of(of, limiter.look(of, now))),
        })
    }

    /// How one dimension stands.
    pub fn dimension(&self, of: Dimension) -> DimensionStats {
        let now = Instant::now();
        self.0.look(now, |limiter, _| DimensionStats::of(of, limiter.look(of, now)))
    }

    /// How long what is left of the scarcest limit lasts at the rate of late; `None` when none will be reached.
    pub fn time_to_exhaustion(&self) -> Option<Duration> {
        self.stats().dimensions.iter().filter_map(|dimension| dimension.time_to_exhaustion).min()
    }
}

impl ReportHeadroom for RateLimitHandle {
    fn headroom(&self, now: Instant) -> f32 {
        self.0.headroom(now)
    }
}

impl fmt::Debug for RateLimitHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitHandle")
            .field("deployment", &self.deployment())
            .field("stats", &self.stats())
            .finish()
    }
}

/// How a limiter stands, and what it counted since it was made. A call that comes is `admitted` or `refused`, has `left`
/// the queue by itself, or is `waiting`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RateLimitStats {
    /// Calls that got a place.
    pub admitted: u64,
    /// Those of them that had to wait for it.
    pub waited: u64,
    /// Calls refused for want of a place in time.
    pub refused: u64,
    /// Calls that were dropped while they waited.
    pub left: u64,
    /// 429s of the provider.
    pub throttled: u64,
    /// Calls that have a place, and have not ended.
    pub in_flight: u64,
    /// Calls that wait for a place.
    pub waiting: u64,
    /// The share that is left of the scarcest limit, as a router reads it.
    pub headroom: f32,
    /// How long a 429 keeps all calls waiting yet.
    pub paused_for: Option<Duration>,
    /// How each dimension stands.
    pub dimensions: [DimensionStats; 4],
}

/// How one dimension stands.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DimensionStats {
    /// Which.
    pub dimension: Dimension,
    /// This process's share of the configured limit, a minute.
    pub configured: Option<u64>,
    /// The limit that the provider tells.
    pub reported: Option<u64>,
    /// The limit that was learned from 429s, for this process, a minute.
    pub learned: Option<u64>,
    /// What this process spent and has reserved, in the last minute.
    pub spent: u64,
    /// What is probably left of the scarcest of them.
    pub remaining: Option<u64>,
    /// How long until the provider's limit is full again.
    pub reset: Option<Duration>,
    /// What this process spends a second, of late.
    pub per_second: f64,
    /// How long what is left lasts at the rate of late; `None` when it will not be used up.
    pub time_to_exhaustion: Option<Duration>,
    /// What this process lets through a second, while calls are spread.
    pub pace: Option<f64>,
}

impl DimensionStats {
    fn of(dimension: Dimension, look: Look) -> Self {
        let Look { configured, reported, learned, spent, remaining, reset, per_second, .. } = look;
        let Look { time_to_exhaustion, pace, .. } = look;
        Self {
            dimension,
            configured,
            reported,
            learned,
            spent,
            remaining,
            reset,
            per_second,
            time_to_exhaustion,
            pace,
        }
    }
}

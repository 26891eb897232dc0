//! What the router knows of its deployments, for metrics and dashboards.

use std::time::Duration;

use mainstay_provider_core::Availability;
use tokio::time::Instant;

use crate::load::Lane;
use crate::service::Router;

/// One deployment of one model. A deployment of several models stands there for each, with the same figures.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DeploymentStats {
    /// The model.
    pub model: String,
    /// The deployment.
    pub deployment: String,
    /// Its tier.
    pub order: u32,
    /// Its share of the traffic of its tier.
    pub weight: f32,
    /// `ready`, `half_open` or `unavailable`.
    pub availability: &'static str,
    /// Calls that were sent there and have not ended.
    pub in_flight: u32,
    /// The expected time to the first token of a stream; `None` before the first.
    pub first_token: Option<Duration>,
    /// The share of its last calls that failed, 0 to 1.
    pub failing: f32,
    /// How much of its rate limits is left, 0 to 1.
    pub headroom: f32,
    /// Calls that were sent there since the router was made.
    pub sent: u64,
    /// Those of them that failed by its fault.
    pub failed: u64,
    /// Calls that it refused before they were sent.
    pub refused: u64,
    /// Those of the sent ones that were hedges.
    pub hedges: u64,
}

impl Router {
    /// What it knows of its deployments, model by model.
    pub fn stats(&self) -> Vec<DeploymentStats> {
        let now = Instant::now();
        let tick = self.0.clock.tick(now);
        let mut stats = Vec::new();
        for group in &self.0.groups {
            for member in &group.members {
                let (load, counts) = (&member.load, member.load.counts());
                let seconds = load.first_token(Lane::Stream, tick).seconds;
                stats.push(DeploymentStats {
                    model: group.name.to_string(),
                    deployment: member.name.to_string(),
                    order: member.order,
                    weight: member.weight,
                    availability: word(member.availability(now)),
                    in_flight: load.in_flight(),
                    first_token: seconds.map(Duration::from_secs_f32),
                    failing: load.failing(tick),
                    headroom: member.headroom(now),
                    sent: counts.sent,
                    failed: counts.failed,
                    refused: counts.refused,
                    hedges: counts.hedges,
                });
            }
        }
        stats
    }
}

fn word(availability: Availability) -> &'static str {
    match availability {
        Availability::Ready => "ready",
        Availability::HalfOpen => "half_open",
        _ => "unavailable",
    }
}

//! The deployments of the configuration's models. Their names are the configuration's, never a caller's.

use crate::metrics::deployments::{Deployment, Traffic};
use crate::metrics::page::Samples;
use crate::metrics::snapshot::Snapshot;
use crate::metrics::table::Kind::{Counter, Gauge};
use crate::metrics::table::{Metric, Value, labelled};

pub(super) static ALL: &[Metric] = &[
    labelled(
        Gauge,
        "mainstay_breaker_state",
        &["deployment", "state"],
        "1 for the state that a deployment's breaker is in, 0 for the others; more where models with different settings share it.",
        |at, out| each(at, out, Deployment::states),
    ),
    labelled(
        Counter,
        "mainstay_breaker_opened_total",
        &["deployment"],
        "How often a deployment's breaker opened.",
        |at, out| out.all(at.deployments.iter().map(|(name, deployment)| (name, deployment.opened))),
    ),
    labelled(
        Counter,
        "mainstay_breaker_calls_total",
        &["deployment", "outcome"],
        "Attempts by what became of them: succeeded, failed, slow, rate_limited (429), account_error (key or credit rejected), \
         not_counted (no fault of the deployment), unseen (left by the caller), refused (not sent).",
        |at, out| each(at, out, Deployment::outcomes),
    ),
    labelled(
        Gauge,
        "mainstay_rate_limit_waiting",
        &["deployment"],
        "Calls in line for a place within a deployment's rate limits.",
        |at, out| out.all(at.deployments.iter().map(|(name, deployment)| (name, deployment.in_line))),
    ),
    labelled(
        Counter,
        "mainstay_rate_limit_calls_total",
        &["deployment", "outcome"],
        "Attempts by how they got a place: at_once, waited, refused (none in time), left (gone while they waited).",
        |at, out| each(at, out, Deployment::places),
    ),
    labelled(
        Gauge,
        "mainstay_deployment_in_flight",
        &["deployment"],
        "Calls that were sent there and have not ended.",
        |at, out| traffic(at, out, |traffic| Some(traffic.in_flight.into())),
    ),
    labelled(
        Gauge,
        "mainstay_deployment_headroom_ratio",
        &["deployment"],
        "How much is left of the scarcest of its rate limits, 0 to 1.",
        |at, out| traffic(at, out, |traffic| Some(traffic.headroom.into())),
    ),
    labelled(
        Gauge,
        "mainstay_deployment_first_token_seconds",
        &["deployment"],
        "What the router expects of the next stream until its first token; not there before the first.",
        |at, out| traffic(at, out, |traffic| Some(traffic.first_token?.into())),
    ),
    labelled(
        Counter,
        "mainstay_deployment_hedges_total",
        &["deployment"],
        "Second calls because the first token of another was late.",
        |at, out| traffic(at, out, |traffic| Some(traffic.hedges.into())),
    ),
];

/// Figures of each under a second label.
fn each<const N: usize>(
    at: &Snapshot,
    out: &mut Samples<'_>,
    read: fn(&Deployment) -> [(&'static str, u64); N],
) -> Option<()> {
    for (name, deployment) in at.deployments.iter() {
        read(deployment).into_iter().for_each(|(label, count)| out.put(&[name, label], count));
    }
    Some(())
}

/// What the router knows of each.
fn traffic(at: &Snapshot, out: &mut Samples<'_>, read: fn(Traffic) -> Option<Value>) -> Option<()> {
    out.all(at.deployments.iter().filter_map(|(name, deployment)| Some((name, read(deployment.traffic?)?))))
}

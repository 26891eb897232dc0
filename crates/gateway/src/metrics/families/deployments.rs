//! The deployments of the configuration's models. Their names are the configuration's, never a caller's.

use crate::metrics::deployments::Traffic;
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
        |at, out| {
            for (name, deployment) in at.deployments.iter() {
                deployment.states().for_each(|(state, count)| out.put(&[name, state], count));
            }
            Some(())
        },
    ),
    labelled(Counter, "mainstay_breaker_opened_total", &["deployment"], "How often it opened.", |at, out| {
        out.all(at.deployments.iter().map(|(name, deployment)| (name, deployment.opened)))
    }),
    labelled(
        Counter,
        "mainstay_breaker_calls_total",
        &["deployment", "outcome"],
        "Attempts by what became of them: succeeded, failed, slow, rate_limited (429), account_error (key or credit rejected), \
         not_counted (no fault of the deployment), unseen (left by the caller), refused (not sent).",
        |at, out| {
            for (name, deployment) in at.deployments.iter() {
                deployment
                    .outcomes()
                    .into_iter()
                    .for_each(|(outcome, count)| out.put(&[name, outcome], count));
            }
            Some(())
        },
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

/// What the router knows of each.
fn traffic(at: &Snapshot, out: &mut Samples<'_>, read: fn(Traffic) -> Option<Value>) -> Option<()> {
    out.all(at.deployments.iter().filter_map(|(name, deployment)| Some((name, read(deployment.traffic?)?))))
}

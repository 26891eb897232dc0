//! How the deployments of the configuration do.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay::Client;
use mainstay::breaker::BreakerStats;
use mainstay::rate_limit::RateLimitStats;
use mainstay::router::DeploymentStats;

/// So many deployments are told one by one; what is beyond is told together, so that the page cannot grow without bound.
const MOST: usize = 1_000;
const OTHERS: &str = "other";

/// The states of a breaker, as they are told.
const STATES: [&str; 7] =
    ["closed", "cooling", "open", "half_open", "parked", "forced_open", "forced_closed"];

/// The deployments by name.
#[derive(Default)]
pub(super) struct Deployments(BTreeMap<String, Deployment>);

/// One deployment, with the figures of all the models that have it. It has one breaker and one rate limit, or several where it
/// stands behind models with different settings.
#[derive(Default)]
pub(super) struct Deployment {
    states: [u64; STATES.len()],
    pub(super) opened: u64,
    succeeded: u64,
    failed: u64,
    slow: u64,
    rate_limited: u64,
    account_errors: u64,
    not_counted: u64,
    unseen: u64,
    refused: u64,
    /// Calls that wait for a place in the rate limit.
    pub(super) in_line: u64,
    at_once: u64,
    waited: u64,
    turned_away: u64,
    left: u64,
    /// What the router knows, which is one for all models.
    pub(super) traffic: Option<Traffic>,
}

#[derive(Clone, Copy)]
pub(super) struct Traffic {
    pub(super) in_flight: u64,
    pub(super) hedges: u64,
    pub(super) headroom: f32,
    pub(super) first_token: Option<Duration>,
}

impl Deployments {
    pub(super) fn of(client: &Client) -> Self {
        let mut deployments = Self::default();
        for breaker in client.breakers() {
            deployments.entry(breaker.deployment()).breaker(&breaker.stats());
        }
        for limit in client.rate_limits() {
            deployments.entry(limit.deployment()).rate_limit(&limit.stats());
        }
        let mut of_models = client.router().stats();
        // One that stands behind several models is there for each, with the same figures.
        of_models.sort_by(|one, other| one.deployment.cmp(&other.deployment));
        of_models.dedup_by(|one, other| one.deployment == other.deployment);
        for stats in of_models {
            deployments.entry(&stats.deployment).traffic(&stats);
        }
        deployments
    }

    fn entry(&mut self, name: &str) -> &mut Deployment {
        let name = if self.0.contains_key(name) || self.0.len() < MOST { name } else { OTHERS };
        self.0.entry(name.to_owned()).or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Deployment)> {
        self.0.iter().map(|(name, deployment)| (name.as_str(), deployment))
    }
}

impl Deployment {
    fn breaker(&mut self, stats: &BreakerStats) {
        let state = stats.state.as_str();
        if let Some(count) = STATES.iter().position(|known| *known == state) {
            self.states[count] += 1;
        }
        self.opened += stats.opened;
        self.succeeded += stats.succeeded;
        self.failed += stats.failed;
        self.slow += stats.slow;
        self.rate_limited += stats.rate_limited;
        self.account_errors += stats.account_errors;
        self.not_counted += stats.not_counted;
        self.unseen += stats.unseen;
        self.refused += stats.refused;
    }

    fn rate_limit(&mut self, stats: &RateLimitStats) {
        self.in_line += stats.waiting;
        self.at_once += stats.admitted.saturating_sub(stats.waited);
        self.waited += stats.waited;
        self.turned_away += stats.refused;
        self.left += stats.left;
    }

    fn traffic(&mut self, stats: &DeploymentStats) {
        let new = Traffic {
            in_flight: stats.in_flight.into(),
            hedges: stats.hedges,
            headroom: stats.headroom,
            first_token: stats.first_token,
        };
        self.traffic = Some(self.traffic.map_or(new, |known| Traffic {
            in_flight: known.in_flight + new.in_flight,
            hedges: known.hedges + new.hedges,
            headroom: known.headroom.min(new.headroom),
            first_token: known.first_token.max(new.first_token),
        }));
    }

    /// Its breakers in each state.
    pub(super) fn states(&self) -> [(&'static str, u64); STATES.len()] {
        std::array::from_fn(|at| (STATES[at], self.states[at]))
    }

    /// Its calls by what its rate limit did with them.
    pub(super) fn places(&self) -> [(&'static str, u64); 4] {
        [
            ("at_once", self.at_once),
            ("waited", self.waited),
            ("refused", self.turned_away),
            ("left", self.left),
        ]
    }

    /// Its calls by what became of them.
    pub(super) fn outcomes(&self) -> [(&'static str, u64); 8] {
        [
            ("succeeded", self.succeeded),
            ("failed", self.failed),
            ("slow", self.slow),
            ("rate_limited", self.rate_limited),
            ("account_error", self.account_errors),
            ("not_counted", self.not_counted),
            ("unseen", self.unseen),
            ("refused", self.refused),
        ]
    }
}

#[cfg(test)]
mod tests {
    use mainstay::AdapterConfig;
    use mainstay::config::{DeploymentConfig, ModelConfig};

    use super::*;

    #[tokio::test]
    async fn a_deployment_of_two_models_is_told_once_and_too_many_are_told_together() {
        let model = |deployments| {
            let mut model = ModelConfig::default();
            model.deployments = deployments;
            model
        };
        let to = |name: usize, max_parallel| {
            let mut deployment = DeploymentConfig::default();
            (deployment.model, deployment.max_parallel) = (format!("sim/m{name}"), max_parallel);
            deployment
        };
        let many = (0..MOST + 5).map(|name| to(name, None)).collect();
        let builder = Client::builder().provider(AdapterConfig::new("sim"));
        // The second one has other settings, so another breaker.
        let builder =
            builder.routed_model("many", model(many)).routed_model("again", model(vec![to(0, Some(3))]));
        let deployments = Deployments::of(&builder.build().unwrap());
        assert_eq!(deployments.iter().count(), MOST + 1);
        let closed = |name: &str| {
            let (_, deployment) = deployments.iter().find(|(known, _)| *known == name).unwrap();
            deployment.states().into_iter().find(|(state, _)| *state == "closed").unwrap().1
        };
        assert_eq!((closed("sim/m0"), closed("sim/m1"), closed(OTHERS)), (2, 1, 5));
        let told = deployments.iter().filter(|(_, deployment)| deployment.traffic.is_some()).count();
        assert_eq!(told, MOST + 1);
    }

    // A state without a name here would be told nowhere.
    #[tokio::test]
    async fn every_state_is_known() {
        let client =
            Client::builder().provider(AdapterConfig::new("sim")).model("m", "sim/echo").build().unwrap();
        let (breakers, states) = (client.breakers(), || Deployments::of(&client));
        let breaker = breakers.first().unwrap();
        for (change, name) in [
            (mainstay::breaker::BreakerHandle::force_open as fn(&_), "forced_open"),
            (mainstay::breaker::BreakerHandle::force_closed, "forced_closed"),
            (mainstay::breaker::BreakerHandle::release, "closed"),
        ] {
            change(breaker);
            let told = states();
            let (_, deployment) = told.iter().next().unwrap();
            let of: Vec<_> = deployment.states().into_iter().filter(|(_, count)| *count == 1).collect();
            assert_eq!(of, [(name, 1)]);
        }
    }
}

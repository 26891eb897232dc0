//! Cases side by side, each with upstreams and a gateway of its own.

use super::cases::{APART, CALLS, Case, Drive};
use super::client::{self, Got};
use super::gateway::{self, Gateway};
use super::log::Log;
use super::plan::Who;
use super::scale::Scale;
use super::upstream::Upstream;
use super::verdict::{self, Seen, Verdict};
use anyhow::Result;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long a caller waits, in seconds of the full profile: three attempts of 30 s and some.
const PATIENCE: f64 = 100.0;

pub(crate) enum Target {
    Gateway(PathBuf),
    /// The client asks the primary itself.
    Direct,
}

pub(crate) struct Stage {
    pub(crate) target: Target,
    pub(crate) scale: Scale,
    pub(crate) jobs: usize,
}

/// A case and what came of it.
pub(crate) struct Outcome {
    pub(crate) case: Case,
    /// `None` when it could not be run.
    pub(crate) seen: Option<Seen>,
    pub(crate) verdict: Verdict,
    pub(crate) gateway_log: String,
}

/// Everything that a case needs, running.
struct Set {
    log: Log,
    gateway: Option<Gateway>,
    address: SocketAddr,
    model: &'static str,
    scale: Scale,
    _upstreams: [Upstream; 2],
}

/// Runs all of them; the order is kept.
pub(crate) async fn all(stage: &Stage, cases: Vec<Case>) -> Vec<Outcome> {
    // Processes are started before the clocks run, so that none disturbs the measured part of another.
    let mut ready = Vec::new();
    for case in cases {
        let set = Set::up(stage, &case).await;
        ready.push((case, set));
    }
    // The longest first.
    ready.sort_by_key(|(case, _)| case.drive != Drive::Paced);
    let order: Vec<String> = super::cases::all().iter().map(Case::name).collect();
    let places = Arc::new(Semaphore::new(stage.jobs.clamp(1, Semaphore::MAX_PERMITS)));
    let mut running = JoinSet::new();
    for (case, set) in ready {
        let places = places.clone();
        running.spawn(async move {
            let _place = places.acquire().await;
            let outcome = match set {
                Ok(set) => set.run(case).await,
                Err(error) => Outcome {
                    case,
                    seen: None,
                    verdict: Verdict::failed(format!("{error:#}")),
                    gateway_log: String::new(),
                },
            };
            eprintln!("{:?}  {}", outcome.verdict.grade, outcome.case.name());
            outcome
        });
    }
    let mut outcomes = running.join_all().await;
    outcomes.sort_by_key(|outcome| order.iter().position(|name| *name == outcome.case.name()));
    outcomes
}

impl Set {
    async fn up(stage: &Stage, case: &Case) -> Result<Self> {
        let (log, scale) = (Log::new(), stage.scale);
        let primary = Upstream::start(Who::Primary, case.primary.clone(), scale, log.clone()).await?;
        let fallback = Upstream::start(Who::Fallback, case.fallback.clone(), scale, log.clone()).await?;
        let (gateway, address, model) = match &stage.target {
            Target::Direct => (None, primary.address, Who::Primary.model()),
            Target::Gateway(binary) => {
                let config = gateway::config(primary.address, (case.fallback_kind, fallback.address), scale);
                let gateway = Gateway::start(binary, &config).await?;
                let address = gateway.address;
                (Some(gateway), address, gateway::MODEL)
            }
        };
        Ok(Self { log, gateway, address, model, scale, _upstreams: [primary, fallback] })
    }

    async fn run(mut self, case: Case) -> Outcome {
        self.log.start();
        let calls = self.drive(&case).await;
        let health = match &mut self.gateway {
            Some(gateway) => gateway.check_health().await,
            None => Ok(()),
        };
        let seen = Seen { attempts: self.log.attempts(), calls, health, scale: self.scale };
        let gateway_log = self.gateway.as_ref().map(Gateway::log).unwrap_or_default();
        Outcome { verdict: Verdict::of(case.judge, &seen), case, seen: Some(seen), gateway_log }
    }

    async fn drive(&self, case: &Case) -> Vec<Got> {
        match case.drive {
            Drive::Once => vec![self.ask(case).await],
            Drive::Twice => vec![self.ask(case).await, self.ask(case).await],
            Drive::Paced => self.paced(case).await,
        }
    }

    async fn ask(&self, case: &Case) -> Got {
        let body = case.question.body(self.model);
        client::ask(self.address, &body, self.scale.seconds(PATIENCE), &self.log).await
    }

    async fn paced(&self, case: &Case) -> Vec<Got> {
        let apart = self.scale.seconds(APART);
        let mut calls = JoinSet::new();
        let mut number = 0;
        while number < CALLS as u32 || !self.is_watched_enough(apart * number) {
            tokio::time::sleep_until(self.log.at(apart * number)).await;
            let body = case.question.body(self.model);
            let (address, patience, log) = (self.address, self.scale.seconds(PATIENCE), self.log.clone());
            calls.spawn(async move { client::ask(address, &body, patience, &log).await });
            number += 1;
        }
        let mut calls = calls.join_all().await;
        calls.sort_by_key(|call| call.asked);
        calls
    }

    /// After the agreed calls: the primary answers again, or the time for that is over.
    fn is_watched_enough(&self, at: Duration) -> bool {
        let used_again =
            self.log.attempts().iter().any(|attempt| attempt.who == Who::Primary && attempt.answered);
        used_again || at > self.scale.seconds(verdict::WATCHED)
    }
}

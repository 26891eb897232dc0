//! One world from its beginning to its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mainstay_breaker::State;
use mainstay_provider_core::{Call, Message, Provider as _};
use mainstay_retry::RetryBudget;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Mode;
use super::amplification::Amplification;
use super::caller::{self, question};
use super::log::{Invariant, Log, Report};
use super::plan::{CallPlan, MOST_PROBES, Plan};
use super::sabotage::Sabotage;
use super::stack::Stack;

pub(super) struct World {
    pub(super) plan: Arc<Plan>,
    pub(super) log: Log,
    pub(super) stack: Stack,
    began: Instant,
}

/// Lives through the world of a seed.
pub(super) fn live(seed: u64, mode: Mode, prints: bool, sabotage: Option<Sabotage>) -> Result<Report> {
    let plan = Arc::new(Plan::of(seed, mode));
    if prints {
        println!("{plan:#?}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let budget = RetryBudget::new(plan.retry.share, plan.retry.burst)?;
        let log = Log::new(Amplification::new(budget.clone(), &plan), prints);
        let stack =
            Stack::new(&plan, &log, budget, sabotage).context("the layers do not take what the seed drew")?;
        let world = Arc::new(World { plan, log, stack, began: Instant::now() });
        world.clone().pass().await;
        Ok(world.log.finish())
    })
}

impl World {
    async fn pass(self: Arc<Self>) {
        let others = [tokio::spawn(self.clone().jump()), tokio::spawn(self.clone().force())];
        let under_faults = 0..self.plan.healing.start;
        let mut calls = Vec::new();
        for call in &self.plan.calls[under_faults] {
            sleep_until(self.began + call.at).await;
            calls.push(self.make(call));
        }
        self.joined(others.into()).await;
        if self.plan.mode == Mode::Liveness {
            self.clone().heal(&mut calls).await;
        }
        self.joined(calls).await;
        self.check_rest();
        if self.plan.mode == Mode::Liveness {
            self.must_serve().await;
            self.must_be_closed().await;
            self.check_rest();
        }
    }

    fn make(self: &Arc<Self>, call: &CallPlan) -> JoinHandle<()> {
        tokio::spawn(caller::make(self.clone(), call.clone()))
    }

    /// Waits for all of them. One that never ends is a finding, and must not keep the simulation waiting.
    async fn joined(&self, tasks: Vec<JoinHandle<()>>) {
        for task in tasks {
            match timeout(FOR_EVER, task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    self.log.violate(Invariant::OneEnd, format!("a task of the simulation: {error}"))
                }
                Err(_) => {
                    self.log.violate(Invariant::Bounded, "something waits that nobody will wake".to_owned());
                    return;
                }
            }
        }
    }

    async fn jump(self: Arc<Self>) {
        let mut jumps = self.plan.jumps.clone();
        jumps.sort_unstable();
        for (at, by) in jumps {
            sleep_until(self.began + at).await;
            self.log.saw("clock jumps");
            self.log.jumped(by);
            tokio::time::advance(by).await;
        }
    }

    /// What an operator does.
    async fn force(self: Arc<Self>) {
        for (which, at, long) in &self.plan.forced {
            sleep_until(self.began + *at).await;
            self.stack.posts[*which].breaker.force_open();
            sleep(*long).await;
            self.stack.posts[*which].breaker.release();
        }
    }

    /// The faults are over. Calls go on, since a breaker closes by calls that succeed.
    async fn heal(self: Arc<Self>, calls: &mut Vec<JoinHandle<()>>) {
        sleep_until(self.began + self.plan.span).await;
        self.log.tell(format_args!("the faults are over"));
        let healthy = Instant::now();
        let last_attempt = self.plan.deployments.iter().map(|deployment| deployment.timers.total).max();
        let unpark_at = healthy + last_attempt.unwrap_or_default();
        let mut parked = true;
        for call in &self.plan.calls[self.plan.healing.clone()] {
            sleep_until(healthy + call.at).await;
            if parked && Instant::now() > unpark_at {
                parked = false;
                self.change_keys();
            }
            calls.push(self.make(call));
        }
    }

    /// Those that look again by themselves are left to do so.
    fn change_keys(&self) {
        for (post, deployment) in self.stack.posts.iter().zip(&self.plan.deployments) {
            if deployment.breaker.park_recheck.is_none() {
                post.breaker.unpark();
            }
        }
    }

    /// Every call succeeds now.
    async fn must_serve(self: &Arc<Self>) {
        self.log.tell(format_args!("every call must succeed from now on"));
        for call in &self.plan.calls[self.plan.healed.clone()] {
            let made = self.make(call);
            self.joined(vec![made]).await;
            sleep(Duration::from_secs(3)).await;
        }
    }

    /// Every breaker is closed now; one that gets no calls because others are asked before it is closed by a few of its
    /// own.
    async fn must_be_closed(&self) {
        let mut spare = self.plan.spare.clone();
        for (number, deployment) in self.plan.deployments.iter().enumerate() {
            let ids: Vec<usize> = spare.by_ref().take(MOST_PROBES as usize).collect();
            let post = &self.stack.posts[number];
            let before = self
                .plan
                .deployments
                .iter()
                .any(|other| other.model == deployment.model && other.order < deployment.order);
            if post.breaker.state() != State::Closed && before {
                for id in ids.into_iter().take(deployment.breaker.probes as usize) {
                    self.log.call_begins(id, 0, 0);
                    let plan = &self.plan.calls[id];
                    let mut call = Call::ask("simulated", question(plan));
                    call.request_mut().messages.insert(0, Message::system("You count words."));
                    call.context_mut().id = id.to_string().into();
                    if let Err(error) = post.provider.ask(call).await {
                        self.log.violate(
                            Invariant::Liveness,
                            format!("{} does not answer a probe: {error}", deployment.name),
                        );
                    }
                }
            }
            let state = post.breaker.state();
            if state != State::Closed {
                let what = format!(
                    "the breaker of {} is {} long after the last fault",
                    deployment.name,
                    state.as_str()
                );
                self.log.violate(Invariant::StuckOpen, what);
            }
        }
    }

    /// How long a call may last that began then.
    pub(super) fn bound(&self, call: &CallPlan, began: Instant) -> Duration {
        let longest = self.plan.longest_call();
        let longest = call.deadline.map_or(longest, |deadline| longest.min(deadline));
        longest + self.log.call(call.id).paused + self.log.jumped_since(began) + SLACK
    }
}

/// Timers are of milliseconds, and an expiry cancels within ten of them (D3).
const SLACK: Duration = Duration::from_millis(15);
/// Longer than any world lives.
const FOR_EVER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

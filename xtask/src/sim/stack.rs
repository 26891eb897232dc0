//! The failure path, put together as the default stack does it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use mainstay_breaker::{BreakerHandle, BreakerLayer, BreakerPool, FailureRate, Slow, State};
use mainstay_provider_core::{
    Availability, BoxProvider, Call, Error, ErrorKind, Provider as _, Reply, ReportAvailability as _,
};
use mainstay_rate_limit::{BulkheadHandle, BulkheadLayer, RateLimitHandle, RateLimitLayer};
use mainstay_rescue::RescueLayer;
use mainstay_retry::{RetryBudget, RetryLayer};
use mainstay_router::{Deployment, Hedging, Model, Router, strategy};
use mainstay_timeout::TimeoutLayer;
use tokio::time::Instant;
use tower::{Layer as _, Service};

use super::chance::Chance;
use super::log::Log;
use super::plan::{BreakerPlan, DeploymentPlan, LimitPlan, Plan};
use super::provider::Provider;
use super::sabotage::{Place, Sabotage};

/// The whole path, and what can be read of it.
pub(super) struct Stack {
    pub(super) entry: BoxProvider,
    pub(super) router: Router,
    pub(super) budget: RetryBudget,
    pub(super) posts: Vec<Post>,
}

/// A deployment with its layers.
pub(super) struct Post {
    pub(super) provider: BoxProvider,
    pub(super) breaker: BreakerHandle,
    pub(super) limiter: Option<RateLimitHandle>,
    pub(super) bulkhead: Option<BulkheadHandle>,
}

impl Stack {
    pub(super) fn new(
        plan: &Arc<Plan>,
        log: &Log,
        budget: RetryBudget,
        sabotage: Option<Sabotage>,
    ) -> Result<Self> {
        let mut seeds = Chance::of(plan.seed, "layers");
        let pool = BreakerPool::new(0.5);
        let mut posts = Vec::new();
        for number in 0..plan.deployments.len() {
            posts.push(post(plan, number, log, &pool, sabotage, &mut seeds)?);
        }
        let router = router(plan, log, &posts, &budget, seeds.seed())?;
        let provider = Sabotage::put(sabotage, Place::Router, router.clone().boxed());
        let provider = retry(plan, log, &budget, seeds.seed())?.layer(provider).boxed();
        let tapped = Tap { inner: Sabotage::put(sabotage, Place::Retry, provider), log: log.clone() };
        let entry = rescue(plan, log, &budget)?.layer(tapped).boxed();
        Ok(Self { entry, router, budget, posts })
    }

    /// What rate limiters and bulkheads have refused so far.
    pub(super) fn limited(&self) -> u64 {
        let limiter = |post: &Post| post.limiter.as_ref().map_or(0, |handle| handle.stats().refused);
        let bulkhead = |post: &Post| post.bulkhead.as_ref().map_or(0, |handle| handle.stats().refused);
        self.posts.iter().map(|post| limiter(post) + bulkhead(post)).sum()
    }

    /// What breakers have refused so far.
    pub(super) fn refused(&self) -> u64 {
        self.posts.iter().map(|post| post.breaker.stats().refused).sum()
    }

    /// Whether some account is out of use.
    pub(super) fn is_some_parked(&self) -> bool {
        self.posts.iter().any(|post| matches!(post.breaker.state(), State::Parked { .. }))
    }

    /// Whether some breaker does not take every call just now.
    pub(super) fn is_some_unavailable(&self) -> bool {
        let now = Instant::now();
        self.posts.iter().any(|post| post.breaker.availability(now) != Availability::Ready)
    }
}

fn post(
    plan: &Arc<Plan>,
    number: usize,
    log: &Log,
    pool: &BreakerPool,
    sabotage: Option<Sabotage>,
    seeds: &mut Chance,
) -> Result<Post> {
    let deployment = &plan.deployments[number];
    let provider = Provider::new(plan.clone(), number, log.clone()).boxed();
    let provider = Sabotage::put(sabotage, Place::Provider, provider);
    let timers = deployment.timers;
    let timeout = TimeoutLayer::builder()
        .first_token(timers.first_token)
        .idle(timers.idle)
        .total(timers.total)
        .after_finish(timers.after_finish)
        .build()?;
    let breaker = breaker(deployment, log, pool, seeds.seed())?;
    let handle = breaker.handle();
    let mut provider = breaker.layer(timeout.layer(provider)).boxed();
    let mut limiter = None;
    if let Some(limit) = &deployment.limit {
        let layer = rate_limit(deployment, limit, log, seeds.seed())?;
        limiter = Some(layer.handle());
        provider = layer.layer(provider).boxed();
    }
    let mut bulkhead = None;
    if let Some(hull) = &deployment.bulkhead {
        let layer = BulkheadLayer::builder()
            .deployment(deployment.name.as_str())
            .max_parallel(hull.max_parallel)
            .max_queue(hull.max_queue)
            .max_wait(hull.max_wait)
            .build()?;
        bulkhead = Some(layer.handle());
        provider = layer.layer(provider).boxed();
    }
    let provider = Refusals { inner: provider, log: log.clone() }.boxed();
    let provider = Sabotage::put(sabotage, Place::Deployment, provider);
    Ok(Post { provider, breaker: handle, limiter, bulkhead })
}

fn breaker(deployment: &DeploymentPlan, log: &Log, pool: &BreakerPool, seed: u64) -> Result<BreakerLayer> {
    let plan: &BreakerPlan = &deployment.breaker;
    let mut builder = BreakerLayer::builder()
        .deployment(deployment.name.as_str())
        .failures(plan.failures)
        .allowed_fails(plan.allowed_fails)
        .recovery(plan.recovery)
        .max_recovery(plan.max_recovery)
        .probes(plan.probes)
        .lease(plan.lease)
        .events(log.events())
        .seed(seed);
    if let Some(ratio) = plan.rate {
        builder = builder.failure_rate(FailureRate::new(ratio).min_requests(5));
    }
    if let Some(recheck) = plan.park_recheck {
        builder = builder.park_recheck(recheck);
    }
    if plan.slow {
        builder =
            builder.slow(Slow::first_token(Duration::from_secs(2)).or(Slow::gap(Duration::from_secs(1))));
    }
    if plan.pool {
        builder = builder.pool(pool.clone());
    }
    Ok(builder.build()?)
}

fn rate_limit(deployment: &DeploymentPlan, plan: &LimitPlan, log: &Log, seed: u64) -> Result<RateLimitLayer> {
    let mut builder = RateLimitLayer::builder()
        .deployment(deployment.name.as_str())
        .max_wait(plan.max_wait)
        .max_queue(plan.max_queue)
        .predict(plan.predict)
        .learn(plan.learn)
        .events(log.events())
        .seed(seed);
    if let Some(requests) = plan.requests {
        builder = builder.requests_per_minute(requests);
    }
    if let Some(tokens) = plan.tokens {
        builder = builder.tokens_per_minute(tokens);
    }
    Ok(builder.build()?)
}

fn router(plan: &Plan, log: &Log, posts: &[Post], budget: &RetryBudget, seed: u64) -> Result<Router> {
    let mut builder = Router::builder().events(log.events()).seed(seed);
    if let Some(hedging) = &plan.hedging {
        let hedging = Hedging::new().floor(hedging.floor).extra(hedging.extra).allowance(budget.clone());
        builder = builder.hedging(hedging);
    }
    for (number, model) in plan.models.iter().enumerate() {
        let names =
            |models: &[usize]| models.iter().map(|model| plan.models[*model].name).collect::<Vec<_>>();
        let mut built = Model::new(model.name)
            .fallbacks(names(&model.fallbacks))
            .context_window_fallbacks(names(&model.longer))
            .content_policy_fallbacks(names(&model.other_policy));
        if let Some(strategy) = strategy::named(model.strategy) {
            built = built.shared_strategy(strategy);
        }
        for (deployment, post) in plan.deployments.iter().zip(posts).filter(|(plan, _)| plan.model == number)
        {
            built = built.deployment(routed(deployment, post));
        }
        builder = builder.model(built);
    }
    Ok(builder.build()?)
}

fn routed(plan: &DeploymentPlan, post: &Post) -> Deployment {
    let mut deployment = Deployment::new(plan.name.as_str(), post.provider.clone())
        .weight(plan.weight)
        .order(plan.order)
        .prefill(plan.prefill.is_declared())
        .availability(post.breaker.clone());
    deployment = match (&post.limiter, &post.bulkhead) {
        (Some(limiter), _) => deployment.headroom(limiter.clone()),
        (None, Some(bulkhead)) => deployment.headroom(bulkhead.clone()),
        (None, None) => deployment,
    };
    if let Some(price) = plan.price {
        deployment = deployment.price(price, price * 4.0);
    }
    match plan.window.filter(|_| plan.tells_window) {
        Some(window) => deployment.context_window(window),
        None => deployment,
    }
}

fn retry(plan: &Plan, log: &Log, budget: &RetryBudget, seed: u64) -> Result<RetryLayer> {
    let retry = &plan.retry;
    Ok(RetryLayer::builder()
        .attempts(retry.attempts)
        .base(retry.base.min(retry.max_delay))
        .max_delay(retry.max_delay)
        .max_retry_after(retry.max_retry_after)
        .min_attempt(retry.min_attempt)
        .jitter(retry.jitter)
        .shorten(retry.shorten)
        .budget(budget.clone())
        .events(log.events())
        .seed(seed)
        .build()?)
}

fn rescue(plan: &Plan, log: &Log, budget: &RetryBudget) -> Result<RescueLayer> {
    let rescue = &plan.rescue;
    let layer = RescueLayer::builder()
        .policies(rescue.policies.iter().copied())
        .rescues(rescue.rescues)
        .within(rescue.within)
        .hold_back(rescue.hold_back)
        .events(log.events())
        .build()?;
    Ok(if rescue.draws { layer.allowance(budget.clone()) } else { layer })
}

/// Between rescue and retry: tells how often the stack beneath is asked for one call.
#[derive(Clone)]
struct Tap {
    inner: BoxProvider,
    log: Log,
}

impl Service<Call> for Tap {
    type Response = Reply;
    type Error = Error;
    type Future = <BoxProvider as Service<Call>>::Future;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        if let Ok(id) = call.context().id.parse() {
            self.log.leg_begins(id);
        }
        self.inner.call(call)
    }
}

/// Around a deployment: tells when one of its limits refused a call.
#[derive(Clone)]
struct Refusals {
    inner: BoxProvider,
    log: Log,
}

impl Service<Call> for Refusals {
    type Response = Reply;
    type Error = Error;
    type Future = <BoxProvider as Service<Call>>::Future;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (id, log) = (call.context().id.parse(), self.log.clone());
        let answer = self.inner.call(call);
        Box::pin(async move {
            let answer = answer.await;
            if let (Err(error), Ok(id)) = (&answer, id)
                && error.kind() == ErrorKind::LimitReached
            {
                log.refused(id, error);
            }
            answer
        })
    }
}

//! What a policy of the configuration means for each layer.

use std::time::Duration;

use mainstay_breaker::{BehindRateLimit, BreakerBuilder, BreakerLayer, FailureRate, Slow};
use mainstay_provider_core::{Error, ErrorKind, Events};
use mainstay_rate_limit::{BulkheadLayer, Counting, RateLimitLayer};
use mainstay_rescue::{HoldBack, RescueConfig, RescueLayer, RescuePolicy};
use mainstay_retry::{RetryBudget, RetryBuilder, RetryLayer, Shorten, Summariser};
use mainstay_router::{Hedging, Router};
use mainstay_timeout::TimeoutLayer;

use crate::config::{DeploymentConfig, HoldBackSetting, Policy, RescueSetting, ShortenSetting, Span};

/// Whether all layers take the policy.
pub(crate) fn check(policy: &Policy) -> Result<(), Error> {
    retry(policy, &RetryBudget::default(), None, &Events::default())?;
    rescue(policy, &Events::default())?;
    timeout(policy)?;
    breaker(policy, "", &Events::default())?;
    Ok(())
}

/// Whether all layers take what a deployment says.
pub(crate) fn check_deployment(config: &DeploymentConfig) -> Result<(), Error> {
    rate_limit(config, None, "", &config.model, &Events::default())?;
    bulkhead(config, &config.model)?;
    Ok(())
}

/// `router`: who sums up what is left out of a conversation, if a model is named for that.
pub(crate) fn retry(
    policy: &Policy,
    budget: &RetryBudget,
    router: Option<&Router>,
    events: &Events,
) -> Result<RetryLayer, Error> {
    let mut retry = RetryBuilder::standard().budget(budget.clone()).events(events.clone());
    if let Some(retries) = policy.num_retries {
        retry = retry.attempts(retries.saturating_add(1));
    }
    if let Some(base) = policy.retry_base {
        retry = retry.base(base.duration());
    }
    if let Some(longest) = policy.retry_max_delay {
        retry = retry.max_delay(longest.duration()).max_retry_after(longest.duration());
    }
    if let Some(shorten) = policy.shorten {
        retry = retry.shorten(match shorten {
            ShortenSetting::Off => Shorten::Off,
            ShortenSetting::DropOldest => Shorten::DropOldest,
        });
    }
    if let (Some(model), Some(router)) = (&policy.summarise_with, router) {
        retry = retry.summariser(Summariser::new(router.clone(), model));
    }
    retry
        .build()
        .map_err(|why| invalid(renamed(&why, &[("max_delay", "retry_max_delay"), ("base", "retry_base")])))
}

pub(crate) fn rescue(policy: &Policy, events: &Events) -> Result<RescueLayer, Error> {
    let mut rescue = RescueConfig::standard().events(events.clone());
    if let Some(policies) = &policy.rescue {
        rescue = rescue.policies(policies.iter().map(|policy| match policy {
            RescueSetting::Fail => RescuePolicy::Fail,
            RescueSetting::Resume => RescuePolicy::Resume,
            RescueSetting::Restart => RescuePolicy::Restart,
        }));
    }
    rescue.hold_back(policy.hold_back.map(hold_back)).build().map_err(invalid)
}

fn hold_back(setting: HoldBackSetting) -> HoldBack {
    let default = HoldBack::default();
    HoldBack::new()
        .chunks(setting.chunks.unwrap_or(default.chunks))
        .bytes(setting.bytes.unwrap_or(default.bytes))
        .time(setting.time.map_or(default.time, Span::duration))
}

pub(crate) fn hedging(policy: &Policy, budget: &RetryBudget) -> Option<Hedging> {
    (policy.hedging == Some(true)).then(|| Hedging::new().allowance(budget.clone()))
}

/// How long a call waits in line at the only deployment that could take it.
pub(crate) fn longest_in_line(policy: &Policy) -> Duration {
    policy.retry_max_delay.map_or(Duration::from_secs(30), Span::duration)
}

pub(super) fn timeout(policy: &Policy) -> Result<TimeoutLayer, Error> {
    let mut timeout = TimeoutLayer::builder();
    if let Some(total) = policy.timeout {
        timeout = timeout.total(total.duration());
    }
    if let Some(first_token) = policy.first_token_timeout {
        timeout = timeout.first_token(first_token.duration());
    }
    if let Some(idle) = policy.idle_timeout {
        timeout = timeout.idle(idle.duration());
    }
    timeout.build().map_err(|why| {
        let names = [
            ("timer total", "timer timeout"),
            ("timer first_token", "timer first_token_timeout"),
            ("timer idle", "timer idle_timeout"),
        ];
        invalid(renamed(&why, &names))
    })
}

pub(super) fn breaker(policy: &Policy, deployment: &str, events: &Events) -> Result<BreakerLayer, Error> {
    // A probe is given up when its attempt must have ended.
    let attempt = policy.timeout.map_or(Duration::from_secs(60), Span::duration);
    let mut breaker =
        BreakerBuilder::default().deployment(deployment).policy(BehindRateLimit).events(events.clone());
    if policy.failures.is_some() || policy.allowed_fails.is_some() {
        breaker = breaker.failures(policy.failures).allowed_fails(policy.allowed_fails);
    }
    if let Some(ratio) = policy.failure_rate {
        // Longer than the longest attempt, which the window must not forget before it ends.
        let window = (2 * attempt + attempt / 4).max(Duration::from_secs(120));
        breaker = breaker.failure_rate(FailureRate::new(ratio).window(window));
    }
    let slow_first_token = policy.slow_first_token.map(|longest| Slow::first_token(longest.duration()));
    let slow_gap = policy.slow_gap.map(|longest| Slow::gap(longest.duration()));
    if let Some(slow) = slow_first_token.into_iter().chain(slow_gap).reduce(Slow::or) {
        breaker = breaker.slow(slow);
    }
    if let Some(time) = policy.cooldown_time {
        breaker = breaker.recovery(time.duration());
    }
    // Keys are changed with the configuration, but credit is topped up: one call a minute looks.
    breaker
        .park_recheck(Duration::from_secs(60))
        .lease(attempt)
        .build()
        .map_err(|why| invalid(renamed(&why, &[("recovery", "cooldown_time"), ("lease", "timeout")])))
}

/// `alone`: nobody else could take a call, so it waits in line for as long as a provider is obeyed; where somebody could,
/// it waits a second (the layer's default) and goes there.
pub(super) fn rate_limit(
    config: &DeploymentConfig,
    alone: Option<Duration>,
    kind: &str,
    deployment: &str,
    events: &Events,
) -> Result<RateLimitLayer, Error> {
    let mut limit =
        RateLimitLayer::builder().deployment(deployment).counting(Counting::of(kind)).events(events.clone());
    if let Some(longest) = alone {
        limit = limit.max_wait(longest);
    }
    if let Some(requests) = config.rpm {
        limit = limit.requests_per_minute(requests);
    }
    if let Some(tokens) = config.tpm {
        limit = limit.tokens_per_minute(tokens);
    }
    limit.build().map_err(invalid)
}

pub(super) fn bulkhead(config: &DeploymentConfig, deployment: &str) -> Result<Option<BulkheadLayer>, Error> {
    let bulkhead = |calls| BulkheadLayer::builder().deployment(deployment).max_parallel(calls).build();
    config.max_parallel.map(bulkhead).transpose().map_err(invalid)
}

/// A layer's words with the names that its settings have in the configuration.
fn renamed(why: &impl std::fmt::Display, names: &[(&str, &str)]) -> String {
    names.iter().fold(why.to_string(), |text, (layer, here)| text.replacen(layer, here, 1))
}

/// A layer's word on why it does not take a setting.
pub(super) fn invalid(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Configuration, why.to_string())
}

//! The storm experiment (S2.4): many workers against a provider that takes fewer requests than they make.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mainstay_adapters::{Adapter, AdapterConfig, Transport, TransportConfig};
use mainstay_breaker::{BehindRateLimit, BreakerLayer};
use mainstay_provider_core::{BoxProvider, Call, Provider};
use mainstay_rate_limit::RateLimitLayer;
use mainstay_retry::{Jitter, RetryBuilder, RetryLayer};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tower::Layer;

use super::provider::{Bucket, RateLimited};
use super::recorder::{Attempt, Attempts, Recorded};
use super::server;

const WORKERS: u32 = 20;
const CALLS: u32 = 100;

/// How the workers retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// 5 attempts, the back off as it is.
    Fixed,
    /// 5 attempts, up to half on top: the bare layer.
    Proportional,
    /// 5 attempts, anything up to the back off.
    Full,
    /// 3 attempts, full jitter.
    Three,
    /// The same with the budget: the layer of the default stack, without the layers that keep the rate.
    Standard,
    /// With those: retry, rate limit, breaker, as the default stack has them for a model's only deployment.
    Stack,
}

impl Strategy {
    pub(super) const ALL: [Self; 6] =
        [Self::Fixed, Self::Proportional, Self::Full, Self::Three, Self::Standard, Self::Stack];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Proportional => "proportional",
            Self::Full => "full",
            Self::Three => "full, 3 attempts",
            Self::Standard => "standard alone",
            Self::Stack => "default stack",
        }
    }

    fn layer(self, seed: u64) -> Result<RetryLayer> {
        let builder = match self {
            Self::Fixed => RetryLayer::builder().jitter(Jitter::None),
            Self::Proportional => RetryLayer::builder(),
            Self::Full => RetryLayer::builder().jitter(Jitter::Full),
            Self::Three => RetryBuilder::standard().budget(None),
            Self::Standard | Self::Stack => RetryBuilder::standard(),
        };
        Ok(builder.seed(seed).build()?)
    }

    /// The provider with what retries ask.
    fn around(self, provider: BoxProvider, seed: u64) -> Result<BoxProvider> {
        if self != Self::Stack {
            return Ok(provider);
        }
        let breaker = BreakerLayer::builder().policy(BehindRateLimit).seed(seed).build()?;
        // As long as a provider's own word is obeyed.
        let limit = RateLimitLayer::builder().max_wait(Duration::from_secs(30)).seed(seed).build()?;
        Ok(limit.layer(breaker.layer(provider)).boxed())
    }
}

/// Whether a refusal says how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// `Retry-After: 1`, the shortest wait that whole seconds can say.
    Seconds,
    None,
}

impl Hint {
    pub(super) fn wait(self) -> Option<Duration> {
        (self == Self::Seconds).then_some(Duration::from_secs(1))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Seconds => "1 s",
            Self::None => "none",
        }
    }
}

/// One storm.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) attempts: Vec<Attempt>,
    /// How long the calls took that were answered in the end.
    pub(super) answered: Vec<Duration>,
    pub(super) failed: u32,
}

impl Trial {
    pub(super) fn calls(&self) -> u32 {
        self.answered.len() as u32 + self.failed
    }

    /// When each attempt that was not the first of its call was made.
    pub(super) fn retries(&self) -> Vec<Duration> {
        self.attempts.iter().filter(|attempt| attempt.number > 1).map(|attempt| attempt.at).collect()
    }
}

/// Storms in simulated time, one for each seed.
pub(super) fn simulated(strategy: Strategy, hint: Hint, seeds: u64) -> Result<Vec<Trial>> {
    (1..=seeds)
        .map(|seed| {
            let runtime = paused()?;
            runtime.block_on(async {
                let provider = RateLimited { bucket: Bucket::new(seed), hint }.boxed();
                storm(strategy, seed, provider).await
            })
        })
        .collect()
}

/// A runtime whose clock jumps to the next timer when nothing else is to be done.
pub(super) fn paused() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_time().start_paused(true).build()?)
}

/// One storm of each kind in real time, each against a server of its own, all at once: they do not share anything that
/// is scarce.
pub(super) fn in_real_time() -> Result<Vec<(Strategy, Hint, Trial)>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let kinds =
            [Hint::Seconds, Hint::None].into_iter().flat_map(|hint| Strategy::ALL.map(|kind| (kind, hint)));
        let mut storms = Vec::new();
        for (strategy, hint) in kinds {
            let origin = server::start(Bucket::new(1), hint).await?;
            let config = AdapterConfig::new("openai").base_url(origin).key("lab");
            let adapter =
                Adapter::new(config, &Transport::new(&TransportConfig::default())?).context("the adapter")?;
            storms.push((strategy, hint, tokio::spawn(storm(strategy, 1, adapter.boxed()))));
        }
        let mut trials = Vec::new();
        for (strategy, hint, storm) in storms {
            trials.push((strategy, hint, storm.await??));
        }
        Ok(trials)
    })
}

/// 20 workers that make 100 calls together, each as soon as its last one has ended.
async fn storm(strategy: Strategy, seed: u64, provider: BoxProvider) -> Result<Trial> {
    let attempts = Attempts::new();
    let recorded = Recorded { inner: provider, attempts: attempts.clone() };
    let retry = strategy.layer(seed)?.layer(strategy.around(recorded.boxed(), seed)?);
    let left = Arc::new(AtomicU32::new(CALLS));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (retry, left) = (retry.clone(), left.clone());
            tokio::spawn(async move {
                let mut ended = Vec::new();
                while take(&left) {
                    let begin = Instant::now();
                    let answer = retry.ask(Call::ask("lab", "What is a mainstay?")).await;
                    ended.push(answer.map(|_| begin.elapsed()).map_err(|error| error.kind()));
                }
                ended
            })
        })
        .collect();
    let mut trial = Trial { attempts: Vec::new(), answered: Vec::new(), failed: 0 };
    for worker in workers {
        for ended in worker.await? {
            match ended {
                Ok(took) => trial.answered.push(took),
                Err(_) => trial.failed += 1,
            }
        }
    }
    trial.attempts = attempts.made();
    Ok(trial)
}

fn take(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

#[cfg(test)]
mod tests;

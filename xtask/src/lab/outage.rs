//! A provider that falls silent for a minute, with and without a breaker in front of it.

use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use mainstay_breaker::BreakerLayer;
use mainstay_provider_core::{BoxFuture, BoxProvider, Call, Error, Provider, Reply};
use mainstay_retry::RetryBuilder;
use mainstay_timeout::TimeoutLayer;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceBuilder};

use super::provider::answer;
use super::recorder::{Attempts, Recorded};
use super::storm::paused;

pub(super) const BEGIN: Duration = Duration::from_secs(30);
pub(super) const END: Duration = Duration::from_secs(90);
pub(super) const LENGTH: Duration = Duration::from_secs(150);
const BETWEEN_CALLS: Duration = Duration::from_millis(250);
/// An attempt that has no answer by then is given up.
const GIVEN_UP: Duration = Duration::from_secs(10);
/// How long an answer takes: a second, a fifth more or less.
const ANSWER: Duration = Duration::from_secs(1);

/// What stands between the callers and the provider: retry and timeout always, and
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stack {
    /// nothing else;
    Bare,
    /// a breaker with its defaults, which looks again after 60 s;
    Breaker,
    /// one that looks again after 10 s;
    QuickBreaker,
    /// that one, and a second provider that is asked when the first does not answer;
    Fallback,
    /// the second provider without the breaker.
    FallbackBare,
}

impl Stack {
    const ALL: [Self; 5] =
        [Self::Bare, Self::Breaker, Self::QuickBreaker, Self::FallbackBare, Self::Fallback];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bare => "no breaker",
            Self::Breaker => "breaker, 60 s",
            Self::QuickBreaker => "breaker, 10 s",
            Self::FallbackBare => "second provider, no breaker",
            Self::Fallback => "second provider, breaker, 10 s",
        }
    }

    fn build(self, attempts: &Attempts, seed: u64) -> Result<BoxProvider> {
        let silent = Provided { begin: Instant::now(), chance: seed, falls_silent: true };
        let timeout = TimeoutLayer::builder().total(GIVEN_UP).build()?;
        let provider = timeout.layer(Recorded { inner: silent, attempts: attempts.clone() });
        let breaker = |recovery| BreakerLayer::builder().recovery(recovery).seed(seed).build();
        let provider = match self {
            Self::Bare | Self::FallbackBare => provider.boxed(),
            Self::Breaker => breaker(Duration::from_secs(60))?.layer(provider).boxed(),
            Self::QuickBreaker | Self::Fallback => breaker(Duration::from_secs(10))?.layer(provider).boxed(),
        };
        let provider = match self {
            Self::Fallback | Self::FallbackBare => Either { first: provider, second: second(seed) }.boxed(),
            _ => provider,
        };
        let retry = RetryBuilder::standard().seed(seed).build()?;
        Ok(ServiceBuilder::new().layer(retry).service(provider).boxed())
    }
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called {
    /// When it was made.
    pub(super) at: Duration,
    pub(super) took: Duration,
    pub(super) served: bool,
}

/// What came of one stack.
pub(super) struct Run {
    pub(super) stack: Stack,
    pub(super) calls: Vec<Called>,
    pub(super) attempts_in_outage: usize,
}

impl Run {
    /// The calls that were made in the outage.
    pub(super) fn during(&self) -> Vec<Called> {
        self.calls.iter().filter(|call| (BEGIN..END).contains(&call.at)).copied().collect()
    }

    /// From the provider's recovery to the call from which on all were served.
    pub(super) fn served_again(&self) -> Duration {
        let last = self.calls.iter().rfind(|call| !call.served).map_or(END, |call| call.at + BETWEEN_CALLS);
        last.saturating_sub(END)
    }
}

/// Every stack through the same outage.
pub(super) fn all() -> Result<Vec<Run>> {
    Stack::ALL.into_iter().map(run).collect()
}

/// What a breaker is there for, and did not do.
pub(super) fn missed(runs: &[Run]) -> Vec<String> {
    let attempts = |stack| runs.iter().find(|run| run.stack == stack).map_or(0, |run| run.attempts_in_outage);
    let (bare, quick) = (attempts(Stack::Bare), attempts(Stack::QuickBreaker));
    let failed = runs.iter().filter(|run| run.stack == Stack::Fallback).flat_map(|run| &run.calls);
    let failed = failed.filter(|call| !call.served).count();
    let mut missed = Vec::new();
    if quick * 4 > bare {
        missed.push(format!("outage: {quick} attempts with a breaker, {bare} without"));
    }
    if failed > 0 {
        missed.push(format!("outage: {failed} calls failed beside a second provider"));
    }
    missed
}

fn run(stack: Stack) -> Result<Run> {
    paused()?.block_on(async {
        let begin = Instant::now();
        let attempts = Attempts::new();
        let provider = stack.build(&attempts, 1)?;
        let mut calls = Vec::new();
        while begin.elapsed() < LENGTH {
            let (provider, at) = (provider.clone(), begin.elapsed());
            calls.push(tokio::spawn(async move {
                let served = provider.ask(Call::ask("lab", "What is a mainstay?")).await.is_ok();
                Called { at, took: begin.elapsed() - at, served }
            }));
            tokio::time::sleep(BETWEEN_CALLS).await;
        }
        let mut ended = Vec::new();
        for call in calls {
            ended.push(call.await?);
        }
        let attempts_in_outage =
            attempts.made().iter().filter(|attempt| (BEGIN..END).contains(&attempt.at)).count();
        Ok(Run { stack, calls: ended, attempts_in_outage })
    })
}

/// A provider of which it is known when it is silent.
#[derive(Clone)]
struct Provided {
    begin: Instant,
    chance: u64,
    falls_silent: bool,
}

fn second(seed: u64) -> BoxProvider {
    Provided { begin: Instant::now(), chance: seed + 1, falls_silent: false }.boxed()
}

impl Service<Call> for Provided {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _call: Call) -> Self::Future {
        let now = self.begin.elapsed();
        let mut chance = Rng::with_seed(self.chance ^ now.as_nanos() as u64);
        let (silent, time) =
            (self.falls_silent && (BEGIN..END).contains(&now), ANSWER.mul_f64(0.8 + chance.f64() * 0.4));
        Box::pin(async move {
            if silent {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(time).await;
            Ok(answer())
        })
    }
}

/// The least of a router: the second is asked when the first fails.
#[derive(Clone)]
struct Either {
    first: BoxProvider,
    second: BoxProvider,
}

impl Service<Call> for Either {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.first.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let first = self.first.call(call.clone());
        let second = self.second.clone();
        Box::pin(async move {
            match first.await {
                Err(_) => second.ask(call).await,
                reply => reply,
            }
        })
    }
}

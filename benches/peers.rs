//! Our layers beside what else there is for tower: each alone around the same service, asked in the same way, in the same
//! run. `cargo xtask bench --only peers` subtracts the bare service's time and prints the table.
//!
//! Made for a machine that does other things too: everything is measured once a round, a difference is taken within a
//! round, and what is told is the median of the rounds. A sample is half a millisecond, shorter than a time slice, so
//! that most samples, and with them the median, hold nobody else's work.
//!
//! A name is `peers/<round>/<setting>/<layer>: <whose>`, and the table is made from it.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "shared/instant.rs"]
mod instant;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main};
use failsafe::futures::CircuitBreaker;
use instant::Instant;
use mainstay_breaker::{BreakerLayer, FailureRate};
use mainstay_provider_core::{BoxFuture, Call, Error, Provider, Reply};
use mainstay_rate_limit::{Dimension, RateLimitLayer};
use mainstay_rescue::RescueLayer;
use mainstay_retry::RetryLayer;
use mainstay_router::{Deployment, Model, Router};
use mainstay_timeout::TimeoutLayer;
use std::future::{Ready, poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::unconstrained;
use tower::retry::Policy;
use tower::retry::budget::{Budget, TpsBudget};
use tower::util::Oneshot;
use tower::{Layer, Service, ServiceExt};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_retry::RetryLayer as ResilienceRetryLayer;
use tower_resilience_timelimiter::TimeLimiterLayer;

const ROUNDS: u32 = 11;

/// What [`TimeoutLayer`] gives a call.
const TOTAL: Duration = Duration::from_secs(60);

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(1_000_000);

fn peers(criterion: &mut Criterion) {
    for round in 1..=ROUNDS {
        answered_at_once(Bench::new(criterion, round, "at once", call(false)));
        answered_after_a_wait(Bench::new(criterion, round, "after a wait", call(false)));
        streamed(Bench::new(criterion, round, "stream of 20", call(true)));
        refused(Bench::new(criterion, round, "refusal", call(false)));
    }
}

fn call(stream: bool) -> Call {
    let mut call = Call::ask("bench-model", "What is the rope called that holds the mast from behind?");
    call.request_mut().stream = Some(stream);
    call
}

fn answered_at_once(mut bench: Bench<'_>) {
    let bare = Instant::new();
    bench.answers("bare: tower", asking(bare.clone()));
    bench.breakers(&bare);
    let rate = BreakerLayer::builder().failure_rate(FailureRate::new(0.5)).build();
    let rate = rate.expect("the settings are right").layer(bare.clone());
    bench.answers("breaker with a failure rate: mainstay", asking(rate));
    bench.retries(&bare);
    bench.timeouts(&bare);
    let deployment = Deployment::new("eu-1", bare.clone()).model("bench-model");
    let router = Router::builder().model(Model::new("bench-model").deployment(deployment)).seed(1).build();
    bench.answers("router: mainstay", asking(router.expect("the settings are right")));
    let limits = Dimension::ALL
        .into_iter()
        .fold(RateLimitLayer::builder(), |builder, of| builder.limit(of, 900_000_000_000));
    let limited = limits.build().expect("the settings are right").layer(bare.clone());
    bench.answers("rate limit: mainstay", asking(limited));
    bench.answers("rescue: mainstay", asking(RescueLayer::standard().layer(bare.clone())));
    // What the machine makes of nothing: the error of every difference here.
    bench.answers("bare again: tower", asking(bare));
}

/// A timer that is set only when there is something to wait for is not set at all above; here it is.
fn answered_after_a_wait(mut bench: Bench<'_>) {
    let bare = Later(Instant::new());
    bench.answers("bare: tower", asking(bare.clone()));
    bench.timeouts(&bare);
}

/// The others have done their part when a stream begins; ours go on to its end.
fn streamed(mut bench: Bench<'_>) {
    let bare = Instant::new();
    bench.answers("bare: tower", asking(bare.clone()));
    bench.breakers(&bare);
    bench.retries(&bare);
    bench.timeouts(&bare);
    bench.answers("rescue: mainstay", asking(RescueLayer::standard().layer(bare)));
}

fn refused(mut bench: Bench<'_>) {
    let bare = Instant::new();

    let layer = BreakerLayer::builder().deployment("eu-1").build().expect("the settings are right");
    let ours = layer.layer(bare.clone());
    layer.handle().force_open();
    bench.refuses("open breaker: mainstay", asking(ours));

    let layer = CircuitBreakerLayer::standard().wait_duration_in_open(FOR_EVER).build();
    let resilience = layer.expect("the settings are right").layer(bare.clone());
    bench.runtime.block_on(resilience.force_open());
    bench.refuses("open breaker: tower-resilience", asking(resilience));

    let policy = failsafe::failure_policy::consecutive_failures(1, failsafe::backoff::constant(FOR_EVER));
    let failsafe = failsafe::Config::new().failure_policy(policy).build();
    let failure = failsafe.call(std::future::ready(Err::<(), _>(())));
    bench.runtime.block_on(failure).expect_err("it is passed on");
    bench.refuses("open breaker: failsafe", |call| failsafe.call(bare.clone().oneshot(call)));
}

/// A clone of the service is asked, as every server with more than one client does.
fn asking<S: Service<Call> + Clone>(service: S) -> impl Fn(Call) -> Oneshot<S, Call> {
    move |call| service.clone().oneshot(call)
}

/// One setting of one round.
struct Bench<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    runtime: Runtime,
    call: Call,
}

impl<'a> Bench<'a> {
    fn new(criterion: &'a mut Criterion, round: u32, setting: &str, call: Call) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut group = criterion.benchmark_group(format!("peers/{round}/{setting}"));
        group.sampling_mode(SamplingMode::Flat);
        Self { group, runtime, call }
    }

    /// Each with the settings that it is shipped with.
    fn breakers(&mut self, bare: &Instant) {
        self.answers("breaker: mainstay", asking(BreakerLayer::default().layer(bare.clone())));
        let layer = CircuitBreakerLayer::standard().build().expect("the settings are right");
        self.answers("breaker: tower-resilience", asking(layer.layer(bare.clone())));
        let failsafe = failsafe::Config::new().build();
        self.answers("breaker: failsafe", |call| failsafe.call(bare.clone().oneshot(call)));
    }

    /// Ours and tower's with a budget; tower-resilience has one only when it is given one.
    fn retries(&mut self, bare: &Instant) {
        self.answers("retry: mainstay", asking(RetryLayer::standard().layer(bare.clone())));
        let layer = ResilienceRetryLayer::<Call, Reply, Error>::exponential_backoff().build();
        self.answers("retry: tower-resilience", asking(layer.layer(bare.clone())));
        self.answers("retry: tower", asking(tower::retry::Retry::new(WithinBudget::default(), bare.clone())));
    }

    /// All give the same time, and none needs it.
    fn timeouts(&mut self, bare: &impl Provider) {
        self.answers("timeout: mainstay", asking(TimeoutLayer::default().layer(bare.clone())));
        let layer = TimeLimiterLayer::standard().timeout_duration(TOTAL).build();
        self.answers("timeout: tower-resilience", asking(layer.layer(bare.clone())));
        self.answers("timeout: tower", asking(tower::timeout::Timeout::new(bare.clone(), TOTAL)));
    }

    fn answers<F, E>(&mut self, name: &str, ask: impl Fn(Call) -> F)
    where
        F: Future<Output = Result<Reply, E>>,
    {
        self.measure(name, |call| {
            let reply = at_the_second_look(ask(call));
            async move { read(reply.await.ok().expect("an answer")).await }
        });
    }

    fn refuses<F, E>(&mut self, name: &str, ask: impl Fn(Call) -> F)
    where
        F: Future<Output = Result<Reply, E>>,
    {
        self.measure(name, |call| {
            let reply = ask(call);
            async move { reply.await.expect_err("a refusal") }
        });
    }

    fn measure<F: Future>(&mut self, name: &str, run: impl Fn(Call) -> F) {
        let Self { group, runtime, call } = self;
        group.bench_function(name, |bencher| {
            // Without tokio's limit per turn of a task, which would switch the timers off: all calls are one turn here.
            bencher.to_async(&*runtime).iter(|| unconstrained(run(call.clone())));
        });
    }
}

/// Looks again at once when there is no answer yet: a turn through the runtime would cost more than what is measured.
async fn at_the_second_look<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|task| match future.as_mut().poll(task) {
        Poll::Pending => future.as_mut().poll(task),
        ready => ready,
    })
    .await
}

/// Answers when it is asked the second time.
#[derive(Clone)]
struct Later(Instant);

impl Service<Call> for Later {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (reply, mut asked) = (self.0.call(call), false);
        Box::pin(async move {
            poll_fn(|_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending })
                .await;
            reply.await
        })
    }
}

/// The policy that tower's documentation shows for a budget.
#[derive(Clone, Default)]
struct WithinBudget(Arc<TpsBudget>);

impl Policy<Call, Reply, Error> for WithinBudget {
    type Future = Ready<()>;

    fn retry(&mut self, _call: &mut Call, result: &mut Result<Reply, Error>) -> Option<Self::Future> {
        match result {
            Ok(_) => {
                self.0.deposit();
                None
            }
            Err(_) => self.0.withdraw().then(|| ready(())),
        }
    }

    fn clone_request(&mut self, call: &Call) -> Option<Call> {
        Some(call.clone())
    }
}

/// Reads a stream to its end. A whole answer is there already.
async fn read(reply: Reply) {
    if reply.is_stream() {
        let mut chunks = reply.into_stream();
        while let Some(chunk) = chunks.next().await {
            chunk.expect("a chunk");
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .sample_size(400)
        .nresamples(1_000)
        .without_plots();
    targets = peers
}
criterion_main!(benches);

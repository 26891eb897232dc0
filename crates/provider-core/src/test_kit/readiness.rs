//! Tower's readiness promise, checked (STYLE 4): the handle that was polled is the one that is called, a clone starts
//! unready, dropping gives everything back.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::script::{Gate, Step};
use super::scripted::Scripted;
use super::tasks::{guarded, together, yield_now};
use crate::{Call, Error, ErrorKind, Reply};

/// Checks that `layer` keeps tower's readiness promise in every way that a handle can be used and dropped.
///
/// The layer is put over a strict [`Scripted`] provider, a fresh one for each pattern: single calls, concurrent
/// calls, clones of ready handles, handles dropped before, while and after they are ready, futures dropped unpolled and in
/// mid-call, failing calls. What the layer answers does not matter here, so a layer that refuses or retries passes too; at
/// least one call must get through it.
///
/// Run it with paused time: `#[tokio::test(start_paused = true)]`. It takes a minute to call something hung.
///
/// ```
/// # use mainstay_provider_core::test_kit::check_readiness;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let layer = tower::limit::ConcurrencyLimitLayer::new(3);
/// check_readiness(layer).await.unwrap();
/// # }
/// ```
pub async fn check_readiness<L>(layer: L) -> Result<(), BrokenReadiness>
where
    L: Layer<Scripted>,
    L::Service: Service<Call, Response = Reply, Error = Error> + Clone,
{
    check_readiness_of(|inner| layer.layer(inner)).await
}

/// As [`check_readiness`], for a service that a function puts over the provider.
pub async fn check_readiness_of<S>(make: impl Fn(Scripted) -> S) -> Result<(), BrokenReadiness>
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    // Each future holds one service from its making to its drop, so none of them may outlive its pattern.
    let patterns: [(&'static str, Pattern<'_, S>); 12] = [
        ("one call after another", Box::new(|lab| Box::pin(one_after_another(lab)))),
        ("two calls of one handle at once", Box::new(|lab| Box::pin(two_of_one_handle(lab)))),
        ("polled ready twice, called once", Box::new(|lab| Box::pin(ready_twice(lab)))),
        ("a ready handle and its clone", Box::new(|lab| Box::pin(ready_and_cloned(lab)))),
        ("two handles ready, then both called", Box::new(|lab| Box::pin(both_ready_then_called(lab)))),
        ("more handles than places", Box::new(|lab| Box::pin(more_than_places(lab)))),
        ("waiting until there is a place", Box::new(|lab| Box::pin(woken_by_a_place(lab)))),
        ("dropped before it is ready", Box::new(|lab| Box::pin(dropped_before_ready(lab)))),
        ("dropped while ready", Box::new(|lab| Box::pin(dropped_while_ready(lab)))),
        ("called and dropped unpolled", Box::new(|lab| Box::pin(dropped_unpolled(lab)))),
        ("dropped in mid-call", Box::new(|lab| Box::pin(dropped_in_mid_call(lab)))),
        ("calls that fail", Box::new(|lab| Box::pin(calls_that_fail(lab)))),
    ];
    for (pattern, run) in patterns {
        let inner =
            Scripted::repeating(Step::text("a mainstay holds the mast").after(Duration::from_millis(5)));
        let lab = Lab { service: make(inner.clone()), inner: inner.clone() };
        let kept = guarded(LIMIT, run(lab)).await.flatten();
        // A layer may have swallowed the panic of an unready call, and then its count is all there is.
        let problem = if inner.counts().unready_calls > 0 {
            Err("the inner service was called on a handle that was not polled ready".to_owned())
        } else if kept.is_err() {
            kept
        } else {
            check_returned(&inner).await
        };
        if let Err(problem) = problem {
            return Err(BrokenReadiness { pattern, problem });
        }
    }
    Ok(())
}

/// How a layer broke the readiness promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenReadiness {
    pattern: &'static str,
    problem: String,
}

impl BrokenReadiness {
    /// What was done to the layer.
    pub fn pattern(&self) -> &str {
        self.pattern
    }

    /// What went wrong.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for BrokenReadiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "readiness broken: {}: {}", self.pattern, self.problem)
    }
}

impl std::error::Error for BrokenReadiness {}

const LIMIT: Duration = Duration::from_secs(60);

type Verdict = Result<(), String>;
type Pattern<'a, S> = Box<dyn Fn(Lab<S>) -> Pin<Box<dyn Future<Output = Verdict> + 'a>> + 'a>;

/// A layer's service over a strict provider. All of it is dropped at the end of a pattern.
struct Lab<S> {
    service: S,
    inner: Scripted,
}

impl<S> Lab<S>
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    fn handle(&self) -> S {
        self.service.clone()
    }

    /// A whole call by a handle of its own. Every call asks something else, so that no cache answers.
    async fn call(&self, number: usize) {
        call(&mut self.handle(), number).await;
    }
}

fn question(number: usize) -> Call {
    Call::ask("m", format!("question {number}"))
}

async fn ready<S: Service<Call, Error = Error>>(service: &mut S) -> Result<(), Error> {
    std::future::poll_fn(|task| service.poll_ready(task)).await
}

/// A whole call; what comes of it does not matter.
async fn call<S: Service<Call, Response = Reply, Error = Error>>(service: &mut S, number: usize) {
    if ready(service).await.is_ok() {
        read(service.call(question(number)).await).await;
    }
}

async fn read(reply: Result<Reply, Error>) {
    if let Ok(reply) = reply {
        let _read = reply.collect().await;
    }
}

async fn one_after_another<S>(mut lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(1);
    for number in 0..3 {
        call(&mut lab.service, number).await;
    }
    if lab.inner.counts().calls == 0 {
        return Err("no call reached the inner service: this checks nothing".into());
    }
    Ok(())
}

async fn two_of_one_handle<S>(mut lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(2);
    if ready(&mut lab.service).await.is_ok() {
        // The first goes on while the handle waits to be ready again: there may be one place in all.
        let first = lab.service.call(question(0));
        let service = &mut lab.service;
        together::<()>(vec![
            Box::pin(async { read(first.await).await }),
            Box::pin(async { call(service, 1).await }),
        ])
        .await;
    }
    Ok(())
}

async fn ready_twice<S>(mut lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(1);
    if ready(&mut lab.service).await.is_ok() {
        call(&mut lab.service, 0).await;
    }
    Ok(())
}

async fn ready_and_cloned<S>(mut lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(2);
    if ready(&mut lab.service).await.is_ok() {
        let mut clone = lab.service.clone();
        let reply = lab.service.call(question(0));
        together::<()>(vec![
            Box::pin(async { read(reply.await).await }),
            Box::pin(async { call(&mut clone, 1).await }),
        ])
        .await;
    }
    Ok(())
}

async fn both_ready_then_called<S>(lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(2);
    let (mut one, mut other) = (lab.handle(), lab.handle());
    if ready(&mut one).await.is_err() {
        return Ok(());
    }
    // A layer with one place of its own lets the other handle wait until the first has called.
    let other_is_ready =
        matches!(poll_once(std::future::poll_fn(|task| other.poll_ready(task))), Poll::Ready(Ok(())));
    read(one.call(question(0)).await).await;
    if other_is_ready {
        read(other.call(question(1)).await).await;
    }
    Ok(())
}

async fn more_than_places<S>(lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(2);
    let lab = &lab;
    together::<()>((0..7).map(|number| Box::pin(lab.call(number)) as _).collect()).await;
    Ok(())
}

async fn woken_by_a_place<S>(lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(0);
    let release = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        lab.inner.set_places(1);
    };
    together::<()>(vec![Box::pin(lab.call(0)), Box::pin(lab.call(1)), Box::pin(release)]).await;
    Ok(())
}

async fn dropped_before_ready<S>(lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(0);
    let mut impatient = lab.handle();
    let polled = poll_once(std::future::poll_fn(|task| impatient.poll_ready(task)));
    if let Poll::Ready(Ok(())) = polled {
        // A layer that is always ready waits inside the call.
        let _pending = poll_once(impatient.call(question(0)));
    }
    drop(impatient);
    lab.inner.set_places(1);
    lab.call(1).await;
    Ok(())
}

async fn dropped_while_ready<S>(lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(1);
    let mut idle = lab.handle();
    let is_ready = ready(&mut idle).await.is_ok();
    let other = async {
        if is_ready {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(idle);
    };
    together::<()>(vec![Box::pin(lab.call(0)), Box::pin(other)]).await;
    Ok(())
}

async fn dropped_unpolled<S>(lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(1);
    let mut hasty = lab.handle();
    if ready(&mut hasty).await.is_ok() {
        drop(hasty.call(question(0)));
    }
    lab.call(1).await;
    Ok(())
}

async fn dropped_in_mid_call<S>(lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(1);
    let gate = Gate::new();
    lab.inner.push(Step::text("too late").behind(&gate));
    let mut handle = lab.handle();
    if ready(&mut handle).await.is_ok() {
        let mut reply = pin!(handle.call(question(0)));
        let mut begun = pin!(lab.inner.when(|counts| counts.in_flight == 1));
        std::future::poll_fn(|task| {
            let answered = reply.as_mut().poll(task).is_ready();
            if answered || begun.as_mut().poll(task).is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    // `reply` is gone here, and with it its place.
    lab.call(1).await;
    Ok(())
}

async fn calls_that_fail<S>(lab: Lab<S>) -> Verdict
where
    S: Service<Call, Response = Reply, Error = Error> + Clone,
{
    lab.inner.set_places(1);
    for kind in [ErrorKind::Overloaded, ErrorKind::ServerError, ErrorKind::InvalidRequest] {
        lab.inner.push(Step::fail_with(kind));
    }
    for number in 0..4 {
        lab.call(number).await;
    }
    Ok(())
}

/// Everything was dropped: no place may be left behind. Tasks that the layer spawned get a chance to see it.
async fn check_returned(inner: &Scripted) -> Verdict {
    for _ in 0..100 {
        yield_now().await;
    }
    match (inner.counts().in_flight, inner.places_taken()) {
        (0, 0) => Ok(()),
        (0, kept) => Err(format!("all handles are gone, and {kept} of them still hold a place")),
        (kept, _) => Err(format!("all futures are gone, and {kept} inner calls still run")),
    }
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

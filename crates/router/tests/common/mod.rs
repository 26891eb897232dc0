//! Routers over scripted deployments.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

pub(crate) mod sim;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{
    Availability, Call, Error, ErrorKind, Event, Events, Next, Provider, Reply, ReportAvailability,
    ReportHeadroom, Timer,
};
use mainstay_router::{Deployment, Model, Router, RouterBuilder};
use tokio::time::Instant;

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A deployment that answers with its name.
pub(crate) fn answering(name: &str) -> (Deployment, Scripted) {
    doing(name, Step::text(format!("from {name}")))
}

pub(crate) fn failing(name: &str, kind: ErrorKind) -> (Deployment, Scripted) {
    doing(name, Step::fail_with(kind))
}

pub(crate) fn doing(name: &str, step: Step) -> (Deployment, Scripted) {
    let scripted = Scripted::repeating(step).named("sim", name);
    (Deployment::new(name, scripted.clone()), scripted)
}

pub(crate) fn model(name: &str, deployments: impl IntoIterator<Item = Deployment>) -> Model {
    deployments.into_iter().fold(Model::new(name), Model::deployment)
}

pub(crate) fn router(models: impl IntoIterator<Item = Model>) -> Router {
    seeded().build_of(models)
}

pub(crate) fn seeded() -> RouterBuilder {
    Router::builder().seed(7)
}

pub(crate) trait BuildOf {
    fn build_of(self, models: impl IntoIterator<Item = Model>) -> Router;
}

impl BuildOf for RouterBuilder {
    fn build_of(self, models: impl IntoIterator<Item = Model>) -> Router {
        models.into_iter().fold(self, RouterBuilder::model).build().expect("the test's settings are right")
    }
}

pub(crate) fn call() -> Call {
    Call::ask("main", "What is a mainstay?")
}

pub(crate) fn streaming() -> Call {
    let mut call = call();
    call.request_mut().stream = Some(true);
    call
}

/// The deployment that answers.
pub(crate) async fn who(router: &Router, call: Call) -> String {
    name(&router.ask(call).await.unwrap())
}

pub(crate) fn name(reply: &Reply) -> String {
    reply.head.deployment.as_deref().unwrap().to_owned()
}

/// What becomes of a call: the deployment that answers, or the error's kind and where it could go.
pub(crate) async fn ask(router: &Router, call: &Call) -> Result<String, (ErrorKind, Option<Next>)> {
    match router.ask(call.clone()).await {
        Ok(reply) => Ok(name(&reply)),
        Err(error) => Err((error.kind(), error.next())),
    }
}

pub(crate) const FIRST_TOKEN: ErrorKind = ErrorKind::Timeout(Timer::FirstToken);

pub(crate) fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "on purpose")
}

/// What a breaker or a rate limiter would tell, set by hand.
#[derive(Clone)]
pub(crate) struct Told(Arc<Mutex<(Availability, f32)>>);

impl Told {
    pub(crate) fn ready() -> Self {
        Self(Arc::new(Mutex::new((Availability::Ready, 1.0))))
    }

    pub(crate) fn set(&self, availability: Availability) {
        self.0.lock().unwrap().0 = availability;
    }

    pub(crate) fn down_for(&self, time: Duration) {
        self.set(Availability::Unavailable { until: Some(Instant::now() + time) });
    }

    pub(crate) fn left(&self, headroom: f32) {
        self.0.lock().unwrap().1 = headroom;
    }

    /// The deployment tells this.
    pub(crate) fn of(&self, deployment: Deployment) -> Deployment {
        deployment.availability(self.clone()).headroom(self.clone())
    }
}

/// Unavailable until a moment is half-open from then on, as breakers tell it.
impl ReportAvailability for Told {
    fn availability(&self, now: Instant) -> Availability {
        match self.0.lock().unwrap().0 {
            Availability::Unavailable { until: Some(until) } if until <= now => Availability::HalfOpen,
            told => told,
        }
    }
}

impl ReportHeadroom for Told {
    fn headroom(&self, _now: Instant) -> f32 {
        self.0.lock().unwrap().1
    }
}

/// Keeps what it is sent.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    pub(crate) fn events(&self) -> Events {
        let log = self.0.clone();
        Events::to(move |event| log.lock().unwrap().push(event))
    }

    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.take().iter().map(|event| event.name).collect()
    }
}

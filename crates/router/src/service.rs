//! The router: chooses, asks, and says where a call that failed could go next.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use mainstay_provider_core::{
    Begun, BoxFuture, Call, Context, Error, ErrorKind, Event, Events, Next, Provider, Reply, Severity,
};
use tokio::time::Instant;
use tower_service::Service;

use crate::builder::RouterBuilder;
use crate::candidate::{Candidate, Chance};
use crate::failure::{nobody, not_found, with_ledger};
use crate::flight::Flight;
use crate::group::{Group, Member};
use crate::load::{Clock, Lane, Load};
use crate::past::{Past, is_refusal};
use crate::resolve::Resolved;
use crate::route::Route;
use crate::session::{mix, session_key};
use crate::strategy::Strategy;
use crate::survey::{Survey, Why};

/// Sends each call to one deployment of the model that it asks for.
///
/// A call is one attempt: one deployment is asked, two when it [hedges](crate::Hedging), and nothing is waited for. Which
/// of them failed in this call is read from its ledger, so that asking again goes elsewhere; each error says with
/// [`Error::next`] where that would be. A deployment that refuses without asking its provider (an open breaker, a full
/// rate limiter) is no attempt: the next one is asked at once.
///
/// It also embeds. Vectors of two models have nothing in common, so no fallback is asked then; each deployment of the
/// model is asked once.
///
/// # Errors
/// [`ErrorKind::ModelNotFound`] naming the models that there are; [`ErrorKind::Unavailable`] with
/// [`Error::retry_after`] when no deployment takes calls; else the error of the deployment that was asked, with those of
/// the others in [`Error::attempts`].
///
/// # Cancellation
/// Dropping the future or the reply drops the deployment's, and gives back its place among the calls in flight.
#[derive(Clone)]
pub struct Router(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// The models as they were configured.
    pub(crate) names: Vec<String>,
    pub(crate) by_name: HashMap<String, usize>,
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) resolved: Option<Resolved>,
    pub(crate) strategy: Arc<dyn Strategy>,
    pub(crate) loads: HashMap<Arc<str>, Arc<Load>>,
    pub(crate) decay: Duration,
    pub(crate) session_property: Arc<str>,
    pub(crate) events: Events,
    pub(crate) seed: u64,
    pub(crate) turns: AtomicU64,
}

impl Router {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Begins with no models.
    pub fn builder() -> RouterBuilder {
        RouterBuilder::default()
    }

    /// The names of the models, in the order of their configuration.
    pub fn models(&self) -> &[String] {
        &self.0.names
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("models", &self.0.names).finish_non_exhaustive()
    }
}

impl Service<Call> for Router {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    /// Always ready: which deployment is asked is known only with the call.
    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(self.0.clone().answer(call))
    }
}

/// What stays the same for all attempts of a call.
pub(crate) struct Trip {
    pub(crate) asked: Arc<Group>,
    pub(crate) context: Context,
    pub(crate) lane: Lane,
    pub(crate) session: Option<u64>,
}

/// The deployment that is asked.
pub(crate) struct Taken {
    pub(crate) group: Arc<Group>,
    pub(crate) index: usize,
    why: Why,
}

impl Taken {
    pub(crate) fn new(group: &Arc<Group>, index: usize, why: Why) -> Self {
        Self { group: group.clone(), index, why }
    }

    fn is_hedge(&self) -> bool {
        self.why == Why::Hedge
    }

    pub(crate) fn member(&self) -> &Member {
        &self.group.members[self.index]
    }
}

/// A call that was sent to a deployment.
pub(crate) struct Sent {
    pub(crate) taken: Taken,
    pub(crate) flight: Flight,
    begun: Begun,
}

impl Shared {
    async fn answer(self: Arc<Self>, call: Call) -> Result<Reply, Error> {
        let asked = self.find(call.model())?;
        let trip = self.trip(asked, &call);
        let mut call = Some(call);
        let mut begun: Option<Begun> = None;
        loop {
            let now = Instant::now();
            let taken = self.pick(&trip, now)?;
            let begun = *begun.get_or_insert_with(|| trip.context.attempts.begin_at(now));
            self.tell_fallback(&trip, &taken);
            // A request that nobody else holds is not copied to change its model.
            let is_only_one = trip.asked.members.len() == 1;
            let outgoing = if is_only_one { call.take() } else { call.clone() };
            let Some(outgoing) = outgoing else { return Err(defect()) };
            let result = match self.hedge_after(&trip, &taken) {
                None => {
                    let (sent, answer) = self.send(&trip, taken, begun, outgoing)?;
                    let result = answer.await;
                    self.settle(&trip, sent, result)
                }
                // Boxed, so that a call that is not hedged does not carry the race along.
                Some(delay) => Box::pin(self.race(&trip, taken, begun, outgoing, delay)).await,
            };
            match result {
                // It was never sent: that is no attempt, and a peer is asked in its place.
                Err(error) if is_refusal(&error) && error.next() == Some(Next::Peer) && call.is_some() => {}
                result => return result,
            }
        }
    }

    /// Sends the call; the future is the deployment's.
    pub(crate) fn send(
        &self,
        trip: &Trip,
        taken: Taken,
        begun: Begun,
        mut call: Call,
    ) -> Result<(Sent, impl Future<Output = Result<Reply, Error>> + Send + use<>), Error> {
        let member = taken.member();
        let provider = member.provider.as_ref().ok_or_else(defect)?;
        if call.model() != &*member.model {
            call = call.with_model(member.model.clone());
        }
        if taken.group.sessions.is_some() {
            member.load.count_recent(self.clock.tick(begun.at));
        }
        // A refusal before this one took no time worth counting.
        let flight = Flight::begin(member.load.clone(), trip.lane, begun.at);
        let answer = provider.ask(call);
        Ok((Sent { taken, flight, begun }, answer))
    }

    /// Takes the answer or the failure of a deployment.
    pub(crate) fn settle(
        &self,
        trip: &Trip,
        sent: Sent,
        result: Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        let Sent { taken, mut flight, begun } = sent;
        match result {
            Ok(reply) => Ok(self.answered(trip, &taken, begun, flight, reply)),
            Err(error) => {
                let now = Instant::now();
                flight.failed(&error, now);
                Err(self.failed(trip, &taken, begun, error, now))
            }
        }
    }

    fn answered(
        &self,
        trip: &Trip,
        taken: &Taken,
        begun: Begun,
        mut flight: Flight,
        mut reply: Reply,
    ) -> Reply {
        let now = Instant::now();
        let took = flight.answered(now);
        if let Some(pace) =
            taken.group.pace.as_ref().filter(|_| trip.lane == Lane::Stream && !taken.is_hedge())
        {
            pace.record(took);
        }
        if let (Some(sessions), Some(key)) = (&taken.group.sessions, trip.session) {
            sessions.note(key, taken.index, self.clock.tick(begun.at).seconds());
        }
        let name = &taken.member().name;
        let attempts = &trip.context.attempts;
        attempts.end_at(begun, now, name.clone(), None);
        reply.head.deployment = Some(name.clone());
        reply.head.attempts = begun.number;
        flight.watch(reply, name, attempts)
    }

    /// Writes a failure into the ledger, and says where the call could go next.
    fn failed(&self, trip: &Trip, taken: &Taken, begun: Begun, error: Error, now: Instant) -> Error {
        let name = &taken.member().name;
        let error = error.with_deployment(name.clone());
        let attempts = &trip.context.attempts;
        let verdict = attempts.look(|errors| {
            self.survey(trip, Past::new(errors).with(&error), false, now).next(&error, &taken.group)
        });
        let mut error = match verdict.next {
            Some(next) => error.with_next(next),
            None => error,
        };
        // What it was told stands in the ledger too: the next attempt of this call keeps to it.
        attempts.end_at(begun, now, name.clone(), Some(&error));
        if let Some(wait) = verdict.wait {
            error = error.with_retry_after(wait);
        }
        with_ledger(error, attempts)
    }

    pub(crate) fn find(&self, model: &str) -> Result<Arc<Group>, Error> {
        if let Some(index) = self.by_name.get(model) {
            return Ok(self.groups[*index].clone());
        }
        let found = self.resolved.as_ref().and_then(|resolved| {
            resolved.find(model, |resolver| {
                // A deployment of a model can be asked for by its own name: it is the same deployment then.
                let mut members = self.groups.iter().flat_map(|group| &group.members);
                let member = match members.find(|member| *member.name == *model) {
                    Some(member) => member.clone(),
                    None => self.member(resolver.resolve(model)?),
                };
                Some(Group::new(model.into(), vec![member], self.strategy.clone()))
            })
        });
        found.ok_or_else(|| not_found(model, &self.names, self.resolved.as_ref().map(Resolved::hint)))
    }

    fn member(&self, deployment: crate::config::Deployment) -> Member {
        let known = self.loads.get(&deployment.name).cloned();
        let load = known.unwrap_or_else(|| Arc::new(Load::new(self.clock, self.decay)));
        Member::new(deployment, load)
    }

    pub(crate) fn trip(&self, asked: Arc<Group>, call: &Call) -> Trip {
        let session = asked.needs_session.then(|| session_key(call, &self.session_property));
        Trip { asked, context: call.context().clone(), lane: Lane::of(call.is_stream()), session }
    }

    fn pick(&self, trip: &Trip, now: Instant) -> Result<Taken, Error> {
        let mut chance = self.chance();
        trip.context.attempts.look(|errors| {
            with_room(trip.asked.widest, |room| {
                let survey = self.survey(trip, Past::new(errors), false, now);
                match survey.pick(room, &mut chance) {
                    Some(seat) => Ok(Taken { group: seat.group.clone(), index: seat.index, why: seat.why }),
                    None => Err(nobody(&survey, &trip.asked.name, errors)),
                }
            })
        })
    }

    pub(crate) fn survey<'a>(
        &'a self,
        trip: &'a Trip,
        past: Past<'a>,
        only_looks: bool,
        now: Instant,
    ) -> Survey<'a> {
        Survey {
            route: Route::new(&trip.asked, &self.groups, past),
            past,
            needs: trip.context.needs,
            lane: trip.lane,
            now,
            tick: self.clock.tick(now),
            session: trip.session,
            only_looks,
        }
    }

    /// The chance of one choice.
    pub(crate) fn chance(&self) -> Chance {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        Chance::seeded(mix(self.seed ^ mix(turn)))
    }

    fn tell_fallback(&self, trip: &Trip, taken: &Taken) {
        if !Arc::ptr_eq(&trip.asked, &taken.group) {
            self.events.send(|| {
                Event::new("router.fallback", Severity::Info)
                    .with("model", trip.asked.name.to_string())
                    .with("fallback", taken.group.name.to_string())
                    .with("deployment", taken.member().name.to_string())
            });
        } else if taken.why == Why::Trial {
            self.events.send(|| {
                Event::new("router.trial", Severity::Info)
                    .with("model", trip.asked.name.to_string())
                    .with("deployment", taken.member().name.to_string())
            });
        }
    }
}

fn defect() -> Error {
    Error::new(ErrorKind::Internal, "the router chose a deployment that does not take such calls")
}

/// A place for so many candidates; without allocation up to 64.
pub(crate) fn with_room<'a, T>(widest: usize, run: impl FnOnce(&mut [Candidate<'a>]) -> T) -> T {
    match widest {
        0..=1 => run(&mut [Candidate::EMPTY]),
        2..=8 => run(&mut [Candidate::EMPTY; 8]),
        9..=64 => run(&mut [Candidate::EMPTY; 64]),
        _ => run(&mut vec![Candidate::EMPTY; widest]),
    }
}

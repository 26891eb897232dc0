//! Two legs, of which the first to answer wins.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use mainstay_provider_core::{
    Begun, BoxFuture, Call, Error, ErrorKind, Event, Next, Remedy, Reply, Severity,
};
use tokio::time::Instant;

use crate::failure::with_ledger;
use crate::hedge::{is_alive, is_well, times_dearer};
use crate::load::Lane;
use crate::past::{Past, is_refusal};
use crate::service::{Sent, Shared, Taken, Trip, with_room};
use crate::survey::Why;

/// One of the two.
struct Leg {
    // First: when a leg is dropped, the provider's work ends before the load is told.
    answer: BoxFuture<Result<Reply, Error>>,
    sent: Sent,
}

impl Shared {
    /// How long the first token is waited for before a second deployment is asked; `None` for never.
    pub(crate) fn hedge_after(&self, trip: &Trip, taken: &Taken) -> Option<Duration> {
        let pace = taken.group.pace.as_ref().filter(|_| trip.lane == Lane::Stream)?;
        pace.deposit();
        pace.delay()
    }

    /// Asks a deployment, and a second one if it does not answer within `delay`.
    pub(crate) async fn race(
        &self,
        trip: &Trip,
        taken: Taken,
        begun: Begun,
        call: Call,
        delay: Duration,
    ) -> Result<Reply, Error> {
        let mut first = self.leg(trip, taken, begun, call.clone())?;
        if let Some(result) = within(delay, &mut first.answer).await {
            return self.settle(trip, first.sent, result);
        }
        // Once: who found nothing left to spend and asked again later would take from those that are late then.
        let Some(mut second) = self.second(trip, &first, call) else {
            let result = first.answer.await;
            return self.settle(trip, first.sent, result);
        };
        let (is_first, result) = std::future::poll_fn(|task| {
            if let Poll::Ready(result) = first.answer.as_mut().poll(task) {
                return Poll::Ready((true, result));
            }
            second.answer.as_mut().poll(task).map(|result| (false, result))
        })
        .await;
        let (done, other) = if is_first { (first, second) } else { (second, first) };
        let result = if result.is_ok() {
            self.tell_hedge(trip, &done, &other, is_first);
            if let Some(pace) = other.sent.taken.group.pace.as_ref().filter(|_| !is_first) {
                pace.record_lost(delay);
            }
            // The loser goes at once (T9): its future is dropped all the way down.
            drop(other);
            self.settle(trip, done.sent, result)
        } else {
            // What failed is written down; the call fails only if the other leg does too.
            let written = self.settle(trip, done.sent, result);
            if written.as_ref().is_err_and(is_refused_by_all) {
                drop(other);
                return written;
            }
            let result = other.answer.await;
            match (written, self.settle(trip, other.sent, result)) {
                // It is not sent on as it is, whatever the other leg failed of.
                (Err(error), Err(_)) if is_too_long(&error) => {
                    Err(with_ledger(error, &trip.context.attempts))
                }
                (_, result) => result,
            }
        };
        result.map(|mut reply| {
            reply.head.attempts = trip.context.attempts.len();
            reply
        })
    }

    fn leg(&self, trip: &Trip, taken: Taken, begun: Begun, call: Call) -> Result<Leg, Error> {
        let (sent, answer) = self.send(trip, taken, begun, call)?;
        Ok(Leg { answer: Box::pin(answer), sent })
    }

    /// The second leg, if there may be one.
    fn second(&self, trip: &Trip, first: &Leg, call: Call) -> Option<Leg> {
        let group = &first.sent.taken.group;
        let (now, sent) = (Instant::now(), first.sent.flight.sent());
        if !is_well(group, now) {
            return None;
        }
        let price = first.sent.taken.member().price;
        let mut chance = self.chance();
        let index = trip.context.attempts.look(|errors| {
            with_room(group.widest, |room| {
                let survey = self.survey(trip, Past::new(errors), false, now);
                let fits = |member: &crate::group::Member| is_alive(member, sent, now);
                survey.pick_beside(group, first.sent.taken.index, fits, room, &mut chance)
            })
        })?;
        let taken = Taken::new(group, index, Why::Hedge);
        let member = taken.member();
        if !group.pace.as_ref()?.withdraw(times_dearer(price, member.price)) {
            return None;
        }
        member.load.count_hedge();
        let begun = trip.context.attempts.begin_at(now);
        self.leg(trip, taken, begun, call).ok()
    }

    fn tell_hedge(&self, trip: &Trip, winner: &Leg, loser: &Leg, first_won: bool) {
        let (first, second) = if first_won { (winner, loser) } else { (loser, winner) };
        self.events.send(|| {
            Event::new("router.hedged", Severity::Info)
                .with("model", trip.asked.name.to_string())
                .with("first", first.sent.taken.member().name.to_string())
                .with("second", second.sent.taken.member().name.to_string())
                .with("winner", winner.sent.taken.member().name.to_string())
        });
    }
}

/// What the future comes to, if it does in this time.
async fn within<T>(time: Duration, future: &mut BoxFuture<T>) -> Option<T> {
    let mut late = pin!(tokio::time::sleep(time));
    std::future::poll_fn(|task| match future.as_mut().poll(task) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => late.as_mut().poll(task).map(|()| None),
    })
    .await
}

/// Whether the request is one that the other deployment refuses too, or may not be sent: wrong, or for a filter.
fn is_refused_by_all(error: &Error) -> bool {
    match error.remedy() {
        Remedy::GiveUp => !is_refusal(error) && error.kind() != ErrorKind::Configuration,
        remedy => remedy == Remedy::Rephrase,
    }
}

/// Whether the prompt is too long, so that the same is not sent to anybody else.
fn is_too_long(error: &Error) -> bool {
    error.remedy() == Remedy::Shorten && matches!(error.next(), None | Some(Next::Nowhere))
}

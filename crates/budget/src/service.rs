//! The service: reserves, asks, and settles at the end of the answer.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_metering::Tokens;
use mainstay_provider_core::{
    BoxFuture, Call, EmbedCall, EmbedReply, Embedder, End, Error, Keep, Outcome, Provider, Reply, ReplyHead,
};
use tower_service::Service;

use crate::row::RowStatus;
use crate::shared::Core;
use crate::ticket::{Answered, Asked, Ending, Ticket};
use crate::told::Told;

/// A provider, or an embedder, with a budget in front of it.
///
/// # Errors
/// [`LimitReached`](mainstay_provider_core::ErrorKind::LimitReached) with code `budget_exceeded` for a call that has no room,
/// and nothing is taken of any of its accounts; [`Unavailable`](mainstay_provider_core::ErrorKind::Unavailable) with code
/// `budget_store_unavailable` when the store does not answer and a limit lets nothing through unchecked;
/// [`Configuration`](mainstay_provider_core::ErrorKind::Configuration) with code `unknown_price` for a model without a
/// price, if the meter says so. The provider's own errors go through as they are.
///
/// # Cancellation
/// A call that is dropped before the provider was asked gives back all that it reserved. Dropped later, its input is booked
/// and what was delivered of the answer, as the provider told it or else as counted here.
#[derive(Clone)]
pub struct Budgeted<S> {
    inner: S,
    core: Arc<Core>,
}

impl<S> Budgeted<S> {
    pub(crate) fn new(inner: S, core: Arc<Core>) -> Self {
        Self { inner, core }
    }
}

impl<S: fmt::Debug> fmt::Debug for Budgeted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgeted").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S: Provider> Service<Call> for Budgeted<S> {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        let asked = Asked::Chat(call.shared_request().clone());
        let (ticket, ledger) = match self.core.open(asked, call.shared_model(), call.context()) {
            Ok(opened) => opened,
            Err(error) => return refused(error),
        };
        if let Some(ledger) = ledger {
            call.context_mut().extensions.insert(ledger);
        }
        match self.core.reserve_now(ticket) {
            Ok(Ok(ticket)) => {
                let asking = Asking { answer: self.inner.call(call), ticket: Some(ticket) };
                Box::pin(async move { asking.run(watch).await })
            }
            Ok(Err(error)) => refused(error),
            Err(ticket) => {
                // The handle that was polled ready is the one that is called, once there is a reservation.
                let mut ready = self.inner.clone();
                std::mem::swap(&mut ready, &mut self.inner);
                let core = self.core.clone();
                Box::pin(async move {
                    let ticket = core.reserve(ticket).await?;
                    let asking = Asking { answer: ready.call(call), ticket: Some(ticket) };
                    asking.run(watch).await
                })
            }
        }
    }
}

impl<S: Embedder> Service<EmbedCall> for Budgeted<S> {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut call: EmbedCall) -> Self::Future {
        let model = call.request.model.as_str().into();
        let opened = self.core.open(Asked::Embed(call.request.clone()), model, &call.context);
        let (ticket, ledger) = match opened {
            Ok(opened) => opened,
            Err(error) => return refused(error),
        };
        if let Some(ledger) = ledger {
            call.context.data_mut().extensions.insert(ledger);
        }
        let mut ready = self.inner.clone();
        std::mem::swap(&mut ready, &mut self.inner);
        let core = self.core.clone();
        Box::pin(async move {
            let ticket = core.reserve(ticket).await?;
            let asking = Asking { answer: ready.call(call), ticket: Some(ticket) };
            asking.run(|mut ticket, reply| embedded(&mut ticket, reply)).await
        })
    }
}

fn refused<T: Send + 'static>(error: Error) -> BoxFuture<Result<T, Error>> {
    Box::pin(std::future::ready(Err(error)))
}

/// A call that the provider has been asked.
struct Asking<F> {
    // First: when a call is dropped, the provider's work ends, and its attempts are noted, before it is settled.
    answer: F,
    ticket: Option<Box<Ticket>>,
}

impl<F> Asking<F> {
    async fn run<T>(self, answered: impl FnOnce(Box<Ticket>, T) -> T) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        // In this order, as locals are dropped last first.
        let mut ticket = self.ticket;
        let answer = self.answer;
        if let Some(ticket) = &mut ticket {
            ticket.sent();
        }
        let answer = answer.await;
        let Some(mut ticket) = ticket else { return answer };
        match answer {
            Ok(reply) => Ok(answered(ticket, reply)),
            Err(error) => {
                ticket.settle(Ending::Failed);
                Err(error)
            }
        }
    }
}

/// Settles a whole answer, and has a stream settled at its end.
fn watch(mut ticket: Box<Ticket>, reply: Reply) -> Reply {
    if reply.head.attempts == 0 && !ticket.has_legs() {
        // A cache within answered: nobody was asked.
        ticket.settle(Ending::Unused);
        return reply;
    }
    if let Some(answer) = reply.answer() {
        let told = Told::by_whole(answer);
        ticket.settle(answered(&reply.head, RowStatus::Settled, told));
        return reply;
    }
    // Who notes attempts keeps what is needed of each.
    let keep = if ticket.has_legs() { Keep::Nothing } else { Keep::Text };
    let head = Head::of(&reply.head);
    reply.on_end_keeping(keep, move |end| ticket.settle(head.answered(status(end), Told::at(end))))
}

/// How an answer ended.
pub(crate) fn status(end: &End) -> RowStatus {
    match end.outcome {
        Outcome::Complete => RowStatus::Settled,
        Outcome::Dropped => RowStatus::Cancelled,
        _ => RowStatus::Failed,
    }
}

fn embedded(ticket: &mut Ticket, reply: EmbedReply) -> EmbedReply {
    if reply.head.attempts == 0 && !ticket.has_legs() {
        ticket.settle(Ending::Unused);
        return reply;
    }
    let told = Told { tokens: reply.usage.map(Tokens::from), text: None };
    ticket.settle(answered(&reply.head, RowStatus::Settled, told));
    reply
}

fn answered(head: &ReplyHead, status: RowStatus, told: Told) -> Ending {
    Head::of(head).answered(status, told)
}

/// Who answers.
struct Head {
    provider: Arc<str>,
    model: Arc<str>,
    deployment: Option<Arc<str>>,
}

impl Head {
    fn of(head: &ReplyHead) -> Self {
        Self {
            provider: head.provider.clone(),
            model: head.model.clone(),
            deployment: head.deployment.clone(),
        }
    }

    fn answered(self, status: RowStatus, told: Told) -> Ending {
        let Self { provider, model, deployment } = self;
        Ending::Answered(Box::new(Answered { provider, model, deployment, status, told }))
    }
}

//! The attempt meter: what each attempt at a deployment used, its answer delivered or not.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_metering::Tokens;
use mainstay_provider_core::{
    BoxFuture, Call, Context, EmbedCall, EmbedReply, Embedder, Error, ErrorKind, Keep, Provider, Reply, Timer,
};
use tower_layer::Layer;
use tower_service::Service;

use crate::row::RowStatus;
use crate::service::status;
use crate::spending::{Leg, LegEnd, Spending};
use crate::ticket::{Asked, Ticket};
use crate::told::Told;

/// Notes what each attempt at a deployment used, for the budget around the whole: the loser of a hedge, an answer that broke
/// off and was replaced, an attempt that timed out. Without it the budget knows of the last answer only.
///
/// # Order
/// Around all that belongs to one deployment, outside its rate limit, breaker and timeout: what these refuse used nothing, and
/// what they cut short is noted as it was. A call without a budget around it is passed through.
#[derive(Debug, Clone)]
pub struct AttemptMeterLayer {
    provider: Arc<str>,
    deployment: Option<Arc<str>>,
}

impl AttemptMeterLayer {
    /// For a deployment of this provider, as the price table names it: `openai`, `anthropic`.
    pub fn new(provider: impl Into<Arc<str>>) -> Self {
        Self { provider: provider.into(), deployment: None }
    }

    /// The deployment's name, for the usage rows.
    #[must_use]
    pub fn deployment(mut self, name: impl Into<Arc<str>>) -> Self {
        self.deployment = Some(name.into());
        self
    }
}

impl<S> Layer<S> for AttemptMeterLayer {
    type Service = AttemptMetered<S>;

    fn layer(&self, inner: S) -> AttemptMetered<S> {
        AttemptMetered { inner, layer: self.clone() }
    }
}

/// A deployment whose attempts are metered.
///
/// # Errors
/// Besides the provider's: an attempt that comes while another runs, or after one that is paid for though it failed, reserves what
/// it may use, and is refused as a call is where there is no room ([`Budgeted`](crate::Budgeted)).
///
/// # Cancellation
/// An attempt that is dropped before its answer has used its input; one that is dropped later, what was delivered too.
#[derive(Clone)]
pub struct AttemptMetered<S> {
    inner: S,
    layer: AttemptMeterLayer,
}

impl<S: fmt::Debug> fmt::Debug for AttemptMetered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptMetered").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}

impl<S: Clone> AttemptMetered<S> {
    /// An attempt, if a budget is around it; and what is to be reserved for it first.
    fn begin(
        &self,
        context: &Context,
        asked: Asked,
        model: Arc<str>,
    ) -> Option<(Attempt, Option<Box<Ticket>>)> {
        let ledger = context.extensions.get::<Spending>()?;
        // Nobody settles what is noted in a ledger that no budget has taken.
        ledger.meter()?;
        let AttemptMeterLayer { provider, deployment } = &self.layer;
        let (provider, deployment) = (provider.clone(), deployment.clone());
        let leg = Leg { provider: provider.clone(), model: model.clone(), deployment, end: None };
        let (place, further) = ledger.begin(leg);
        let ledger = ledger.clone();
        Some((Attempt { ledger, place, provider, model, asked, stage: Stage::Waiting }, further))
    }

    /// The handle that was polled ready, to be called later.
    fn ready(&mut self) -> S {
        let mut ready = self.inner.clone();
        std::mem::swap(&mut ready, &mut self.inner);
        ready
    }
}

impl<S: Provider> Service<Call> for AttemptMetered<S> {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let asked = Asked::Chat(call.shared_request().clone());
        let Some((attempt, further)) = self.begin(call.context(), asked, call.shared_model()) else {
            return Box::pin(self.inner.call(call));
        };
        let Some(further) = further else {
            let trying = Trying { answer: self.inner.call(call), attempt };
            return Box::pin(trying.run(watch));
        };
        let mut ready = self.ready();
        Box::pin(async move {
            let attempt = attempt.covered_by(further).await?;
            Trying { answer: ready.call(call), attempt }.run(watch).await
        })
    }
}

impl<S: Embedder> Service<EmbedCall> for AttemptMetered<S> {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        let asked = Asked::Embed(call.request.clone());
        let Some((attempt, further)) = self.begin(&call.context, asked, call.request.model.as_str().into())
        else {
            return Box::pin(self.inner.call(call));
        };
        let Some(further) = further else {
            let trying = Trying { answer: self.inner.call(call), attempt };
            return Box::pin(trying.run(embedded));
        };
        let mut ready = self.ready();
        Box::pin(async move {
            let attempt = attempt.covered_by(further).await?;
            Trying { answer: ready.call(call), attempt }.run(embedded).await
        })
    }
}

fn embedded(mut attempt: Attempt, reply: EmbedReply) -> EmbedReply {
    if reply.head.attempts == 0 {
        attempt.unused(RowStatus::Settled);
    } else {
        attempt.end(RowStatus::Settled, &Told { tokens: reply.usage.map(Tokens::from), text: None });
    }
    reply
}

/// An attempt that is under way.
struct Trying<F> {
    // First: the provider's work ends before the attempt does.
    answer: F,
    attempt: Attempt,
}

impl<F> Trying<F> {
    async fn run<T>(self, answered: impl FnOnce(Attempt, T) -> T) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        // In this order, as locals are dropped last first.
        let mut attempt = self.attempt;
        let answer = self.answer;
        attempt.stage = Stage::Sent;
        match answer.await {
            Ok(reply) => Ok(answered(attempt, reply)),
            Err(error) => {
                attempt.failed(&error);
                Err(error)
            }
        }
    }
}

fn watch(mut attempt: Attempt, reply: Reply) -> Reply {
    if reply.head.attempts == 0 {
        attempt.unused(RowStatus::Settled);
        return reply;
    }
    if let Some(answer) = reply.answer() {
        attempt.end(RowStatus::Settled, &Told::by_whole(answer));
        return reply;
    }
    reply.on_end_keeping(Keep::Text, move |end| attempt.end(status(end), &Told::at(end)))
}

/// One attempt: it has its end noted once, whatever becomes of it.
struct Attempt {
    ledger: Spending,
    place: usize,
    provider: Arc<str>,
    model: Arc<str>,
    asked: Asked,
    stage: Stage,
}

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody was asked yet.
    Waiting,
    /// The provider was asked.
    Sent,
    /// Its end is noted.
    Over,
}

impl Attempt {
    /// Reserves what it may use, since what the call has reserved is for others.
    ///
    /// # Cancellation
    /// What was reserved until then is given back.
    async fn covered_by(mut self, further: Box<Ticket>) -> Result<Self, Error> {
        let mut covering = Covering { ledger: self.ledger.clone(), ticket: None };
        let core = further.core().clone();
        match core.reserve(further).await {
            Ok(ticket) => covering.ticket = Some(ticket),
            Err(error) => {
                self.unused(RowStatus::Failed);
                return Err(error);
            }
        }
        drop(covering);
        Ok(self)
    }

    fn end(&mut self, status: RowStatus, told: &Told) {
        let Some(meter) = self.ledger.meter() else { return };
        let end = told.end(&meter, &self.asked, status, &self.provider, &self.model);
        self.note(end);
    }

    fn unused(&mut self, status: RowStatus) {
        self.note(LegEnd { status, tokens: Tokens::default(), estimated: false });
    }

    fn failed(&mut self, error: &Error) {
        if may_have_read(error) {
            self.end(RowStatus::Failed, &Told::default());
        } else {
            self.unused(RowStatus::Failed);
        }
    }

    fn note(&mut self, end: LegEnd) {
        self.stage = Stage::Over;
        self.ledger.end(self.place, end);
    }
}

/// What is being reserved for a further attempt: the ledger is told what came of it.
struct Covering {
    ledger: Spending,
    ticket: Option<Box<Ticket>>,
}

impl Drop for Covering {
    fn drop(&mut self) {
        self.ledger.keep(self.ticket.take());
    }
}

/// One that nobody told the end of: a hedge that lost, a caller that left, a panic.
impl Drop for Attempt {
    fn drop(&mut self) {
        match self.stage {
            Stage::Over => {}
            Stage::Waiting => self.unused(RowStatus::Cancelled),
            Stage::Sent => self.end(RowStatus::Cancelled, &Told::default()),
        }
    }
}

/// Whether the model may have read the prompt of an attempt that failed before its answer, so that it is billed. What is turned
/// away, at the provider's door or at ours, is not.
fn may_have_read(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Timeout(timer) => timer != Timer::Connect,
        ErrorKind::MalformedResponse | ErrorKind::MalformedToolCall | ErrorKind::ContentFiltered => true,
        _ => false,
    }
}

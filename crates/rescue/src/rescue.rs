//! A rescue: the policies in their order, until one gives the rest of the answer.

use std::collections::VecDeque;

use mainstay_provider_core::{Call, ChatChunk, Error, ErrorKind, Provider, Wire};
use tokio::time::{Instant, timeout_at};

use crate::config::RescuePolicy;
use crate::plan::{Plan, is_rescued};
use crate::seam::{Seam, says_something};
use crate::sent::Sent;
use crate::splice::{Differs, Splice};
use crate::stream::{Leg, Reading, Rescued};

/// Replaces a stream that broke off, or says why it cannot be.
pub(crate) async fn rescue<S: Provider>(reading: Reading<S>, broken: Error) -> Result<Rescued<S>, Error> {
    let Reading { mut leg, sent, mut plan } = reading;
    let until = plan.until();
    let mut failures = Failures { broken, others: Vec::new() };
    loop {
        let rescued = plan.broke(&leg.name, leg.by, failures.broken.kind());
        plan.spend(leg.usage);
        if !rescued {
            return Err(failures.lost(&plan, "it broke off too often"));
        }
        match attempt(&sent, &mut plan, until, &mut failures).await {
            Attempt::Caught(leg, ready) => return Ok(joined(leg, ready, sent, plan)),
            Attempt::Broke(another) => leg = *another,
            Attempt::Failed(why) => return Err(failures.lost(&plan, why)),
        }
    }
}

/// What the policies came to.
enum Attempt {
    /// A stream that goes on from what the caller has, with its first chunks.
    Caught(Box<Leg>, VecDeque<Wire<ChatChunk>>),
    /// A stream that broke off before it had come so far; its error is the one that broke the answer now.
    Broke(Box<Leg>),
    Failed(&'static str),
}

async fn attempt<S: Provider>(
    sent: &Sent,
    plan: &mut Plan<S>,
    until: Instant,
    failures: &mut Failures,
) -> Attempt {
    if let Some(why) = sent.bars(&plan.call) {
        return Attempt::Failed(why);
    }
    let mut why = "there is no policy for it";
    for policy in plan.rules.clone().policies() {
        let (call, splice) = match prepared(policy, sent, &plan.call) {
            Ok(prepared) => prepared,
            Err(unfit) => {
                why = unfit;
                continue;
            }
        };
        if Instant::now() >= until {
            return Attempt::Failed(TOO_LONG);
        }
        if !plan.may_ask() {
            return Attempt::Failed("no more attempts are allowed just now");
        }
        let mut leg = match timeout_at(until, plan.inner.ask(call)).await {
            Err(_) => return Attempt::Failed(TOO_LONG),
            // Most often a prefill that the model does not take. What was asked here is nothing that the caller asked
            // for, so the error is not for the caller.
            Ok(Err(refused)) => {
                failures.others.push(refused);
                why = "nobody took it up";
                continue;
            }
            Ok(Ok(reply)) => Box::new(Leg { by: Some(policy), ..Leg::of(reply) }),
        };
        let caught = timeout_at(until, catch_up(&mut leg, splice, sent, until)).await;
        match caught {
            Ok(Ok(ready)) => return Attempt::Caught(leg, ready),
            Ok(Err(Uncaught::Broke(error))) if is_rescued(error.kind()) => {
                failures.another(error);
                return Attempt::Broke(leg);
            }
            Ok(Err(Uncaught::Broke(error))) => {
                plan.spend(leg.usage);
                failures.others.push(error);
                why = "nobody took it up";
            }
            Ok(Err(Uncaught::Differs(Differs(how)))) => {
                plan.spend(leg.usage);
                let error = Error::new(ErrorKind::MalformedResponse, format!("{}: {how}", policy.as_str()));
                failures.others.push(leg.name.on(error));
                why = how;
            }
            Err(_) => {
                plan.spend(leg.usage);
                return Attempt::Failed(TOO_LONG);
            }
        }
    }
    Attempt::Failed(why)
}

const TOO_LONG: &str = "it took too long";

/// What a policy asks, and how the answer is held against what was sent.
fn prepared(policy: RescuePolicy, sent: &Sent, call: &Call) -> Result<(Call, Splice), &'static str> {
    match policy {
        RescuePolicy::Resume => Ok((sent.resumed(call)?, Splice::resumed(sent))),
        RescuePolicy::Restart => Ok((call.clone(), Splice::restarted(sent))),
        RescuePolicy::Fail => Err("there is no policy for it"),
    }
}

enum Uncaught {
    Broke(Error),
    Differs(Differs),
}

/// Reads a new stream until all that the caller has is accounted for, and gives what is new so far.
async fn catch_up(
    leg: &mut Leg,
    mut splice: Splice,
    sent: &Sent,
    until: Instant,
) -> Result<VecDeque<Wire<ChatChunk>>, Uncaught> {
    /// What is new may have to wait for a tool call of which the caller has a part; for so many chunks.
    const MOST: usize = 10_000;
    let mut new = VecDeque::new();
    loop {
        match leg.chunks.next().await {
            // The end of a stream comes after its finish reason, and that is where a splice says what is wrong.
            None => return Err(Uncaught::Differs(Differs("the new answer has no end"))),
            Some(Err(error)) => return Err(Uncaught::Broke(leg.broken_by(error))),
            Some(Ok(chunk)) => {
                leg.note_usage(&chunk);
                let mut chunk = chunk.into_inner();
                splice.take(&mut chunk, sent).map_err(Uncaught::Differs)?;
                if says_something(&chunk) {
                    new.push_back(Wire::from(chunk));
                }
            }
        }
        if splice.is_done() {
            return Ok(new);
        }
        if new.len() > MOST {
            return Err(Uncaught::Differs(Differs("the new answer goes another way")));
        }
        // The clock decides, not the timer: a stream that is always ready leaves the timer no turn.
        if Instant::now() >= until {
            return Err(Uncaught::Differs(Differs(TOO_LONG)));
        }
    }
}

/// The new stream in the place of the old one.
fn joined<S>(mut leg: Box<Leg>, new: VecDeque<Wire<ChatChunk>>, mut sent: Sent, plan: Plan<S>) -> Rescued<S> {
    let by = leg.by.unwrap_or(RescuePolicy::Restart);
    let name = if by == RescuePolicy::Resume { "rescue.resumed" } else { "rescue.restarted" };
    let taken = leg.name.clone();
    plan.tell(name, |event| taken.taken_over(event).with("sent_bytes", sent.text.len().to_string()));
    let mut seam = Seam::seen(sent.origin(), plan.spent().0, plan.report(&leg.name, by));
    let ready: VecDeque<_> = new.into_iter().filter_map(|chunk| seam.pass(chunk)).collect();
    ready.iter().for_each(|chunk| sent.see(chunk));
    leg.seam = Some(seam);
    Rescued { ready, reading: Box::new(Reading { leg: *leg, sent, plan }) }
}

/// What went wrong: the error that broke the answer, and those of all that was tried since.
struct Failures {
    broken: Error,
    others: Vec<Error>,
}

impl Failures {
    /// A new stream broke off too.
    fn another(&mut self, error: Error) {
        let before = std::mem::replace(&mut self.broken, error);
        self.others.push(before);
    }

    /// The error for the caller: that which broke the answer, with why nobody could go on.
    fn lost<S>(self, plan: &Plan<S>, why: &'static str) -> Error {
        plan.tell("rescue.failed", |event| event.with("why", why));
        let Self { mut broken, others } = self;
        let partial = broken.take_partial();
        let message = format!("{} (the answer could not be taken up again: {why})", broken.message());
        let mut lost = Error::new(broken.kind(), message);
        if let (Some(provider), Some(model)) = (broken.provider(), broken.model()) {
            lost = lost.at(provider, model);
        }
        if let Some(deployment) = broken.deployment() {
            lost = lost.with_deployment(deployment);
        }
        if let Some(status) = broken.status() {
            lost = lost.with_status(status);
        }
        if let Some(code) = broken.code() {
            lost = lost.with_code(code);
        }
        if let Some(id) = broken.request_id() {
            lost = lost.with_request_id(id);
        }
        if let Some(wait) = broken.retry_after() {
            lost = lost.with_retry_after(wait);
        }
        if let Some(partial) = partial {
            lost = lost.with_partial(partial);
        }
        if !others.is_empty() {
            lost = lost.with_attempts(others.into_iter().chain([broken.clone()]).collect());
        }
        lost.with_source(broken)
    }
}

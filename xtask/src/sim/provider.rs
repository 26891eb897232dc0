//! The simulated provider: an attempt gets its script, and plays it.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use mainstay_provider_core::chat::{Delta, PlainSeries, Role};
use mainstay_provider_core::{
    BoxFuture, Call, ChatChunk, ChatResponse, ChunkResult, Error, ErrorKind, FinishReason, Message,
    RateLimit, RateLimits, Reply, ReplyHead, Usage, Wire,
};
use tokio::time::{Instant, Sleep, sleep};
use tower::Service;

use super::chance::Chance;
use super::fault::{Beat, Fault, Script, failure};
use super::log::{Asked, AttemptId, Invariant, Log, Settled};
use super::plan::{CallPlan, DeploymentPlan, Plan, Prefill};
use super::words::answer;

/// A provider behind one deployment.
#[derive(Debug)]
pub(super) struct Provider {
    ready: bool,
    shared: Arc<Shared>,
}

struct Shared {
    plan: Arc<Plan>,
    /// Which deployment it is.
    number: usize,
    log: Log,
    state: Mutex<State>,
}

struct State {
    chance: Chance,
    /// The minute in which requests are counted, and how many there were.
    minute: (u64, u64),
}

impl Provider {
    pub(super) fn new(plan: Arc<Plan>, number: usize, log: Log) -> Self {
        let chance = Chance::of(plan.seed, &format!("provider {number}"));
        let state = Mutex::new(State { chance, minute: (0, 0) });
        Self { ready: false, shared: Arc::new(Shared { plan, number, log, state }) }
    }
}

/// A clone starts unready.
impl Clone for Provider {
    fn clone(&self) -> Self {
        Self { ready: false, shared: self.shared.clone() }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Service<Call> for Provider {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let shared = &self.shared;
        if !std::mem::take(&mut self.ready) {
            shared.log.violate(
                Invariant::Readiness,
                format!("provider {} was not asked whether it is ready", shared.number),
            );
        }
        let Part { attempt, script, head } = shared.begin(&call);
        // Some providers panic before there is a future.
        if matches!(script.beats.front(), Some(Beat::Panic)) {
            drop(attempt);
            resume_unwind(Box::new("the provider panics"));
        }
        let id = attempt.id;
        let log = shared.log.clone();
        let raw = shared.deployment().raw;
        Box::pin(async move {
            let answered = if call.is_stream() {
                let beats = script.beats;
                Reply::stream(
                    head,
                    Playing { beats, pause: None, attempt, raw, series: PlainSeries::default() },
                )
                .await
            } else {
                whole(head, script.beats, attempt).await
            };
            let reply = answered?;
            log.attempt_replied(id);
            Ok(reply.on_end(move |_end| log.attempt_ended(id)))
        })
    }
}

/// What an attempt plays.
struct Part {
    attempt: Attempt,
    script: Script,
    head: ReplyHead,
}

impl Shared {
    fn deployment(&self) -> &DeploymentPlan {
        &self.plan.deployments[self.number]
    }

    fn begin(&self, call: &Call) -> Part {
        let deployment = self.deployment();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let now = self.log.now();
        let (suffers, share) = deployment.phase(now);
        let fault = if state.chance.happens(share) { suffers } else { Fault::Healthy };
        let place = |call: &CallPlan| usize::from(call.model != deployment.model);
        let id: usize = call.context().id.parse().unwrap_or(usize::MAX);
        // Every call of a world is one of its calls: whoever loses the id has lost the call.
        let planned = &self.plan.calls[id];
        let asked = Asked::of(call, self.number, place(planned)).expect("the id was just read");
        let variant = if deployment.varies { self.log.call(id).attempts.len() as u32 + 1 } else { 0 };
        let attempt = self.log.attempt_begins(&asked, fault, variant);
        if !is_whole_conversation(call, planned) {
            let what = format!("call {id}: the question or the instructions are missing");
            self.log.violate(Invariant::WholeAnswer, what);
        }
        let limits = self.limits(state, now);
        let script = match self.refusal(call, planned, limits, &asked, &mut state.chance) {
            Some(refusal) => Script::refusal(Duration::from_millis(5), refusal),
            None => {
                let text = self.text(call, planned, &asked, variant);
                Script::of(fault, deployment, &text, &mut state.chance)
            }
        };
        self.log.explains(attempt, &script.explains, fault == Fault::Panic);
        let mut head = ReplyHead::new(deployment.name.as_str(), call.model()).started(Instant::now());
        head.rate_limits = deployment.tells_limits.then(|| limits.map(told)).flatten();
        let attempt = Attempt { id: attempt, log: self.log.clone(), finished: false, settled: false };
        Part { attempt, script, head }
    }

    /// What is left of the provider's limit with this request, and for how long.
    fn limits(&self, state: &mut State, now: Duration) -> Option<Limits> {
        let limit = self.deployment().requests_per_minute?;
        let minute = now.as_secs() / 60;
        if state.minute.0 != minute {
            state.minute = (minute, 0);
        }
        state.minute.1 += 1;
        let reset = Duration::from_secs(60 * (minute + 1)).saturating_sub(now);
        Some(Limits { limit, used: state.minute.1, reset })
    }

    /// Why the provider does not take the request, whatever it suffers from.
    fn refusal(
        &self,
        call: &Call,
        planned: &CallPlan,
        limits: Option<Limits>,
        asked: &Asked,
        chance: &mut Chance,
    ) -> Option<Error> {
        let deployment = self.deployment();
        let refuse = |kind, status, message: &str| Some(failure(deployment, kind, status, message));
        if planned.is_wrong {
            return refuse(ErrorKind::InvalidRequest, 400, "unknown parameter");
        }
        if asked.is_prefill && matches!(deployment.prefill, Prefill::Refused | Prefill::RefusedAfterAll) {
            return refuse(ErrorKind::InvalidRequest, 400, "the last message must be of the user");
        }
        let tokens: u64 = call.request().messages.iter().map(|message| message.text().len() as u64 / 4).sum();
        if let Some(window) = deployment.window.filter(|window| tokens > *window) {
            let message = if chance.happens(0.7) {
                format!(
                    "This model's maximum context length is {window} tokens. However, your messages resulted in {tokens} tokens."
                )
            } else {
                "prompt is too long".to_owned()
            };
            return refuse(ErrorKind::ContextLengthExceeded, 400, &message);
        }
        if planned.is_delicate && deployment.filters {
            return refuse(ErrorKind::ContentFiltered, 400, "the content filter was triggered");
        }
        let limits = limits.filter(|limits| limits.used > limits.limit)?;
        let error = failure(deployment, ErrorKind::RateLimited, 429, "too many requests");
        let error = if deployment.tells_limits { error.with_rate_limits(told(limits)) } else { error };
        Some(if chance.happens(0.7) { error.with_retry_after(limits.reset) } else { error })
    }

    /// What the provider has to say.
    fn text(&self, call: &Call, planned: &CallPlan, asked: &Asked, variant: u32) -> String {
        if !asked.is_prefill {
            return answer(asked.call, variant, planned.words);
        }
        let begun = call.request().messages.last().map(Message::text).unwrap_or_default();
        let known = self.log.call(asked.call);
        let whole = known.variants().map(|variant| answer(asked.call, variant, planned.words));
        match whole.into_iter().find(|whole| whole.starts_with(&*begun)) {
            Some(whole) if self.deployment().prefill == Prefill::Repeated => whole,
            Some(whole) => whole[begun.len()..].to_owned(),
            None => {
                let what =
                    format!("call {}: the prefill is no beginning of an answer: {begun:?}", asked.call);
                self.log.violate(Invariant::WholeAnswer, what);
                String::new()
            }
        }
    }
}

/// Whether the instructions and the question are there, whatever else was left out.
fn is_whole_conversation(call: &Call, planned: &CallPlan) -> bool {
    let messages = &call.request().messages;
    let question = messages.iter().rfind(|message| message.role == Role::User);
    messages.first().is_some_and(|first| first.role == Role::System)
        && question.is_some_and(|question| question.text() == super::caller::question(planned))
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    limit: u64,
    used: u64,
    reset: Duration,
}

fn told(limits: Limits) -> RateLimits {
    let remaining = limits.limit.saturating_sub(limits.used);
    let mut told = RateLimits::default();
    told.requests =
        RateLimit { limit: Some(limits.limit), remaining: Some(remaining), reset: Some(limits.reset) };
    told
}

/// An attempt under way. It is settled once: by what it came to, or by being dropped.
struct Attempt {
    id: AttemptId,
    log: Log,
    /// Whether its finish reason went out.
    finished: bool,
    settled: bool,
}

impl Attempt {
    fn settle(&mut self, how: Settled) {
        if !std::mem::replace(&mut self.settled, true) {
            self.log.settle(self.id, how);
        }
    }

    fn failed(&mut self, error: Error) -> Error {
        // What breaks after the last word is no failure.
        self.settle(if self.finished { Settled::Done } else { Settled::Failed(error.kind()) });
        error
    }

    /// There is nothing more.
    fn ended(&mut self) {
        self.settle(if self.finished {
            Settled::Done
        } else {
            Settled::Failed(ErrorKind::MalformedResponse)
        });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.settle(match (self.finished, std::thread::panicking()) {
            (true, _) => Settled::Done,
            (false, true) => Settled::Panicked,
            (false, false) => Settled::Dropped,
        });
    }
}

async fn whole(head: ReplyHead, beats: VecDeque<Beat>, mut attempt: Attempt) -> Result<Reply, Error> {
    let mut text = String::new();
    for beat in beats {
        match beat {
            Beat::Wait(time) => sleep(time).await,
            Beat::Say(piece) => text.push_str(&piece),
            // A whole answer is out with its last word: what would come after it is not waited for.
            Beat::Finish => {
                attempt.finished = true;
                break;
            }
            Beat::Role | Beat::Reason | Beat::Usage => {}
            Beat::Fail(error) => return Err(attempt.failed(error)),
            Beat::Hang => std::future::pending().await,
            Beat::Panic => resume_unwind(Box::new("the provider panics")),
        }
    }
    attempt.ended();
    if !attempt.finished {
        let error = Error::new(ErrorKind::MalformedResponse, "the answer ends in its middle");
        return Err(error.at(head.provider.clone(), head.model.clone()));
    }
    let mut answer = ChatResponse::new(&*head.model, Message::assistant(text.as_str()), FinishReason::Stop);
    answer.usage = Some(usage(&text).into());
    Ok(Reply::whole(head, answer))
}

fn usage(text: &str) -> Usage {
    Usage::new(20, text.len() as u64 / 4 + 1)
}

/// A stream that plays its script.
struct Playing {
    beats: VecDeque<Beat>,
    pause: Option<Pin<Box<Sleep>>>,
    attempt: Attempt,
    raw: bool,
    series: PlainSeries,
}

impl Playing {
    fn chunk(&mut self, change: impl FnOnce(ChatChunk) -> ChatChunk) -> Poll<Option<ChunkResult>> {
        let AttemptId { call, attempt } = self.attempt.id;
        let chunk = change(ChatChunk::empty(format!("{call}-{attempt}"), "simulated"));
        if !self.raw {
            return Poll::Ready(Some(Ok(chunk.into())));
        }
        let bytes = Bytes::from(serde_json::to_vec(&chunk).unwrap_or_default());
        let plain = Wire::plain_in(&mut self.series, bytes.clone());
        Poll::Ready(Some(Ok(plain.unwrap_or_else(|| Wire::with_raw(chunk, bytes)))))
    }
}

impl Stream for Playing {
    type Item = ChunkResult;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<ChunkResult>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(task));
                this.pause = None;
            }
            let delta = |delta| |chunk: ChatChunk| chunk.with_delta(delta, None);
            return match this.beats.pop_front() {
                Some(Beat::Wait(time)) => {
                    this.pause = Some(Box::pin(sleep(time)));
                    continue;
                }
                Some(Beat::Hang) => {
                    this.beats.push_front(Beat::Hang);
                    Poll::Pending
                }
                Some(Beat::Role) => {
                    this.chunk(delta(Delta { role: Some(Role::Assistant), ..Delta::text("") }))
                }
                Some(Beat::Reason) => {
                    this.chunk(delta(Delta { reasoning_content: Some(REASONING.into()), ..Delta::default() }))
                }
                Some(Beat::Say(text)) => this.chunk(delta(Delta::text(text))),
                Some(Beat::Finish) => {
                    this.attempt.finished = true;
                    this.chunk(|chunk| chunk.with_delta(Delta::default(), Some(FinishReason::Stop)))
                }
                Some(Beat::Usage) => {
                    this.chunk(|chunk| ChatChunk { usage: Some(usage("what was said").into()), ..chunk })
                }
                Some(Beat::Fail(error)) => {
                    this.beats.clear();
                    Poll::Ready(Some(Err(this.attempt.failed(error))))
                }
                Some(Beat::Panic) => {
                    this.beats.clear();
                    resume_unwind(Box::new("the provider panics"))
                }
                None => {
                    this.attempt.ended();
                    Poll::Ready(None)
                }
            };
        }
    }
}

/// What is thought before an answer.
pub(super) const REASONING: &str = "Let me see.";

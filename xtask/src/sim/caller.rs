//! The callers: they ask, read in their manner, and leave when it suits them.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_provider_core::{
    Call, ChatRequest, Chunks, Error, FinishReason, Message, Namespace, Provider as _, Reply,
};
use tokio::time::{Instant, sleep, timeout};

use super::log::Told;
use super::plan::{CallPlan, Leave, Reader};
use super::world::World;

/// What a caller got.
#[derive(Debug)]
pub(super) enum Got {
    /// An answer that ended without an error.
    Answer(Read),
    /// An error, and what of an answer came before it.
    Failure(Error, Read),
    /// It left.
    Left,
    /// The call panicked.
    Panicked,
    /// It waited longer than any call may last.
    Waited(Duration),
}

/// What was read of an answer.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) roles: usize,
    pub(super) finishes: usize,
    pub(super) finish: Option<FinishReason>,
    /// The ids of its chunks, each once.
    pub(super) ids: Vec<String>,
    pub(super) shortened: u32,
}

/// Makes one call, and checks what came of it.
pub(super) async fn make(world: Arc<World>, plan: CallPlan) {
    let id = plan.id;
    world.log.call_begins(id, world.stack.limited(), world.stack.refused());
    world.log.tell(format_args!(
        "call {id}: asks {} for {} words, {}{}",
        world.plan.models[plan.model].name,
        plan.words,
        if plan.stream { "streamed" } else { "whole" },
        plan.deadline.map(|deadline| format!(", within {deadline:?}")).unwrap_or_default(),
    ));
    let began = Instant::now();
    let talk = Watched {
        talk: Some(Box::pin(talk(world.clone(), plan.clone()))),
        polls: if let Leave::Polls(polls) = plan.leave { Some(polls) } else { None },
    };
    let got = match plan.leave {
        Leave::After(time) => timeout(time, talk).await.unwrap_or(Got::Left),
        _ => in_bounds(&world, &plan, began, talk).await,
    };
    match &got {
        Got::Answer(read) => world.log.tell(format_args!("call {id}: has its answer, {:?}", read.finish)),
        Got::Failure(error, read) => {
            world.log.tell(format_args!(
                "call {id}: failed after {} bytes: {}",
                read.text.len(),
                Told(error)
            ));
        }
        other => world.log.tell(format_args!("call {id}: {other:?}")),
    }
    world.check_call(&plan, began, &got);
}

/// The call, to the end of its bound.
async fn in_bounds(world: &World, plan: &CallPlan, began: Instant, mut talk: Watched) -> Got {
    loop {
        let bound = world.bound(plan, began);
        if let Ok(got) = tokio::time::timeout_at(began + bound, &mut talk).await {
            return got;
        }
        // Clock jumps and pauses move the bound.
        if Instant::now() >= began + world.bound(plan, began) {
            return Got::Waited(began.elapsed());
        }
    }
}

async fn talk(world: Arc<World>, plan: CallPlan) -> Got {
    let reply = match world.stack.entry.ask(request(&world, &plan)).await {
        Ok(reply) => reply,
        Err(error) => return Got::Failure(error, Read::default()),
    };
    let (log, id) = (world.log.clone(), plan.id);
    log.replied(id);
    let reply = reply.on_end(move |end| log.call_ended(id, end));
    read(&world, &plan, reply).await
}

fn request(world: &World, plan: &CallPlan) -> Call {
    let mut messages = vec![Message::system("You count words.")];
    for turn in 0..plan.turns {
        messages.push(Message::user(format!("Turn {turn}. {}", "What was said before. ".repeat(12))));
        messages.push(Message::assistant(format!("{turn}. {}", "And what was answered. ".repeat(12))));
    }
    messages.push(Message::user(question(plan)));
    let mut request = ChatRequest::new(world.plan.models[plan.model].name, messages);
    request.stream = Some(plan.stream);
    request.max_tokens = plan.max_tokens;
    let mut call = Call::new(request);
    let context = call.context_mut();
    context.id = plan.id.to_string().into();
    context.deadline = plan.deadline.map(|deadline| Instant::now() + deadline);
    context.prior_attempts = plan.prior_attempts;
    context.namespace = Namespace::new("simulation");
    if let Some(session) = plan.session {
        context.properties.insert("session".into(), session.to_string());
    }
    call
}

/// What is asked, in the last turn of the user.
pub(super) fn question(plan: &CallPlan) -> String {
    format!("Call {}: count to {}.", plan.id, plan.words)
}

async fn read(world: &World, plan: &CallPlan, reply: Reply) -> Got {
    let shortened = reply.head.shortened;
    let mut read = Read { shortened, ..Read::default() };
    let reads_whole =
        matches!(plan.reader, Reader::Collects) || (!reply.is_stream() && plan.reader != Reader::AsStream);
    if reads_whole {
        return match reply.collect().await {
            Ok(answer) => {
                read.text = answer.text().into_owned();
                read.finish = answer.finish_reason().cloned();
                Got::Answer(read)
            }
            Err(error) => {
                read.text = error.partial().map(|partial| partial.text().into_owned()).unwrap_or_default();
                Got::Failure(error, read)
            }
        };
    }
    let mut chunks = reply.into_stream();
    let mut count = 0;
    loop {
        if plan.leave == Leave::Chunks(count) {
            return Got::Left;
        }
        match next(&mut chunks, plan.reader).await {
            None => return Got::Answer(read),
            Some(Err(error)) => return Got::Failure(error, read),
            Some(Ok(chunk)) => {
                count += 1;
                chunk.push_text(&mut read.text);
                if chunk.as_plain().is_none() {
                    read.note(&chunk);
                }
            }
        }
        if let Reader::Slow(pause) = plan.reader {
            world.log.paused(plan.id, pause);
            sleep(pause).await;
        }
    }
}

async fn next(chunks: &mut Chunks, reader: Reader) -> Option<mainstay_provider_core::ChunkResult> {
    let Reader::Impatient(patience) = reader else { return chunks.next().await };
    loop {
        if let Ok(next) = timeout(patience, chunks.next()).await {
            return next;
        }
    }
}

impl Read {
    fn note(&mut self, chunk: &mainstay_provider_core::ChatChunk) {
        if !self.ids.contains(&chunk.id) {
            self.ids.push(chunk.id.clone());
        }
        for choice in &chunk.choices {
            self.roles += usize::from(choice.delta.role.is_some());
            self.reasoning.push_str(choice.delta.reasoning_content.as_deref().unwrap_or_default());
            if let Some(finish) = choice.finished() {
                self.finishes += 1;
                self.finish = Some(finish.clone());
            }
        }
    }
}

/// A call that may panic, and that is left when it has been looked at often enough.
struct Watched {
    talk: Option<Pin<Box<dyn Future<Output = Got> + Send>>>,
    polls: Option<u32>,
}

impl Future for Watched {
    type Output = Got;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Got> {
        let Some(talk) = &mut self.talk else { return Poll::Ready(Got::Left) };
        let polled = catch_unwind(AssertUnwindSafe(|| talk.as_mut().poll(task)));
        let got = match polled {
            Ok(Poll::Pending) => match &mut self.polls {
                Some(0) => Got::Left,
                Some(polls) => {
                    *polls -= 1;
                    return Poll::Pending;
                }
                None => return Poll::Pending,
            },
            Ok(Poll::Ready(got)) => got,
            Err(_panicked) => Got::Panicked,
        };
        // What is left is dropped before anybody looks at what came of it.
        let talk = self.talk.take();
        let dropped: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(|| drop(talk)));
        Poll::Ready(if dropped.is_err() { Got::Panicked } else { got })
    }
}

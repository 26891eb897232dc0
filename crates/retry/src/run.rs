//! The loop of a call whose first attempt did not do.

use std::sync::Arc;

use mainstay_provider_core::{
    Call, Context, EmbedCall, EmbedReply, Embedder, Error, ErrorKind, Provider, Reply, ReplyHead,
};

use crate::layer::Shared;
use crate::progress::{Progress, Step, Stop};
use crate::service::Again;
use crate::{events, reprompt, shorten};

/// Goes on after the first attempt ended in `result`.
pub(crate) async fn chat<S: Provider>(
    again: Arc<Again<S>>,
    mut call: Call,
    mut result: Result<Reply, Error>,
) -> Result<Reply, Error> {
    let config = &again.shared.config;
    let mut course = Course::new(&again.shared, call.context());
    let mut left_out = 0;
    // An answer whose tool call cannot be read is better than none.
    let mut unusable: Option<Reply> = None;
    loop {
        let error = match result {
            Ok(reply) => match course.unreadable(&call, &reply) {
                Some(error) => {
                    unusable = Some(reply);
                    error
                }
                None => return Ok(course.answer(reply, call.context(), left_out, unusable)),
            },
            Err(error) => error,
        };
        let mut step = course.after(&error, call.model(), call.context());
        match step {
            Step::Ask | Step::Wait(_) | Step::Stop(_) => {}
            Step::AskFresh => call.context_mut().needs.fresh = true,
            Step::Reprompt => {
                config.events.send(|| events::reprompted(call.model(), &error));
                call = reprompt::with_problem(&call, &error);
                course.malformed = Some(error.clone());
            }
            Step::Shorten => match shorten::shortened(config, &call, &error).await {
                Some(shorter) => {
                    left_out += shorter.left_out;
                    let summarised = shorter.summarised;
                    config
                        .events
                        .send(|| events::shortened(call.model(), &error, shorter.left_out, summarised));
                    call = shorter.call;
                }
                None => step = Step::Stop(Stop::Final),
            },
        }
        if let Step::Stop(stop) = step {
            let error = course.failed(error, stop, call.model(), call.context());
            return match unusable {
                Some(reply) => Ok(course.answer(reply, call.context(), left_out, None)),
                None => Err(error),
            };
        }
        course.pause(step).await;
        result = again.fresh.ask(call.clone()).await;
    }
}

/// The same for vectors: there is nothing to shorten and no tool to call.
pub(crate) async fn embed<S: Embedder>(
    again: Arc<Again<S>>,
    mut call: EmbedCall,
    mut error: Error,
) -> Result<EmbedReply, Error> {
    let mut course = Course::new(&again.shared, &call.context);
    loop {
        let step = match course.after(&error, &call.request.model, &call.context) {
            Step::Shorten | Step::Reprompt => Step::Stop(Stop::Final),
            step => step,
        };
        match step {
            Step::Stop(stop) => {
                return Err(course.failed(error, stop, &call.request.model, &call.context));
            }
            Step::AskFresh => call.context.data_mut().needs.fresh = true,
            _ => course.pause(step).await,
        }
        match again.fresh.embed(call.clone()).await {
            Ok(mut reply) => {
                course.note(&mut reply.head, &call.context);
                return Ok(reply);
            }
            Err(failed) => error = failed,
        }
    }
}

/// What calls and embedding calls have in common.
struct Course<'a> {
    shared: &'a Shared,
    progress: Progress<'a>,
    /// The errors so far, where no router keeps them.
    errors: Vec<Error>,
    /// What the model was told that it had done wrong.
    malformed: Option<Error>,
}

impl<'a> Course<'a> {
    fn new(shared: &'a Shared, context: &Context) -> Self {
        let progress = Progress::new(&shared.config, context);
        Self { shared, progress, errors: Vec::new(), malformed: None }
    }

    /// What comes after a failure; a wait is told.
    fn after(&mut self, error: &Error, model: &str, context: &Context) -> Step {
        // A limit of our own is no attempt.
        if error.next().is_none() && error.kind() != ErrorKind::LimitReached {
            self.errors.push(error.clone());
        }
        let attempt = self.progress.asked();
        let step = self.progress.decide(error, context.time_left(), &mut self.shared.chance());
        if let Step::Wait(time) = step {
            self.shared.config.events.send(|| events::waiting(model, error, attempt, time));
        }
        step
    }

    async fn pause(&self, step: Step) {
        if let Step::Wait(time) = step {
            tokio::time::sleep(time).await;
        }
    }

    /// The error that the caller gets.
    fn failed(&mut self, error: Error, stop: Stop, model: &str, context: &Context) -> Error {
        let events = &self.shared.config.events;
        match stop {
            // Told once for each provider's word: a refusal since then is no news.
            Stop::Alert if error.provider().is_none() && error.next().is_some() => {}
            Stop::Alert => events.send(|| events::authentication(model, &error)),
            stop => {
                if let Some(event) = events::exhausted(model, &error, self.progress.asked(), stop) {
                    events.send(|| event);
                }
            }
        }
        let attempts = match error.attempts() {
            // A router lists them when nobody is left to be asked. Here somebody was, and the list is in the ledger.
            [] => {
                let noted = context.attempts.errors();
                if noted.len() > self.errors.len() { noted } else { std::mem::take(&mut self.errors) }
            }
            known => known.to_vec(),
        };
        // What the model did wrong, and not that its provider could not be asked more strictly.
        let error = match self.malformed.take() {
            Some(malformed) if error.kind() == ErrorKind::InvalidRequest => malformed,
            _ => error,
        };
        if attempts.len() < 2 { error } else { error.with_attempts(attempts) }
    }

    /// The error for an answer that says `Ok` and holds a tool call that cannot be read, until the model was told.
    fn unreadable(&self, call: &Call, reply: &Reply) -> Option<Error> {
        if self.progress.was_reprompted() { None } else { reprompt::unreadable(call, reply) }
    }

    fn answer(&self, mut reply: Reply, context: &Context, left_out: u32, before: Option<Reply>) -> Reply {
        self.note(&mut reply.head, context);
        reply.head.shortened += left_out;
        match before {
            Some(unusable) => reprompt::with_usage_of(reply, &unusable),
            None => reply,
        }
    }

    /// What the router set stays; where there is none, what was done is set.
    fn note(&self, head: &mut ReplyHead, context: &Context) {
        head.attempts = head.attempts.max(context.attempts.len()).max(self.progress.asked());
    }
}

//! The invariants, held against the log.

use mainstay_provider_core::{Error, ErrorKind, FinishReason, Remedy, Timer};
use tokio::time::Instant;

use super::caller::{Got, Read};
use super::fault::Fault;
use super::log::{AttemptLog, CallLog, HowEnded, Invariant, Settled};
use super::plan::{CallPlan, Reader};
use super::provider::REASONING;
use super::words::answer;
use super::world::World;

impl World {
    /// What must hold of a call that has ended.
    pub(super) fn check_call(&self, plan: &CallPlan, began: Instant, got: &Got) {
        let id = plan.id;
        let log = self.log.call(id);
        let violate = |invariant, what: String| self.log.violate(invariant, format!("call {id}: {what}"));
        for (invariant, what) in ends(&log, got) {
            violate(invariant, what);
        }
        for what in asked_again(self, plan, &log) {
            violate(Invariant::AskedAgain, what);
        }
        match got {
            Got::Answer(read) => {
                self.log.saw(kept_as(plan, read));
                if let Err(what) = self.is_whole(plan, &log, began, read) {
                    violate(Invariant::WholeAnswer, what);
                }
            }
            Got::Failure(error, read) => {
                self.log.saw(error.kind().as_str());
                if let Err(what) = is_beginning(plan, &log, read) {
                    violate(Invariant::WholeAnswer, what);
                }
                if let Err(what) = self.is_explained(plan, &log, began, error) {
                    violate(Invariant::ExplainedError, what);
                }
            }
            Got::Left => self.log.saw("callers that left"),
            Got::Panicked => {
                self.log.saw("panics that reached a caller");
                if !log.panics {
                    violate(Invariant::ExplainedError, "it panicked, and no provider did".to_owned());
                }
            }
            Got::Waited(time) => violate(Invariant::Bounded, format!("it lasts for {time:?} by now")),
        }
        if plan.must_succeed && !matches!(got, Got::Answer(_)) {
            violate(Invariant::Liveness, format!("not served long after the last fault: {got:?}"));
        }
    }

    fn is_whole(&self, plan: &CallPlan, log: &CallLog, began: Instant, read: &Read) -> Result<(), String> {
        is_beginning(plan, log, read)?;
        match &read.finish {
            Some(FinishReason::Stop) => {
                let is_whole =
                    log.variants().any(|variant| answer(plan.id, variant, plan.words) == read.text);
                if !is_whole {
                    return Err(format!(
                        "an answer that passes for the whole ends in its middle: {:?}",
                        read.text
                    ));
                }
            }
            // What came in time, and it is marked.
            Some(FinishReason::Timeout) => {
                let shortest = self.plan.deployments.iter().map(|deployment| deployment.timers.total).min();
                let least = plan.deadline.into_iter().chain(shortest).min().unwrap_or_default();
                if began.elapsed() < least {
                    return Err(format!("the time was up after {:?}", began.elapsed()));
                }
            }
            finish => return Err(format!("an answer that ends with {finish:?}")),
        }
        let in_chunks = plan.stream && plan.reader != Reader::Collects;
        if in_chunks && (read.finishes != 1 || read.roles > 1 || read.ids.len() > 1) {
            return Err(format!(
                "an answer in chunks with {} ends, {} roles and the ids {:?}",
                read.finishes, read.roles, read.ids
            ));
        }
        if ![String::new(), REASONING.to_owned()].contains(&read.reasoning) {
            return Err(format!("its reasoning is {:?}", read.reasoning));
        }
        Ok(())
    }

    fn is_explained(
        &self,
        plan: &CallPlan,
        log: &CallLog,
        began: Instant,
        error: &Error,
    ) -> Result<(), String> {
        let jumped = !self.log.jumped_since(began).is_zero();
        let by_world = |kind| match kind {
            ErrorKind::Timeout(Timer::Total) => jumped || plan.deadline.is_some(),
            ErrorKind::Timeout(Timer::FirstToken | Timer::Idle) => jumped,
            _ => false,
        };
        let explained = match error.kind() {
            // A prefill that is refused is nothing that a caller asked for.
            ErrorKind::InvalidRequest => plan.is_wrong,
            ErrorKind::Unavailable => {
                self.stack.is_some_unavailable() || self.stack.refused() > log.refused_before
            }
            ErrorKind::LimitReached => self.stack.limited() > log.limited_before,
            // Told again while the account is out of use.
            ErrorKind::Authentication | ErrorKind::PermissionDenied | ErrorKind::QuotaExhausted => {
                log.explained.contains(&error.kind()) || self.stack.is_some_parked()
            }
            kind => log.explained.contains(&kind) || by_world(kind),
        };
        if !explained {
            return Err(format!("nothing explains {error} ({})", error.message()));
        }
        for attempt in error.attempts() {
            let by_path = match attempt.kind() {
                ErrorKind::Unavailable | ErrorKind::LimitReached => true,
                // An answer that a rescue could not put in the place of the one that broke off.
                ErrorKind::MalformedResponse => log.legs > 1,
                _ => false,
            };
            if !by_path && !log.explained.contains(&attempt.kind()) && !by_world(attempt.kind()) {
                return Err(format!("nothing explains the attempt's {attempt} ({})", attempt.message()));
            }
        }
        Ok(())
    }

    /// Nothing is under way: nothing is held.
    pub(super) fn check_rest(&self) {
        let lost = |what: String| self.log.violate(Invariant::LostPermit, what);
        for (number, post) in self.stack.posts.iter().enumerate() {
            let name = &self.plan.deployments[number].name;
            let breaker = post.breaker.stats();
            if breaker.in_flight > 0 {
                lost(format!("the breaker of {name} has {} calls in flight", breaker.in_flight));
            }
            let judged = breaker.succeeded
                + breaker.failed
                + breaker.slow
                + breaker.rate_limited
                + breaker.account_errors
                + breaker.not_counted
                + breaker.unseen;
            if judged + breaker.in_flight != breaker.admitted {
                lost(format!(
                    "the breaker of {name} admitted {} calls and judged {judged}",
                    breaker.admitted
                ));
            }
            let seen = self.log.look(|calls| {
                calls
                    .iter()
                    .flat_map(|call| &call.attempts)
                    .filter(|attempt| attempt.deployment == number)
                    .count()
            });
            if seen as u64 > breaker.admitted {
                lost(format!(
                    "{seen} attempts came to {name}, and its breaker admitted {}",
                    breaker.admitted
                ));
            }
            if let Some(stats) = post.limiter.as_ref().map(|limiter| limiter.stats())
                && stats.in_flight + stats.waiting > 0
            {
                lost(format!(
                    "the rate limit of {name} has {} calls in flight and {} waiting",
                    stats.in_flight, stats.waiting
                ));
            }
            if let Some(stats) = post.bulkhead.as_ref().map(|bulkhead| bulkhead.stats())
                && stats.in_flight + stats.waiting > 0
            {
                lost(format!(
                    "the bulkhead of {name} has {} calls in flight and {} waiting",
                    stats.in_flight, stats.waiting
                ));
            }
        }
        for stats in self.stack.router.stats() {
            if stats.in_flight > 0 {
                lost(format!("the router has {} calls in flight at {}", stats.in_flight, stats.deployment));
            }
        }
        if self.stack.budget.left() > self.plan.retry.burst {
            let what = format!("the budget holds {} of {}", self.stack.budget.left(), self.plan.retry.burst);
            self.log.violate(Invariant::Amplification, what);
        }
    }
}

/// Each call and each attempt has one end.
fn ends(log: &CallLog, got: &Got) -> Vec<(Invariant, String)> {
    let mut wrong = Vec::new();
    let mut one_end = |what: String| wrong.push((Invariant::OneEnd, what));
    if log.open_attempts() > 0 {
        one_end(format!("{} of its attempts go on without it", log.open_attempts()));
    }
    for (number, attempt) in log.attempts.iter().enumerate() {
        let AttemptLog { settled, replied, ends, .. } = attempt;
        if *settled > 1 || *ends != u32::from(*replied) {
            one_end(format!("attempt {} was settled {settled} times and ended {ends} times", number + 1));
        }
    }
    if log.ends.len() != usize::from(log.replied) {
        one_end(format!("its reply ended {} times: {:?}", log.ends.len(), log.ends));
    }
    if let Some(end) = log.ends.first() {
        let fits = match (got, end) {
            (Got::Answer(_), end) => *end == HowEnded::Complete,
            (Got::Failure(error, _), end) => *end == HowEnded::Failed(error.kind()),
            (Got::Left, end) => !matches!(end, HowEnded::Failed(_)),
            (Got::Panicked | Got::Waited(_), _) => true,
        };
        if !fits {
            one_end(format!("its hook was told {end:?}, and its caller {got:?}"));
        }
    }
    wrong
}

/// What came is the beginning of an answer, without a gap or a repetition.
fn is_beginning(plan: &CallPlan, log: &CallLog, read: &Read) -> Result<(), String> {
    let fits = log.variants().any(|variant| answer(plan.id, variant, plan.words).starts_with(&read.text));
    if fits { Ok(()) } else { Err(format!("no answer begins with {:?}", read.text)) }
}

/// Failures after which somebody may not be asked again, and was.
fn asked_again(world: &World, plan: &CallPlan, log: &CallLog) -> Vec<String> {
    let mut wrong = Vec::new();
    let model = &world.plan.models[plan.model];
    for (at, first) in log.attempts.iter().enumerate() {
        // The second leg of a hedge was asked before.
        let later = log.attempts[at + 1..]
            .iter()
            .filter(|later| first.ended.is_some_and(|ended| ended <= later.began));
        for later in later {
            let same = later.deployment == first.deployment;
            let in_vain = match first.how {
                Some(Settled::Failed(ErrorKind::InvalidRequest)) => !first.is_prefill,
                Some(Settled::Failed(ErrorKind::ContentFiltered)) => {
                    !model.other_policy.contains(&world.plan.deployments[later.deployment].model)
                }
                Some(Settled::Failed(ErrorKind::ContextLengthExceeded)) => {
                    same && later.leg == first.leg && later.messages >= first.messages
                }
                Some(Settled::Failed(kind)) => {
                    same && matches!(kind.remedy(), Remedy::FailOver | Remedy::SwitchKey)
                }
                _ => same && was_silent(world, plan, first),
            };
            if in_vain {
                let number = at + 1;
                wrong.push(format!(
                    "attempt {number} ended in {:?} ({}), and then {} was asked",
                    first.how,
                    first.fault.name(),
                    later.deployment
                ));
            }
        }
    }
    // T3. Twice a conversation may be shortened.
    let allowed = world.plan.retry.attempts.saturating_sub(plan.prior_attempts).max(1) + 2;
    for leg in 1..=log.legs {
        for deployment in 0..world.plan.deployments.len() {
            let asked =
                log.attempts.iter().filter(|attempt| (attempt.leg, attempt.deployment) == (leg, deployment));
            let asked = asked.count();
            if asked > allowed as usize {
                wrong.push(format!("{deployment} was asked {asked} times in one go"));
            }
        }
    }
    wrong
}

/// Whether an attempt was given up because nothing came.
fn was_silent(world: &World, plan: &CallPlan, attempt: &AttemptLog) -> bool {
    let timers = world.plan.deployments[attempt.deployment].timers;
    let timer = if plan.stream { timers.first_token.min(timers.total) } else { timers.total };
    attempt.fault == Fault::Silence && attempt.ended.is_some_and(|ended| ended - attempt.began >= timer)
}

fn kept_as(plan: &CallPlan, read: &Read) -> &'static str {
    match (&read.finish, plan.stream) {
        (Some(FinishReason::Timeout), _) => "partial answers, marked",
        _ if read.shortened > 0 => "answers to shortened conversations",
        (_, true) => "whole answers, streamed",
        (_, false) => "whole answers",
    }
}

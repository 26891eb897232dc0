//! What comes next for one call: counts, and a decision after each failure. It waits for nothing and asks nobody.

use std::time::Duration;

use fastrand::Rng;
use mainstay_provider_core::{Allowance, ContextData, Error, Next};

use crate::config::{MOST_ATTEMPTS, RetryConfig};
use crate::policy::Action;
use crate::shorten::Shorten;
use crate::wait::{self, NoWait, Terms};

/// How far one call has come.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    config: &'a RetryConfig,
    /// How many attempts the call has, less those that others made for it.
    allowed: u32,
    /// How many of them were made.
    counted: u32,
    /// How often anybody was asked, fallbacks and changed requests included.
    asked: u32,
    waits: u32,
    last_wait: Option<Duration>,
    /// How long it has waited in all for a limit of our own, and how often.
    in_line: Duration,
    times_in_line: u32,
    fresh: bool,
    shortened: u32,
    reprompted: bool,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Ask,
    AskFresh,
    Wait(Duration),
    Shorten,
    Reprompt,
    Stop(Stop),
}

/// Why nothing more is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It would not help.
    Final,
    /// Somebody must act.
    Alert,
    Attempts,
    Budget,
    RetryAfter,
    Deadline,
}

impl<'a> Progress<'a> {
    /// A call of which the first attempt was made.
    pub(crate) fn new(config: &'a RetryConfig, context: &ContextData) -> Self {
        Self {
            config,
            allowed: config.attempts.saturating_sub(context.prior_attempts).max(1),
            counted: 1,
            asked: 1,
            waits: 0,
            last_wait: None,
            in_line: Duration::ZERO,
            times_in_line: 0,
            fresh: false,
            shortened: 0,
            // An answer that is to be gone on with stands last in the conversation: nothing can be said after it.
            reprompted: context.needs.prefill,
        }
    }

    /// How often anybody was asked.
    pub(crate) fn asked(&self) -> u32 {
        self.asked
    }

    /// Whether the model was already told that its tool call could not be read.
    pub(crate) fn was_reprompted(&self) -> bool {
        self.reprompted
    }

    /// What comes after an attempt that failed with `error`, `left` before the call's deadline.
    pub(crate) fn decide(&mut self, error: &Error, left: Option<Duration>, chance: &mut Rng) -> Step {
        if self.asked >= MOST_ATTEMPTS {
            return Step::Stop(Stop::Attempts);
        }
        let action = self.config.policy.action(error);
        // Who stands in line has asked nobody.
        let in_line = matches!(action, Action::StandInLine { .. });
        let step = match action {
            Action::AtOnce => self.at_once(Step::Ask, left),
            Action::StandInLine { fallback } => self
                .stand_in_line(error.retry_after(), left, chance)
                .map_or_else(|stop| self.fresh_or(stop, fallback, left), Step::Wait),
            Action::BackOff { fallback } => self
                .back_off(error.retry_after(), left, chance)
                .map_or_else(|stop| self.fresh_or(stop, fallback, left), Step::Wait),
            Action::Fallback => self.for_nothing(Step::Ask, left),
            Action::Shorten => self.shorten(left),
            Action::Reprompt => self.reprompt(error.next(), left),
            Action::Alert => Step::Stop(Stop::Alert),
            Action::GiveUp => Step::Stop(Stop::Final),
        };
        if !matches!(step, Step::Stop(_)) && !in_line {
            self.asked += 1;
        }
        step
    }

    /// One more attempt that does not wait: it takes a token.
    fn at_once(&mut self, step: Step, left: Option<Duration>) -> Step {
        if !wait::has_time(left, self.config.min_attempt) {
            return Step::Stop(Stop::Deadline);
        }
        if !self.withdraw() {
            return Step::Stop(Stop::Budget);
        }
        self.counted += 1;
        step
    }

    /// One more attempt that nobody asked about its cost: an operator's fallback, or a request that is another one now.
    fn for_nothing(&self, step: Step, left: Option<Duration>) -> Step {
        if wait::has_time(left, self.config.min_attempt) { step } else { Step::Stop(Stop::Deadline) }
    }

    fn back_off(
        &mut self,
        asked: Option<Duration>,
        left: Option<Duration>,
        chance: &mut Rng,
    ) -> Result<Duration, Stop> {
        if self.counted >= self.allowed {
            return Err(Stop::Attempts);
        }
        let backoff = self.config.backoff;
        let terms = Terms {
            delay: backoff.delay(self.waits, self.last_wait, chance),
            asked,
            spread: backoff.spread(self.waits, chance),
            longest: self.config.max_retry_after,
            left,
            attempt: self.config.min_attempt,
        };
        let time = wait::wait(terms).map_err(|why| match why {
            NoWait::TooLong => Stop::RetryAfter,
            NoWait::PastDeadline => Stop::Deadline,
        })?;
        // Last, so that a token is never taken for an attempt that is not made.
        if !self.withdraw() {
            return Err(Stop::Budget);
        }
        self.counted += 1;
        self.waits += 1;
        self.last_wait = Some(time);
        Ok(time)
    }

    /// Waits for a limit of our own. Nobody was asked, so it is no attempt and takes no token; all such waits of a call
    /// together are bounded by the longest that a provider is obeyed for.
    fn stand_in_line(
        &mut self,
        asked: Option<Duration>,
        left: Option<Duration>,
        chance: &mut Rng,
    ) -> Result<Duration, Stop> {
        // Who says "soon" again and again is asked less and less often.
        let delay = LEAST_WAIT_IN_LINE * 2_u32.saturating_pow(self.times_in_line.min(MOST_DOUBLINGS_IN_LINE));
        let longest = self.config.max_retry_after.saturating_sub(self.in_line);
        if delay > longest {
            return Err(Stop::RetryAfter);
        }
        let terms = Terms {
            delay,
            asked,
            spread: self.config.backoff.spread(0, chance).min(MOST_SPREAD_IN_LINE),
            longest,
            left,
            attempt: self.config.min_attempt,
        };
        let time = wait::wait(terms).map_err(|why| match why {
            NoWait::TooLong => Stop::RetryAfter,
            NoWait::PastDeadline => Stop::Deadline,
        })?;
        self.in_line += time;
        self.times_in_line += 1;
        Ok(time)
    }

    /// Where the attempts end and somebody who has not failed in this call is left, the call goes there, once.
    fn fresh_or(&mut self, stop: Stop, fallback: bool, left: Option<Duration>) -> Step {
        if !fallback || std::mem::replace(&mut self.fresh, true) {
            return Step::Stop(stop);
        }
        self.for_nothing(Step::AskFresh, left)
    }

    fn shorten(&mut self, left: Option<Duration>) -> Step {
        if self.config.shorten == Shorten::Off || self.shortened >= ROUNDS {
            return Step::Stop(Stop::Final);
        }
        self.shortened += 1;
        self.for_nothing(Step::Shorten, left)
    }

    fn reprompt(&mut self, next: Option<Next>, left: Option<Duration>) -> Step {
        if self.config.reprompt && !std::mem::replace(&mut self.reprompted, true) {
            return self.at_once(Step::Reprompt, left);
        }
        // The same model would say the same: only somebody else may know better.
        match next {
            Some(Next::Peer) => self.at_once(Step::Ask, left),
            Some(Next::Same { fallback }) => self.fresh_or(Stop::Final, fallback, left),
            _ => Step::Stop(Stop::Final),
        }
    }

    fn withdraw(&self) -> bool {
        self.config.budget.as_ref().is_none_or(Allowance::withdraw)
    }
}

/// Who waits for a place does not come much later than it is free.
const MOST_SPREAD_IN_LINE: Duration = Duration::from_millis(100);
const LEAST_WAIT_IN_LINE: Duration = Duration::from_millis(10);
/// Up to 640 ms.
const MOST_DOUBLINGS_IN_LINE: u32 = 6;

/// How often a conversation is shortened: the first figures may be off, the second are not.
const ROUNDS: u32 = 2;

#[cfg(test)]
mod tests;

//! What a provider suffers from, and what one attempt gets of it.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_provider_core::{Error, ErrorKind, Timer};

use super::chance::Chance;
use super::plan::DeploymentPlan;
use super::words::pieces;

/// What a provider suffers from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Healthy,
    Slow,
    ServerError,
    Overloaded,
    RateLimited,
    RateLimitedWithHint,
    Reset,
    Silence,
    LateFirstToken,
    Cut,
    ResetInStream,
    Stall,
    Malformed,
    ErrorInStream,
    ContextTooLong,
    ContentFilter,
    Unauthorized,
    Panic,
    NeverCloses,
}

impl Fault {
    /// How often each comes.
    pub(super) const MIX: [(u32, Self); 19] = [
        (30, Self::Healthy),
        (6, Self::Slow),
        (6, Self::ServerError),
        (6, Self::Overloaded),
        (4, Self::RateLimited),
        (5, Self::RateLimitedWithHint),
        (4, Self::Reset),
        (5, Self::Silence),
        (3, Self::LateFirstToken),
        (6, Self::Cut),
        (5, Self::ResetInStream),
        (5, Self::Stall),
        (3, Self::Malformed),
        (3, Self::ErrorInStream),
        (3, Self::ContextTooLong),
        (3, Self::ContentFilter),
        (1, Self::Unauthorized),
        (3, Self::Panic),
        (2, Self::NeverCloses),
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Slow => "slow",
            Self::ServerError => "500",
            Self::Overloaded => "503",
            Self::RateLimited => "429",
            Self::RateLimitedWithHint => "429 with hint",
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::LateFirstToken => "first token late",
            Self::Cut => "cut",
            Self::ResetInStream => "reset in mid-stream",
            Self::Stall => "stall",
            Self::Malformed => "malformed event",
            Self::ErrorInStream => "error in mid-stream",
            Self::ContextTooLong => "context too long",
            Self::ContentFilter => "content filter",
            Self::Unauthorized => "401",
            Self::Panic => "panic",
            Self::NeverCloses => "never closes",
        }
    }
}

/// A time in which a provider suffers from something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phase {
    /// Since the beginning of the world.
    pub(super) from: Duration,
    pub(super) fault: Fault,
    /// The share of the attempts that get it.
    pub(super) share: f64,
}

/// What one attempt does, step by step. Where it ends the stream ends.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) beats: VecDeque<Beat>,
    /// The kinds of errors that a caller may see for it.
    pub(super) explains: Vec<ErrorKind>,
}

#[derive(Debug)]
pub(super) enum Beat {
    Wait(Duration),
    Role,
    Reason,
    Say(String),
    Finish,
    Usage,
    Fail(Error),
    Hang,
    Panic,
}

impl Script {
    /// A refusal.
    pub(super) fn refusal(after: Duration, error: Error) -> Self {
        let explains = vec![error.kind()];
        Self { beats: [Beat::Wait(after), Beat::Fail(error)].into(), explains }
    }

    /// What an attempt that has `text` to say does under a fault.
    pub(super) fn of(fault: Fault, deployment: &DeploymentPlan, text: &str, chance: &mut Chance) -> Self {
        let at_once = chance.seconds(0.002, 0.05);
        let slow = fault == Fault::Slow;
        let late = if slow { chance.real(4.0, 20.0) } else { 1.0 };
        let first = chance.about(deployment.first_token).mul_f64(late);
        let gap = deployment.gap.mul_f64(if slow { chance.real(5.0, 30.0) } else { 1.0 });
        let fail =
            |kind, status, message: &str| Self::refusal(at_once, failure(deployment, kind, status, message));
        match fault {
            Fault::Healthy => Self::whole(deployment, first, gap, text, chance),
            Fault::Slow => Self::whole(deployment, first, gap, text, chance)
                .explaining(&[ErrorKind::Timeout(Timer::FirstToken), ErrorKind::Timeout(Timer::Total)]),
            Fault::ServerError => fail(ErrorKind::ServerError, 500, "the server had an error"),
            Fault::Overloaded => fail(ErrorKind::Overloaded, 503, "overloaded"),
            Fault::RateLimited => fail(ErrorKind::RateLimited, 429, "too many requests"),
            Fault::RateLimitedWithHint => {
                let hint = if chance.happens(0.8) {
                    chance.seconds(1.0, 15.0)
                } else {
                    chance.seconds(15.0, LONGEST_HINT)
                };
                let error = failure(deployment, ErrorKind::RateLimited, 429, "too many requests");
                Self::refusal(at_once, error.with_retry_after(hint))
            }
            Fault::Reset => fail(ErrorKind::Network, 0, "connection reset by peer"),
            Fault::Silence => Self { beats: [Beat::Hang].into(), ..Self::default() }.explaining(&SILENCE),
            Fault::LateFirstToken => {
                let late = deployment.timers.first_token + chance.seconds(1.0, 20.0);
                Self::whole(deployment, late, gap, text, chance).explaining(&SILENCE)
            }
            Fault::Cut => Self::whole(deployment, first, gap, text, chance)
                .broken_off(None, chance)
                .explaining(&[ErrorKind::MalformedResponse]),
            Fault::ResetInStream => {
                let error = failure(deployment, ErrorKind::Network, 0, "connection reset by peer");
                Self::whole(deployment, first, gap, text, chance).broken_off(Some(Beat::Fail(error)), chance)
            }
            Fault::Stall => {
                let pause =
                    if chance.happens(0.5) { Beat::Hang } else { Beat::Wait(chance.seconds(2.0, 40.0)) };
                let stalled = Self::whole(deployment, first, gap, text, chance).paused(pause, chance);
                stalled.explaining(&[ErrorKind::Timeout(Timer::Idle)]).explaining(&SILENCE)
            }
            Fault::Malformed => {
                let error = failure(deployment, ErrorKind::MalformedResponse, 200, "an event is not JSON");
                Self::whole(deployment, first, gap, text, chance).broken_off(Some(Beat::Fail(error)), chance)
            }
            Fault::ErrorInStream => {
                let kind =
                    chance.one_of(&[ErrorKind::Overloaded, ErrorKind::ServerError, ErrorKind::RateLimited]);
                let error = failure(deployment, kind, 200, "overloaded_error");
                Self::whole(deployment, first, gap, text, chance).broken_off(Some(Beat::Fail(error)), chance)
            }
            Fault::ContextTooLong => {
                fail(ErrorKind::ContextLengthExceeded, 400, "the prompt is too long for this model")
            }
            Fault::ContentFilter => fail(ErrorKind::ContentFiltered, 400, "the content filter was triggered"),
            Fault::Unauthorized => {
                let (kind, status) = chance.one_of(&[
                    (ErrorKind::Authentication, 401),
                    (ErrorKind::PermissionDenied, 403),
                    (ErrorKind::QuotaExhausted, 402),
                ]);
                fail(kind, status, "the account cannot be used")
            }
            Fault::Panic => {
                Self::whole(deployment, first, gap, text, chance).broken_off(Some(Beat::Panic), chance)
            }
            Fault::NeverCloses => {
                let mut script = Self::whole(deployment, first, gap, text, chance);
                script.beats.push_back(Beat::Hang);
                script
            }
        }
    }

    /// All of an answer.
    fn whole(
        deployment: &DeploymentPlan,
        first: Duration,
        gap: Duration,
        text: &str,
        chance: &mut Chance,
    ) -> Self {
        let mut beats = VecDeque::from([Beat::Wait(first)]);
        beats.extend(chance.maybe(0.8, |_| Beat::Role));
        if deployment.reasons {
            beats.extend([Beat::Reason, Beat::Wait(gap)]);
        }
        let longest = deployment.piece;
        for piece in pieces(text, || chance.number(1..=longest)) {
            beats.extend([Beat::Say(piece), Beat::Wait(gap)]);
        }
        beats.push_back(Beat::Finish);
        beats.extend(chance.maybe(0.8, |_| Beat::Usage));
        if chance.happens(0.05) {
            // A connection that breaks when all is said.
            beats.push_back(Beat::Fail(failure(
                deployment,
                ErrorKind::Network,
                0,
                "connection reset by peer",
            )));
        }
        Self { beats, explains: Vec::new() }
    }

    /// The same up to some point, and then this.
    fn broken_off(mut self, then: Option<Beat>, chance: &mut Chance) -> Self {
        let at = self.breaking_point(chance);
        self.beats.truncate(at);
        if let Some(Beat::Fail(error)) = &then {
            self.explains.push(error.kind());
        }
        self.beats.extend(then);
        self
    }

    fn paused(mut self, pause: Beat, chance: &mut Chance) -> Self {
        let at = self.breaking_point(chance);
        self.beats.insert(at, pause);
        self
    }

    /// Somewhere before the finish reason; more often than not after some of the text.
    fn breaking_point(&self, chance: &mut Chance) -> usize {
        let finish =
            self.beats.iter().position(|beat| matches!(beat, Beat::Finish)).unwrap_or(self.beats.len());
        let said = self.beats.iter().position(|beat| matches!(beat, Beat::Say(_))).unwrap_or(0);
        let from = if chance.happens(0.15) { 0 } else { (said + 1).min(finish) };
        chance.number(from..=finish)
    }

    fn explaining(mut self, kinds: &[ErrorKind]) -> Self {
        self.explains.extend(kinds);
        self
    }
}

/// The longest wait that a provider asks for.
pub(super) const LONGEST_HINT: f64 = 60.0;

/// What silence looks like.
const SILENCE: [ErrorKind; 2] = [ErrorKind::Timeout(Timer::FirstToken), ErrorKind::Timeout(Timer::Total)];

pub(super) fn failure(deployment: &DeploymentPlan, kind: ErrorKind, status: u16, message: &str) -> Error {
    let error = Error::new(kind, message).at(deployment.name.as_str(), "simulated");
    if status > 0 { error.with_status(status) } else { error }
}

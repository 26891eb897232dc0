//! A change of state, and the event that tells it.

use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::{ErrorKind, Event, Severity};

/// A change of state. One event each; a refusal makes none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Transition {
    pub(crate) to: To,
    pub(crate) generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum To {
    Opened { why: Why, recovery: Duration },
    HalfOpen,
    Closed,
    Cooling { wait: Duration },
    Parked { kind: ErrorKind },
    Unparked,
    ForcedOpen,
    ForcedClosed,
    Released,
    Reset,
}

/// Why a breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    FailuresInARow,
    FailuresAMinute,
    FailureRate,
    ProbeFailed,
}

impl Transition {
    pub(crate) fn event(self, deployment: &Arc<str>) -> Event {
        let (name, severity) = match self.to {
            To::Opened { .. } => ("breaker.opened", Severity::Warning),
            To::HalfOpen => ("breaker.half_open", Severity::Info),
            To::Closed => ("breaker.closed", Severity::Info),
            To::Cooling { .. } => ("breaker.cooling", Severity::Warning),
            To::Parked { .. } => ("breaker.parked", Severity::Alert),
            To::Unparked => ("breaker.unparked", Severity::Info),
            To::ForcedOpen => ("breaker.forced_open", Severity::Warning),
            To::ForcedClosed => ("breaker.forced_closed", Severity::Warning),
            To::Released => ("breaker.released", Severity::Info),
            To::Reset => ("breaker.reset", Severity::Info),
        };
        let event = Event::new(name, severity)
            .with("deployment", deployment.to_string())
            .with("generation", self.generation.to_string());
        let milliseconds = |time: Duration| time.as_millis().to_string();
        match self.to {
            To::Opened { why, recovery } => {
                event.with("reason", why.as_str()).with("for_ms", milliseconds(recovery))
            }
            To::Cooling { wait } => event.with("for_ms", milliseconds(wait)),
            To::Parked { kind } => event.with("reason", kind.as_str()),
            _ => event,
        }
    }
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::FailuresInARow => "failures_in_a_row",
            Self::FailuresAMinute => "failures_a_minute",
            Self::FailureRate => "failure_rate",
            Self::ProbeFailed => "probe_failed",
        }
    }
}

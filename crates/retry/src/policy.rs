//! What is done about an error.

use std::fmt;

use mainstay_provider_core::{Error, ErrorKind, Next, Remedy};

/// What is done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Ask again at once: another deployment takes it. Takes a token of the budget.
    AtOnce,
    /// Wait, then ask again. Takes a token of the budget and one of the attempts.
    BackOff {
        /// Whether somebody else can be asked when the attempts are used up, or the wait is too long: then the call
        /// is sent once more, with [`Needs::fresh`](mainstay_provider_core::Needs::fresh).
        fallback: bool,
    },
    /// Wait until a limit of our own has a place, then ask again. Nobody was asked, so it costs nothing; all such waits of a
    /// call together are no longer than the longest wait that a provider is obeyed for.
    StandInLine {
        /// As in [`Action::BackOff`].
        fallback: bool,
    },
    /// Ask again at once, at no cost: a fallback of the operator's choice takes it.
    Fallback,
    /// Leave the oldest turns out and ask again at once, at most twice.
    Shorten,
    /// Say in the prompt what was wrong and ask again at once, at most once.
    Reprompt,
    /// Return the error, and tell the operator that somebody must act.
    Alert,
    /// Return the error.
    GiveUp,
}

/// Says what is done about an error. The default is [`StandardPolicy`].
///
/// How often, how long and whether there is time for it remains the layer's to decide: a policy cannot make it retry
/// without end.
pub trait RetryPolicy: Send + Sync {
    /// What is done.
    fn action(&self, error: &Error) -> Action;
}

impl<F: Fn(&Error) -> Action + Send + Sync> RetryPolicy for F {
    fn action(&self, error: &Error) -> Action {
        self(error)
    }
}

/// By where a router says that the call could go next ([`Error::next`]), else by the error's remedy:
///
/// | [`Error::next`] | action |
/// |---|---|
/// | `Peer`, `Same`, after a malformed tool call | [`Action::Reprompt`] |
/// | `Peer` | [`Action::AtOnce`] |
/// | `Same`, after a refusal by a limit of our own that says for how long | [`Action::StandInLine`] |
/// | `Same` | [`Action::BackOff`] |
/// | `Fallback` | [`Action::Fallback`] |
/// | `Nowhere` | as below, but nothing is asked again |
///
/// | [`Error::remedy`] | action |
/// |---|---|
/// | `BackOff` | [`Action::BackOff`] |
/// | `FailOver` | [`Action::BackOff`], since there is nobody to fail over to; but [`Action::GiveUp`] for an unknown model, for a deployment that is down without a time, and when the provider said not to retry |
/// | `GiveUp`, of a limit of our own that says for how long | [`Action::StandInLine`] |
/// | `Shorten`, `Reprompt` | [`Action::Shorten`], [`Action::Reprompt`] |
/// | `SwitchKey` | [`Action::Alert`] |
/// | `Rephrase`, `GiveUp` | [`Action::GiveUp`] |
#[derive(Debug, Clone, Copy, Default)]
pub struct StandardPolicy;

impl RetryPolicy for StandardPolicy {
    fn action(&self, error: &Error) -> Action {
        let malformed = error.remedy() == Remedy::Reprompt;
        match error.next() {
            Some(Next::Peer | Next::Same { .. }) if malformed => Action::Reprompt,
            Some(Next::Peer) => Action::AtOnce,
            Some(Next::Same { fallback }) if is_in_line(error) => Action::StandInLine { fallback },
            Some(Next::Same { fallback }) => Action::BackOff { fallback },
            Some(Next::Fallback) => Action::Fallback,
            Some(Next::Nowhere) => last_word(error),
            // Without a router, and of a word that does not exist yet.
            _ => by_remedy(error),
        }
    }
}

/// Whether a limit of our own refused the call, and says when it has a place. "At once" is no such time: a router says so
/// when another deployment could be asked again, which is an attempt like any other.
fn is_in_line(error: &Error) -> bool {
    error.kind() == ErrorKind::LimitReached && error.retry_after().is_some_and(|wait| !wait.is_zero())
}

fn by_remedy(error: &Error) -> Action {
    match error.remedy() {
        _ if is_in_line(error) => Action::StandInLine { fallback: false },
        Remedy::BackOff => Action::BackOff { fallback: false },
        Remedy::FailOver if !waiting_helps(error) => Action::GiveUp,
        Remedy::FailOver => Action::BackOff { fallback: false },
        Remedy::Shorten => Action::Shorten,
        Remedy::Reprompt => Action::Reprompt,
        // Rephrase, SwitchKey, GiveUp, and what does not exist yet.
        _ => last_word(error),
    }
}

/// Whether an error that asks for another deployment may be gone after a while, when there is no other.
fn waiting_helps(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::ModelNotFound => false,
        ErrorKind::Unavailable => error.retry_after().is_some(),
        // Its kind would be retried: the provider said outright that this one must not be.
        kind => kind.remedy() != Remedy::BackOff,
    }
}

fn last_word(error: &Error) -> Action {
    if error.remedy() == Remedy::SwitchKey { Action::Alert } else { Action::GiveUp }
}

impl fmt::Debug for dyn RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryPolicy")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_provider_core::Timer;
    use std::time::Duration;

    fn action(error: Error) -> Action {
        StandardPolicy.action(&error)
    }

    fn of(kind: ErrorKind) -> Error {
        Error::new(kind, "on purpose")
    }

    // S2.1
    #[test]
    fn without_a_router_the_remedy_decides() {
        use ErrorKind::*;
        let wait = Action::BackOff { fallback: false };
        for (kind, expected) in [
            (Network, wait),
            (RateLimited, wait),
            (Overloaded, wait),
            (ServerError, wait),
            (Timeout(Timer::Connect), wait),
            (Timeout(Timer::Upstream), wait),
            (Timeout(Timer::FirstToken), wait),
            (Timeout(Timer::Total), wait),
            (MalformedResponse, wait),
            (ContextLengthExceeded, Action::Shorten),
            (MalformedToolCall, Action::Reprompt),
            (Authentication, Action::Alert),
            (PermissionDenied, Action::Alert),
            (QuotaExhausted, Action::Alert),
            (ContentFiltered, Action::GiveUp),
            (ModelNotFound, Action::GiveUp),
            (Unavailable, Action::GiveUp),
            (InvalidRequest, Action::GiveUp),
            (LimitReached, Action::GiveUp),
            (Configuration, Action::GiveUp),
            (Internal, Action::GiveUp),
        ] {
            assert_eq!(action(of(kind)), expected, "{kind}");
        }
        assert_eq!(action(of(Unavailable).with_retry_after(Duration::from_secs(3))), wait);
        let in_line = Action::StandInLine { fallback: false };
        assert_eq!(action(of(LimitReached).with_retry_after(Duration::from_secs(3))), in_line);
        assert_eq!(action(of(LimitReached).with_retry_after(Duration::ZERO)), Action::GiveUp);
        let another =
            of(LimitReached).with_retry_after(Duration::ZERO).with_next(Next::Same { fallback: false });
        assert_eq!(action(another), wait);
    }

    #[test]
    fn the_providers_own_word_on_retrying_counts() {
        assert_eq!(action(of(ErrorKind::ServerError).with_retryable(false)), Action::GiveUp);
        assert_eq!(
            action(of(ErrorKind::InvalidRequest).with_retryable(true)),
            Action::BackOff { fallback: false }
        );
    }

    #[test]
    fn a_router_knows_better_than_the_remedy() {
        let error = || of(ErrorKind::ContextLengthExceeded);
        assert_eq!(action(error().with_next(Next::Peer)), Action::AtOnce);
        assert_eq!(action(error().with_next(Next::Fallback)), Action::Fallback);
        assert_eq!(action(error().with_next(Next::Nowhere)), Action::GiveUp);
        assert_eq!(
            action(error().with_next(Next::Same { fallback: true })),
            Action::BackOff { fallback: true }
        );
        assert_eq!(action(of(ErrorKind::Authentication).with_next(Next::Peer)), Action::AtOnce);
        assert_eq!(action(of(ErrorKind::Authentication).with_next(Next::Nowhere)), Action::Alert);
        let malformed = || of(ErrorKind::MalformedToolCall);
        assert_eq!(action(malformed().with_next(Next::Peer)), Action::Reprompt);
        assert_eq!(action(malformed().with_next(Next::Same { fallback: false })), Action::Reprompt);
        assert_eq!(action(malformed().with_next(Next::Fallback)), Action::Fallback);
    }
}

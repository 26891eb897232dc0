//! What an operator hears.

use std::time::Duration;

use mainstay_provider_core::{Error, Event, Severity};

use crate::progress::Stop;

/// A wait begins.
pub(crate) fn waiting(model: &str, error: &Error, attempt: u32, wait: Duration) -> Event {
    about("retry.waiting", Severity::Info, model, error)
        .with("attempt", attempt.to_string())
        .with("wait_ms", wait.as_millis().to_string())
}

/// A call failed that could have been tried again. `None`: an end that needs no telling.
pub(crate) fn exhausted(model: &str, error: &Error, attempts: u32, stop: Stop) -> Option<Event> {
    let by = match stop {
        Stop::Final | Stop::Alert => return None,
        // Nothing was to be retried from the first.
        Stop::Attempts if attempts == 1 => return None,
        Stop::Attempts => "attempts",
        Stop::Budget => "budget",
        Stop::RetryAfter => "retry_after",
        Stop::Deadline => "deadline",
    };
    let event = about("retry.exhausted", Severity::Warning, model, error);
    Some(event.with("by", by).with("attempts", attempts.to_string()))
}

/// A key or an account was refused.
pub(crate) fn authentication(model: &str, error: &Error) -> Event {
    about("retry.authentication", Severity::Alert, model, error)
}

/// A conversation was shortened.
pub(crate) fn shortened(model: &str, error: &Error, messages: u32, summarised: bool) -> Event {
    about("retry.shortened", Severity::Info, model, error)
        .with("messages", messages.to_string())
        .with("summarised", if summarised { "yes" } else { "no" })
}

/// A model was told that its tool call could not be read.
pub(crate) fn reprompted(model: &str, error: &Error) -> Event {
    about("retry.reprompted", Severity::Info, model, error)
}

fn about(name: &'static str, severity: Severity, model: &str, error: &Error) -> Event {
    let event =
        Event::new(name, severity).with("model", model.to_owned()).with("reason", error.kind().as_str());
    let named = [("provider", error.provider()), ("deployment", error.deployment())];
    named.into_iter().fold(event, |event, (name, value)| match value {
        Some(value) => event.with(name, value.to_owned()),
        None => event,
    })
}

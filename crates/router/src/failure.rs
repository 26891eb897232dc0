//! The router's own errors.

use mainstay_provider_core::{Attempts, Error, ErrorKind, Next};

use crate::load::Lane;
use crate::survey::{LeftOut, Survey, Wanted};

/// Nobody takes the call: why, and until when.
pub(crate) fn nobody(survey: &Survey<'_>, model: &str, attempts: &[Error]) -> Error {
    let is_able = |left_out: Option<LeftOut>| {
        !matches!(left_out, Some(LeftOut::OtherCalls | LeftOut::NoPrefill | LeftOut::WindowTooSmall))
    };
    let mut members = survey.members(0..=usize::MAX);
    if !members.any(|(place, member)| is_able(survey.left_out(place, member, Wanted::Untried))) {
        return incapable(survey, model).with_next(Next::Nowhere).with_all(attempts);
    }
    if let Some(error) = account_error(survey, model) {
        return error.with_next(Next::Nowhere).with_all(attempts);
    }
    match (survey.wait(0..=usize::MAX), survey.past.last()) {
        (Some(wait), _) => {
            let soon = if wait.is_zero() { "soon".to_owned() } else { format!("in {wait:.1?}") };
            let message = format!("no deployment of {model:?} takes calls just now; try again {soon}");
            let error = Error::new(ErrorKind::Unavailable, message).with_retry_after(wait);
            error.with_next(Next::Same { fallback: false })
        }
        (None, Some(last)) => last.clone().with_next(Next::Nowhere),
        (None, None) => {
            let message = format!("no deployment of {model:?} takes calls, and none will by itself");
            Error::new(ErrorKind::Unavailable, message).with_next(Next::Nowhere)
        }
    }
    .with_all(attempts)
}

/// The error for a call that nobody takes because every account is out: the caller hears of the key, not of a pause.
fn account_error(survey: &Survey<'_>, model: &str) -> Option<Error> {
    let mut kinds = survey.members(0..=usize::MAX).map(|(_, member)| member.account_error());
    let first = kinds.next()??;
    if !kinds.all(|kind| kind.is_some()) {
        return None;
    }
    let message = match first {
        ErrorKind::QuotaExhausted => format!(
            "the account of every deployment of {model:?} has no credit left, and none is asked just now; add credit, or \
             another deployment"
        ),
        _ => format!(
            "the provider rejected the key of every deployment of {model:?}, and none is asked just now; change the key, or \
             add another deployment"
        ),
    };
    let error = Error::new(first, message);
    Some(match survey.wait(0..=usize::MAX) {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    })
}

/// No deployment can do what the call asks for, whatever its state.
fn incapable(survey: &Survey<'_>, model: &str) -> Error {
    if let Some(last) = survey.past.last().filter(|_| !survey.needs.prefill) {
        return last.clone();
    }
    let message = match survey.lane {
        Lane::Embed => format!("no deployment of {model:?} embeds"),
        _ if survey.needs.prefill => format!("no deployment of {model:?} goes on with a begun answer"),
        _ => format!("no deployment of {model:?} chats"),
    };
    let kind = if survey.needs.prefill { ErrorKind::Unavailable } else { ErrorKind::InvalidRequest };
    Error::new(kind, message)
}

/// No such model.
pub(crate) fn not_found(model: &str, models: &[String], hint: Option<String>) -> Error {
    let models = models.join(", ");
    let message = match (models.is_empty(), hint.filter(|hint| !hint.is_empty())) {
        (false, None) => format!("no model {model:?}; there are: {models}"),
        (false, Some(hint)) => format!("no model {model:?}; there are: {models}; or {hint}"),
        (true, hint) => {
            format!("no model {model:?}; {}", hint.unwrap_or_else(|| "there are none".to_owned()))
        }
    };
    let error = Error::new(ErrorKind::ModelNotFound, message);
    error.with_param("model").with_code("model_not_found").with_next(Next::Nowhere)
}

/// Adds each attempt's own error when there were several (S1.6).
pub(crate) trait WithAll {
    fn with_all(self, attempts: &[Error]) -> Self;
}

impl WithAll for Error {
    fn with_all(self, attempts: &[Error]) -> Self {
        if attempts.is_empty() || (attempts.len() == 1 && self.deployment().is_some()) {
            return self;
        }
        self.with_attempts(attempts.to_vec())
    }
}

/// [`WithAll`] from a ledger.
pub(crate) fn with_ledger(error: Error, attempts: &Attempts) -> Error {
    attempts.look(|errors| error.with_all(errors))
}

//! What became of a call so far, read from its ledger.

use mainstay_provider_core::{Error, ErrorKind, Next, Remedy};

/// The errors of a call's attempts, oldest first, and one more that is not in the ledger yet.
#[derive(Clone, Copy)]
pub(crate) struct Past<'a> {
    errors: &'a [Error],
    latest: Option<&'a Error>,
}

/// What a deployment is to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not failed in this call.
    Fresh,
    /// What failed was the request, and that may have been changed since.
    Blameless,
    /// It failed, and may be asked again after a wait.
    AfterWait,
    /// It was not asked: it refused before the call was sent.
    Refused,
    /// It is out for the rest of the call.
    Out,
}

impl<'a> Past<'a> {
    pub(crate) fn new(errors: &'a [Error]) -> Self {
        Self { errors, latest: None }
    }

    pub(crate) fn with(mut self, latest: &'a Error) -> Self {
        self.latest = Some(latest);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty() && self.latest.is_none()
    }

    /// Where the call was told to go after its last attempt; `None` too when nobody said anything, as after a stream
    /// that broke off.
    pub(crate) fn told(&self) -> Option<Next> {
        self.last().and_then(Error::next)
    }

    pub(crate) fn last(&self) -> Option<&'a Error> {
        self.latest.or(self.errors.last())
    }

    pub(crate) fn standing(&self, deployment: &str) -> Standing {
        if self.is_empty() {
            return Standing::Fresh;
        }
        match self.last_of(deployment) {
            Some(error) => self.standing_after(error),
            None => Standing::Fresh,
        }
    }

    /// The error with which the deployment failed last.
    pub(crate) fn last_of(&self, deployment: &str) -> Option<&'a Error> {
        self.newest_first().find(|error| error.deployment() == Some(deployment))
    }

    /// Whether a provider's filter has refused.
    pub(crate) fn is_filtered(&self) -> bool {
        self.newest_first().any(|error| error.kind() == ErrorKind::ContentFiltered)
    }

    /// Whether the filter of this deployment has refused.
    pub(crate) fn has_filtered(&self, deployment: &str) -> bool {
        let mut filtered = self.newest_first().filter(|error| error.kind() == ErrorKind::ContentFiltered);
        filtered.any(|error| error.deployment() == Some(deployment))
    }

    /// The deployments for which the prompt is too long, since it was last shortened.
    pub(crate) fn too_short(&self) -> impl Iterator<Item = &'a str> {
        self.too_long()
            .take_while(|(_, is_in_force)| *is_in_force)
            .filter_map(|(error, _)| error.deployment())
    }

    /// The deployment for which the prompt was shortened, if that was the last that was heard of its length.
    pub(crate) fn shortened_for(&self) -> Option<&'a str> {
        let (error, is_in_force) = self.too_long().next()?;
        if is_in_force { None } else { error.deployment() }
    }

    /// The errors about the length of the prompt, newest first, and whether the prompt is still the one they are about:
    /// who was told to go nowhere with it and asks again has shortened it.
    fn too_long(&self) -> impl Iterator<Item = (&'a Error, bool)> {
        let latest = self.latest;
        self.newest_first().filter(|error| error.kind() == ErrorKind::ContextLengthExceeded).map(
            move |error| {
                let is_latest = latest.is_some_and(|latest| std::ptr::eq(latest, error));
                (error, is_latest || error.next().is_some())
            },
        )
    }

    fn standing_after(&self, error: &Error) -> Standing {
        if is_refusal(error) {
            return Standing::Refused;
        }
        match error.remedy() {
            Remedy::BackOff | Remedy::Reprompt => Standing::AfterWait,
            Remedy::Shorten => {
                let mut in_force = self.too_long().take_while(|(_, is_in_force)| *is_in_force);
                let is_in_force = in_force.any(|(other, _)| std::ptr::eq(other, error));
                if is_in_force { Standing::Out } else { Standing::Blameless }
            }
            Remedy::GiveUp if error.kind() != ErrorKind::Configuration => Standing::Blameless,
            _ => Standing::Out,
        }
    }

    fn newest_first(&self) -> impl Iterator<Item = &'a Error> + use<'a> {
        self.latest.into_iter().chain(self.errors.iter().rev())
    }
}

/// Whether a failure means that the call was never sent.
pub(crate) fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::LimitReached)
}

/// Whether a failure says something of the deployment.
pub(crate) fn is_held_against(error: &Error) -> bool {
    !is_refusal(error) && matches!(error.remedy(), Remedy::BackOff | Remedy::FailOver | Remedy::SwitchKey)
}

#[cfg(test)]
mod tests;

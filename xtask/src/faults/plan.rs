//! What an upstream does to the requests it gets.

/// Which of the two upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Primary,
    Fallback,
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Fallback => "fallback",
        }
    }

    /// The name of its model.
    pub(crate) fn model(self) -> &'static str {
        match self {
            Self::Primary => "words-primary",
            Self::Fallback => "words-fallback",
        }
    }

    /// What it counts for any prompt: each its own, so that a bill tells whose it is.
    pub(crate) fn prompt_tokens(self) -> u64 {
        match self {
            Self::Primary => 1100,
            Self::Fallback => 2200,
        }
    }
}

/// One upstream's part in a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    pub(crate) when: When,
    /// The longest prompt in tokens of four bytes; a longer one gets OpenAI's `context_length_exceeded`.
    pub(crate) window: Option<usize>,
    pub(crate) prefill: Prefill,
}

/// When the fault strikes; at other times requests are answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum When {
    Always,
    /// Only the first attempt.
    Once,
    /// For this long from the scenario's start, in seconds of the full profile.
    Until(f64),
}

/// What happens to a conversation that ends with an assistant's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefill {
    /// The answer goes on where that turn ends.
    Continues,
    /// It is a turn like others: the answer begins anew.
    Ignored,
    /// 400.
    Rejected,
}

/// All times in seconds of the full profile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// 429. The header is in real seconds in both profiles: it has no fractions.
    RateLimited {
        retry_after: Option<u32>,
    },
    /// 500.
    ServerError,
    /// 503.
    Unavailable,
    /// TCP reset, once the whole request was read.
    Reset,
    /// Not a byte for this long, then the answer.
    Silence(f64),
    /// The head and the role at once, the first word after this.
    SlowFirstToken(f64),
    /// After so many words the connection ends.
    Cut {
        words: usize,
        how: Cut,
    },
    /// After so many words silence for so long, then the rest.
    Stall {
        words: usize,
        pause: f64,
    },
    /// The event with this number (from 1) is no JSON; those after it are right.
    MalformedEvent(usize),
    /// All events but the last, `[DONE]`.
    NoDone {
        closes: bool,
    },
    /// 400, in the words of Azure OpenAI's filter.
    FilteredPrompt,
    /// The finish reason `content_filter` after so many words.
    FilteredAnswer {
        words: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The socket closes in the middle of the transfer.
    Socket,
    /// The transfer ends properly, with neither finish reason nor `[DONE]`.
    CleanEnd,
}

impl Plan {
    pub(crate) fn healthy() -> Self {
        Self { fault: Fault::None, when: When::Always, window: None, prefill: Prefill::Continues }
    }

    pub(crate) fn always(fault: Fault) -> Self {
        Self { fault, ..Self::healthy() }
    }

    pub(crate) fn once(fault: Fault) -> Self {
        Self { fault, when: When::Once, ..Self::healthy() }
    }

    pub(crate) fn prefill(self, prefill: Prefill) -> Self {
        Self { prefill, ..self }
    }

    pub(crate) fn window(self, tokens: usize) -> Self {
        Self { window: Some(tokens), ..self }
    }

    /// The fault of an attempt: the how-manieth here (from 0), and when, in seconds of the full profile.
    pub(crate) fn fault_of(&self, attempt: usize, at: f64) -> Fault {
        let strikes = match self.when {
            When::Always => true,
            When::Once => attempt == 0,
            When::Until(end) => at < end,
        };
        if strikes { self.fault } else { Fault::None }
    }
}

impl Fault {
    /// In a few words, for the list of attempts.
    pub(crate) fn name(self) -> String {
        match self {
            Self::None => "answer".to_owned(),
            Self::RateLimited { retry_after: None } => "429".to_owned(),
            Self::RateLimited { retry_after: Some(seconds) } => format!("429, Retry-After: {seconds}"),
            Self::ServerError => "500".to_owned(),
            Self::Unavailable => "503".to_owned(),
            Self::Reset => "TCP reset".to_owned(),
            Self::Silence(_) => "silence".to_owned(),
            Self::SlowFirstToken(_) => "slow first token".to_owned(),
            Self::Cut { words, how: Cut::Socket } => format!("cut after {words} words"),
            Self::Cut { words, how: Cut::CleanEnd } => format!("ends after {words} words"),
            Self::Stall { words, .. } => format!("stall after {words} words"),
            Self::MalformedEvent(number) => format!("event {number} malformed"),
            Self::NoDone { .. } => "no [DONE]".to_owned(),
            Self::FilteredPrompt => "400 content_filter".to_owned(),
            Self::FilteredAnswer { words } => format!("filtered after {words} words"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_when_it_should() {
        assert_eq!(Plan::once(Fault::Reset).fault_of(0, 0.0), Fault::Reset);
        assert_eq!(Plan::once(Fault::Reset).fault_of(1, 0.0), Fault::None);
        assert_eq!(Plan::always(Fault::Reset).fault_of(9, 900.0), Fault::Reset);
        let outage = Plan { when: When::Until(60.0), ..Plan::always(Fault::Unavailable) };
        assert_eq!(outage.fault_of(7, 59.9), Fault::Unavailable);
        assert_eq!(outage.fault_of(7, 60.0), Fault::None);
    }
}

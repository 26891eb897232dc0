//! Which wait is taken: the back off, the provider's own word, what the deadline allows.

use std::time::Duration;

/// What bears on one wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// The back off, jitter and all.
    pub(crate) delay: Duration,
    /// What the provider asked for: a floor.
    pub(crate) asked: Option<Duration>,
    /// What comes on top of what the provider asked for.
    pub(crate) spread: Duration,
    /// The longest that a provider is obeyed for.
    pub(crate) longest: Duration,
    /// The time to the deadline.
    pub(crate) left: Option<Duration>,
    /// What an attempt takes at least.
    pub(crate) attempt: Duration,
}

/// Why a wait is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoWait {
    /// The provider asks for longer than it is obeyed.
    TooLong,
    /// The deadline would pass, or leave no time for the attempt (D1, T5).
    PastDeadline,
}

/// The wait. A hint is a floor: nobody comes sooner, and all who got the same one come a little apart.
pub(crate) fn wait(terms: Terms) -> Result<Duration, NoWait> {
    let asked = terms.asked.unwrap_or_default();
    if asked > terms.longest {
        return Err(NoWait::TooLong);
    }
    let spread = if asked.is_zero() { Duration::ZERO } else { terms.spread };
    let wanted = terms.delay.max(asked.saturating_add(spread));
    let Some(left) = terms.left else { return Ok(wanted) };
    let room = left.saturating_sub(terms.attempt);
    // What comes on top of the provider's word gives way to the deadline; that word and the back off do not.
    let shortest = terms.delay.max(asked);
    if wanted < room {
        Ok(wanted)
    } else if shortest < room {
        Ok(shortest)
    } else {
        Err(NoWait::PastDeadline)
    }
}

/// Whether there is time for an attempt that begins at once (T5).
pub(crate) fn has_time(left: Option<Duration>, attempt: Duration) -> bool {
    left.is_none_or(|left| left > attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn terms() -> Terms {
        Terms {
            delay: seconds(2),
            asked: None,
            spread: seconds(1),
            longest: seconds(30),
            left: None,
            attempt: Duration::ZERO,
        }
    }

    // S2.1
    #[test]
    fn what_the_provider_asks_for_is_a_floor() {
        assert_eq!(wait(terms()), Ok(seconds(2)));
        assert_eq!(wait(Terms { asked: Some(seconds(1)), ..terms() }), Ok(seconds(2)));
        assert_eq!(wait(Terms { asked: Some(seconds(7)), ..terms() }), Ok(seconds(8)));
        assert_eq!(wait(Terms { asked: Some(Duration::ZERO), ..terms() }), Ok(seconds(2)));
    }

    // T4
    #[test]
    fn a_provider_that_asks_for_too_long_is_not_waited_for() {
        assert_eq!(wait(Terms { asked: Some(seconds(30)), ..terms() }), Ok(seconds(31)));
        assert_eq!(wait(Terms { asked: Some(seconds(31)), ..terms() }), Err(NoWait::TooLong));
    }

    // D1
    #[test]
    fn a_wait_that_would_pass_the_deadline_is_not_begun() {
        let with =
            |left, attempt| wait(Terms { left: Some(seconds(left)), attempt: seconds(attempt), ..terms() });
        assert_eq!(with(3, 0), Ok(seconds(2)));
        assert_eq!(with(2, 0), Err(NoWait::PastDeadline));
        assert_eq!(with(0, 0), Err(NoWait::PastDeadline));
        // T5
        assert_eq!(with(5, 2), Ok(seconds(2)));
        assert_eq!(with(4, 2), Err(NoWait::PastDeadline));
    }

    #[test]
    fn what_comes_on_top_gives_way_to_the_deadline() {
        let terms = Terms { asked: Some(seconds(7)), left: Some(seconds(8)), ..terms() };
        assert_eq!(wait(terms), Ok(seconds(7)));
        assert_eq!(wait(Terms { left: Some(seconds(7)), ..terms }), Err(NoWait::PastDeadline));
    }

    // T5
    #[test]
    fn an_attempt_without_time_is_not_begun() {
        assert!(has_time(None, seconds(9)));
        assert!(has_time(Some(seconds(3)), seconds(2)));
        assert!(!has_time(Some(seconds(2)), seconds(2)));
        assert!(!has_time(Some(Duration::ZERO), Duration::ZERO));
    }
}

//! When a budget will be used up if it goes on like this.

use crate::store::Window;

/// When `spent` reaches `limit`, at the rate of the period so far; none if that is after its end, while less than a twentieth
/// of it has passed, or if the period has no beginning (rolling, for ever).
pub(crate) fn exhausted_at(window: &Window, spent: u64, limit: u64, now_ms: u64) -> Option<u64> {
    let end = window.end_ms?;
    let (length, elapsed) = (end.saturating_sub(window.start_ms), now_ms.checked_sub(window.start_ms)?);
    if elapsed < length / 20 || elapsed == 0 || spent == 0 || now_ms >= end {
        return None;
    }
    if spent >= limit {
        return Some(now_ms);
    }
    let reckoned = u128::from(limit) * u128::from(elapsed);
    // Nearly always it lasts, and this is asked at the end of each call: no division then.
    if reckoned >= u128::from(spent) * u128::from(length) {
        return None;
    }
    u64::try_from(u128::from(window.start_ms) + reckoned / u128::from(spent)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Window = Window { start_ms: 86_400_000, end_ms: Some(2 * 86_400_000), slice_ms: None };

    #[test]
    fn half_spent_in_a_quarter_of_the_day_is_used_up_at_its_half() {
        let at = exhausted_at(&DAY, 50, 100, 86_400_000 * 5 / 4);
        assert_eq!(at, Some(86_400_000 * 3 / 2));
    }

    #[test]
    fn what_lasts_to_the_end_is_not_foretold() {
        assert_eq!(exhausted_at(&DAY, 50, 100, 86_400_000 * 3 / 2), None);
        assert_eq!(
            exhausted_at(&DAY, 51, 100, 86_400_000 * 3 / 2).map(|at| at > 86_400_000 * 3 / 2),
            Some(true)
        );
    }

    #[test]
    fn the_first_twentieth_says_nothing() {
        let early = 86_400_000 + 86_400_000 / 20 - 1;
        assert_eq!(exhausted_at(&DAY, 99, 100, early), None);
        assert!(exhausted_at(&DAY, 99, 100, early + 1).is_some());
    }

    #[test]
    fn what_is_used_up_is_used_up_now() {
        let now = 86_400_000 * 3 / 2;
        assert_eq!(exhausted_at(&DAY, 100, 100, now), Some(now));
    }

    #[test]
    fn no_figure_makes_it_overflow() {
        let at = exhausted_at(&DAY, 1, u64::MAX, 86_400_000 * 3 / 2);
        assert_eq!(at, None);
    }
}

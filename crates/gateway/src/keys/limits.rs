//! The limits of keys, kept by the budget.

use mainstay::budget::{Budget, Limit, Period};
use mainstay::metering::NanoUsd;
use mainstay::virtual_keys::{KeyChange, KeyLimit, KeyRing, LimitPeriod, LimitUnit};

/// Enters the limits of every key into the budget's book, and keeps the book in step with the keys.
pub(crate) fn follow(ring: &KeyRing, budget: &Budget) {
    let book = budget.book().clone();
    ring.watch(move |change| {
        let (subject, limits) = match change {
            KeyChange::Set(key) => {
                let limits = key.settings.grants.limits.iter().filter_map(limit).collect();
                (key.id.subject(), limits)
            }
            KeyChange::Removed(id) => (id.subject(), Vec::new()),
            _ => return,
        };
        if let Err(error) = book.set_dynamic(subject.clone(), limits) {
            // The store checks what it takes; a record that somebody else wrote may still hold such a limit.
            tracing::error!(%subject, %error, "the limits of this key cannot be kept, so it may use nothing");
            let _none = book.set_dynamic(subject, vec![Limit::requests(0, Period::Forever)]);
        }
    });
}

/// `None` for a unit or a period that this version does not know: none such can be written yet.
fn limit(limit: &KeyLimit) -> Option<Limit> {
    let period = match limit.period {
        LimitPeriod::Minute => Period::Minute,
        LimitPeriod::Hour => Period::Hour,
        LimitPeriod::Day => Period::Day,
        LimitPeriod::Week => Period::Week,
        LimitPeriod::Month => Period::Month,
        LimitPeriod::Rolling(length) => Period::Rolling(length),
        LimitPeriod::Forever => Period::Forever,
        _ => return None,
    };
    Some(match limit.unit {
        LimitUnit::Requests => Limit::requests(limit.amount, period),
        LimitUnit::Tokens => Limit::tokens(limit.amount, period),
        LimitUnit::Usd => Limit::usd(NanoUsd::from_nanos(limit.amount), period),
        LimitUnit::Concurrent => Limit::concurrent(limit.amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_that_a_key_can_have_is_kept() {
        for (text, expected) in [
            ("60 requests/minute", Limit::requests(60, Period::Minute)),
            ("100000 tokens/day", Limit::tokens(100_000, Period::Day)),
            ("12.50 usd/month", Limit::usd("12.50".parse().unwrap(), Period::Month)),
            ("5 concurrent", Limit::concurrent(5)),
            ("1 usd/rolling-5h", Limit::usd("1".parse().unwrap(), "rolling 5h".parse().unwrap())),
        ] {
            assert_eq!(limit(&text.parse().unwrap()), Some(expected), "{text}");
        }
        let most = KeyLimit::new(LimitUnit::Tokens, KeyLimit::MOST, LimitPeriod::Forever);
        assert!(limit(&most).unwrap().check().is_ok(), "the largest limit of a key is none of a budget");
    }
}

//! Periods: calendar windows and rolling ones.

use mainstay_provider_core::test_kit::contract::Suite;

use super::lab::{Lab, account, hold_at};
use crate::store::{Balance, BudgetStore, Charge, Reserved, Settled, Window};

fn spent(spent: u64) -> Balance {
    Balance { spent, reserved: 0 }
}

/// An hour of the clock.
fn hour(now_ms: u64) -> Window {
    let start_ms = now_ms / 3_600_000 * 3_600_000;
    Window { start_ms, end_ms: Some(start_ms + 3_600_000), slice_ms: None }
}

/// The hour before this time, in slices of a minute.
fn rolling(now_ms: u64) -> Window {
    let start_ms = now_ms.saturating_sub(3_600_000) / 60_000 * 60_000;
    Window { start_ms, end_ms: None, slice_ms: Some(60_000) }
}

fn charge(window: Window, take: u64) -> [Charge; 1] {
    [Charge::new(account("user:a"), window, 100, take)]
}

async fn granted<S: BudgetStore>(lab: &Lab<S>, at: u64, window: Window, take: u64) -> crate::store::HoldId {
    let hold = hold_at(at);
    let reserved = lab.reserve(hold, &charge(window, take)).await;
    assert!(matches!(reserved, Reserved::Granted(_)), "{reserved:?}");
    hold
}

async fn is_full<S: BudgetStore>(lab: &Lab<S>, at: u64, window: Window, take: u64) -> bool {
    matches!(lab.reserve(hold_at(at), &charge(window, take)).await, Reserved::Denied { .. })
}

pub(super) fn promises<S: BudgetStore>(suite: Suite<S>) -> Suite<S> {
    suite
        .promise("each period of the calendar begins with nothing", |store: S| async move {
            let lab = Lab::new(store);
            let (now, next) = (lab.now, lab.now + 3_600_000);
            let hold = granted(&lab, now, hour(now), 100).await;
            assert!(is_full(&lab, now, hour(now), 1).await);
            granted(&lab, next, hour(next), 70).await;
            lab.settle(hold, &charge(hour(now), 100), 90).await;
            assert_eq!(lab.balance(&account("user:a"), hour(now)).await, spent(90));
            assert_eq!(lab.balance(&account("user:a"), hour(next)).await, Balance { spent: 0, reserved: 70 });
        })
        .promise("a call is booked in the period in which it reserved", |store: S| async move {
            let mut lab = Lab::new(store);
            let (now, next) = (lab.now, lab.now + 3_600_000);
            let hold = granted(&lab, now, hour(now), 100).await;
            lab.now = next;
            let settled = lab.settle(hold, &charge(hour(now), 100), 40).await;
            assert_eq!(settled, Settled::Now(vec![spent(40)]));
            assert_eq!(lab.balance(&account("user:a"), hour(next)).await, spent(0));
            // So is one whose reservation never arrived.
            let unknown = hold_at(now);
            lab.settle(unknown, &charge(hour(now), 100), 5).await;
            assert_eq!(lab.balance(&account("user:a"), hour(now)).await, spent(45));
            assert_eq!(lab.balance(&account("user:a"), hour(next)).await, spent(0));
        })
        .promise(
            "a rolling period counts what is in it, and lets go of what is older slice by slice",
            |store: S| async move {
                let mut lab = Lab::new(store);
                // At the beginning of a slice, so that the sums below are plain.
                let start = lab.now / 60_000 * 60_000;
                for (minute, used) in [(0, 40), (20, 30), (40, 20)] {
                    let at = start + minute * 60_000;
                    lab.now = at;
                    let hold = granted(&lab, at, rolling(at), 10).await;
                    lab.settle(hold, &charge(rolling(at), 10), used).await;
                }
                for (minute, wanted) in [(40, 90), (59, 90), (60, 90), (61, 50), (80, 50), (81, 20), (101, 0)]
                {
                    let at = start + minute * 60_000;
                    lab.now = at;
                    assert_eq!(
                        lab.balance(&account("user:a"), rolling(at)).await,
                        spent(wanted),
                        "minute {minute}"
                    );
                }
            },
        )
        .promise("what is reserved in a rolling period counts in its slice", |store: S| async move {
            let mut lab = Lab::new(store);
            let start = lab.now / 60_000 * 60_000;
            let hold = granted(&lab, start, rolling(start), 100).await;
            let later = start + 30 * 60_000;
            lab.now = later;
            assert!(is_full(&lab, later, rolling(later), 1).await);
            let over = start + 62 * 60_000;
            lab.now = over;
            granted(&lab, over, rolling(over), 100).await;
            lab.settle(hold, &charge(rolling(start), 100), 60).await;
            let balance = lab.balance(&account("user:a"), rolling(over)).await;
            assert_eq!(balance, Balance { spent: 0, reserved: 100 }, "it is booked where it was reserved");
        })
        .promise("no moment of a rolling hour has more than its limit", |store: S| async move {
            let mut lab = Lab::new(store);
            let start = lab.now;
            let mut admitted = Vec::new();
            for step in 0..150 {
                let at = start + step * 53_000;
                lab.now = at;
                let hold = hold_at(at);
                if let Reserved::Granted(_) = lab.reserve(hold, &charge(rolling(at), 7)).await {
                    lab.settle(hold, &charge(rolling(at), 7), 7).await;
                    admitted.push(at);
                }
            }
            for from in &admitted {
                let within =
                    admitted.iter().filter(|at| (*from..from + 3_600_000).contains(at)).count() as u64;
                assert!(within * 7 <= 100, "{within} calls in an hour");
            }
            assert!(admitted.len() >= 14 * 2, "{}", admitted.len());
        })
}

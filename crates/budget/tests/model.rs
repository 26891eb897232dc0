//! The store against a plain model of it, and rolling periods against their definition.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use mainstay_budget::{
    AccountKey, Balance, BudgetStore, Charge, HoldId, MemoryStore, Reservation, Reserved, Settled,
    Settlement, UsageRow, Window,
};
use proptest::collection::vec;
use proptest::prelude::*;

const START: u64 = 1_795_262_400_000;
const LIMIT: u64 = 100;
const HOUR: u64 = 3_600_000;

fn rolling(now: u64) -> Window {
    Window { start_ms: (now - HOUR) / 60_000 * 60_000, end_ms: None, slice_ms: Some(60_000) }
}

fn hour(now: u64) -> Window {
    Window { start_ms: now / HOUR * HOUR, end_ms: Some(now / HOUR * HOUR + HOUR), slice_ms: None }
}

fn key(account: usize) -> AccountKey {
    AccountKey::new(["user:a", "user:b", "org:x"][account])
}

fn reserve(store: &MemoryStore, hold: HoldId, charges: &[Charge], lease: Duration) -> Reserved {
    let if_lost = Arc::new(UsageRow::new(hold, hold.made_ms()));
    let ask = Reservation { hold, lease, charges, if_lost: &if_lost, now_ms: hold.made_ms() };
    store.reserve(ask).now_or_never().unwrap().unwrap()
}

fn settle(store: &MemoryStore, hold: HoldId, charges: &[Charge], actual: u64) -> Settled {
    let actual = vec![actual; charges.len()];
    let settlement = Settlement { hold, charges, actual: &actual, rows: &[], now_ms: hold.made_ms() };
    store.settle(settlement).now_or_never().unwrap().unwrap()
}

fn balance(store: &MemoryStore, account: usize, window: Window) -> Balance {
    store.balances(&[(key(account), window)], START).now_or_never().unwrap().unwrap()[0]
}

/// What happens to the store.
#[derive(Debug, Clone)]
enum Act {
    /// Reserves so much of these accounts, for a short lease or a long one.
    Reserve {
        accounts: u8,
        take: u64,
        is_short: bool,
    },
    /// Settles one of the holds so far, ended or not.
    Settle {
        which: usize,
        actual: u64,
    },
    Expire,
    Pass {
        millis: u64,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1_u8..8, 0_u64..40, any::<bool>())
            .prop_map(|(accounts, take, is_short)| Act::Reserve { accounts, take, is_short }),
        4 => (any::<prop::sample::Index>(), 0_u64..60)
            .prop_map(|(which, actual)| Act::Settle { which: which.index(1_000), actual }),
        1 => Just(Act::Expire),
        2 => (1_u64..HOUR / 3).prop_map(|millis| Act::Pass { millis }),
    ];
    vec(act, 1..80)
}

/// A hold as the model knows it.
#[derive(Debug, Clone)]
struct Known {
    hold: HoldId,
    charges: Vec<Charge>,
    accounts: Vec<usize>,
    window: u64,
    lease_until: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Open,
    Lost,
    Ended,
}

/// Spent and reserved of each account in each hour.
type Books = BTreeMap<(usize, u64), (u64, u64)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    // M6 and M4, against a model without any cleverness.
    #[test]
    fn the_store_does_what_the_model_does(acts in acts()) {
        let (store, mut books, mut holds, mut now) = (MemoryStore::new(), Books::new(), Vec::<Known>::new(), START);
        for (number, act) in acts.into_iter().enumerate() {
            match act {
                Act::Pass { millis } => now += millis,
                Act::Reserve { accounts, take, is_short } => {
                    let accounts: Vec<usize> = (0..3).filter(|bit| accounts & (1 << bit) != 0).collect();
                    let charges: Vec<_> = accounts.iter().map(|of| Charge::new(key(*of), hour(now), LIMIT, take)).collect();
                    let (hold, window) = (HoldId::new(now, number as u128), hour(now).start_ms);
                    let lease = if is_short { 60_000 } else { 100 * HOUR };
                    let full = accounts.iter().position(|of| {
                        let (spent, reserved) = books.get(&(*of, window)).copied().unwrap_or_default();
                        spent + reserved + take > LIMIT
                    });
                    let told = reserve(&store, hold, &charges, Duration::from_millis(lease));
                    match (full, told) {
                        (Some(wanted), Reserved::Denied { index, .. }) => prop_assert_eq!(index, wanted),
                        (None, Reserved::Granted(_)) => {
                            for of in &accounts {
                                books.entry((*of, window)).or_default().1 += take;
                            }
                            holds.push(Known { hold, charges, accounts, window, lease_until: now + lease, state: State::Open });
                        }
                        (full, told) => prop_assert!(false, "{full:?} but {told:?}"),
                    }
                }
                Act::Settle { which, actual } if !holds.is_empty() => {
                    let place = which % holds.len();
                    let known = &mut holds[place];
                    let told = settle(&store, known.hold, &known.charges, actual);
                    let take = known.charges[0].take;
                    for of in &known.accounts {
                        let (spent, reserved) = books.entry((*of, known.window)).or_default();
                        match known.state {
                            State::Open => (*spent, *reserved) = (*spent + actual, *reserved - take),
                            State::Lost => *spent = *spent + actual - take,
                            State::Ended => {}
                        }
                    }
                    let fits = match known.state {
                        State::Open => matches!(told, Settled::Now(_)),
                        State::Lost => matches!(told, Settled::Late(_)),
                        State::Ended => told == Settled::Again,
                    };
                    prop_assert!(fits, "{:?} but {told:?}", known.state);
                    known.state = State::Ended;
                }
                Act::Settle { .. } => {}
                Act::Expire => {
                    let mut expired: Vec<_> = store.expire(now).now_or_never().unwrap().unwrap().iter().map(|lost| lost.hold).collect();
                    expired.sort();
                    let mut due = Vec::new();
                    for known in holds.iter_mut().filter(|known| known.state == State::Open && known.lease_until <= now) {
                        for of in &known.accounts {
                            let (spent, reserved) = books.entry((*of, known.window)).or_default();
                            let take = known.charges[0].take;
                            (*spent, *reserved) = (*spent + take, *reserved - take);
                        }
                        known.state = State::Lost;
                        due.push(known.hold);
                    }
                    due.sort();
                    prop_assert_eq!(expired, due);
                }
            }
            for account in 0..3 {
                let window = hour(now);
                let (spent, reserved) = books.get(&(account, window.start_ms)).copied().unwrap_or_default();
                prop_assert_eq!(balance(&store, account, window), Balance { spent, reserved });
            }
        }
    }

    #[test]
    fn a_rolling_period_is_never_too_loose_and_too_tight_by_a_sixtieth_at_most(
        calls in vec((1_u64..HOUR / 4, 1_u64..30), 1..120),
    ) {
        let (store, mut admitted, mut now) = (MemoryStore::new(), Vec::<(u64, u64)>::new(), START);
        for (number, (pause, take)) in calls.into_iter().enumerate() {
            now += pause;
            let charges = [Charge::new(key(0), rolling(now), LIMIT, take)];
            let told = reserve(&store, HoldId::new(now, number as u128), &charges, Duration::from_secs(60));
            let within = |length: u64| -> u64 {
                admitted.iter().filter(|(at, _)| *at + length > now).map(|(_, take)| take).sum()
            };
            if matches!(told, Reserved::Granted(_)) {
                prop_assert!(within(HOUR) + take <= LIMIT, "too loose");
                admitted.push((now, take));
            } else {
                prop_assert!(within(HOUR + 60_000) + take > LIMIT, "too tight");
            }
        }
    }
}

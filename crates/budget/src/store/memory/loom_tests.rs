//! Every order in which threads can meet in the store:
//! `RUSTFLAGS="--cfg loom" cargo test -p mainstay-budget --lib --release --target-dir target/loom loom_`

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use mainstay_provider_core::{Subject, Usage};

use super::engine::{Engine, Kept, NoLog};
use crate::row::{RowStatus, UsageRow};
use crate::store::{
    AccountKey, Balance, Charge, ExpiredHold, HoldId, Reservation, Reserved, Settled, Settlement, Window,
};
use crate::usage::RowsQuery;

const NOW: u64 = 1_000_000;
const LEASE: Duration = Duration::from_secs(60);
const FOREVER: Window = Window { start_ms: 0, end_ms: None, slice_ms: None };

struct Store(Engine<NoLog>);

fn store() -> Arc<Store> {
    Arc::new(Store(Engine::new(NoLog, Kept { rows: 100, days: 10 })))
}

fn charge(subject: &str, limit: u64, take: u64) -> Charge {
    Charge::new(AccountKey::new(subject), FOREVER, limit, take)
}

/// Each of another thread, and so in another part.
fn hold(number: u128) -> HoldId {
    HoldId::new(NOW, number << 74)
}

fn row(hold: HoldId, charges: &[Charge], tokens: u64, status: RowStatus) -> Arc<UsageRow> {
    let mut row = UsageRow::new(hold, NOW);
    row.subjects = charges.iter().filter_map(|charge| Subject::parse(charge.account.as_str())).collect();
    (row.usage, row.status) = (Usage::new(tokens, 0), status);
    Arc::new(row)
}

impl Store {
    fn reserve(&self, hold: HoldId, charges: &[Charge]) -> Reserved {
        let if_lost = row(hold, charges, charges[0].if_lost, RowStatus::Lost);
        self.0.reserve(&Reservation { hold, lease: LEASE, charges, if_lost: &if_lost, now_ms: NOW })
    }

    fn settle(&self, hold: HoldId, charges: &[Charge], actual: u64) -> Settled {
        let rows = [row(hold, charges, actual, RowStatus::Settled)];
        let actual = vec![actual; charges.len()];
        self.0.settle(&Settlement { hold, charges, actual: &actual, rows: &rows, now_ms: NOW })
    }

    fn expire(&self) -> Vec<ExpiredHold> {
        self.0.expire(NOW + 120_000)
    }

    fn stands(&self, subject: &str) -> (u64, u64) {
        let Balance { spent, reserved } = self.0.balances(&[(AccountKey::new(subject), FOREVER)])[0];
        (spent, reserved)
    }

    fn in_rows(&self, subject: &str) -> u64 {
        let subject = Subject::parse(subject);
        let page = self.0.rows(&RowsQuery { subject, ..RowsQuery::default() });
        page.rows.iter().map(|row| row.usage.total()).sum()
    }
}

fn is_granted(reserved: &Reserved) -> bool {
    matches!(reserved, Reserved::Granted(_))
}

// M2
#[test]
fn loom_the_last_place_goes_to_one_whatever_the_order_of_the_accounts() {
    loom::model(|| {
        let store = store();
        let other = store.clone();
        let thread = thread::spawn(move || {
            is_granted(&other.reserve(hold(1), &[charge("user:a", 1, 1), charge("org:b", 1, 1)]))
        });
        let own = is_granted(&store.reserve(hold(2), &[charge("org:b", 1, 1), charge("user:a", 1, 1)]));
        assert_ne!(own, thread.join().unwrap());
        assert_eq!((store.stands("user:a"), store.stands("org:b")), ((0, 1), (0, 1)));
    });
}

#[test]
fn loom_nobody_is_refused_because_of_one_who_is_refused() {
    loom::model(|| {
        let store = store();
        let other = store.clone();
        let thread = thread::spawn(move || {
            is_granted(&other.reserve(hold(1), &[charge("user:a", 1, 1), charge("org:full", 0, 1)]))
        });
        assert!(is_granted(&store.reserve(hold(2), &[charge("user:a", 1, 1)])));
        assert!(!thread.join().unwrap());
        assert_eq!(store.stands("user:a"), (0, 1));
    });
}

#[test]
fn loom_of_two_settlements_one_is_booked() {
    loom::model(|| {
        let store = store();
        let charges = [charge("user:a", 10, 5)];
        store.reserve(hold(1), &charges);
        let other = store.clone();
        let thread = thread::spawn(move || other.settle(hold(1), &[charge("user:a", 10, 5)], 3));
        let own = store.settle(hold(1), &charges, 3);
        let again =
            [own, thread.join().unwrap()].iter().filter(|settled| **settled == Settled::Again).count();
        assert_eq!(again, 1);
        assert_eq!((store.stands("user:a"), store.in_rows("user:a")), ((3, 0), 3));
    });
}

// M4
#[test]
fn loom_a_hold_that_is_settled_while_it_is_lost_is_booked_once_and_as_settled() {
    loom::model(|| {
        let store = store();
        let charges = [charge("user:a", 10, 5)];
        store.reserve(hold(1), &charges);
        let other = store.clone();
        let thread = thread::spawn(move || other.expire().len());
        let settled = store.settle(hold(1), &charges, 3);
        let lost = thread.join().unwrap();
        assert_eq!(matches!(settled, Settled::Late(_)), lost == 1);
        assert_eq!((store.stands("user:a"), store.in_rows("user:a")), ((3, 0), 3));
    });
}

#[test]
fn loom_a_reservation_that_its_settlement_overtakes_leaves_nothing_reserved() {
    loom::model(|| {
        let store = store();
        let other = store.clone();
        let thread = thread::spawn(move || other.reserve(hold(1), &[charge("user:a", 10, 5)]));
        store.settle(hold(1), &[charge("user:a", 10, 5)], 3);
        thread.join().unwrap();
        assert_eq!((store.stands("user:a"), store.in_rows("user:a")), ((3, 0), 3));
    });
}

#[test]
fn loom_calls_over_accounts_in_opposite_order_do_not_wait_for_each_other() {
    loom::model(|| {
        let store = store();
        let other = store.clone();
        let thread = thread::spawn(move || {
            let charges = [charge("user:a", 10, 2), charge("org:b", 10, 2)];
            assert!(is_granted(&other.reserve(hold(1), &charges)));
            other.settle(hold(1), &charges, 1);
        });
        assert!(is_granted(&store.reserve(hold(2), &[charge("org:b", 10, 2), charge("user:a", 10, 2)])));
        thread.join().unwrap();
        assert_eq!((store.stands("user:a"), store.stands("org:b")), ((1, 2), (1, 2)));
    });
}

#[test]
fn loom_what_is_taken_of_an_account_while_it_is_let_go_of_stands_there() {
    loom::model(|| {
        let store = store();
        let long_ago = Window { start_ms: 10, end_ms: Some(20), slice_ms: None };
        let idle = [Charge::new(AccountKey::new("user:a"), long_ago, 10, 5)];
        assert!(is_granted(&store.reserve(hold(1), &idle)));
        store.settle(hold(1), &idle, 5);
        let other = store.clone();
        // In the part that knew it: another account comes, and those that are not used are let go of.
        let thread = thread::spawn(move || is_granted(&other.reserve(hold(3), &[charge("user:b", 1, 1)])));
        assert!(is_granted(&store.reserve(hold(2), &[charge("user:a", 1, 1)])));
        assert!(thread.join().unwrap());
        assert_eq!((store.stands("user:a"), store.stands("user:b")), ((0, 1), (0, 1)));
    });
}

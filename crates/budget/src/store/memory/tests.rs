//! What only the inside shows.

use std::sync::Arc;
use std::time::Duration;

use super::engine::{Engine, Kept, NoLog};
use crate::row::UsageRow;
use crate::store::{AccountKey, Charge, HoldId, Reservation, Reserved, Settlement, Window};

const NOW: u64 = 1_795_262_400_000;

fn reserve(engine: &Engine<NoLog>, hold: HoldId, charges: &[Charge]) {
    let if_lost = &Arc::new(UsageRow::new(hold, hold.made_ms()));
    let ask = Reservation { hold, lease: Duration::from_secs(60), charges, if_lost, now_ms: hold.made_ms() };
    assert!(matches!(engine.reserve(&ask), Reserved::Granted(_)));
}

fn minute(now: u64) -> Window {
    let start_ms = now / 60_000 * 60_000;
    Window { start_ms, end_ms: Some(start_ms + 60_000), slice_ms: None }
}

#[test]
fn accounts_that_nobody_asks_for_any_longer_are_let_go_of() {
    let engine = Engine::new(NoLog, Kept { rows: 64, days: 1 });
    let held = HoldId::new(NOW, 1);
    let kept = [Charge::new(AccountKey::new("user:held"), minute(NOW), 5, 5)];
    reserve(&engine, held, &kept);
    let forever = Window { start_ms: 0, end_ms: None, slice_ms: None };
    reserve(&engine, HoldId::new(NOW, 2), &[Charge::new(AccountKey::new("user:forever"), forever, 5, 5)]);
    for user in 0..60_000_u64 {
        let now = NOW + user * 100;
        let charges = [Charge::new(AccountKey::new(format!("user:{user}")), minute(now), 5, 5)];
        let hold = HoldId::new(now, u128::from(user) + 10);
        reserve(&engine, hold, &charges);
        engine.settle(&Settlement { hold, charges: &charges, actual: &[1], rows: &[], now_ms: now });
    }
    let known = engine.accounts.lock().unwrap().len();
    assert!(known <= 20_000, "{known} accounts");
    let at_hand = engine.shards[0].lock().unwrap().known.len();
    assert!(at_hand <= 2_048, "{at_hand} accounts at hand");
    assert_eq!(engine.balances(&[(AccountKey::new("user:forever"), forever)])[0].reserved, 5);
    // It is too old to count, and its end does no harm to whoever has its place.
    engine.settle(&Settlement { hold: held, charges: &kept, actual: &[5], rows: &[], now_ms: NOW });
}

#[test]
fn a_part_that_nobody_asks_any_longer_has_no_accounts_at_hand() {
    let engine = Engine::new(NoLog, Kept { rows: 64, days: 1 });
    for user in 0..100_u64 {
        let charges = [Charge::new(AccountKey::new(format!("user:{user}")), minute(NOW), 5, 5)];
        let hold = HoldId::new(NOW, u128::from(user) + 10);
        reserve(&engine, hold, &charges);
        if user > 0 {
            engine.settle(&Settlement { hold, charges: &charges, actual: &[1], rows: &[], now_ms: NOW });
        }
    }
    let at_hand = || engine.shards[0].lock().unwrap().known.len();
    assert_eq!(at_hand(), 100);
    assert!(engine.expire(NOW).is_empty());
    assert_eq!(at_hand(), 1, "but for the one that is held");
}

#[test]
fn who_names_an_account_twice_waits_for_nobody() {
    let engine = Engine::new(NoLog, Kept::default());
    let charge = |subject: &str| Charge::new(AccountKey::new(subject), minute(NOW), 50, 5);
    let charges = [charge("user:a"), charge("org:b"), charge("user:a")];
    let hold = HoldId::new(NOW, 1);
    reserve(&engine, hold, &charges);
    let stands = |subject: &str| engine.balances(&[(AccountKey::new(subject), minute(NOW))])[0];
    assert_eq!((stands("user:a").reserved, stands("org:b").reserved), (10, 5));
    engine.settle(&Settlement { hold, charges: &charges, actual: &[1, 2, 3], rows: &[], now_ms: NOW });
    assert_eq!((stands("user:a").total(), stands("org:b").total()), (4, 2));
}

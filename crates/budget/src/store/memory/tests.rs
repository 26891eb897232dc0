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
    let known = engine.accounts.lock().unwrap();
    assert!(known.len() <= 20_000, "{} accounts", known.len());
    let reserved = |key: &str, window| known.balance(&AccountKey::new(key), &window).reserved;
    assert_eq!(reserved("user:forever", forever), 5);
    drop(known);
    // It is too old to count, and its end does no harm to whoever has its place.
    engine.settle(&Settlement { hold: held, charges: &kept, actual: &[5], rows: &[], now_ms: NOW });
}

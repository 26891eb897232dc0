//! Rolling windows in Redis: sums that are moved on slice by slice must be those that all slices would give, whatever the clocks of
//! the callers say.
#![cfg(all(feature = "postgres", feature = "redis"))]
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod store_cases;

use std::collections::BTreeMap;

use fastrand::Rng;
use mainstay_budget::redis::{RedisConfig, RedisStore};
use mainstay_budget::{
    AccountKey, Balance, BudgetStore, Charge, HoldId, MOST, Reserved, Settled, Settlement, Window,
};
use mainstay_test_servers::{Server, redis_cli};
use store_cases::{FOREVER, LEASE, hold, is_granted, now_ms, reserve, settle};

const STATE: &str = "{mainstay}:budget:3:state";
const ROLLING: &str = "{mainstay}:budget:3:rolling";
const SECOND: u64 = 1_000;

fn store(server: &Server) -> RedisStore {
    RedisStore::new(RedisConfig::new(server.redis_url())).unwrap()
}

/// The minute before this time, in slices of a second.
fn minute(now_ms: u64) -> Window {
    let start_ms = now_ms.saturating_sub(60 * SECOND) / SECOND * SECOND;
    Window { start_ms, end_ms: None, slice_ms: Some(SECOND) }
}

fn account(name: &str) -> AccountKey {
    AccountKey::new(format!("user:{name}|tokens|rolling 60s"))
}

fn charge(name: &str, at: u64, limit: u64, take: u64) -> Charge {
    Charge::new(account(name), minute(at), limit, take)
}

fn hold_at(now_ms: u64) -> HoldId {
    HoldId::new(now_ms, fastrand::u128(..))
}

async fn balance(store: &RedisStore, name: &str, at: u64) -> Balance {
    store.balances(&[(account(name), minute(at))], at).await.unwrap()[0]
}

/// How many commands the scripts give since the last `CONFIG RESETSTAT`.
fn commands(server: &Server) -> u64 {
    let stats = redis_cli(server.port, &["INFO", "commandstats"]);
    let inside = stats.lines().filter(|line| line.starts_with("cmdstat_"));
    let inside =
        inside.filter(|line| !["evalsha", "script", "config"].iter().any(|outside| line.contains(outside)));
    let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
    inside.filter_map(calls).sum()
}

#[tokio::test]
async fn a_usual_call_of_rolling_and_other_accounts_is_three_commands_and_three() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let store = store(&server);
    // Which of them roll; more than eight go the long way, which comes to the same.
    for (number, rolls) in ["r", "rr", "cr", "rc", "crcr", "rrrrrrrr", "rrrrrrrrr"].into_iter().enumerate() {
        let now = now_ms() / SECOND * SECOND;
        let charges = rolls.chars().enumerate().map(|(place, kind)| {
            let name = format!("{number}-{place}");
            if kind == 'r' { charge(&name, now, 100, 5) } else { store_cases::charge(&name, 100, 5) }
        });
        let charges: Vec<Charge> = charges.collect();
        let twice = async |spent| {
            let hold = hold_at(now);
            let reserved = reserve(&store, hold, LEASE, &charges).await.unwrap();
            let before = vec![Balance { spent, reserved: 5 }; charges.len()];
            assert_eq!(reserved, Reserved::Granted(before), "{rolls}");
            let after = vec![Balance { spent: spent + 3, reserved: 0 }; charges.len()];
            assert_eq!(settle(&store, hold, &charges, 3).await.unwrap(), Settled::Now(after), "{rolls}");
        };
        twice(0).await;
        redis_cli(server.port, &["CONFIG", "RESETSTAT"]);
        twice(3).await;
        let count = commands(&server);
        assert_eq!(count == 6, charges.len() <= 8, "{rolls}: {count}");
    }
}

// An answer takes longer than a slice: it is booked in the slice in which it reserved, and the window has moved on.
#[tokio::test]
async fn a_call_that_ends_some_slices_later_is_usual_too() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, start) = (store(&server), now_ms() / SECOND * SECOND);
    let early = hold_at(start);
    let charges = [charge("a", start, 100, 10)];
    assert!(is_granted(&reserve(&store, early, LEASE, &charges).await.unwrap()));
    let later = start + 7 * SECOND;
    assert!(is_granted(
        &reserve(&store, hold_at(later), LEASE, &[charge("a", later, 100, 20)]).await.unwrap()
    ));
    redis_cli(server.port, &["CONFIG", "RESETSTAT"]);
    let settled = settle(&store, early, &charges, 8).await.unwrap();
    assert_eq!(settled, Settled::Now(vec![Balance { spent: 8, reserved: 20 }]));
    assert_eq!(commands(&server), 3);
    // It leaves the window with its own slice.
    assert_eq!(balance(&store, "a", start + 60 * SECOND).await, Balance { spent: 8, reserved: 20 });
    assert_eq!(balance(&store, "a", start + 61 * SECOND).await, Balance { spent: 0, reserved: 20 });
}

/// What stands in each slice of an account, as the contract says.
#[derive(Default)]
struct Model(BTreeMap<u64, Balance>);

impl Model {
    fn at(&mut self, time: u64) -> &mut Balance {
        self.0.entry(time / SECOND * SECOND).or_default()
    }

    fn balance(&self, window: Window) -> Balance {
        self.0.range(window.start_ms..).fold(Balance::default(), |sum, (_, slice)| Balance {
            spent: sum.spent + slice.spent,
            reserved: sum.reserved + slice.reserved,
        })
    }
}

#[tokio::test]
async fn sums_are_those_of_the_slices_whatever_the_clocks_say() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, limit) = (store(&server), 1_000);
    let mut refused = 0;
    for seed in 0..6 {
        let (mut rng, name, mut model) = (Rng::with_seed(seed), seed.to_string(), Model::default());
        let (mut now, mut latest, mut open) = (1_795_262_400_000_u64, 0, Vec::new());
        for step in 0..400 {
            // Mostly within a slice, sometimes over several, now and then over the whole window.
            now += match rng.u64(..20) {
                0 => rng.u64(..90) * SECOND,
                1..4 => rng.u64(..4) * SECOND,
                _ => rng.u64(..300),
            };
            // The clocks of two callers are up to three slices apart.
            let at = now - rng.u64(..2) * rng.u64(..3 * SECOND);
            let charges = [charge(&name, at, limit, rng.u64(..60))];
            let what = format!("seed {seed}, step {step}");
            match rng.u64(..4) {
                0 | 1 => {
                    let hold = hold_at(at);
                    let before = model.balance(minute(at));
                    let has_room = before.total() + charges[0].take <= limit;
                    let reserved = reserve(&store, hold, LEASE, &charges).await.unwrap();
                    if has_room {
                        let reserved_now = before.reserved + charges[0].take;
                        let after = Balance { reserved: reserved_now, ..before };
                        assert_eq!(reserved, Reserved::Granted(vec![after]), "{what}");
                        model.at(at).reserved += charges[0].take;
                        open.push((hold, charges));
                    } else {
                        refused += 1;
                        assert!(
                            matches!(reserved, Reserved::Denied { balance, .. } if balance == before),
                            "{what}: {reserved:?}, {before:?}"
                        );
                    }
                    latest = latest.max(at);
                }
                2 if !open.is_empty() => {
                    let (hold, charges) = open.swap_remove(rng.usize(..open.len()));
                    let used = rng.u64(..60);
                    assert!(matches!(settle(&store, hold, &charges, used).await.unwrap(), Settled::Now(_)));
                    let slice = model.at(hold.made_ms());
                    (slice.spent, slice.reserved) = (slice.spent + used, slice.reserved - charges[0].take);
                }
                // One that the store has never heard of.
                2 => {
                    settle(&store, hold_at(at), &charges, 7).await.unwrap();
                    model.at(at).spent += 7;
                }
                _ => {
                    assert_eq!(balance(&store, &name, at).await, model.balance(minute(at)), "{what}");
                }
            }
            let latest = latest.max(at);
            assert_eq!(balance(&store, &name, latest).await, model.balance(minute(latest)), "{what}");
        }
    }
    assert!(refused > 50, "only {refused} were refused");
}

#[tokio::test]
async fn slices_do_not_pile_up_and_an_account_that_nobody_asks_for_is_forgotten() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let store = store(&server);
    let begun = now_ms() / SECOND * SECOND - 300 * SECOND;
    for second in 0..300_u64 {
        let made = begun + second * SECOND;
        let charges = [charge("a", made, 61, 1)];
        let hold = hold_at(made);
        let reserved = reserve(&store, hold, LEASE, &charges).await.unwrap();
        assert!(is_granted(&reserved), "{second}: {reserved:?}");
        settle(&store, hold, &charges, 1).await.unwrap();
    }
    let denied = reserve(&store, hold_at(now_ms()), LEASE, &[charge("a", now_ms(), 1, 1)]).await.unwrap();
    assert!(matches!(denied, Reserved::Denied { first: true, .. }), "{denied:?}");
    let fields = || {
        let all = redis_cli(server.port, &["HKEYS", STATE]);
        all.lines().filter(|field| field.contains("rolling 60s")).count()
    };
    assert!((60..75).contains(&fields()), "{}", fields());

    let name = "user:a|tokens|rolling 60s";
    let forgotten: u64 = redis_cli(server.port, &["ZSCORE", ROLLING, name]).parse().unwrap();
    let left = forgotten - now_ms();
    assert!((3_650_000..3_670_000).contains(&left), "{left}");
    store.expire(0).await.unwrap();
    assert!(fields() > 60, "it is asked for yet");
    redis_cli(server.port, &["ZADD", ROLLING, "XX", "1", name]);
    store.expire(0).await.unwrap();
    assert_eq!(fields(), 0);
    assert_eq!(redis_cli(server.port, &["ZCARD", ROLLING]), "0");
    // And begins anew.
    assert!(is_granted(&reserve(&store, hold(), LEASE, &[charge("a", now_ms(), 1, 1)]).await.unwrap()));
}

#[tokio::test]
async fn sums_above_the_most_are_not_kept_and_still_known() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, start) = (store(&server), now_ms() / SECOND * SECOND);
    // More than was reserved was used, in two slices: together beyond what Lua reckons with exactly.
    for second in 0..2 {
        let at = start + second * SECOND;
        let (hold, charges) = (hold_at(at), [charge("a", at, MOST, 0)]);
        assert!(is_granted(&reserve(&store, hold, LEASE, &charges).await.unwrap()));
        settle(&store, hold, &charges, MOST - 10).await.unwrap();
    }
    let later = start + 2 * SECOND;
    assert_eq!(balance(&store, "a", later).await, Balance { spent: MOST, reserved: 0 });
    let denied = reserve(&store, hold_at(later), LEASE, &[charge("a", later, MOST, 1)]).await.unwrap();
    assert!(!is_granted(&denied));
    // When one of them is over, the other's is exact again.
    let over = start + 61 * SECOND;
    assert_eq!(balance(&store, "a", over).await, Balance { spent: MOST - 10, reserved: 0 });
    let charges = [charge("a", over, MOST, 10)];
    let granted = reserve(&store, hold_at(over), LEASE, &charges).await.unwrap();
    assert_eq!(granted, Reserved::Granted(vec![Balance { spent: MOST - 10, reserved: 10 }]));
}

#[tokio::test]
async fn what_is_damaged_is_an_error_and_nothing_is_changed() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, now) = (store(&server), now_ms() / SECOND * SECOND);
    let charges = [store_cases::charge("b", 100, 5), charge("a", now, 100, 5)];
    let open = hold_at(now);
    assert!(is_granted(&reserve(&store, open, LEASE, &charges).await.unwrap()));
    let damaged = ["w|user:a|tokens|rolling 60s".to_owned(), format!("s|user:a|tokens|rolling 60s|{now}")];
    for field in damaged {
        let mut kept = redis::cmd("HGET");
        let client = redis::Client::open(server.redis_url()).unwrap();
        let mut raw = client.get_multiplexed_async_connection().await.unwrap();
        let kept: Vec<u8> = kept.arg(STATE).arg(&field).query_async(&mut raw).await.unwrap();
        redis_cli(server.port, &["HSET", STATE, &field, "x"]);
        assert!(reserve(&store, hold_at(now), LEASE, &charges).await.is_err(), "{field}");
        let nothing = Settlement { hold: open, charges: &charges, actual: &[1, 1], rows: &[], now_ms: now };
        assert!(store.settle(nothing).await.is_err(), "{field}");
        let of_b = store.balances(&[(store_cases::account("b"), FOREVER)], now).await.unwrap();
        assert_eq!(of_b, [Balance { spent: 0, reserved: 5 }], "{field}");
        let _: u64 = redis::cmd("HSET").arg(STATE).arg(&field).arg(kept).query_async(&mut raw).await.unwrap();
    }
    let settled = settle(&store, open, &charges, 4).await.unwrap();
    assert_eq!(settled, Settled::Now(vec![Balance { spent: 4, reserved: 0 }; 2]));
}

//! What is Redis's own, on a real server.
#![cfg(all(feature = "postgres", feature = "redis"))]
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod store_cases;

use std::sync::Arc;
use std::time::Duration;

use mainstay_budget::redis::{InvalidRedis, RedisConfig, RedisStore};
use mainstay_budget::{
    AccountKey, Balance, BudgetStore, Charge, HoldId, MOST, Reserved, Settled, Settlement, StoreError,
    UsageQuery, Window,
};
use mainstay_test_servers::{Server, Slow, redis_cli};
use store_cases::{
    FOREVER, LEASE, a_draw_lowers_its_lease, account, assert_books_agree, balance, charge, expire, hold,
    is_granted, now_ms, reserve, settle,
};
use tokio::time::Instant;

/// The lease of a hold that is to be lost: what is done before that has time on a busy machine too.
const SHORT_LEASE: Duration = Duration::from_millis(1_500);

fn store(server: &Server) -> RedisStore {
    RedisStore::new(RedisConfig::new(server.redis_url())).unwrap()
}

#[tokio::test]
async fn all_keys_are_under_one_hash_tag() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let store = store(&server);
    let rolling = Window { start_ms: now_ms() - 60_000, end_ms: None, slice_ms: Some(1_000) };
    let charges = [charge("a", 100, 5), Charge::new(AccountKey::new("user:a|tokens|60s"), rolling, 100, 5)];
    let (settled, open, lost) = (hold(), hold(), hold());
    for (hold, lease) in [(settled, LEASE), (open, LEASE), (lost, Duration::from_millis(1))] {
        assert!(is_granted(&reserve(&store, hold, lease, &charges).await.unwrap()));
    }
    settle(&store, settled, &charges, 3).await.unwrap();
    expire(&store, 1).await;
    let keys = redis_cli(server.port, &["KEYS", "*"]);
    let keys: Vec<&str> = keys.lines().collect();
    assert!(keys.iter().all(|key| key.starts_with("{mainstay}:budget:")), "{keys:#?}");
    let slots: std::collections::HashSet<String> =
        keys.iter().map(|key| redis_cli(server.port, &["CLUSTER", "KEYSLOT", key])).collect();
    assert!(slots.len() <= 1, "{slots:?}");
}

#[tokio::test]
async fn each_tag_is_a_store_of_its_own() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let one = store(&server);
    let other = one.tagged("org:acme").unwrap();
    let charges = [charge("a", 10, 10)];
    for store in [&one, &other] {
        assert!(is_granted(&reserve(store, hold(), LEASE, &charges).await.unwrap()));
        assert!(!is_granted(&reserve(store, hold(), LEASE, &charges).await.unwrap()));
    }
    for tag in ["", "a{b", "a}b"] {
        assert!(matches!(one.tagged(tag), Err(InvalidRedis::Tag(_))), "{tag}");
    }
    assert!(matches!(RedisStore::new(RedisConfig::new("http://x")), Err(InvalidRedis::Url(_))));
    let for_no_day = RedisConfig::new(server.redis_url()).totals_days(0);
    assert!(matches!(RedisStore::new(for_no_day), Err(InvalidRedis::TotalsDays(0))));
}

/// Of a cluster of three, the node that has these keys.
async fn node_of(nodes: &[Server], key: &str) -> usize {
    let slot: u32 = redis_cli(nodes[0].port, &["CLUSTER", "KEYSLOT", key]).parse().unwrap();
    (slot * 3 / 16_384) as usize
}

#[tokio::test]
async fn a_store_keeps_to_one_node_of_a_cluster() {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"];
        let Some(node) = mainstay_test_servers::redis_at(mainstay_test_servers::free_port(), &settings).await
        else {
            return;
        };
        nodes.push(node);
    }
    for (number, node) in (0_u32..).zip(&nodes) {
        let (from, to) = ((number * 16_384).div_ceil(3), ((number + 1) * 16_384).div_ceil(3) - 1);
        redis_cli(node.port, &["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
        let bus = node.port.wrapping_add(1).to_string();
        let meet = ["CLUSTER", "MEET", "127.0.0.1", &nodes[0].port.to_string(), &bus];
        redis_cli(node.port, &meet[..4]);
    }
    let is_up = |node: &Server| redis_cli(node.port, &["CLUSTER", "INFO"]).contains("cluster_state:ok");
    for _ in 0..400 {
        if nodes.iter().all(is_up) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(nodes.iter().all(is_up), "the cluster does not come up");
    for tag in ["mainstay", "acme", "globex"] {
        let node = &nodes[node_of(&nodes, tag).await];
        let store = RedisStore::new(RedisConfig::new(node.redis_url()).tag(tag)).unwrap();
        let charges = [charge("a", 100, 5), charge("b", 100, 5)];
        let (settled, lost) = (hold(), hold());
        for (hold, lease) in [(settled, LEASE), (lost, Duration::from_millis(1))] {
            assert!(is_granted(&reserve(&store, hold, lease, &charges).await.unwrap()), "{tag}");
        }
        settle(&store, settled, &charges, 3).await.unwrap();
        expire(&store, 1).await;
        settle(&store, lost, &charges, 2).await.unwrap();
        assert_books_agree(&store, &["a", "b"]).await;
    }
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_again() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, charges) = (store(&server), [charge("a", 100, 5)]);
    for spent in [3, 6, 9] {
        redis_cli(server.port, &["SCRIPT", "FLUSH"]);
        let hold = hold();
        assert!(is_granted(&reserve(&store, hold, LEASE, &charges).await.unwrap()));
        redis_cli(server.port, &["SCRIPT", "FLUSH"]);
        settle(&store, hold, &charges, 3).await.unwrap();
        redis_cli(server.port, &["SCRIPT", "FLUSH"]);
        assert_eq!(balance(&store, "a").await.spent, spent);
    }
    assert_books_agree(&store, &["a"]).await;
}

/// How often the server was asked by the store, in commands from outside.
fn asked(server: &Server) -> u64 {
    let stats = redis_cli(server.port, &["INFO", "commandstats"]);
    let calls = |name: &str| {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")))?;
        line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok()
    };
    ["evalsha", "eval", "script|load"].iter().filter_map(|name| calls(name)).sum()
}

#[tokio::test]
async fn an_operation_is_one_round_trip() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, charges) = (store(&server), [charge("a", 1_000, 5), charge("b", 1_000, 5)]);
    let once = async || {
        let hold = hold();
        reserve(&store, hold, LEASE, &charges).await.unwrap();
        store.renew(&[hold], LEASE, 0).await.unwrap();
        settle(&store, hold, &charges, 5).await.unwrap();
        store.expire(0).await.unwrap();
        balance(&store, "a").await;
    };
    once().await;
    redis_cli(server.port, &["CONFIG", "RESETSTAT"]);
    once().await;
    assert_eq!(asked(&server), 5);
}

#[tokio::test]
async fn the_usual_call_is_three_commands_and_three_for_however_many_accounts() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let store = store(&server);
    // 17 are more than the usual script does: the long way comes to the same.
    for count in [1, 2, 3, 16, 17] {
        let names: Vec<String> = (0..count).map(|number| format!("{count}-{number}")).collect();
        let charges: Vec<Charge> = names.iter().map(|name| charge(name, 100, 5)).collect();
        let twice = async |spent| {
            let hold = hold();
            let reserved = reserve(&store, hold, LEASE, &charges).await.unwrap();
            let before = vec![Balance { spent, reserved: 5 }; count];
            assert_eq!(reserved, Reserved::Granted(before), "{count}");
            let after = vec![Balance { spent: spent + 3, reserved: 0 }; count];
            assert_eq!(settle(&store, hold, &charges, 3).await.unwrap(), Settled::Now(after), "{count}");
        };
        twice(0).await;
        redis_cli(server.port, &["CONFIG", "RESETSTAT"]);
        twice(3).await;
        let stats = redis_cli(server.port, &["INFO", "commandstats"]);
        let calls = |line: &str| -> u64 {
            line.split_once("calls=").unwrap().1.split(',').next().unwrap().parse().unwrap()
        };
        let inside = stats.lines().filter(|line| line.starts_with("cmdstat_") && !line.contains("evalsha"));
        let inside: u64 = inside.filter(|line| !line.contains("config")).map(calls).sum();
        assert_eq!(inside == 6, count <= 16, "{count}: {stats}");
        assert_books_agree(&store, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
}

#[tokio::test]
async fn numbers_are_exact_up_to_2_to_the_53_and_never_pass_it() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let store = store(&server);
    let all_but_one = hold();
    let charges = [charge("a", u64::MAX, MOST - 1)];
    assert!(is_granted(&reserve(&store, all_but_one, LEASE, &charges).await.unwrap()));
    let denied = reserve(&store, hold(), LEASE, &[charge("a", u64::MAX, 2)]).await.unwrap();
    let full = Balance { spent: 0, reserved: MOST - 1 };
    assert_eq!(denied, Reserved::Denied { index: 0, balance: full, first: true });
    settle(&store, all_but_one, &charges, MOST - 2).await.unwrap();
    assert_eq!(balance(&store, "a").await, Balance { spent: MOST - 2, reserved: 0 });
    let last = [charge("a", MOST, 2)];
    assert!(is_granted(&reserve(&store, hold(), LEASE, &last).await.unwrap()));
    // More than there is room for is nobody's, however large the limit.
    assert!(!is_granted(&reserve(&store, hold(), LEASE, &[charge("b", u64::MAX, u64::MAX)]).await.unwrap()));
    // What was really used is booked, up to the most that can be told.
    let hostile = hold();
    let charges = [charge("c", 10, 10)];
    assert!(is_granted(&reserve(&store, hostile, LEASE, &charges).await.unwrap()));
    settle(&store, hostile, &charges, u64::MAX).await.unwrap();
    settle(&store, hold(), &charges, 7).await.unwrap();
    assert_eq!(balance(&store, "c").await, Balance { spent: MOST, reserved: 0 });
    let totals = store.usage(&UsageQuery::default()).await.unwrap();
    assert_eq!(totals[0].usage.input, MOST);
}

#[tokio::test]
async fn a_lease_that_has_passed_makes_room_without_anybody_looking_for_it() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, charges) = (store(&server), [charge("a", 11, 10)]);
    // Others' holds are in the way, and the account is not new.
    for _ in 0..200 {
        reserve(&store, hold(), LEASE, &[charge("b", 1_000, 1)]).await.unwrap();
    }
    settle(&store, hold(), &charges, 1).await.unwrap();
    let lost = hold();
    let mut place = charges.clone();
    place[0].if_lost = 0;
    assert!(is_granted(&reserve(&store, lost, SHORT_LEASE, &place).await.unwrap()));
    assert!(!is_granted(&reserve(&store, hold(), LEASE, &charges).await.unwrap()));
    tokio::time::sleep(SHORT_LEASE + Duration::from_millis(30)).await;
    assert!(is_granted(&reserve(&store, hold(), LEASE, &charges).await.unwrap()));
    // It is told all the same, once.
    let told = store.expire(0).await.unwrap();
    assert_eq!(told.iter().map(|lost| lost.hold).collect::<Vec<_>>(), [lost]);
    assert_eq!(told[0].booked, [(account("a"), 0, Balance { spent: 1, reserved: 0 })]);
    assert_eq!(store.expire(0).await.unwrap(), []);
    // And a reservation or settlement that comes after that knows.
    assert_eq!(reserve(&store, lost, LEASE, &charges).await.unwrap(), Reserved::Ended);
}

/// Waits until that stands there: what was asked is on its way, and nobody hears when it arrives.
async fn stands(store: &RedisStore, name: &str, expected: Balance) {
    let begun = Instant::now();
    while balance(store, name).await != expected {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never arrives");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again_and_nothing_happens_twice() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let slow = Slow::before(server.port).await;
    let store = RedisStore::new(RedisConfig::new(format!("redis://127.0.0.1:{}/0", slow.port))).unwrap();
    // The server knows the scripts.
    let (first, charges) = (hold(), [charge("a", 10, 10)]);
    reserve(&store, first, LEASE, &charges).await.unwrap();
    settle(&store, first, &charges, 0).await.unwrap();
    let hold = hold();
    let short = Duration::from_millis(20);
    slow.by(Duration::from_millis(100));
    assert!(tokio::time::timeout(short, reserve(&store, hold, LEASE, &charges)).await.is_err());
    store.timed_out();
    slow.by(Duration::ZERO);
    stands(&store, "a", Balance { spent: 0, reserved: 10 }).await;
    assert!(is_granted(&reserve(&store, hold, LEASE, &charges).await.unwrap()));
    assert_eq!(balance(&store, "a").await.reserved, 10);
    slow.by(Duration::from_millis(100));
    assert!(tokio::time::timeout(short, settle(&store, hold, &charges, 4)).await.is_err());
    store.timed_out();
    slow.by(Duration::ZERO);
    stands(&store, "a", Balance { spent: 4, reserved: 0 }).await;
    assert_eq!(settle(&store, hold, &charges, 4).await.unwrap(), Settled::Again);
    assert_books_agree(&store, &["a"]).await;
}

// A frozen server may carry out a reservation after its caller has given up and released it.
#[tokio::test]
async fn a_reservation_that_arrives_after_its_settlement_takes_nothing() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, hold, charges) = (store(&server), hold(), [charge("a", 10, 10)]);
    let nothing = Settlement { hold, charges: &charges, actual: &[0], rows: &[], now_ms: now_ms() };
    assert!(matches!(store.settle(nothing).await.unwrap(), Settled::Now(_)));
    assert_eq!(reserve(&store, hold, LEASE, &charges).await.unwrap(), Reserved::Ended);
    assert_eq!(balance(&store, "a").await, Balance::default());
}

// The network may hold a reservation back for longer than an ended hold stays in the state.
#[tokio::test]
async fn a_reservation_that_arrives_long_after_its_settlement_takes_nothing() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, charges) = (store(&server), [charge("a", 10, 1)]);
    // Its account is there: this would be the usual case.
    settle(&store, hold(), &charges, 1).await.unwrap();
    let old = |age: u64| HoldId::new(now_ms() - age, fastrand::u128(..));
    let (ended, other) = (old(600_000), old(601_000));
    let nothing = Settlement { hold: ended, charges: &charges, actual: &[0], rows: &[], now_ms: now_ms() };
    assert!(matches!(store.settle(nothing).await.unwrap(), Settled::Now(_)));
    assert_eq!(redis_cli(server.port, &["HEXISTS", STATE, &format!("h:{ended}")]), "0");
    assert_eq!(reserve(&store, ended, LEASE, &charges).await.unwrap(), Reserved::Ended);
    assert_eq!(balance(&store, "a").await, Balance { spent: 1, reserved: 0 });
    assert!(is_granted(&reserve(&store, other, LEASE, &charges).await.unwrap()), "one that has not ended");
}

// A machine that slept has a wrong idea of the server's clock until it hears of it again.
#[tokio::test]
async fn a_lease_begins_when_it_was_taken_whatever_the_client_takes_for_the_servers_clock() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, charges) = (store(&server), [charge("a", 100, 5)]);
    settle(&store, hold(), &charges, 1).await.unwrap();
    assert_eq!(store.expire(0).await.unwrap(), []);
    let client = redis::Client::open(server.redis_url()).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    const FRESH: &str = "{mainstay}:budget:3:fresh";
    for (wrong_ms, lease, is_lost) in [(1_u64, LEASE, false), (now_ms() * 2, SHORT_LEASE, true)] {
        assert!(is_granted(&reserve(&store, hold(), lease, &charges).await.unwrap()));
        let mut record: Vec<u8> = redis::cmd("LPOP").arg(FRESH).query_async(&mut raw).await.unwrap();
        // After the array and the name of the hold: when it began.
        assert_eq!(record[35], 0xcf);
        record[36..44].copy_from_slice(&wrong_ms.to_be_bytes());
        let _: u64 = redis::cmd("RPUSH").arg(FRESH).arg(record).query_async(&mut raw).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(store.expire(0).await.unwrap(), [], "{wrong_ms}");
        tokio::time::sleep(SHORT_LEASE + Duration::from_millis(30)).await;
        assert_eq!(store.expire(0).await.unwrap().len(), usize::from(is_lost), "{wrong_ms}");
    }
}

#[tokio::test]
async fn what_is_damaged_is_an_error_and_keeps_nobody_else_from_the_store() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, charges) = (store(&server), [charge("a", 100, 5)]);
    let damaged = hold();
    reserve(&store, damaged, Duration::from_millis(1), &charges).await.unwrap();
    redis_cli(server.port, &["HSET", STATE, &format!("h:{damaged}"), "nonsense"]);
    assert!(matches!(settle(&store, damaged, &charges, 5).await, Err(StoreError::Damaged(_))));
    tokio::time::sleep(Duration::from_millis(5)).await;
    // Its lease has passed: others do not stumble over it.
    let (sound, other) = (hold(), [charge("b", 100, 5)]);
    assert!(is_granted(&reserve(&store, sound, LEASE, &other).await.unwrap()));
    settle(&store, sound, &other, 5).await.unwrap();
    assert_books_agree(&store, &["b"]).await;
    redis_cli(server.port, &["HSET", STATE, "a|user:c|tokens|forever|0", "x"]);
    assert!(reserve(&store, hold(), LEASE, &[charge("b", 100, 5), charge("c", 100, 5)]).await.is_err());
    assert_eq!(balance(&store, "b").await, Balance { spent: 5, reserved: 0 }, "nothing was taken of it");
    redis_cli(server.port, &["XADD", "{mainstay}:budget:3:rows", "*", "r", "no row"]);
    assert!(matches!(store.rows(&Default::default()).await, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn a_full_server_takes_nothing_and_loses_nothing() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, charges, open) = (store(&server), [charge("a", 100, 5)], hold());
    reserve(&store, open, LEASE, &charges).await.unwrap();
    redis_cli(server.port, &["CONFIG", "SET", "maxmemory", "1"]);
    let refused = reserve(&store, hold(), LEASE, &charges).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "that is no matter of one account");
    assert!(settle(&store, open, &charges, 5).await.is_err());
    redis_cli(server.port, &["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(balance(&store, "a").await, Balance { spent: 0, reserved: 5 });
    assert!(matches!(settle(&store, open, &charges, 5).await.unwrap(), Settled::Now(_)));
    assert_books_agree(&store, &["a"]).await;
}

#[tokio::test]
async fn windows_that_are_over_are_forgotten_by_the_server() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, now) = (store(&server), now_ms());
    let minute = Window { start_ms: now, end_ms: Some(now + 60_000), slice_ms: None };
    let charges = [
        Charge::new(AccountKey::new("user:a|tokens|minute"), minute, 10, 1),
        Charge::new(account("a"), FOREVER, 10, 1),
    ];
    let hold = hold();
    reserve(&store, hold, LEASE, &charges).await.unwrap();
    let hour = 3_600_000;
    let over: u64 =
        redis_cli(server.port, &["ZSCORE", WINDOWS, &format!("user:a|tokens|minute|{now}")]).parse().unwrap();
    assert!((hour + 59_000..=hour + 61_000).contains(&(over - now)), "{over}");
    // Whether the server has anything of these windows.
    let are_there = || {
        [format!("minute|{now}"), "forever|0".to_owned()].map(|window| {
            redis_cli(server.port, &["HEXISTS", STATE, &format!("a|user:a|tokens|{window}")]) == "1"
        })
    };
    assert_eq!(are_there(), [true, true]);
    let a_day_later = || {
        for window in [format!("minute|{now}"), "forever|0".to_owned()] {
            redis_cli(server.port, &["ZADD", WINDOWS, "XX", "1", &format!("user:a|tokens|{window}")]);
        }
    };
    a_day_later();
    store.expire(0).await.unwrap();
    assert_eq!(are_there(), [false, true], "a place is still taken");
    // An answer that took longer than its window is booked, and a place that was given back leaves nothing behind.
    settle(&store, hold, &charges, 0).await.unwrap();
    assert_eq!(are_there(), [true, true]);
    a_day_later();
    store.expire(0).await.unwrap();
    assert_eq!(are_there(), [false, false]);
    assert_eq!(redis_cli(server.port, &["ZCARD", WINDOWS]), "0");
}

const STATE: &str = "{mainstay}:budget:3:state";
const WINDOWS: &str = "{mainstay}:budget:3:windows";

#[tokio::test]
async fn ended_holds_take_little_room() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (store, made) = (store(&server), now_ms());
    let store: Arc<RedisStore> = Arc::new(store);
    // Fifty seconds of 200 calls each, some minutes ago: those of now are remembered with the open ones for a while.
    let made = made - 600_000;
    let work = (0..50_u64).map(|second| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                let hold = HoldId::new(made - second * 1_000, fastrand::u128(..));
                let nothing = Settlement { hold, charges: &[], actual: &[], rows: &[], now_ms: made };
                store.settle(nothing).await.unwrap();
            }
        })
    });
    for work in work.collect::<Vec<_>>() {
        work.await.unwrap();
    }
    assert_eq!(redis_cli(server.port, &["HKEYS", STATE]), "retired");
    let sets = redis_cli(server.port, &["KEYS", "{mainstay}:budget:3:e:*"]);
    let of = |command: &[&str], set: &str| -> usize {
        redis_cli(server.port, &[command, &[set]].concat()).parse().unwrap()
    };
    let bytes: usize = sets.lines().map(|set| of(&["MEMORY", "USAGE"], set)).sum();
    assert_eq!(sets.lines().map(|set| of(&["SCARD"], set)).sum::<usize>(), 10_000);
    assert!(bytes / 10_000 < 20, "{} bytes for each ended hold", bytes / 10_000);
}

#[tokio::test]
async fn a_lease_is_lowered_by_what_is_settled_from_it() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    a_draw_lowers_its_lease(&store(&server)).await;
}

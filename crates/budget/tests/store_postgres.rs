//! What is PostgreSQL's own, on a real server.
#![cfg(all(feature = "postgres", feature = "redis"))]
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod store_cases;

use std::sync::Arc;
use std::time::Duration;

use mainstay_budget::postgres::{InvalidPostgres, PostgresConfig, PostgresStore};
use mainstay_budget::{
    Balance, BudgetStore, Charge, HoldId, MOST, Reserved, Settled, Settlement, UsageQuery, Window,
};
use mainstay_test_servers::{Server, Slow, postgres_url};
use store_cases::{
    LEASE, a_draw_lowers_its_lease, account, assert_books_agree, balance, charge, expire, hold, is_granted,
    now_ms, reserve, settle,
};
use tokio::time::Instant;

/// The lease of a hold that is to be lost: what is done before that has time on a busy machine too.
const SHORT_LEASE: Duration = Duration::from_millis(1_500);

fn store(server: &Server) -> PostgresStore {
    PostgresStore::new(PostgresConfig::new(server.postgres_url())).unwrap()
}

async fn sql(server: &Server, statement: &str) -> i64 {
    let (client, connection) =
        tokio_postgres::connect(&server.postgres_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query_one(statement, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_begin_at_the_same_time() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let beginning = (0..6).map(|_| {
        let store = store(&server);
        tokio::spawn(async move { reserve(&store, hold(), LEASE, &[charge("a", 5, 1)]).await.unwrap() })
    });
    let mut granted = 0;
    for begun in beginning.collect::<Vec<_>>() {
        granted += u32::from(is_granted(&begun.await.unwrap()));
    }
    assert_eq!(granted, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_prefix_is_a_store_of_its_own() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let other = PostgresConfig::new(server.postgres_url()).tables("others");
    for store in [store(&server), PostgresStore::new(other).unwrap()] {
        assert!(is_granted(&reserve(&store, hold(), LEASE, &[charge("a", 10, 10)]).await.unwrap()));
        assert!(!is_granted(&reserve(&store, hold(), LEASE, &[charge("a", 10, 10)]).await.unwrap()));
    }
    assert_eq!(sql(&server, "SELECT count(*) FROM others_holds").await, 1);
}

#[tokio::test]
async fn settings_that_make_no_store_are_refused() {
    let refused = |config: PostgresConfig| PostgresStore::new(config).unwrap_err();
    let local = || PostgresConfig::new("postgresql://x@127.0.0.1:1/x");
    for tables in ["", "1a", "a b", "a;drop", "Ab", &"a".repeat(41)] {
        assert!(matches!(refused(local().tables(tables)), InvalidPostgres::Tables(_)), "{tables}");
    }
    assert!(matches!(refused(PostgresConfig::new("nonsense")), InvalidPostgres::Url(_)));
    assert!(matches!(refused(local().connections(0)), InvalidPostgres::Connections));
    assert!(matches!(refused(local().rows_days(0)), InvalidPostgres::Days(0)));
    assert!(matches!(refused(local().totals_days(100_000)), InvalidPostgres::Days(100_000)));
    assert!(PostgresStore::new(local()).unwrap().ping().await.is_err(), "nobody is there");
}

// Accounts in any order, leases that pass meanwhile: nobody waits in a circle, and no operation fails.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_charge_the_same_accounts_in_any_order_do_not_block_each_other() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let store = Arc::new(store(&server));
    let callers = (0..16).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..40 {
                let mut names = ["a", "b", "c", "d", "e", "f"];
                fastrand::shuffle(&mut names);
                let charges: Vec<Charge> = names[..4].iter().map(|name| charge(name, 1_000_000, 3)).collect();
                let lease = if fastrand::bool() { LEASE } else { Duration::from_millis(1) };
                let hold = hold();
                assert!(is_granted(&reserve(&*store, hold, lease, &charges).await.unwrap()));
                match fastrand::u32(..4) {
                    0 => drop(store.expire(0).await.unwrap()),
                    1 => store.renew(&[hold], Duration::from_millis(1), 0).await.unwrap(),
                    _ => drop(settle(&*store, hold, &charges, 2).await.unwrap()),
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    // Those that nobody settled and whose lease is long.
    sql(&server, "WITH due AS (UPDATE mainstay_budget_holds SET until = now() WHERE state = 0 RETURNING 1) SELECT count(*) FROM due").await;
    while !store.expire(0).await.unwrap().is_empty() {}
    assert_books_agree(&*store, &["a", "b", "c", "d", "e", "f"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_one_round_trip() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let slow = Slow::before(server.port).await;
    let config = PostgresConfig::new(postgres_url(slow.port)).connections(1);
    let store = PostgresStore::new(config).unwrap();
    let charges = [charge("a", 1_000, 5), charge("b", 1_000, 5)];
    let each_takes = async || {
        let (hold, mut taken) = (hold(), Vec::new());
        let mut begun = Instant::now();
        let mut done = |taken: &mut Vec<Duration>| {
            taken.push(begun.elapsed());
            begun = Instant::now();
        };
        reserve(&store, hold, LEASE, &charges).await.unwrap();
        done(&mut taken);
        store.renew(&[hold], LEASE, 0).await.unwrap();
        done(&mut taken);
        settle(&store, hold, &charges, 5).await.unwrap();
        done(&mut taken);
        balance(&store, "a").await;
        done(&mut taken);
        taken
    };
    each_takes().await;
    let late = Duration::from_millis(400);
    slow.by(late);
    for taken in each_takes().await {
        // There and back, each so late; a second round trip would take two more.
        assert!(taken < late * 4, "{taken:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_operation_leaves_no_half_read_connection_behind() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let slow = Slow::before(server.port).await;
    let store = PostgresStore::new(PostgresConfig::new(postgres_url(slow.port)).connections(1)).unwrap();
    for (name, take) in [("a", 1), ("b", 2)] {
        reserve(&store, hold(), LEASE, &[charge(name, 10, take)]).await.unwrap();
    }
    assert_eq!(balance(&store, "a").await.reserved, 1);
    for _ in 0..5 {
        slow.by(Duration::from_millis(100));
        let dropped = tokio::time::timeout(Duration::from_millis(20), balance(&store, "a")).await;
        assert!(dropped.is_err());
        slow.by(Duration::ZERO);
        assert_eq!(balance(&store, "b").await.reserved, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_asked_for_again_and_nothing_happens_twice() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let slow = Slow::before(server.port).await;
    let store = PostgresStore::new(PostgresConfig::new(postgres_url(slow.port))).unwrap();
    let (first, charges) = (hold(), [charge("a", 10, 5)]);
    reserve(&store, first, LEASE, &charges).await.unwrap();
    settle(&store, first, &charges, 1).await.unwrap();
    let (hold, short) = (hold(), Duration::from_millis(20));
    slow.by(Duration::from_millis(100));
    assert!(tokio::time::timeout(short, reserve(&store, hold, LEASE, &charges)).await.is_err());
    slow.by(Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(is_granted(&reserve(&store, hold, LEASE, &charges).await.unwrap()));
    assert_eq!(balance(&store, "a").await, Balance { spent: 1, reserved: 5 });
    slow.by(Duration::from_millis(100));
    assert!(tokio::time::timeout(short, settle(&store, hold, &charges, 4)).await.is_err());
    slow.by(Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(200)).await;
    // It was carried out or not, as the server saw the end of the connection first or the question.
    settle(&store, hold, &charges, 4).await.unwrap();
    assert_eq!(settle(&store, hold, &charges, 4).await.unwrap(), Settled::Again);
    assert_books_agree(&store, &["a"]).await;
    assert_eq!(balance(&store, "a").await.spent, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_has_passed_makes_room_without_anybody_looking_for_it() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let (store, charges) = (store(&server), [charge("a", 10, 10)]);
    let lost = hold();
    let mut place = charges.clone();
    place[0].if_lost = 0;
    assert!(is_granted(&reserve(&store, lost, SHORT_LEASE, &place).await.unwrap()));
    assert!(!is_granted(&reserve(&store, hold(), LEASE, &charges).await.unwrap()));
    tokio::time::sleep(SHORT_LEASE + Duration::from_millis(100)).await;
    assert!(is_granted(&reserve(&store, hold(), LEASE, &charges).await.unwrap()));
    // It is told all the same, once.
    let told = store.expire(0).await.unwrap();
    assert_eq!(told.iter().map(|lost| lost.hold).collect::<Vec<_>>(), [lost]);
    assert_eq!(told[0].booked, [(account("a"), 0, Balance { spent: 0, reserved: 10 })]);
    assert_eq!(store.expire(0).await.unwrap(), []);
    assert_eq!(reserve(&store, lost, LEASE, &charges).await.unwrap(), Reserved::Ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_stop_at_the_most_that_is_exact_everywhere() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let store = store(&server);
    let (all_but_one, charges) = (hold(), [charge("a", u64::MAX, MOST - 1)]);
    assert!(is_granted(&reserve(&store, all_but_one, LEASE, &charges).await.unwrap()));
    let full = Balance { spent: 0, reserved: MOST - 1 };
    let denied = reserve(&store, hold(), LEASE, &[charge("a", u64::MAX, 2)]).await.unwrap();
    assert_eq!(denied, Reserved::Denied { index: 0, balance: full, first: true });
    let denied = reserve(&store, hold(), LEASE, &[charge("b", u64::MAX, u64::MAX)]).await.unwrap();
    assert!(matches!(denied, Reserved::Denied { .. }));
    let (hostile, charges) = (hold(), [charge("c", 10, 10)]);
    assert!(is_granted(&reserve(&store, hostile, LEASE, &charges).await.unwrap()));
    settle(&store, hostile, &charges, u64::MAX).await.unwrap();
    settle(&store, hold(), &charges, 7).await.unwrap();
    assert_eq!(balance(&store, "c").await, Balance { spent: MOST, reserved: 0 });
    let totals = store.usage(&UsageQuery::default()).await.unwrap();
    assert_eq!(totals[0].usage.input, MOST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_lowered_by_what_is_settled_from_it() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    a_draw_lowers_its_lease(&store(&server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_arrives_after_its_settlement_takes_nothing() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let (store, hold, charges) = (store(&server), hold(), [charge("a", 10, 10)]);
    let nothing = Settlement { hold, charges: &charges, actual: &[0], rows: &[], now_ms: now_ms() };
    assert!(matches!(store.settle(nothing).await.unwrap(), Settled::Now(_)));
    assert_eq!(reserve(&store, hold, LEASE, &charges).await.unwrap(), Reserved::Ended);
    assert_eq!(balance(&store, "a").await, Balance::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asks_for_any_more_is_forgotten() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let (store, now) = (store(&server), now_ms());
    let minute = Window { start_ms: now, end_ms: Some(now + 60_000), slice_ms: None };
    let charges = [Charge::new(account("a"), minute, 100, 1), charge("b", 100, 1)];
    for _ in 0..3 {
        let hold = HoldId::new(now, fastrand::u128(..));
        reserve(&store, hold, LEASE, &charges).await.unwrap();
        settle(&store, hold, &charges, 1).await.unwrap();
    }
    let later = "WITH a AS (UPDATE mainstay_budget_accounts SET forget_at = forget_at - interval '2 hours' RETURNING 1),
                 h AS (UPDATE mainstay_budget_holds SET until = until - interval '2 days' RETURNING 1),
                 r AS (UPDATE mainstay_budget_rows SET written_at = now() - interval '91 days' WHERE id = 1 RETURNING 1)
                 SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM h) + (SELECT count(*) FROM r)";
    assert_eq!(sql(&server, later).await, 2 + 3 + 1);
    store.expire(0).await.unwrap();
    for _ in 0..100 {
        if sql(&server, "SELECT count(*) FROM mainstay_budget_holds").await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sql(&server, "SELECT count(*) FROM mainstay_budget_holds").await, 0);
    assert_eq!(
        sql(&server, "SELECT count(*) FROM mainstay_budget_accounts").await,
        1,
        "what has no end stays"
    );
    assert_eq!(sql(&server, "SELECT count(*) FROM mainstay_budget_rows").await, 2);
    expire(&store, 0).await;
    assert_eq!(balance(&store, "b").await.spent, 3);
}

// S1: what was granted is recorded, though the account was taken for forgotten just when it was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_forgotten_just_when_it_is_asked_for_is_made_again() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let (store, charges) = (Arc::new(store(&server)), [charge("a", 10, 6), charge("b", 10, 6)]);
    settle(&*store, hold(), &charges, 0).await.unwrap();
    let (mut purging, connection) =
        tokio_postgres::connect(&server.postgres_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    // As `purge` does it: first it locks what is to go.
    let purge = purging.transaction().await.unwrap();
    purge.query("SELECT 1 FROM mainstay_budget_accounts FOR UPDATE", &[]).await.unwrap();
    let asked = {
        let (store, charges) = (store.clone(), charges.clone());
        tokio::spawn(async move { reserve(&*store, hold(), LEASE, &charges).await })
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    for _ in 0..1_000 {
        if sql(&server, waiting).await > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(sql(&server, waiting).await, 1, "it waits for the account");
    purge.execute("DELETE FROM mainstay_budget_accounts", &[]).await.unwrap();
    purge.commit().await.unwrap();
    assert!(is_granted(&asked.await.unwrap().unwrap()));
    for name in ["a", "b"] {
        assert_eq!(balance(&*store, name).await, Balance { spent: 0, reserved: 6 });
    }
    assert!(!is_granted(&reserve(&*store, hold(), LEASE, &charges).await.unwrap()));
}

// Who may not make the tables is told so, and needs nothing but the right: no connection is left within what failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_failed_is_done_again_when_it_can_be() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let (admin, connection) =
        tokio_postgres::connect(&server.postgres_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let humble = "CREATE ROLE humble LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    admin.batch_execute(humble).await.unwrap();
    let url = server.postgres_url().replace("mainstay@", "humble@");
    let store = PostgresStore::new(PostgresConfig::new(url).connections(1)).unwrap();
    for _ in 0..2 {
        let error = store.ping().await.unwrap_err();
        assert!(format!("{error:?}").contains("permission denied"), "{error:?}");
    }
    admin.batch_execute("GRANT CREATE ON SCHEMA public TO humble").await.unwrap();
    store.ping().await.unwrap();
}

// A stricter level would fail one of two calls that meet, and enough of these look like a server that is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_transactions_are_stricter_by_default_fails_no_call() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let (admin, connection) =
        tokio_postgres::connect(&server.postgres_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let stricter = "ALTER DATABASE postgres SET default_transaction_isolation TO 'serializable'";
    admin.batch_execute(stricter).await.unwrap();
    let store = Arc::new(store(&server));
    let callers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut granted = 0;
            for _ in 0..20 {
                let reserved = reserve(&*store, hold(), LEASE, &[charge("a", 100, 1)]).await.unwrap();
                granted += u32::from(is_granted(&reserved));
            }
            granted
        })
    });
    let mut granted = 0;
    for caller in callers.collect::<Vec<_>>() {
        granted += caller.await.unwrap();
    }
    assert_eq!((granted, balance(&*store, "a").await.reserved), (100, 100));
}

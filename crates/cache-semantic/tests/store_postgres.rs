//! A real PostgreSQL with pgvector, and what happens when it is frozen, gone, slow or wrong.
#![cfg(all(feature = "postgres", feature = "redis", feature = "test-kit"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests is a test")]

use std::time::Duration;

use mainstay_cache_semantic::SemanticStore;
use mainstay_cache_semantic::store::contract::{entry, partition, vector};
use mainstay_cache_semantic::store::{
    EntryId, InvalidPostgres, PgIndex, PostgresConfig, PostgresStore, StoreError,
};
use mainstay_test_servers::Slow;
use tokio::time::Instant;

/// As the default says, and what a busy machine adds to it, though not each time.
const IN_TIME: Duration = Duration::from_millis(50 + 60);
/// What it may add now and then.
const AT_WORST: Duration = Duration::from_secs(2);

fn config(url: String) -> PostgresConfig {
    PostgresConfig::new(url, "e", 8)
}

async fn connect(url: String) -> PostgresStore {
    let store = PostgresStore::connect(config(url)).await.unwrap();
    // The first time a connection asks what a vector is, and the machine may be busy.
    for _ in 0..100 {
        if store.insert(&partition("a", "x"), entry(1, "q1", vector(1.0))).await.is_ok() {
            return store;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it cannot be filled");
}

async fn sql(url: &str, statement: &str) -> u64 {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.execute(statement, &[]).await.unwrap()
}

/// Each operation of the layer ends in time, with an error.
async fn fails_in_time(store: &PostgresStore) {
    let here = partition("a", "x");
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..3 {
        let before = Instant::now();
        assert!(store.by_text(&here, "q1").await.is_err());
        times[0].push(before.elapsed());
        let before = Instant::now();
        assert!(store.nearest(&here, &vector(1.0), 3).await.is_err());
        times[1].push(before.elapsed());
        let before = Instant::now();
        assert!(store.fetch(&here, EntryId(1)).await.is_err());
        times[2].push(before.elapsed());
        let before = Instant::now();
        assert!(store.insert(&here, entry(2, "q2", vector(1.0))).await.is_err());
        times[3].push(before.elapsed());
    }
    for (times, name) in times.iter().zip(["by_text", "nearest", "fetch", "insert"]) {
        let is_in_time = times.iter().any(|time| *time < IN_TIME);
        assert!(is_in_time && times.iter().all(|time| *time < AT_WORST), "{name} {times:?}");
    }
}

async fn recovers(store: &PostgresStore) {
    for _ in 0..300 {
        if let Ok(there) = store.by_text(&partition("a", "x"), "q1").await {
            assert_eq!(there.unwrap().id, EntryId(1));
            let answer = store.fetch(&partition("a", "x"), EntryId(1)).await;
            if let Ok(answer) = answer {
                assert_eq!(answer.unwrap().whole().text(), "the answer to q1");
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not recover");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_an_error_in_time_and_is_found_again() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let store = connect(server.postgres_url()).await;
    server.freeze();
    fails_in_time(&store).await;
    server.thaw();
    recovers(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_an_error_at_once() {
    let Some(mut server) = mainstay_test_servers::postgres().await else { return };
    let store = connect(server.postgres_url()).await;
    server.kill();
    fails_in_time(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_an_error_in_time_and_a_connection_is_made_behind() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let slow = Slow::before(server.port).await;
    let store = connect(mainstay_test_servers::postgres_url(slow.port)).await;
    slow.by(Duration::from_millis(200));
    fails_in_time(&store).await;
    slow.by(Duration::ZERO);
    recovers(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_question_leaves_no_half_read_connection_behind() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let slow = Slow::before(server.port).await;
    let config = config(mainstay_test_servers::postgres_url(slow.port)).connections(1);
    let store = PostgresStore::connect(config.timeout(Duration::from_secs(5))).await.unwrap();
    for id in 1..=2 {
        store.insert(&partition("a", "x"), entry(id, &format!("q{id}"), vector(id as f32))).await.unwrap();
    }
    for _ in 0..5 {
        slow.by(Duration::from_millis(100));
        let here = partition("a", "x");
        let dropped = tokio::time::timeout(Duration::from_millis(20), store.by_text(&here, "q1")).await;
        assert!(dropped.is_err());
        slow.by(Duration::ZERO);
        assert_eq!(store.by_text(&here, "q2").await.unwrap().unwrap().id, EntryId(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_no_answer() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let url = server.postgres_url();
    let store = PostgresStore::connect(config(url.clone()).timeout(Duration::from_secs(20))).await.unwrap();
    let here = partition("a", "x");
    for id in 1..=3 {
        store.insert(&here, entry(id, &format!("q{id}"), vector(id as f32 * 30.0))).await.unwrap();
    }
    let damage = "UPDATE mainstay_semantic SET recording = set_byte(recording, 60, get_byte(recording, 60) # 1) \
                  WHERE question = 'q1'";
    assert_eq!(sql(&url, damage).await, 1);
    assert!(matches!(store.fetch(&here, EntryId(1)).await, Err(StoreError::Damaged)));
    // It is forgotten, and the others are there.
    for _ in 0..100 {
        if store.by_text(&here, "q1").await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.by_text(&here, "q1").await.unwrap().is_none());
    assert!(store.fetch(&here, EntryId(2)).await.unwrap().is_some());

    sql(&url, "UPDATE mainstay_semantic SET question = '\\xff' WHERE question = 'q3'").await;
    assert!(matches!(store.nearest(&here, &vector(90.0), 1).await, Err(StoreError::Damaged)));
    sql(&url, "UPDATE mainstay_semantic SET id = '\\x01' WHERE question = 'q2'").await;
    assert!(matches!(store.by_text(&here, "q2").await, Err(StoreError::Damaged)));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_embedder_are_refused() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let url = server.postgres_url();
    let _ours = connect(url.clone()).await;
    for other in [PostgresConfig::new(url.clone(), "f", 8), PostgresConfig::new(url.clone(), "e", 9)] {
        let refused = PostgresStore::connect(other).await.unwrap_err();
        assert!(matches!(refused, InvalidPostgres::OtherEmbedder { .. }), "{refused:?}");
    }
    PostgresStore::connect(PostgresConfig::new(url, "f", 9).table("others")).await.unwrap();
}

#[tokio::test]
async fn settings_that_make_no_statement_are_refused() {
    let refused = async |config: PostgresConfig| PostgresStore::connect(config).await.unwrap_err();
    let local = || config("postgresql://x@127.0.0.1:1/x".to_owned());
    for table in ["", "1a", "a b", "a;drop", "Ab", &"a".repeat(41)] {
        assert!(matches!(refused(local().table(table)).await, InvalidPostgres::Table(_)), "{table}");
    }
    let many = PostgresConfig::new("postgresql://x@127.0.0.1:1/x", "e", 3000).index(PgIndex::Hnsw);
    assert!(matches!(refused(many).await, InvalidPostgres::Dimensions(3000)));
    assert!(matches!(refused(config("nonsense".to_owned())).await, InvalidPostgres::Url(_)));
    assert!(matches!(refused(local()).await, InvalidPostgres::Unreachable(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_begin_at_the_same_time() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let connecting = (0..6).map(|_| tokio::spawn(PostgresStore::connect(config(server.postgres_url()))));
    for connected in connecting.collect::<Vec<_>>() {
        connected.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_forgets_what_has_expired_and_then_what_is_worth_least() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let config = config(server.postgres_url()).max_entries(20).timeout(Duration::from_secs(20));
    let store = PostgresStore::connect(config).await.unwrap();
    let here = partition("a", "x");
    for id in 0..60_u128 {
        let mut new = entry(id, &format!("q{id}"), vector(id as f32));
        new.saves = if id % 3 == 0 { 1_000 } else { 10 };
        if id < 10 {
            new.ttl = Duration::from_millis(1);
        }
        store.insert(&here, new).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    store.sweep().await.unwrap();
    assert_eq!((store.stats().entries, store.stats().evictions), (20, 30));
    for id in (12..60).step_by(3) {
        assert!(store.by_text(&here, &format!("q{id}")).await.unwrap().is_some(), "{id}");
    }
    assert!(store.by_text(&here, "q3").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_finds_the_nearest_of_a_small_partition_among_many() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let config = config(server.postgres_url()).index(PgIndex::Hnsw).timeout(Duration::from_secs(20));
    let store = PostgresStore::connect(config).await.unwrap();
    for id in 0..400_u128 {
        let here = partition(if id % 80 == 79 { "small" } else { "big" }, "x");
        store.insert(&here, entry(id, &format!("q{id}"), vector(id as f32 / 5.0))).await.unwrap();
    }
    let near = store.nearest(&partition("small", "x"), &vector(0.0), 3).await.unwrap();
    assert_eq!(near.iter().map(|near| near.id.0).collect::<Vec<_>>(), [79, 159, 239]);
}

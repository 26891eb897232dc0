//! A PostgreSQL that is reached when it is first used, and was not there when the process began.
#![cfg(all(feature = "postgres", feature = "redis", feature = "test-kit"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests is a test")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{ask, echo, embedding, is_hit};
use mainstay_cache_semantic::store::contract::{self, entry, partition, vector};
use mainstay_cache_semantic::store::{InvalidPostgres, PostgresConfig, PostgresStore};
use mainstay_cache_semantic::{SemanticConfig, SemanticLayer, SemanticStore};
use mainstay_provider_core::{Events, Provider};
use mainstay_test_servers::Slow;
use tokio::time::Instant;
use tower::Layer;

/// As the default says, and what a busy machine adds to it, though not each time.
const IN_TIME: Duration = Duration::from_millis(50 + 60);

fn lazy(url: String) -> PostgresStore {
    PostgresStore::lazy(PostgresConfig::new(url, "words", 8)).unwrap()
}

/// Waits until an entry is kept and found.
async fn works(store: &PostgresStore) {
    let here = partition("a", "x");
    for _ in 0..300 {
        if store.insert(&here, entry(1, "q1", vector(1.0))).await.is_ok()
            && store.by_text(&here, "q1").await.is_ok_and(|found| found.is_some())
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not work");
}

#[tokio::test]
async fn settings_are_checked_before_a_server_is_there() {
    let there = || PostgresConfig::new("postgresql://x@127.0.0.1:1/x", "words", 8);
    assert!(PostgresStore::lazy(there()).is_ok());
    assert!(matches!(PostgresStore::lazy(there().table("a b")), Err(InvalidPostgres::Table(_))));
    let nowhere = PostgresConfig::new("nowhere", "words", 8);
    assert!(matches!(PostgresStore::lazy(nowhere), Err(InvalidPostgres::Url(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_later_is_found_and_until_then_nobody_waits_longer_than_said() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    server.freeze();
    let store = lazy(server.postgres_url());
    let mut times = Vec::new();
    for _ in 0..3 {
        let before = Instant::now();
        assert!(store.by_text(&partition("a", "x"), "q1").await.is_err());
        times.push(before.elapsed());
    }
    assert!(times.iter().any(|time| *time < IN_TIME), "{times:?}");
    assert!(times.iter().all(|time| *time < Duration::from_secs(2)), "{times:?}");
    server.thaw();
    works(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_so_far_away_that_making_the_tables_takes_longer_than_a_call_waits_is_set_up_all_the_same() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let slow = Slow::before(server.port).await;
    slow.by(Duration::from_millis(40));
    let store = lazy(mainstay_test_servers::postgres_url(slow.port));
    assert!(store.by_text(&partition("a", "x"), "q1").await.is_err());
    tokio::time::sleep(Duration::from_secs(2)).await;
    slow.by(Duration::ZERO);
    works(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_of_stores() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let number = std::sync::atomic::AtomicU32::new(0);
    let url = server.postgres_url();
    contract::suite()
        .run(async || {
            let table = format!("t{}", number.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            let config = PostgresConfig::new(url.clone(), "words", 8).table(table);
            PostgresStore::lazy(config.timeout(Duration::from_secs(20))).unwrap()
        })
        .await
        .assert_kept();
}

// Who may not make the tables is told so, and needs nothing but the right: no connection is left within what failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_failed_is_done_again_when_it_can_be() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let (admin, connection) =
        tokio_postgres::connect(&server.postgres_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let humble =
        "CREATE EXTENSION vector; CREATE ROLE humble LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    admin.batch_execute(humble).await.unwrap();
    let url = server.postgres_url().replace("mainstay@", "humble@");
    let config = PostgresConfig::new(url, "words", 8).connections(1).timeout(Duration::from_secs(20));
    let store = PostgresStore::lazy(config).unwrap();
    let here = partition("a", "x");
    for _ in 0..2 {
        let error = store.by_text(&here, "q1").await.err().unwrap();
        assert!(format!("{error:?}").contains("permission denied"), "{error:?}");
    }
    admin.batch_execute("GRANT CREATE ON SCHEMA public TO humble").await.unwrap();
    assert!(store.by_text(&here, "q1").await.is_ok_and(|found| found.is_none()));
}

// S2, S3: a miss, an event with the reason, and the answer of the provider.
#[tokio::test(flavor = "multi_thread")]
async fn through_the_layer_a_wrong_table_or_no_server_is_a_miss_and_an_event() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let theirs = PostgresConfig::new(server.postgres_url(), "another model", 64).table("taken");
    PostgresStore::connect(theirs).await.unwrap();
    let wrong = PostgresConfig::new(server.postgres_url(), "words", 64).table("taken");
    let away = PostgresConfig::new("postgresql://x@127.0.0.1:1/x", "words", 64);
    for (config, reason) in [(wrong, "another model"), (away, "refused")] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let events = Events::to(move |event| heard.lock().unwrap().push(format!("{event:?}")));
        // A busy machine makes the tables later than a call waits for them, and then that is the reason.
        let patience = Duration::from_secs(20);
        let store = Arc::new(PostgresStore::lazy(config.timeout(patience)).unwrap());
        let mut patient = SemanticConfig::default();
        patient.store_timeout = patience;
        let builder = SemanticLayer::builder(embedding()).config(patient);
        let layer = builder.store(store).events(events).build().unwrap();
        let provider = layer.layer(echo());
        for _ in 0..4 {
            let reply = provider.ask(ask("How do I reset my password?")).await.unwrap();
            assert!(!is_hit(&reply));
        }
        let is_told = |text: &String| text.contains("semantic.store_down") && text.contains(reason);
        for _ in 0..500 {
            if told.lock().unwrap().iter().any(is_told) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let told = told.lock().unwrap();
        assert!(told.iter().any(is_told), "{told:?}");
    }
}

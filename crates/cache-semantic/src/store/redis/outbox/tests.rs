use mainstay_provider_core::Namespace;

use super::super::RedisStore;
use super::*;
use crate::store::SemanticStore as _;
use crate::store::clock::Clock;
use crate::store::contract::{entry, partition, vector};
use crate::store::memory::MemoryStore;
use crate::store::record::Kept;

fn letter(number: u64) -> Letter {
    let text = format!("q{number}");
    let kept = Kept {
        entry: entry(number.into(), &text, vector(1.0)),
        at: Clock::default().millis(),
        tightened: None,
    };
    let record = Record::Insert(partition("a", "x"), kept).to_bytes();
    Letter { origin: Origin { who: 7, number }, record, told: None }
}

// Nobody heard whether the first copy arrived, and it had.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_twice_does_not_come_back_after_a_purge_in_between_for_who_reads_only_the_end_of_the_stream()
 {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let config = || RedisConfig::new(server.redis_url(), "e").timeout(Duration::from_secs(20));
    let client = redis::Client::open(server.redis_url()).unwrap();
    let stream = config().stream();
    let carrier = Carrier {
        client: client.clone(),
        stream: stream.clone(),
        max_entries: 100,
        waiting: Arc::default(),
        books: Arc::new(Mutex::new(Books::new())),
    };
    assert!(carrier.carry(&[letter(1), letter(2)], &mut None).await);
    let other = RedisStore::start(config(), MemoryStore::default()).unwrap();
    other.purge(&Namespace::new("a")).await.unwrap();
    assert!(carrier.carry(&[letter(1), letter(2)], &mut None).await);
    assert!(carrier.carry(&[letter(3)], &mut None).await, "what is new is told");

    let mut connection = connect(&client).await.unwrap();
    for _ in 0..2 {
        let oldest = ["-", "+", "COUNT"];
        let found: Vec<(String, redis::Value)> =
            redis::cmd("XRANGE").arg(&stream).arg(&oldest).arg(1).query_async(&mut connection).await.unwrap();
        redis::cmd("XDEL").arg(&stream).arg(&found[0].0).exec_async(&mut connection).await.unwrap();
    }
    let newcomer = RedisStore::start(config(), MemoryStore::default()).unwrap();
    newcomer.caught_up().await;
    let knows = |text: &str| newcomer.memory().by_text_now(&partition("a", "x"), text).is_some();
    assert_eq!(["q1", "q2", "q3"].map(knows), [false, false, true]);
}

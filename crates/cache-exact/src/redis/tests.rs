use mainstay_provider_core::{Call, Digest};

use super::value::{read, unpack, write};
use super::writing::Done;
use super::*;
use crate::config::Sharing;
use crate::contract::entry;

fn key(question: &str) -> Digest {
    *Key::of(&Call::ask("m", question), &Sharing::PerNamespace).digest()
}

#[test]
fn a_value_is_read_back_packed_or_not() {
    for compress_over in [0, usize::MAX] {
        let entry = entry("It holds the mast, and the mast holds the sail.", true);
        let value = write(&entry, 12_345, &key("a"), compress_over);
        let (read, made) = read(value.into(), &key("a")).unwrap();
        assert_eq!(made, 12_345);
        assert_eq!(read.recording.to_bytes(), entry.recording.to_bytes());
        assert_eq!((read.ttl, read.stale_for), (entry.ttl, entry.stale_for));
    }
    let long = entry(&"the same words again and again ".repeat(200), false);
    assert!(write(&long, 0, &key("a"), 4096).len() * 3 < write(&long, 0, &key("a"), usize::MAX).len());
}

// S2, and security test 14: a value that was copied to another key is not that key's.
#[test]
fn a_damaged_value_or_another_keys_is_none() {
    for compress_over in [0, usize::MAX] {
        let value = write(&entry("It holds the mast.", true), 0, &key("a"), compress_over);
        assert!(read(value.clone().into(), &key("b")).is_none());
        for length in 0..value.len() {
            assert!(read(Bytes::copy_from_slice(&value[..length]), &key("a")).is_none(), "torn at {length}");
        }
        for at in 0..value.len() {
            let mut damaged = value.clone();
            damaged[at] ^= 1;
            assert!(read(damaged.into(), &key("a")).is_none(), "at {at}");
        }
    }
}

#[test]
fn a_value_that_would_unpack_to_too_much_is_none() {
    let mut packed = lz4_flex::compress_prepend_size(b"short");
    packed[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(unpack(&packed).is_none());
}

#[test]
fn an_address_with_a_password_is_not_shown() {
    let config = RedisConfig::new("redis://:hunter2@localhost:6379/0");
    let store = RedisStore::new(config.clone()).unwrap();
    assert!(!format!("{config:?} {store:?}").contains("hunter2"));
    let error = RedisStore::new(RedisConfig::new("no address: hunter2")).unwrap_err();
    assert!(!format!("{error}").contains("hunter2"));
}

#[test]
fn an_age_is_never_beyond_the_life_nor_made_up() {
    let at = |now| aged(entry("It holds the mast.", true), 10_000_000, now).map(|entry| entry.age);
    let life = 2 * 3_600_000;
    assert_eq!(at(10_000_000), Some(Duration::ZERO));
    assert_eq!(at(10_000_000 + life - 1), Some(Duration::from_millis(life - 1)));
    assert_eq!(at(10_000_000 + life), None, "its time is over, whatever the server still has");
    assert_eq!(at(9_999_900), Some(Duration::ZERO), "two have asked for the time");
    assert_eq!(at(9_990_000), None, "another server's clock");
}

#[test]
fn a_value_that_says_not_when_it_was_made_is_none() {
    let mut old = write(&entry("It holds the mast.", true), 0, &key("a"), usize::MAX);
    old[15] = b'1';
    assert!(read(old.into(), &key("a")).is_none());
}

// The allocator has memory for less than a KiB at hand, and for more it tidies up first.
#[test]
fn a_look_up_is_a_small_future() {
    let store = RedisStore::new(RedisConfig::new("redis://localhost")).unwrap();
    let key = Key::of(&Call::ask("m", "a"), &Sharing::PerNamespace);
    let size = size_of_val(&*store.get(&key));
    assert!(size <= 1_000, "{size}");
}

// A frozen server does what it was sent when it goes on.
#[cfg(not(loom))]
#[tokio::test]
async fn a_write_that_comes_late_undoes_no_purge_and_nothing_newer() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let store = RedisStore::new(RedisConfig::new(server.redis_url())).unwrap();
    let connected = &mut store.connected().await.unwrap();
    let key = Key::of(&Call::ask("m", "a"), &Sharing::PerNamespace);
    let other = Key::of(&Call::ask("m", "b"), &Sharing::PerNamespace);
    let late = |text| write(&entry(text, false), 0, key.digest(), 4096);
    let text = async || Some(store.get(&key).await.unwrap()?.recording.whole().text().into_owned());
    let put = async |text| store.put(&key, &entry(text, false)).await.unwrap();

    for there in [false, true] {
        if there {
            put("first").await;
        }
        let before = store.before(connected, &key).await.unwrap();
        store.clear(key.scope()).await.unwrap();
        assert_eq!(store.write_if(connected, &before, &late("late"), 9_999).await.unwrap(), Done::Purged);
        assert_eq!(text().await, None);

        let before = store.before(connected, &key).await.unwrap();
        store.remove(&other).await.unwrap();
        store.remove(&key).await.unwrap();
        assert_eq!(store.write_if(connected, &before, &late("late"), 9_999).await.unwrap(), Done::Purged);
        assert_eq!(text().await, None);

        if there {
            put("first").await;
        }
        let before = store.before(connected, &key).await.unwrap();
        // Not within the same millisecond.
        tokio::time::sleep(Duration::from_millis(5)).await;
        put("newer").await;
        assert_eq!(store.write_if(connected, &before, &late("late"), 9_999).await.unwrap(), Done::Overtaken);
        assert_eq!(text().await.as_deref(), Some("newer"));
    }
}

#[cfg(not(loom))]
#[tokio::test]
async fn a_server_that_lets_us_run_no_scripts_is_written_to_all_the_same_also_where_no_text_stands() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let store = RedisStore::new(RedisConfig::new(server.redis_url())).unwrap();
    let key = Key::of(&Call::ask("m", "a"), &Sharing::PerNamespace);
    let name = store.0.names.key(&key);
    for scripts in ["+@all", "-@scripting"] {
        for way in ["RPUSH", "SET"] {
            let port = server.port;
            mainstay_test_servers::redis_cli(port, &["DEL", &name]);
            mainstay_test_servers::redis_cli(port, &[way, &name, "x"]);
            mainstay_test_servers::redis_cli(port, &["ACL", "SETUSER", "default", scripts]);
            store.put(&key, &entry("there", false)).await.unwrap();
            assert!(store.get(&key).await.unwrap().is_some());
        }
    }
}

use mainstay_provider_core::{Call, Digest};

use super::value::{read, unpack, write};
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

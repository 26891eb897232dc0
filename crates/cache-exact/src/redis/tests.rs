use super::*;
use crate::config::Sharing;
use crate::contract::entry;
use mainstay_provider_core::Call;

fn key(question: &str) -> Digest {
    *Key::of(&Call::ask("m", question), &Sharing::PerNamespace).digest()
}

#[test]
fn a_value_is_read_back_packed_or_not() {
    for compress_over in [0, usize::MAX] {
        let entry = entry("It holds the mast, and the mast holds the sail.", true);
        let value = write(&entry, &key("a"), compress_over);
        let read = read(value.into(), &key("a")).unwrap();
        assert_eq!(read.recording.to_bytes(), entry.recording.to_bytes());
        assert_eq!((read.ttl, read.stale_for), (entry.ttl, entry.stale_for));
    }
    let long = entry(&"the same words again and again ".repeat(200), false);
    assert!(write(&long, &key("a"), 4096).len() * 3 < write(&long, &key("a"), usize::MAX).len());
}

// S2, and security test 14: a value that was copied to another key is not that key's.
#[test]
fn a_damaged_value_or_another_keys_is_none() {
    for compress_over in [0, usize::MAX] {
        let value = write(&entry("It holds the mast.", true), &key("a"), compress_over);
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

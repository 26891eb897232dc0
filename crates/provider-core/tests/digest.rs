//! A digest tells one thing from another.
#![allow(clippy::unwrap_used)]

use mainstay_provider_core::test_kit::Generator;
use mainstay_provider_core::{ChatRequest, Digest, DigestWriter};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn of(write: impl FnOnce(&mut DigestWriter) -> &mut DigestWriter) -> Digest {
    let mut writer = DigestWriter::new("test");
    write(&mut writer);
    writer.finish()
}

fn json_of(value: &Value) -> Digest {
    of(|writer| writer.json("value", value))
}

/// The same value with the members of each object in the opposite order.
fn turned(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .rev()
                .map(|(name, value)| format!("{} : {}", json!(name), turned(value)))
                .collect();
            format!("{{{}}}", members.join(" ,"))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(turned).collect::<Vec<_>>().join(" ,")),
        other => other.to_string(),
    }
}

#[test]
fn it_is_sha_256_and_shown_in_hexadecimal() {
    let empty = Digest::sha256(b"");
    assert_eq!(empty.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(Digest::from_bytes(*empty.as_bytes()), empty);
}

#[test]
fn fields_do_not_run_into_one_another() {
    let all = [
        of(|writer| writer),
        of(|writer| writer.absent("a")),
        of(|writer| writer.text("a", "")),
        of(|writer| writer.bytes("a", b"")),
        of(|writer| writer.json("a", &())),
        of(|writer| writer.json("a", "")),
        of(|writer| writer.text("a", "bc")),
        of(|writer| writer.text("ab", "c")),
        of(|writer| writer.text("a", "b").text("c", "")),
        of(|writer| writer.text("a", "").text("c", "b")),
        of(|writer| writer.text("c", "").text("a", "b")),
        of(|writer| writer.number("a", 0)),
        of(|writer| writer.bytes("a", &[0; 8])),
        DigestWriter::new("another kind").finish(),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
    }
}

#[test]
fn what_is_long_is_hashed_in_parts() {
    let long = "mast ".repeat(40_000);
    let digest = |tail: &str| of(|writer| writer.text("a", &long).json("b", &long).text("c", tail));
    assert_eq!(digest("x"), digest("x"));
    assert_ne!(digest("x"), digest("y"));
}

#[test]
fn what_cannot_be_printed_is_like_nothing_else() {
    struct Broken;
    impl serde::Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("broken"))
        }
    }
    let broken = || of(|writer| writer.json("a", &Broken));
    assert_ne!(broken(), broken());
}

proptest! {
    // S4.1
    #[test]
    fn the_order_of_members_never_matters(seed: u64) {
        let value = Generator::new(seed).request();
        let other: Value = serde_json::from_str(&turned(&value)).unwrap();
        prop_assert_eq!(json_of(&value), json_of(&other));
        // Nor does it matter whether it was read into a request on the way.
        let request: ChatRequest = serde_json::from_value(value.clone()).unwrap();
        prop_assert_eq!(of(|writer| writer.json("value", &request)), json_of(&value));
    }

    #[test]
    fn different_values_have_different_digests(one: u64, other: u64) {
        let (one, other) = (Generator::new(one).value(3), Generator::new(other).value(3));
        prop_assert_eq!(json_of(&one) == json_of(&other), one == other);
    }

    #[test]
    fn a_member_more_is_another_value(seed: u64, name in "[a-z]{1,8}") {
        let mut members = Map::new();
        members.insert("a".into(), Generator::new(seed).value(2));
        let before = json_of(&members.clone().into());
        if members.insert(name, Value::Null).is_none() {
            prop_assert_ne!(before, json_of(&members.into()));
        }
    }
}

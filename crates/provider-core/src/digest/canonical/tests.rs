use serde_json::{Value, json};

use super::*;

fn canonical<T: Serialize>(value: &T) -> String {
    let mut printer = Canonical::default();
    value.serialize(&mut printer).unwrap();
    assert!(printer.members.is_empty());
    String::from_utf8(printer.out).unwrap()
}

#[test]
fn members_stand_in_the_order_of_their_names() {
    #[derive(serde::Serialize)]
    struct Unsorted {
        z: u8,
        a: [&'static str; 2],
        m: Inner,
    }
    #[derive(serde::Serialize)]
    struct Inner {
        y: Option<bool>,
        b: (),
    }
    let value = Unsorted { z: 1, a: ["x", ""], m: Inner { y: Some(true), b: () } };
    assert_eq!(canonical(&value), r#"{"a":["x",""],"m":{"b":null,"y":true},"z":1}"#);
    assert_eq!(canonical(&json!({})), "{}");
    assert_eq!(canonical(&json!([[], {}, [1]])), "[[],{},[1]]");
}

#[test]
fn numbers_are_written_by_their_meaning() {
    let number = |text: &str| canonical(&serde_json::from_str::<Value>(text).unwrap());
    for (one, other) in
        [("1", "1.0"), ("0", "-0.0"), ("1e2", "100"), ("1.50", "1.5"), ("1e18", "1000000000000000000")]
    {
        assert_eq!(number(one), number(other), "{one} {other}");
    }
    for (one, other) in [
        ("1", "1.1"),
        ("9007199254740993", "9007199254740992.0"),
        ("1", "-1"),
        ("0.1", "0.10000000000000002"),
    ] {
        assert_ne!(number(one), number(other), "{one} {other}");
    }
    assert_eq!([f64::NAN, f64::INFINITY, 1e300].map(|number| canonical(&number)), ["NaN", "inf", "1e300"]);
}

#[test]
fn a_text_is_read_back_as_it_was() {
    for text in [
        "",
        "plain",
        "a \"quoted\" \\ one",
        "\u{0}\n\u{1f}",
        "帆 é ⛵ and more than sixteen bytes of it \"",
        "exactly sixteen!",
    ] {
        assert_eq!(serde_json::from_str::<String>(&canonical(&text)).unwrap(), text);
    }
}

#[test]
fn names_that_are_numbers_and_variants_are_printed() {
    #[derive(serde::Serialize)]
    enum Variant {
        Unit,
        One(u8),
        Two(u8, u8),
        Named { b: u8, a: u8 },
    }
    let by_number = std::collections::BTreeMap::from([(2, 'b'), (10, 'a')]);
    assert_eq!(canonical(&by_number), r#"{"10":"a","2":"b"}"#);
    let all = (Variant::Unit, Variant::One(1), Variant::Two(1, 2), Variant::Named { b: 1, a: 2 });
    assert_eq!(canonical(&all), r#"["Unit",{"One":1},{"Two":[1,2]},{"Named":{"a":2,"b":1}}]"#);
}

//! A key that a provider quotes is not in the error.

use serde_json::json;

use super::super::mask::mask_keys;
use super::refused;

#[test]
fn keys_are_cut_to_their_last_four_characters() {
    let masked = [
        (
            "Incorrect API key provided: sk-proj-abcdefghijklmnop1234. You can",
            "Incorrect API key provided: ***1234. You can",
        ),
        ("key sk-abc here", "key *** here"),
        ("(gsk_abcdefghijkl5678)", "(***5678)"),
        ("AIzaSyA-abcdefghijklmnop_9Zx1 is wrong", "***9Zx1 is wrong"),
        (
            "Incorrect API key provided: bad-key-**********test. You",
            "Incorrect API key provided: ***test. You",
        ),
        ("Incorrect API key provided: \"invalid-key\"", "Incorrect API key provided: \"***\""),
        ("Your api key: ****-key is invalid", "Your api key: *** is invalid"),
        ("authorization: Bearer 0123456789abcdef0123456789abcdef", "authorization: Bearer ***cdef"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl expired", "***dXJl expired"),
        ("sk-one-1234567890, sk-two-1234567891", "***7890, ***7891"),
        ("A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0UvWx", "***UvWx"),
    ];
    for (text, expected) in masked {
        assert_eq!(mask_keys(text), expected);
    }
}

#[test]
fn what_is_no_key_stays() {
    let texts = [
        "Incorrect API key provided. You can obtain an API key from https://console.x.ai.",
        "Incorrect API key provided: sk-. You can find your API key at https://platform.openai.com/account/api-keys.",
        "Invalid API key: please check it",
        "Missing Bearer token",
        "The model `gpt-5.2-proo` does not exist",
        "ref: 96164522-08b2-4cbf-886e-e5a38961a688",
        "task-force, risk-free, desk-bound",
        "naïve — 船 sk",
        "",
        "request ID 500d9fff2057e4af93a280f67002c342",
        "limit_rpm/meta-llama/llama-3.2-3b-instruct/e8440b11-29fb-4887-a222-eff9ba33dfbf",
    ];
    for text in texts {
        assert_eq!(mask_keys(text), text);
    }
}

#[test]
fn no_field_of_an_error_holds_the_key() {
    let key = "sk-proj-abcdefghijklmnop1234";
    let body = json!({"error": {"message": format!("bad key {key}"), "code": key, "param": key}});
    let error = refused("openai", 401, body);
    let all = format!("{error} {error:?} {} {:?} {:?}", error.message(), error.code(), error.param());
    assert!(!all.contains("abcdefgh"), "{all}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics_and_no_key_survives(before in ".{0,20}", key in "[A-Za-z0-9]{20,60}", after in ".{0,20}") {
        let text = format!("{before} sk-{key} {after}");
        proptest::prop_assert!(!mask_keys(&text).contains(&key));
    }
}

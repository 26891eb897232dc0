//! What a caller wrote, quoted by the provider, is no word on the account: a deployment rests for all callers after one.

use mainstay_provider_core::ErrorKind::{self, *};
use serde_json::{Value, json};

use super::refused;

const ON_THE_ACCOUNT: [&str; 4] =
    ["spend limit", "insufficient balance", "incorrect api key", "invalid x-api-key"];

fn kind(provider: &str, body: Value) -> ErrorKind {
    refused(provider, 400, body).kind()
}

#[test]
fn a_quoted_value_of_a_parameter_is_the_requests_fault() {
    for words in ON_THE_ACCOUNT {
        let message = format!("Invalid value: '{words}'. Supported values are: 'system', 'user'.");
        let openai = json!({"error": {"message": message, "type": "invalid_request_error",
            "param": "messages[0].role", "code": "invalid_value"}});
        assert_eq!(kind("openai", openai), InvalidRequest, "{words}");
        let violation = json!({"field": "contents[0].role", "description": message});
        let details =
            json!([{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]);
        let google = json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": details}});
        assert_eq!(kind("gemini", google), InvalidRequest, "{words}");
        let located =
            json!({"detail": [{"type": "enum", "loc": ["body", "messages", 0, "role"], "msg": message}]});
        assert_eq!(kind("mistral", located), InvalidRequest, "{words}");
    }
}

#[test]
fn the_same_words_about_no_parameter_are_about_the_account() {
    for (words, expected) in
        ON_THE_ACCOUNT.into_iter().zip([QuotaExhausted, QuotaExhausted, Authentication, Authentication])
    {
        let body = json!({"error": {"message": format!("There is this: {words}."), "type": "invalid_request_error",
            "param": null, "code": null}});
        assert_eq!(kind("openai", body), expected, "{words}");
    }
}

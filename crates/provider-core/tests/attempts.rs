//! The ledger of a call's attempts.

use mainstay_provider_core::{Call, Error, ErrorKind};

/// S1.6: an answer that broke off in mid-stream is a failure of its deployment, once.
#[tokio::test]
async fn an_answer_that_broke_off_counts_as_a_failure() {
    let call = Call::ask("m", "hello");
    let attempts = &call.clone().context().attempts.clone();
    attempts.end(attempts.begin(), "a", None);
    assert!(!attempts.has_failed("a"));

    let error = Error::new(ErrorKind::Network, "reset");
    attempts.broke_off("a", &error);
    attempts.broke_off("a", &error);
    attempts.broke_off("b", &error);

    let seen = &call.context().attempts;
    assert!(seen.has_failed("a") && !seen.has_failed("b"));
    assert_eq!(seen.errors().len(), 1);
}

#[tokio::test]
async fn the_errors_can_be_looked_at_where_they_are() {
    let attempts = Call::ask("m", "hello").context().attempts.clone();
    let error = Error::new(ErrorKind::Network, "reset").with_deployment("a");
    attempts.end(attempts.begin(), "a", Some(&error));
    let seen = attempts.look(|errors| errors.iter().map(|error| error.kind()).collect::<Vec<_>>());
    assert_eq!(seen, [ErrorKind::Network]);
    assert_eq!(attempts.look(<[Error]>::len), attempts.errors().len());
}

//! What is sent again: the same request, shared.

mod common;

use std::sync::Arc;

use common::{Setup, answers, fails};
use mainstay_provider_core::test_kit::Step;
use mainstay_provider_core::{Call, ErrorKind, Next, Provider};

// T8: no body is too long, since none is copied
#[tokio::test(start_paused = true)]
async fn every_attempt_sends_the_very_same_request() {
    let call = Call::ask("sim-1", "x".repeat(10_000_000));
    let steps = vec![fails(ErrorKind::Overloaded), fails(ErrorKind::Overloaded), answers()];
    let setup = Setup::standard(steps);
    setup.retry.ask(call.clone()).await.unwrap();
    let sent = setup.upstream.calls();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|sent| Arc::ptr_eq(sent.shared_request(), call.shared_request())));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_asks_for_somebody_fresh_keeps_its_request_and_its_ledger() {
    let same = mainstay_provider_core::Error::new(ErrorKind::RateLimited, "on purpose")
        .with_next(Next::Same { fallback: true })
        .with_retry_after(std::time::Duration::from_secs(100));
    let setup = Setup::standard([Step::fail(same), answers()]);
    let call = Call::ask("sim-1", "hello");
    setup.retry.ask(call.clone()).await.unwrap();
    let sent = setup.upstream.calls();
    assert!(!sent[0].context().needs.fresh && sent[1].context().needs.fresh);
    assert!(Arc::ptr_eq(sent[0].shared_request(), sent[1].shared_request()));
    sent[0].context().attempts.begin();
    assert_eq!(sent[1].context().attempts.len(), 1);
    assert!(!call.context().needs.fresh, "the caller's own call is as it was");
}

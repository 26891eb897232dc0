//! What the reply's head says of the attempts.

mod common;

use common::{Setup, answers, fails, whole};
use mainstay_provider_core::ErrorKind;
use mainstay_provider_core::Provider;

#[tokio::test(start_paused = true)]
async fn it_counts_the_attempts_where_no_router_does() {
    for failures in 0..5 {
        let mut steps = vec![fails(ErrorKind::Overloaded); failures];
        steps.push(answers());
        let reply = Setup::bare(steps).ask().await.unwrap();
        assert_eq!(reply.head.attempts as usize, failures + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_router_set_stays() {
    let setup = Setup::bare([fails(ErrorKind::Overloaded), answers().head(|head| head.attempts = 6)]);
    assert_eq!(setup.ask().await.unwrap().head.attempts, 6);
    let setup = Setup::bare([answers().head(|head| head.attempts = 0)]);
    assert_eq!(setup.ask().await.unwrap().head.attempts, 0, "a cache answered");
}

#[tokio::test(start_paused = true)]
async fn attempts_in_the_ledger_count() {
    let setup = Setup::bare([fails(ErrorKind::Overloaded), answers()]);
    let call = whole();
    for _ in 0..7 {
        call.context().attempts.begin();
    }
    assert_eq!(setup.retry.ask(call).await.unwrap().head.attempts, 7);
}

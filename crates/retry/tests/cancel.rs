//! Dropping a call ends what is under way.

mod common;

use common::{Setup, answers, fails, seconds, whole};
use mainstay_provider_core::ErrorKind;
use mainstay_provider_core::test_kit::Step;

// D3
#[tokio::test(start_paused = true)]
async fn a_call_dropped_in_a_wait_is_never_sent_again() {
    let setup = Setup::bare([fails(ErrorKind::Overloaded), answers()]);
    tokio::time::timeout(std::time::Duration::from_millis(500), setup.ask()).await.unwrap_err();
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(setup.calls(), 1);
}

// D3
#[tokio::test(start_paused = true)]
async fn a_call_dropped_in_an_attempt_drops_the_attempt() {
    for steps in [vec![Step::hang()], vec![fails(ErrorKind::Overloaded), Step::hang()]] {
        let attempts = steps.len();
        let setup = Setup::bare(steps);
        tokio::time::timeout(seconds(10), setup.call(whole())).await.unwrap_err();
        let counts = setup.upstream.counts();
        assert_eq!((counts.calls, counts.in_flight, counts.cancelled), (attempts, 0, 1));
        assert_eq!(setup.upstream.places_taken(), 0);
    }
}

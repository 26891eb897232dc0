//! Attempts that others made for a call are taken off ours.

mod common;

use common::{Setup, fails, whole};
use mainstay_provider_core::ErrorKind;

// T3
#[tokio::test(start_paused = true)]
async fn an_inbound_attempt_count_lowers_our_own() {
    for (prior, calls) in [(0, 3), (1, 2), (2, 1), (7, 1)] {
        let setup = Setup::standard(vec![fails(ErrorKind::Overloaded); 5]);
        let mut call = whole();
        call.context_mut().prior_attempts = prior;
        setup.call(call).await.0.unwrap_err();
        assert_eq!(setup.calls(), calls, "after {prior}");
    }
}

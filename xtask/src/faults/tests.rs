//! The whole bench, against the only thing that is always there: no gateway at all.

use super::cases;
use super::report::Sum;
use super::run::{self, Stage, Target};
use super::scale::Scale;

#[tokio::test]
async fn an_unprotected_caller_fails_nearly_everything() {
    let cases = cases::all();
    // Quicker than the fast profile: nothing here is close to a bound.
    let stage = Stage { target: Target::Direct, scale: Scale(50.0), jobs: usize::MAX };
    let outcomes = run::all(&stage, cases).await;
    let sum = Sum::of(&outcomes);
    // What is left is a matter of not asking twice, and a caller that never does cannot fail there.
    assert_eq!((sum.failed, sum.safe, sum.passed), (14, 1, 1), "{sum}");
}

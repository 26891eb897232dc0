use super::*;
use crate::lab::figures::{flatness, histogram, median};
use crate::lab::table::BAR;

// S2.4, a few seeds of it
#[test]
fn the_bare_layer_serves_nearly_all_calls_of_a_storm_in_good_time() {
    for hint in [Hint::Seconds, Hint::None] {
        for trial in simulated(Strategy::Proportional, hint, 10).unwrap() {
            assert_eq!(trial.calls(), 100);
            assert!(trial.failed < 5);
            assert!(median(&trial.answered) < Duration::from_secs(3));
            assert_eq!(trial.attempts.iter().filter(|attempt| attempt.number == 1).count(), 100);
        }
    }
}

// S2.4
#[test]
fn jitter_flattens_the_retries() {
    let flat = |strategy| {
        let trials = simulated(strategy, Hint::None, 10).unwrap();
        trials.iter().map(|trial| flatness(&histogram(&trial.retries(), BAR))).sum::<f64>() / 10.0
    };
    let fixed = flat(Strategy::Fixed);
    assert!(flat(Strategy::Proportional) > 1.5 * fixed);
    assert!(flat(Strategy::Full) > 1.5 * fixed);
}

#[test]
fn the_same_seed_gives_the_same_storm() {
    let times = |trial: &Trial| trial.attempts.iter().map(|attempt| attempt.at).collect::<Vec<_>>();
    let (one, other) = (
        simulated(Strategy::Full, Hint::None, 2).unwrap(),
        simulated(Strategy::Full, Hint::None, 2).unwrap(),
    );
    assert_eq!(times(&one[0]), times(&other[0]));
    assert_ne!(times(&one[0]), times(&one[1]));
}

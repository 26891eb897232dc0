use super::*;
use crate::{Jitter, RetryBudget, RetryBuilder, RetryConfig};
use mainstay_provider_core::ErrorKind;

fn config(builder: RetryBuilder) -> RetryConfig {
    builder.jitter(Jitter::None).build_config().unwrap()
}

fn standard() -> RetryConfig {
    config(RetryBuilder::standard())
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "on purpose")
}

fn same(fallback: bool) -> Error {
    error(ErrorKind::Overloaded).with_next(Next::Same { fallback })
}

fn next(progress: &mut Progress<'_>, error: &Error) -> Step {
    progress.decide(error, None, &mut Rng::with_seed(1))
}

fn steps(config: &RetryConfig, errors: &[Error]) -> Vec<Step> {
    let mut progress = Progress::new(config, &ContextData::default());
    errors.iter().map(|error| next(&mut progress, error)).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

// S2.2
#[test]
fn a_back_off_doubles_until_the_attempts_are_used_up() {
    let config = config(RetryBuilder::default());
    let overloaded = error(ErrorKind::Overloaded);
    assert_eq!(
        steps(&config, &vec![overloaded; 5]),
        [1, 2, 4, 8]
            .map(|time| Step::Wait(seconds(time)))
            .into_iter()
            .chain([Step::Stop(Stop::Attempts)])
            .collect::<Vec<_>>()
    );
}

// T3
#[test]
fn attempts_that_others_made_are_taken_off_and_one_remains() {
    let config = standard();
    for (prior, waits) in [(0, 2), (1, 1), (2, 0), (3, 0), (u32::MAX, 0)] {
        let mut context = ContextData::default();
        context.prior_attempts = prior;
        let mut progress = Progress::new(&config, &context);
        let waited = (0..5).filter(|_| matches!(next(&mut progress, &same(false)), Step::Wait(_))).count();
        assert_eq!(waited, waits, "after {prior} attempts");
    }
}

#[test]
fn a_peer_is_asked_at_once_and_counts_as_an_attempt() {
    let peer = error(ErrorKind::Overloaded).with_next(Next::Peer);
    let errors = [peer.clone(), peer.clone(), peer, same(false)];
    assert_eq!(steps(&standard(), &errors), [Step::Ask, Step::Ask, Step::Ask, Step::Stop(Stop::Attempts)]);
}

#[test]
fn a_fallback_is_asked_at_once_costs_nothing_and_does_not_count() {
    let empty = RetryBudget::new(0.1, 1).unwrap();
    assert!(empty.withdraw());
    let fallback = error(ErrorKind::Overloaded).with_next(Next::Fallback);
    assert_eq!(
        steps(&config(RetryBuilder::standard().budget(empty)), std::slice::from_ref(&fallback)),
        [Step::Ask]
    );
    let errors = [fallback.clone(), fallback, same(false), same(false), same(false)];
    let wait = |time| Step::Wait(seconds(time));
    assert_eq!(
        steps(&standard(), &errors),
        [Step::Ask, Step::Ask, wait(1), wait(2), Step::Stop(Stop::Attempts)]
    );
}

#[test]
fn when_the_attempts_end_somebody_fresh_is_asked_once() {
    let errors = [same(true), same(true), same(true), same(true)];
    let wait = |time| Step::Wait(seconds(time));
    assert_eq!(steps(&standard(), &errors), [wait(1), wait(2), Step::AskFresh, Step::Stop(Stop::Attempts)]);
}

#[test]
fn when_the_budget_is_empty_somebody_fresh_is_asked() {
    let budget = RetryBudget::new(0.1, 1).unwrap();
    let config = config(RetryBuilder::standard().budget(budget));
    assert_eq!(
        steps(&config, &[same(true), same(true), same(true)]),
        [Step::Wait(seconds(1)), Step::AskFresh, Step::Stop(Stop::Budget)]
    );
    let peer = error(ErrorKind::Network).with_next(Next::Peer);
    assert_eq!(steps(&config, &[peer]), [Step::Stop(Stop::Budget)]);
}

// T4, D1
#[test]
fn when_the_wait_is_too_long_somebody_fresh_is_asked_and_no_token_is_taken() {
    let config = standard();
    for (fallback, expected) in [(true, Step::AskFresh), (false, Step::Stop(Stop::RetryAfter))] {
        let too_long = same(fallback).with_retry_after(seconds(31));
        assert_eq!(steps(&config, &[too_long]), [expected]);
    }
    for (fallback, expected) in [(true, Step::AskFresh), (false, Step::Stop(Stop::Deadline))] {
        let mut progress = Progress::new(&config, &ContextData::default());
        let step = progress.decide(&same(fallback), Some(Duration::from_millis(900)), &mut Rng::new());
        assert_eq!(step, expected);
    }
    assert_eq!(config.budget().unwrap().left(), 10);
}

// T5
#[test]
fn nothing_is_begun_that_has_no_time_to_end() {
    let config = config(RetryBuilder::standard().min_attempt(seconds(2)));
    let errors = [
        error(ErrorKind::Network).with_next(Next::Peer),
        error(ErrorKind::Network).with_next(Next::Fallback),
        error(ErrorKind::ContextLengthExceeded),
        error(ErrorKind::MalformedToolCall),
        same(true),
    ];
    for error in errors {
        for (left, stops) in [(2, true), (4, false)] {
            let step = Progress::new(&config, &ContextData::default()).decide(
                &error,
                Some(seconds(left)),
                &mut Rng::new(),
            );
            assert_eq!(step == Step::Stop(Stop::Deadline), stops, "{error} with {left} s left: {step:?}");
        }
    }
}

#[test]
fn a_long_conversation_is_shortened_twice_if_at_all() {
    let errors = vec![error(ErrorKind::ContextLengthExceeded); 3];
    assert_eq!(steps(&standard(), &errors), [Step::Shorten, Step::Shorten, Step::Stop(Stop::Final)]);
    assert_eq!(steps(&config(RetryBuilder::default()), &errors[..1]), [Step::Stop(Stop::Final)]);
}

#[test]
fn a_model_is_told_once_what_was_wrong() {
    let malformed = |next: Option<Next>| match next {
        Some(next) => error(ErrorKind::MalformedToolCall).with_next(next),
        None => error(ErrorKind::MalformedToolCall),
    };
    for (next, then) in [
        (None, Step::Stop(Stop::Final)),
        (Some(Next::Peer), Step::Ask),
        (Some(Next::Same { fallback: true }), Step::AskFresh),
        (Some(Next::Same { fallback: false }), Step::Stop(Stop::Final)),
    ] {
        let errors = [malformed(next), malformed(next)];
        assert_eq!(steps(&standard(), &errors), [Step::Reprompt, then], "{next:?}");
    }
    let mut prefilled = ContextData::default();
    prefilled.needs.prefill = true;
    let standard = standard();
    let mut progress = Progress::new(&standard, &prefilled);
    let step = progress.decide(&malformed(None), None, &mut Rng::new());
    assert_eq!(
        step,
        Step::Stop(Stop::Final),
        "nothing can be said after an answer that is to be gone on with"
    );
    let off = config(RetryBuilder::default().reprompt(false));
    assert_eq!(steps(&off, &[malformed(None)]), [Step::Stop(Stop::Final)]);
}

// A router of somebody's own that never says `Nowhere`
#[test]
fn a_call_ends_whatever_a_router_says() {
    let config = standard();
    let mut progress = Progress::new(&config, &ContextData::default());
    let fallback = error(ErrorKind::Network).with_next(Next::Fallback);
    let asked = (0..1_000).filter(|_| next(&mut progress, &fallback) == Step::Ask).count();
    assert_eq!(asked, 99);
    assert_eq!(next(&mut progress, &fallback), Step::Stop(Stop::Attempts));
}

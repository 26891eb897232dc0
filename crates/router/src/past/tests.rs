use mainstay_provider_core::Timer;

use super::*;

fn error(deployment: &str, kind: ErrorKind) -> Error {
    Error::new(kind, "on purpose").with_deployment(deployment)
}

#[test]
fn a_deployment_stands_by_its_last_failure() {
    let errors = [
        error("a", ErrorKind::RateLimited),
        error("b", ErrorKind::Timeout(Timer::FirstToken)),
        error("c", ErrorKind::Unavailable),
        error("d", ErrorKind::InvalidRequest),
        error("e", ErrorKind::MalformedToolCall),
        error("f", ErrorKind::Configuration),
        error("g", ErrorKind::ServerError).with_retryable(false),
    ];
    let past = Past::new(&errors);
    let standings = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| past.standing(name));
    use Standing::{AfterWait, Blameless, Fresh, Out, Refused};
    assert_eq!(standings, [AfterWait, Out, Refused, Blameless, AfterWait, Out, Out, Fresh]);
    let latest = error("a", ErrorKind::Authentication);
    assert_eq!(past.with(&latest).standing("a"), Out);
}

#[test]
fn a_prompt_that_was_too_long_is_forgotten_when_it_was_shortened() {
    let too_long = |name: &str| error(name, ErrorKind::ContextLengthExceeded);
    let elsewhere = [too_long("a").with_next(Next::Peer)];
    assert_eq!(Past::new(&elsewhere).too_short().collect::<Vec<_>>(), ["a"]);
    assert_eq!(Past::new(&elsewhere).standing("a"), Standing::Out);

    // Nobody was left to go to: who asks again has shortened it.
    let shortened = [too_long("a").with_next(Next::Peer), too_long("b")];
    assert_eq!(Past::new(&shortened).too_short().count(), 0);
    assert_eq!(Past::new(&shortened).shortened_for(), Some("b"));
    for name in ["a", "b"] {
        assert_eq!(Past::new(&shortened).standing(name), Standing::Blameless);
    }

    let again = too_long("c");
    assert_eq!(Past::new(&shortened).with(&again).shortened_for(), None);
    assert_eq!(Past::new(&shortened).with(&again).too_short().collect::<Vec<_>>(), ["c"]);
}

//! Timers are checked where they enter.

use std::time::Duration;

use mainstay_timeout::{InvalidConfig, ModelTimers, TimeoutConfig, TimeoutLayer, Timers};

#[test]
fn the_defaults_are_those_of_the_docs() {
    let Timers { first_token, idle, total, after_finish, .. } = TimeoutConfig::default().timers("any");
    let seconds = Duration::from_secs;
    assert_eq!((first_token, idle, total), (seconds(10), seconds(20), seconds(60)));
    assert_eq!(after_finish, Duration::from_millis(800));
}

#[test]
fn a_model_differs_only_in_what_was_said_whatever_the_order() {
    let config = TimeoutConfig::builder()
        .model("slow", ModelTimers::new().total(Duration::from_secs(300)))
        .idle(Duration::from_secs(5))
        .build_config()
        .unwrap();
    assert_eq!(config.timers("slow").total, Duration::from_secs(300));
    assert_eq!(config.timers("slow").idle, Duration::from_secs(5));
    assert_eq!(config.timers("other").total, Duration::from_secs(60));
}

#[test]
fn a_timer_of_zero_is_refused_with_its_name() {
    let error = TimeoutLayer::builder().idle(Duration::ZERO).build().unwrap_err();
    assert_eq!(error, InvalidConfig::Zero { timer: "idle", model: String::new() });
    assert_eq!(error.to_string(), "the timer idle of all models is zero; every call would end at once");
}

#[test]
fn a_timer_beyond_thirty_days_is_refused() {
    let long = ModelTimers::new().first_token(Duration::MAX);
    let error = TimeoutLayer::builder().model("o3", long).build().unwrap_err();
    assert_eq!(error, InvalidConfig::TooLong { timer: "first_token", model: "o3".into() });
}

#[test]
fn a_model_named_twice_is_refused() {
    let twice = TimeoutLayer::builder().model("m", ModelTimers::new()).model("m", ModelTimers::new());
    assert_eq!(twice.build().unwrap_err(), InvalidConfig::ModelTwice { model: "m".into() });
}

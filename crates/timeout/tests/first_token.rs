//! A stream without content in time is an error that fails over at once.

mod common;

use std::time::Duration;

use common::{Step, Work, answers_after, seconds, streaming, streams, whole, with, with_defaults};
use mainstay_provider_core::{ErrorKind, Provider, Remedy, Timer};
use mainstay_timeout::{ModelTimers, TimeoutLayer};
use tokio::time::Instant;

// S8.2
#[tokio::test(start_paused = true)]
async fn a_silent_provider_is_left_after_ten_seconds_and_another_is_asked() {
    let (begin, work) = (Instant::now(), Work::default());
    let error = with_defaults(streams(vec![Step::Hang], &work)).ask(streaming()).await.unwrap_err();
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::FirstToken));
    assert_eq!(error.remedy(), Remedy::FailOver);
    assert_eq!(work.open(), 0, "the provider's work ends with the call");
}

// S8.2
#[tokio::test(start_paused = true)]
async fn chunks_without_content_are_no_first_token() {
    let (begin, work) = (Instant::now(), Work::default());
    let mut steps = [Step::Ping, seconds(1)].repeat(30);
    steps.extend([Step::Text("late"), Step::Finish]);
    let error = with_defaults(streams(steps, &work)).ask(streaming()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::FirstToken));
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
}

// D2: the timers are separate
#[tokio::test(start_paused = true)]
async fn a_first_token_in_time_stops_the_timer_for_good() {
    let work = Work::default();
    let steps = vec![seconds(9), Step::Text("one"), seconds(15), Step::Text(" two"), Step::Finish];
    let reply = with_defaults(streams(steps, &work)).ask(streaming()).await.unwrap();
    assert_eq!(reply.collect().await.unwrap().text(), "one two");
}

// D2
#[tokio::test(start_paused = true)]
async fn a_whole_answer_has_no_first_token_to_wait_for() {
    let provider = with_defaults(answers_after(Duration::from_secs(59), &Work::default()));
    assert_eq!(provider.ask(whole()).await.unwrap().answer().unwrap().text(), "done");
}

#[tokio::test(start_paused = true)]
async fn a_model_may_have_its_own_timers() {
    let (begin, work) = (Instant::now(), Work::default());
    let patient = ModelTimers::new().first_token(Duration::from_secs(30));
    let layer = || TimeoutLayer::builder().first_token(Duration::from_secs(2)).model("thinker", patient);
    let mut call = streaming();
    call.request_mut().model = "thinker".into();

    with(layer(), streams(vec![Step::Hang], &work)).ask(streaming()).await.unwrap_err();
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
    with(layer(), streams(vec![Step::Hang], &work)).ask(call).await.unwrap_err();
    assert_eq!(begin.elapsed(), Duration::from_secs(32));
}

#[tokio::test(start_paused = true)]
async fn the_providers_own_error_goes_through_as_it_is() {
    let provider = with_defaults(streams(vec![seconds(1), Step::Fail], &Work::default()));
    assert_eq!(provider.ask(streaming()).await.unwrap_err().kind(), ErrorKind::Network);
}

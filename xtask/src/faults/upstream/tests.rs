//! What an unprotected caller sees of each fault.

use super::super::client::{self, Got, Outcome};
use super::super::plan::When;
use super::*;
use serde_json::json;
use std::time::Duration;

/// A second of the full profile is five milliseconds.
const SCALE: Scale = Scale(200.0);

struct Bench {
    upstream: Upstream,
    log: Log,
}

impl Bench {
    async fn with(plan: Plan) -> Self {
        let log = Log::new();
        let upstream = Upstream::start(Who::Primary, plan, SCALE, log.clone()).await.unwrap();
        Self { upstream, log }
    }

    async fn say(&self, more: Value) -> Got {
        let mut body = json!({
            "model": "words-primary", "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "Say the sixty words."}],
        });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        client::ask(self.upstream.address, &body, Duration::from_secs(2), &self.log).await
    }
}

async fn ask(plan: Plan) -> Got {
    Bench::with(plan).await.say(json!({})).await
}

#[tokio::test]
async fn a_healthy_upstream_answers_whole_and_streamed_with_usage() {
    let bench = Bench::with(Plan::healthy()).await;
    for stream in [true, false] {
        let got = bench.say(json!({"stream": stream})).await;
        assert_eq!(got.outcome(), Outcome::Whole);
        assert_eq!(got.usage, [body::usage(Who::Primary, 60)]);
        assert_eq!(got.model.as_deref(), Some("words-primary"));
    }
    let got = bench.say(json!({"stream_options": null})).await;
    assert_eq!((got.outcome(), got.usage.len()), (Outcome::Whole, 0));
    let attempts = bench.log.attempts();
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|attempt| attempt.answered && attempt.left.is_none()));
    assert_eq!(attempts[0].request["messages"][0]["content"], "Say the sixty words.");
}

#[tokio::test]
async fn refusals_have_the_status_and_body_of_the_provider() {
    let status = |got: Got| (got.status.unwrap(), got.outcome());
    let error = |text: &str| Outcome::Error(text.to_owned());
    let limited = ask(Plan::always(Fault::RateLimited { retry_after: Some(2) })).await;
    assert_eq!(limited.headers["retry-after"], "2");
    assert_eq!(status(limited), (429, error("429 rate_limit_exceeded")));
    let limited = ask(Plan::always(Fault::RateLimited { retry_after: None })).await;
    assert!(!limited.headers.contains_key("retry-after"));
    assert_eq!(status(ask(Plan::always(Fault::ServerError)).await), (500, error("500 server_error")));
    assert_eq!(ask(Plan::always(Fault::Unavailable)).await.status, Some(503));
    let filtered = ask(Plan::always(Fault::FilteredPrompt)).await;
    assert!(filtered.raw.contains(body::FILTER_ERROR));
    assert_eq!(status(filtered), (400, error("400 content_filter")));
    assert_eq!(status(ask(Plan::healthy().window(3)).await), (400, error("400 context_length_exceeded")));
}

#[tokio::test]
async fn a_fault_that_strikes_once_leaves_the_next_attempt_alone() {
    let bench = Bench::with(Plan::once(Fault::ServerError)).await;
    assert_eq!(bench.say(json!({})).await.status, Some(500));
    assert_eq!(bench.say(json!({})).await.outcome(), Outcome::Whole);
    let dids: Vec<String> = bench.log.attempts().into_iter().map(|attempt| attempt.did).collect();
    assert_eq!(dids, ["500", "answer"]);
    let outage = Plan { when: When::Until(20.0), ..Plan::always(Fault::Unavailable) };
    let bench = Bench::with(outage).await;
    bench.log.start();
    assert_eq!(bench.say(json!({})).await.status, Some(503));
    tokio::time::sleep(SCALE.seconds(21.0)).await;
    assert_eq!(bench.say(json!({})).await.outcome(), Outcome::Whole);
}

#[tokio::test]
async fn a_reset_comes_before_any_header() {
    let got = ask(Plan::always(Fault::Reset)).await;
    assert_eq!((got.status, got.text.as_str()), (None, ""));
    assert!(matches!(got.outcome(), Outcome::BrokenOff(_)), "{:?}", got.outcome());
}

#[tokio::test]
async fn silence_and_a_slow_first_token_are_told_apart_by_the_head() {
    let got = ask(Plan::always(Fault::Silence(2000.0))).await;
    assert_eq!((got.status, got.outcome()), (None, Outcome::Hung("0 of 60 words".to_owned())));
    let got = ask(Plan::always(Fault::SlowFirstToken(100.0))).await;
    assert_eq!(got.outcome(), Outcome::Whole);
    assert!(got.first_word_after().unwrap() >= SCALE.seconds(100.0));
    let got = ask(Plan::always(Fault::SlowFirstToken(2000.0))).await;
    assert_eq!((got.status, got.text.as_str()), (Some(200), ""));
}

#[tokio::test]
async fn a_cut_looks_like_a_failure_or_like_an_end() {
    let cut = |how| ask(Plan::always(Fault::Cut { words: 40, how }));
    let got = cut(Cut::Socket).await;
    assert_eq!(answer::difference(&got.text).unwrap(), "40 of 60 words");
    assert!(matches!(got.outcome(), Outcome::BrokenOff(_)));
    assert!(matches!(cut(Cut::CleanEnd).await.outcome(), Outcome::Truncated(_)));
}

#[tokio::test]
async fn a_stall_ends_and_the_gateways_leaving_is_noticed() {
    let got = ask(Plan::always(Fault::Stall { words: 20, pause: 100.0 })).await;
    assert_eq!(got.outcome(), Outcome::Whole);
    assert!(got.took() >= SCALE.seconds(100.0));
    let bench = Bench::with(Plan::always(Fault::Stall { words: 20, pause: 2000.0 })).await;
    let got = bench.say(json!({})).await;
    assert_eq!(got.outcome(), Outcome::Hung("20 of 60 words".to_owned()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(bench.log.attempts()[0].left.is_some());
}

#[tokio::test]
async fn one_event_is_malformed_and_its_word_is_lost() {
    let got = ask(Plan::always(Fault::MalformedEvent(10))).await;
    assert_eq!((got.malformed, got.done), (1, true));
    // The first event has the role.
    assert!(answer::difference(&got.text).unwrap().starts_with("8 right words, then \"word10\""));
}

#[tokio::test]
async fn without_done_there_is_usage_and_no_end() {
    let open = ask(Plan::always(Fault::NoDone { closes: false })).await;
    assert!(open.text == answer::text() && open.usage.len() == 1 && !open.done);
    let closed = ask(Plan::always(Fault::NoDone { closes: true })).await;
    assert!(matches!(closed.outcome(), Outcome::BrokenOff(_)));
    assert!(closed.took() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_filtered_answer_has_its_reason() {
    for stream in [true, false] {
        let bench = Bench::with(Plan::always(Fault::FilteredAnswer { words: 5 })).await;
        let got = bench.say(json!({"stream": stream})).await;
        assert_eq!(got.finish_reason.as_deref(), Some("content_filter"));
        assert_eq!(answer::difference(&got.text).unwrap(), "5 of 60 words");
    }
}

#[tokio::test]
async fn an_assistants_turn_is_continued_ignored_or_refused() {
    let said = answer::tokens()[..40].concat();
    let messages = json!({"messages": [
        {"role": "user", "content": "Say the sixty words."}, {"role": "assistant", "content": said},
    ]});
    let ask = async |prefill| Bench::with(Plan::healthy().prefill(prefill)).await.say(messages.clone()).await;
    let got = ask(Prefill::Continues).await;
    assert_eq!(got.text, answer::tokens()[40..].concat());
    assert_eq!(got.usage[0]["completion_tokens"], 20);
    assert_eq!(ask(Prefill::Ignored).await.outcome(), Outcome::Whole);
    assert!(ask(Prefill::Rejected).await.raw.contains(body::PREFILL_ERROR));
}

#[tokio::test]
async fn another_model_is_refused() {
    let bench = Bench::with(Plan::healthy()).await;
    let got = bench.say(json!({"model": "words-fallback"})).await;
    assert_eq!(got.outcome(), Outcome::Error("400 model_not_found".to_owned()));
}

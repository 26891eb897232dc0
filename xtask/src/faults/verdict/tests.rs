//! Each verdict beside what must not pass for it: a check that cannot fail is worth nothing.

use super::super::answer;
use super::*;
use serde_json::json;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Attempts at these times, in the real seconds of the full profile.
fn attempts(primary: &[f64], fallback: &[f64]) -> Vec<Attempt> {
    let attempt = |who: Who, at: f64| Attempt {
        who,
        at: seconds(at),
        request: Question::Streamed.body("m"),
        did: "answer".to_owned(),
        answered: who == Who::Fallback,
        last_write: Some(seconds(at + 3.0)),
        left: None,
    };
    let both = primary.iter().map(|at| attempt(Who::Primary, *at));
    both.chain(fallback.iter().map(|at| attempt(Who::Fallback, *at))).collect()
}

/// A whole answer of `who`, first word and end at these times.
fn whole(who: Who, first: f64, end: f64) -> Got {
    Got {
        status: Some(200),
        first_word: Some(seconds(first)),
        ended: seconds(end),
        text: answer::text(),
        model: Some(who.model().to_owned()),
        finish_reason: Some("stop".to_owned()),
        usage: vec![body::usage(who, answer::WORDS)],
        done: true,
        ..Got::default()
    }
}

fn truncated(who: Who) -> Got {
    Got { text: answer::tokens()[..40].concat(), ..whole(who, 0.2, 2.2) }
}

/// 40 words and an error event.
fn failed(status: u16, code: &str, message: &str) -> Got {
    Got {
        status: Some(status),
        text: String::new(),
        error: Some(json!({"code": code, "message": message})),
        finish_reason: None,
        usage: Vec::new(),
        done: false,
        ..whole(Who::Primary, 0.2, 2.2)
    }
}

fn seen(primary: &[f64], fallback: &[f64], got: Got) -> Seen {
    Seen { attempts: attempts(primary, fallback), calls: vec![got], health: Ok(()), scale: Scale(1.0) }
}

fn grade(judge: Judge, seen: &Seen) -> Grade {
    Verdict::of(judge, seen).grade
}

const ALL: [Judge; 14] = [
    rate_limit_once,
    rate_limit_forever,
    server_error_once,
    down_forever,
    silence,
    slow_first_token,
    whole_or_clear_error,
    stall,
    no_done,
    context_length,
    context_length_of_one_turn,
    content_filter,
    prefill_rejected,
    accounting,
];

#[test]
fn a_truncated_success_a_dead_gateway_and_nothing_at_all_never_pass() {
    for (number, judge) in ALL.into_iter().enumerate() {
        for (primary, fallback) in [(&[0.0][..], &[][..]), (&[0.0], &[2.0]), (&[0.0, 2.0], &[])] {
            let cut = seen(primary, fallback, truncated(Who::Fallback));
            assert_eq!(grade(judge, &cut), Grade::Fail, "judge {number}");
            let mut dead = seen(primary, fallback, whole(Who::Fallback, 2.0, 5.0));
            dead.health = Err("ended".to_owned());
            assert_eq!(grade(judge, &dead), Grade::Fail, "judge {number}");
            let nothing = Seen { calls: Vec::new(), ..dead };
            assert_eq!(grade(judge, &nothing), Grade::Fail, "judge {number}");
        }
    }
}

#[test]
fn the_wait_that_a_provider_names_is_kept_or_the_fallback_answers() {
    let answer = whole(Who::Primary, 2.3, 5.0);
    assert_eq!(grade(rate_limit_once, &seen(&[0.0, 2.0], &[], answer.clone())), Grade::Pass);
    assert_eq!(grade(rate_limit_once, &seen(&[0.0], &[0.1], answer.clone())), Grade::Pass);
    assert_eq!(grade(rate_limit_once, &seen(&[0.0, 1.7], &[], answer.clone())), Grade::Fail);
    assert_eq!(grade(rate_limit_once, &seen(&[0.0, 2.0, 2.1], &[], answer)), Grade::Fail);
}

#[test]
fn a_header_in_whole_seconds_is_not_scaled() {
    let fast = |second| Seen {
        scale: Scale(10.0),
        ..seen(&[0.0, second], &[], whole(Who::Primary, second + 0.1, second + 0.5))
    };
    assert_eq!(grade(rate_limit_once, &fast(2.0)), Grade::Pass);
    assert_eq!(grade(rate_limit_once, &fast(0.2)), Grade::Fail);
}

#[test]
fn a_rate_limit_for_ever_is_neither_hammered_nor_the_end() {
    let answer = whole(Who::Fallback, 8.0, 11.0);
    assert_eq!(grade(rate_limit_forever, &seen(&[0.0, 1.0, 3.0], &[7.0], answer.clone())), Grade::Pass);
    assert_eq!(
        grade(rate_limit_forever, &seen(&[0.0, 0.1, 0.2, 0.3, 0.4], &[7.0], answer.clone())),
        Grade::Fail
    );
    let many = [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0];
    assert_eq!(grade(rate_limit_forever, &seen(&many, &[28.0], answer)), Grade::Fail);
    let by_primary = whole(Who::Primary, 8.0, 11.0);
    assert_eq!(grade(rate_limit_forever, &seen(&[0.0], &[7.0], by_primary)), Grade::Fail);
}

#[test]
fn one_server_error_is_answered_by_the_same_deployment() {
    let answer = whole(Who::Primary, 1.5, 4.5);
    assert_eq!(grade(server_error_once, &seen(&[0.0, 1.2], &[], answer.clone())), Grade::Pass);
    assert_eq!(grade(server_error_once, &seen(&[0.0], &[0.1], answer)), Grade::Fail);
}

#[test]
fn two_retries_are_three_attempts() {
    let answer = whole(Who::Fallback, 3.0, 6.0);
    assert_eq!(grade(down_forever, &seen(&[0.0, 1.0, 2.0], &[3.0], answer.clone())), Grade::Pass);
    assert_eq!(grade(down_forever, &seen(&[0.0, 1.0, 2.0, 2.5], &[3.0], answer)), Grade::Fail);
    assert_eq!(
        grade(down_forever, &seen(&[0.0], &[3.0], failed(503, "overloaded", "down"))),
        Grade::Fail,
        "an error where the fallback could answer"
    );
}

#[test]
fn a_silent_deployment_costs_one_timeout_and_is_asked_once() {
    let after = |first| whole(Who::Fallback, first, first + 3.0);
    assert_eq!(grade(silence, &seen(&[0.0], &[10.0], after(10.2))), Grade::Pass);
    assert_eq!(grade(silence, &seen(&[0.0], &[30.0], after(30.2))), Grade::Pass);
    assert_eq!(grade(silence, &seen(&[0.0, 10.0], &[20.0], after(20.2))), Grade::Fail);
    assert_eq!(grade(silence, &seen(&[0.0], &[60.0], after(60.2))), Grade::Fail);
}

#[test]
fn a_slow_first_token_is_not_waited_for() {
    let after = |first| whole(Who::Fallback, first, first + 3.0);
    assert_eq!(grade(slow_first_token, &seen(&[0.0], &[10.0], after(10.2))), Grade::Pass);
    assert_eq!(grade(slow_first_token, &seen(&[0.0], &[16.0], after(16.2))), Grade::Fail);
    let mut late = whole(Who::Primary, 20.0, 23.0);
    assert_eq!(grade(slow_first_token, &seen(&[0.0], &[], late.clone())), Grade::Fail);
    late.model = Some(Who::Fallback.model().to_owned());
    assert_eq!(grade(slow_first_token, &seen(&[0.0], &[19.0], late)), Grade::Fail);
}

#[test]
fn after_a_cut_an_error_is_safe_and_only_the_whole_answer_is_rescue() {
    let judge = whole_or_clear_error;
    assert_eq!(grade(judge, &seen(&[0.0], &[2.2], whole(Who::Fallback, 0.2, 5.0))), Grade::Pass);
    let mut error = Got { text: answer::tokens()[..40].concat(), ..failed(200, "network", "cut") };
    assert_eq!(grade(judge, &seen(&[0.0], &[2.2], error.clone())), Grade::Safe);
    error.done = true;
    assert_eq!(grade(judge, &seen(&[0.0], &[2.2], error)), Grade::Fail);
    let twice = format!("{}{}", answer::tokens()[..40].concat(), answer::text());
    let twice = Got { text: twice, ..whole(Who::Fallback, 0.2, 5.0) };
    assert_eq!(grade(judge, &seen(&[0.0], &[2.2], twice)), Grade::Fail);
    let gone =
        Got { broken: Some("reset".to_owned()), done: false, finish_reason: None, ..truncated(Who::Primary) };
    assert_eq!(grade(judge, &seen(&[0.0], &[], gone)), Grade::Fail);
}

#[test]
fn a_stall_is_bounded_and_leaves_a_healthy_gateway() {
    let after = |end, then: Got| Seen {
        calls: vec![whole(Who::Fallback, 0.2, end), then],
        ..seen(&[0.0], &[21.0], Got::default())
    };
    let well = whole(Who::Primary, 24.0, 27.0);
    assert_eq!(grade(stall, &after(23.4, well.clone())), Grade::Pass);
    assert_eq!(grade(stall, &after(33.2, well)), Grade::Fail, "it waited for the stall to end");
    assert_eq!(grade(stall, &after(23.4, truncated(Who::Primary))), Grade::Fail);
    assert_eq!(grade(stall, &seen(&[0.0], &[21.0], whole(Who::Fallback, 0.2, 23.4))), Grade::Fail);
}

#[test]
fn an_answer_without_done_ends_within_a_second_and_has_usage() {
    // The upstream's last write is 3 s after the attempt.
    assert_eq!(grade(no_done, &seen(&[0.0], &[], whole(Who::Primary, 0.2, 3.9))), Grade::Pass);
    assert_eq!(grade(no_done, &seen(&[0.0], &[], whole(Who::Primary, 0.2, 4.1))), Grade::Fail);
    let no_usage = Got { usage: Vec::new(), ..whole(Who::Primary, 0.2, 3.1) };
    assert_eq!(grade(no_done, &seen(&[0.0], &[], no_usage)), Grade::Fail);
    let again = seen(&[0.0, 0.5], &[], whole(Who::Primary, 0.2, 3.1));
    assert_eq!(grade(no_done, &again), Grade::Fail);
}

#[test]
fn what_was_too_long_is_not_sent_again_unchanged() {
    let asked = Question::ManyTurns.messages();
    let with = |requests: &[&[Value]], got: Got| {
        let mut seen = seen(&vec![0.0; requests.len()], &[], got);
        for (attempt, messages) in seen.attempts.iter_mut().zip(requests) {
            attempt.request["messages"] = messages.to_vec().into();
        }
        seen
    };
    let shorter = [&asked[..1], &asked[11..]].concat();
    let answer = whole(Who::Primary, 0.5, 3.5);
    assert_eq!(grade(context_length, &with(&[&asked, &shorter], answer.clone())), Grade::Pass);
    assert_eq!(grade(context_length, &with(&[&asked, &asked, &shorter], answer.clone())), Grade::Fail);
    assert_eq!(
        grade(context_length, &with(&[&asked, &asked[11..]], answer.clone())),
        Grade::Fail,
        "the system prompt is lost"
    );
    assert_eq!(
        grade(context_length, &with(&[&asked, &asked[..11]], answer)),
        Grade::Fail,
        "the question is lost"
    );
    let error = failed(400, TOO_LONG_CODE, "too long");
    assert_eq!(grade(context_length, &with(&[&asked], error.clone())), Grade::Safe);
    assert_eq!(grade(context_length_of_one_turn, &seen(&[0.0], &[], error.clone())), Grade::Pass);
    assert_eq!(grade(context_length_of_one_turn, &seen(&[0.0, 1.0], &[], error)), Grade::Fail);
    let vague = failed(502, "server_error", "failed");
    assert_eq!(grade(context_length_of_one_turn, &seen(&[0.0], &[], vague)), Grade::Fail);
}

#[test]
fn a_filtered_prompt_is_sent_once_and_the_caller_learns_why() {
    let told = failed(400, "content_filter", &format!("by the {FILTER_ERROR}"));
    assert_eq!(grade(content_filter, &seen(&[0.0], &[], told.clone())), Grade::Pass);
    assert_eq!(grade(content_filter, &seen(&[0.0], &[0.1], told.clone())), Grade::Fail);
    assert_eq!(grade(content_filter, &seen(&[0.0, 0.1], &[], told)), Grade::Fail);
    let vague = failed(400, "content_filter", "no");
    assert_eq!(grade(content_filter, &seen(&[0.0], &[], vague)), Grade::Fail);
}

#[test]
fn a_filtered_answer_keeps_its_reason() {
    let reason = |reason: &str| Got {
        text: answer::tokens()[..5].concat(),
        finish_reason: Some(reason.to_owned()),
        ..whole(Who::Primary, 0.2, 0.5)
    };
    assert_eq!(grade(filtered_answer, &seen(&[0.0], &[], reason("content_filter"))), Grade::Pass);
    assert_eq!(grade(filtered_answer, &seen(&[0.0], &[], reason("stop"))), Grade::Fail);
    assert_eq!(grade(filtered_answer, &seen(&[0.0], &[0.5], reason("content_filter"))), Grade::Fail);
}

#[test]
fn a_refused_prefill_stays_inside() {
    let mut got = whole(Who::Fallback, 0.2, 6.0);
    assert_eq!(grade(prefill_rejected, &seen(&[0.0], &[2.2, 2.3], got.clone())), Grade::Pass);
    got.raw = format!("data: {{\"error\":\"it {PREFILL_ERROR}\"}}");
    assert_eq!(grade(prefill_rejected, &seen(&[0.0], &[2.2, 2.3], got)), Grade::Fail);
    let error = failed(200, "network", "cut");
    assert_eq!(grade(prefill_rejected, &seen(&[0.0], &[2.2], error)), Grade::Fail);
}

#[test]
fn in_an_outage_the_primary_is_left_alone_and_found_again() {
    let outage_seen = |primary: &[f64], back: Option<f64>| {
        let times: Vec<f64> = primary.iter().copied().chain(back).collect();
        let mut seen = seen(&times, &[], Got::default());
        if back.is_some() {
            seen.attempts.last_mut().unwrap().answered = true;
        }
        seen.calls = vec![whole(Who::Fallback, 1.0, 4.0); CALLS];
        seen
    };
    let opening = [0.0, 1.0, 2.5, 4.0];
    assert_eq!(grade(outage, &outage_seen(&opening, Some(68.0))), Grade::Pass);
    assert_eq!(grade(outage, &outage_seen(&[0.0, 1.0], Some(64.0))), Grade::Pass);
    assert_eq!(grade(outage, &outage_seen(&opening, None)), Grade::Fail, "never again");
    assert_eq!(grade(outage, &outage_seen(&opening, Some(91.0))), Grade::Fail, "too late");
    let probing = [0.0, 1.0, 2.5, 4.0, 34.0];
    assert_eq!(grade(outage, &outage_seen(&probing, Some(68.0))), Grade::Fail, "within a cooldown");
    let hammering: Vec<f64> = (0..15).map(|call| f64::from(call) * 4.0).collect();
    assert_eq!(grade(outage, &outage_seen(&hammering, Some(60.0))), Grade::Fail);
    let mut one_unserved = outage_seen(&opening, Some(68.0));
    one_unserved.calls[7] = failed(503, "unavailable", "all down");
    assert_eq!(grade(outage, &one_unserved), Grade::Fail);
}

#[test]
fn the_bill_is_the_fallbacks_and_no_more() {
    let right = whole(Who::Fallback, 3.0, 6.0);
    let billed = |usage: Vec<Value>| seen(&[0.0, 1.0], &[2.0], Got { usage, ..right.clone() });
    let fallback = body::usage(Who::Fallback, answer::WORDS);
    assert_eq!(grade(accounting, &billed(vec![fallback.clone()])), Grade::Pass);
    assert_eq!(grade(accounting, &billed(vec![])), Grade::Fail);
    assert_eq!(grade(accounting, &billed(vec![fallback.clone(), fallback])), Grade::Fail);
    let of_primary = body::usage(Who::Primary, answer::WORDS);
    assert_eq!(grade(accounting, &billed(vec![of_primary])), Grade::Fail);
    assert_eq!(grade(accounting, &billed(vec![body::usage(Who::Fallback, 180)])), Grade::Fail);
    let mut misnamed = seen(&[0.0], &[2.0], right.clone());
    misnamed.calls[0].headers.insert("x-mainstay-model".to_owned(), "words-primary".to_owned());
    assert_eq!(grade(accounting, &misnamed), Grade::Fail);
}

#[test]
fn attempts_are_counted_in_the_densest_span() {
    assert_eq!(most_within(&[0.0, 5.0, 5.5, 6.0, 9.0], 3.0), 3);
    assert_eq!(most_within(&[], 3.0), 0);
}

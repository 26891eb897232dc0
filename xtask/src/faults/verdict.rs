//! What counts as rescued: one function per scenario, in the words of docs/faults.md.

use super::answer;
use super::cases::{APART, CALLS, OUTAGE, Question, USED_AGAIN_WITHIN};
use super::client::{Got, Outcome};
use super::gateway::settings::{ALLOWED_FAILS, COOLDOWN, RETRIES, TIMEOUT};
use super::log::Attempt;
use super::plan::Who;
use super::scale::Scale;
use super::upstream::body::{self, FILTER_ERROR, PREFILL_ERROR, TOO_LONG_CODE};
use serde_json::Value;
use std::time::Duration;

pub(crate) type Judge = fn(&Seen, &mut Finding);

/// All that can be seen from outside.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) calls: Vec<Got>,
    /// After the last call.
    pub(crate) health: Result<(), String>,
    pub(crate) scale: Scale,
}

/// What a judge has to say.
#[derive(Debug, Default)]
pub(crate) struct Finding {
    flaws: Vec<String>,
    reservations: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// Rescued.
    Pass,
    /// Not rescued, but nobody is misled: allowed where the issue says "or a clear error".
    Safe,
    Fail,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) grade: Grade,
    pub(crate) reasons: Vec<String>,
}

impl Verdict {
    pub(crate) fn of(judge: Judge, seen: &Seen) -> Self {
        let mut finding = Finding::default();
        judge(seen, &mut finding);
        if let Err(ill) = &seen.health {
            finding.flaws.push(ill.clone());
        }
        let (grade, reasons) = match finding {
            Finding { flaws, .. } if !flaws.is_empty() => (Grade::Fail, flaws),
            Finding { reservations, .. } if !reservations.is_empty() => (Grade::Safe, reservations),
            _ => (Grade::Pass, Vec::new()),
        };
        Self { grade, reasons }
    }

    /// Of a case that could not be run.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self { grade: Grade::Fail, reasons: vec![reason.into()] }
    }
}

impl Finding {
    fn demand(&mut self, kept: bool, flaw: impl FnOnce() -> String) {
        if !kept {
            self.flaws.push(flaw());
        }
    }

    fn whole(&mut self, got: &Got) {
        self.demand(got.outcome() == Outcome::Whole, || "no whole answer".to_owned());
    }

    fn answered_by_fallback(&mut self, seen: &Seen, got: &Got) {
        self.whole(got);
        self.demand(seen.count(Who::Fallback) > 0, || "the fallback was not asked".to_owned());
        if let Some(named) = &got.model {
            self.demand(named == Who::Fallback.model(), || format!("the answer names the model {named}"));
        }
    }

    fn at_most(&mut self, seen: &Seen, who: Who, most: usize) {
        let count = seen.count(who);
        self.demand(count <= most, || {
            format!("{count} attempts at the {}, at most {most} are right", who.name())
        });
    }

    fn exactly(&mut self, seen: &Seen, who: Who, right: usize) {
        let count = seen.count(who);
        self.demand(count == right, || {
            format!("{count} attempts at the {}, {right} would be right", who.name())
        });
    }

    fn first_word_within(&mut self, seen: &Seen, got: &Got, limit: f64) {
        let first = got.first_word_after().map(|time| seen.full(time));
        self.demand(first.is_none_or(|first| first <= limit), || {
            format!("first word after {:.1} s, at most {limit} s is right", first.unwrap_or_default())
        });
    }
}

impl Seen {
    fn call(&self) -> &Got {
        static NOTHING: std::sync::LazyLock<Got> = std::sync::LazyLock::new(Got::default);
        self.calls.first().unwrap_or(&NOTHING)
    }

    /// A measured time in seconds of the full profile.
    pub(crate) fn full(&self, time: Duration) -> f64 {
        time.as_secs_f64() * self.scale.0
    }

    pub(crate) fn of(&self, who: Who) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(move |attempt| attempt.who == who)
    }

    pub(crate) fn count(&self, who: Who) -> usize {
        self.of(who).count()
    }

    /// When `who` was asked, in seconds of the full profile.
    pub(crate) fn times(&self, who: Who) -> Vec<f64> {
        self.of(who).map(|attempt| self.full(attempt.at)).collect()
    }
}

/// 429 with `Retry-After: 2` once: waits at least 1.8 s or fails over, no tight loop. The header counts real seconds.
pub(super) fn rate_limit_once(seen: &Seen, finding: &mut Finding) {
    finding.whole(seen.call());
    let times: Vec<f64> = seen.of(Who::Primary).map(|attempt| attempt.at.as_secs_f64()).collect();
    if let [first, second, ..] = times[..] {
        finding.demand(second - first >= 1.8, || {
            format!("asked again {:.2} s (of the clock) after Retry-After: 2", second - first)
        });
    }
    finding.at_most(seen, Who::Primary, 2);
    finding.at_most(seen, Who::Fallback, 1);
}

/// 429 without header for ever: at most 4 attempts in 3 s, 6 in all, then the fallback answers.
pub(super) fn rate_limit_forever(seen: &Seen, finding: &mut Finding) {
    finding.answered_by_fallback(seen, seen.call());
    finding.at_most(seen, Who::Primary, 6);
    let densest = most_within(&seen.times(Who::Primary), 3.0);
    finding.demand(densest <= 4, || format!("{densest} attempts within 3 s, at most 4 are right"));
}

/// 500 once: the same deployment again.
pub(super) fn server_error_once(seen: &Seen, finding: &mut Finding) {
    finding.whole(seen.call());
    finding.exactly(seen, Who::Primary, 2);
    finding.exactly(seen, Who::Fallback, 0);
}

/// 503 for ever, and TCP reset before headers: two retries, then the fallback answers.
pub(super) fn down_forever(seen: &Seen, finding: &mut Finding) {
    finding.answered_by_fallback(seen, seen.call());
    finding.at_most(seen, Who::Primary, RETRIES + 1);
}

/// Silence for 120 s: the fallback answers after one timeout, the silent one is asked once.
pub(super) fn silence(seen: &Seen, finding: &mut Finding) {
    finding.answered_by_fallback(seen, seen.call());
    finding.exactly(seen, Who::Primary, 1);
    finding.first_word_within(seen, seen.call(), TIMEOUT + 5.0);
}

/// First token after 20 s: the fallback answers within 15 s.
pub(super) fn slow_first_token(seen: &Seen, finding: &mut Finding) {
    finding.answered_by_fallback(seen, seen.call());
    finding.first_word_within(seen, seen.call(), 15.0);
}

/// Stream cut after 40 of 60 words, malformed tenth event: the whole answer, or a clear error; never a truncated
/// success.
pub(super) fn whole_or_clear_error(seen: &Seen, finding: &mut Finding) {
    match seen.call().outcome() {
        Outcome::Error(error) => finding.reservations.push(format!("a clear error, no answer: {error}")),
        _ => finding.whole(seen.call()),
    }
}

/// Stall of 30 s after 20 words: bounded, whole answer, gateway healthy afterwards.
pub(super) fn stall(seen: &Seen, finding: &mut Finding) {
    finding.whole(seen.call());
    let took = seen.full(seen.call().took());
    finding.demand(took <= TIMEOUT, || format!("it took {took:.1} s, at most {TIMEOUT} s is right"));
    let afterwards = seen.calls.get(1).map(Got::outcome);
    finding.demand(afterwards == Some(Outcome::Whole), || {
        let text = afterwards.map_or_else(|| "was not made".to_owned(), |outcome| outcome.text());
        format!("the call afterwards: {text}")
    });
}

/// No `[DONE]`: finishes within a second (of the clock), with usage; a complete answer is not asked for again.
pub(super) fn no_done(seen: &Seen, finding: &mut Finding) {
    let got = seen.call();
    finding.whole(got);
    finding.demand(!got.usage.is_empty(), || "no usage".to_owned());
    let last_write = seen.attempts.iter().filter_map(|attempt| attempt.last_write).max().unwrap_or_default();
    let after = got.ended.saturating_sub(last_write).as_secs_f64();
    finding.demand(after <= 1.0, || format!("ended {after:.2} s after the last event, at most 1 s is right"));
    finding.exactly(seen, Who::Primary, 1);
    finding.exactly(seen, Who::Fallback, 0);
}

/// Context length exceeded: not sent again unchanged; what is shortened keeps the system prompt and the question.
pub(super) fn context_length(seen: &Seen, finding: &mut Finding) {
    not_sent_again_unchanged(seen, finding);
    let asked = Question::ManyTurns.messages();
    let keeps_ends = |attempt: &Attempt| {
        let sent = attempt.request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let same = |a: Option<&Value>, b: Option<&Value>| a.zip(b).is_some_and(|(a, b)| is_same(a, b));
        same(sent.first(), asked.first()) && same(sent.last(), asked.last())
    };
    finding.demand(seen.attempts.iter().all(keeps_ends), || {
        "a shortened request lost the system prompt or the question".to_owned()
    });
    if is_too_long_error(seen.call()) {
        finding.reservations.push("the provider's error, no answer of a shortened request".to_owned());
    } else {
        finding.whole(seen.call());
    }
}

/// The same with nothing to leave out: the provider's reason reaches the caller.
pub(super) fn context_length_of_one_turn(seen: &Seen, finding: &mut Finding) {
    not_sent_again_unchanged(seen, finding);
    if !is_too_long_error(seen.call()) {
        finding.whole(seen.call());
    }
}

fn not_sent_again_unchanged(seen: &Seen, finding: &mut Finding) {
    for who in [Who::Primary, Who::Fallback] {
        let sent: Vec<&Value> = seen.of(who).map(|attempt| &attempt.request["messages"]).collect();
        let again = sent.iter().enumerate().any(|(at, messages)| sent[..at].contains(messages));
        finding.demand(!again, || format!("the {} was sent the same messages again", who.name()));
    }
    finding.demand(!seen.attempts.is_empty(), || "nobody was asked".to_owned());
}

/// Role and text; members that a gateway adds are its own affair.
fn is_same(a: &Value, b: &Value) -> bool {
    a["role"] == b["role"] && answer::text_of(a) == answer::text_of(b)
}

fn is_too_long_error(got: &Got) -> bool {
    let code = got.error.as_ref().map(|error| &error["code"]);
    matches!(got.outcome(), Outcome::Error(_))
        && got.status == Some(400)
        && code.is_some_and(|code| code == TOO_LONG_CODE)
}

/// Content filter: sent once; the provider's reason reaches the caller.
pub(super) fn content_filter(seen: &Seen, finding: &mut Finding) {
    sent_once(seen, finding);
    let got = seen.call();
    let message = got.error.as_ref().and_then(|error| error["message"].as_str()).unwrap_or_default();
    finding.demand(matches!(got.outcome(), Outcome::Error(_)), || "no error".to_owned());
    finding.demand(got.status == Some(400), || "the status is not the provider's 400".to_owned());
    finding.demand(message.contains(FILTER_ERROR), || {
        format!("the provider's reason is not in the error: {message:?}")
    });
}

/// The same in the middle of an answer.
pub(super) fn filtered_answer(seen: &Seen, finding: &mut Finding) {
    sent_once(seen, finding);
    let got = seen.call();
    let code = got.error.as_ref().map(|error| &error["code"]);
    let told = got.finish_reason.as_deref() == Some("content_filter")
        || code.is_some_and(|code| code == "content_filter");
    finding.demand(told, || "the caller is not told".to_owned());
    finding.demand(!got.hung && got.broken.is_none(), || "the answer does not end properly".to_owned());
}

fn sent_once(seen: &Seen, finding: &mut Finding) {
    let count = seen.attempts.len();
    finding.demand(count == 1, || format!("sent {count} times, once is right"));
}

/// Fallback that rejects prefill after a cut: whole answer by restart; the prefill error never surfaces.
pub(super) fn prefill_rejected(seen: &Seen, finding: &mut Finding) {
    let got = seen.call();
    finding.whole(got);
    let surfaced =
        got.raw.contains(PREFILL_ERROR) || got.headers.values().any(|value| value.contains(PREFILL_ERROR));
    finding.demand(!surfaced, || "the prefill error reached the caller".to_owned());
}

/// Outage of 60 s then healthy, 20 calls 4 s apart: all served; at most one primary attempt per cooldown; primary used
/// again within 30 s of recovery.
///
/// The breaker may open at the failure after `allowed_fails`; cooldowns are counted from there.
pub(super) fn outage(seen: &Seen, finding: &mut Finding) {
    let unserved = seen.calls.iter().filter(|got| got.outcome() != Outcome::Whole).count();
    finding.demand(unserved == 0, || {
        let first = seen.calls.iter().map(Got::outcome).find(|outcome| *outcome != Outcome::Whole);
        let first = first.map(|outcome| outcome.text()).unwrap_or_default();
        format!("{unserved} of {} calls were not served; the first: {first}", seen.calls.len())
    });
    finding.demand(seen.calls.len() >= CALLS, || format!("{} calls were made", seen.calls.len()));

    let mut during = seen.times(Who::Primary);
    during.retain(|at| *at < OUTAGE);
    // A twentieth for clocks and jitter.
    let cooldown = COOLDOWN * 0.95;
    let early = during.iter().skip(ALLOWED_FAILS).zip(during.iter().skip(ALLOWED_FAILS + 1));
    let early = early.filter(|(before, after)| *after - *before < cooldown).count();
    finding.demand(early == 0, || {
        format!(
            "{} primary attempts in the outage, {early} of them within a cooldown of {COOLDOWN} s",
            during.len()
        )
    });

    let used_again = seen.of(Who::Primary).filter(|attempt| attempt.answered).map(|a| seen.full(a.at)).next();
    finding.demand(used_again.is_some_and(|at| at <= OUTAGE + USED_AGAIN_WITHIN), || match used_again {
        None => "the primary was not used again".to_owned(),
        Some(at) => format!("the primary was used again {:.1} s after its recovery", at - OUTAGE),
    });
}

/// How long the outage is watched at most, in seconds of the full profile.
pub(super) const WATCHED: f64 = OUTAGE + USED_AGAIN_WITHIN + APART;

/// Accounting: the reply names the fallback model and its usage; failed attempts are not billed as completions.
pub(super) fn accounting(seen: &Seen, finding: &mut Finding) {
    let got = seen.call();
    down_forever(seen, finding);
    if let Some(named) = got.headers.get("x-mainstay-model") {
        finding.demand(named == Who::Fallback.model(), || format!("x-mainstay-model is {named}"));
    }
    let right = body::usage(Who::Fallback, answer::WORDS);
    let counted = |usage: &Value| {
        ["prompt_tokens", "completion_tokens", "total_tokens"].map(|member| usage[member].as_u64())
    };
    match &got.usage[..] {
        [usage] => finding.demand(counted(usage) == counted(&right), || {
            format!("usage is {usage}, the fallback's is {right}")
        }),
        [] => finding.flaws.push("no usage".to_owned()),
        several => finding.flaws.push(format!("{} usages in one answer", several.len())),
    }
}

/// How many of these times fall into one span of this length, at most.
fn most_within(times: &[f64], span: f64) -> usize {
    let within = |from: &f64| times.iter().filter(|at| (*from..from + span).contains(at)).count();
    times.iter().map(within).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;

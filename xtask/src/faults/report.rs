//! What was seen: as a table, as details, as JSON.

use super::cases::scenarios;
use super::client::{self, Got};
use super::log::Attempt;
use super::plan::Who;
use super::run::{Outcome, Stage, Target};
use super::scale::Profile;
use super::verdict::{Grade, Seen};
use serde_json::{Value, json};
use std::fmt::{self, Write as _};

/// How many times are listed; of more, the first and the last.
const LISTED: usize = 5;

/// How many scenarios came to what; one is as good as its worst variant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) passed: usize,
    pub(crate) safe: usize,
    pub(crate) failed: usize,
}

impl Sum {
    pub(crate) fn of(outcomes: &[Outcome]) -> Self {
        let mut sum = Self { passed: 0, safe: 0, failed: 0 };
        for scenario in scenarios(outcomes.iter().map(|outcome| &outcome.case)) {
            let variants = outcomes.iter().filter(|outcome| outcome.case.scenario == scenario);
            match variants.map(|outcome| outcome.verdict.grade).max() {
                Some(Grade::Fail) => sum.failed += 1,
                Some(Grade::Safe) => sum.safe += 1,
                _ => sum.passed += 1,
            }
        }
        sum
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, safe, failed } = self;
        write!(f, "{} scenarios: {passed} pass, {safe} safe, {failed} FAIL", passed + safe + failed)
    }
}

/// A line per case, and beneath it why it failed.
pub(crate) fn table(outcomes: &[Outcome], profile: Profile) -> String {
    let mut rows = vec![["scenario", "verdict", "primary", "fallback", "the caller got"].map(String::from)];
    rows.extend(outcomes.iter().map(row));
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut table = format!(
        "attempts: how many, and when, in seconds from the start{}\n\n",
        if profile == Profile::Full { "" } else { " (times ten: what they would be in the full profile)" }
    );
    // The first row is the heading.
    let reasons = std::iter::once(&[][..]).chain(outcomes.iter().map(|outcome| &outcome.verdict.reasons[..]));
    for (row, reasons) in rows.iter().zip(reasons) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
        for reason in reasons {
            // Writing to a text cannot fail.
            let _ = writeln!(table, "    {}", reason.replace('\n', "\n    "));
        }
    }
    table
}

fn row(outcome: &Outcome) -> [String; 5] {
    let grade = name(outcome.verdict.grade);
    let attempts = |who| outcome.seen.as_ref().map_or_else(|| "-".to_owned(), |seen| times(&seen.times(who)));
    let got = outcome.seen.as_ref().map_or_else(|| "-".to_owned(), got);
    [outcome.case.name(), grade.to_owned(), attempts(Who::Primary), attempts(Who::Fallback), got]
}

fn name(grade: Grade) -> &'static str {
    match grade {
        Grade::Pass => "pass",
        Grade::Safe => "safe",
        Grade::Fail => "FAIL",
    }
}

fn times(times: &[f64]) -> String {
    let listed = |times: &[f64]| times.iter().map(|at| format!("{at:.1}")).collect::<Vec<_>>().join(" ");
    match times {
        [] => "0".to_owned(),
        few if few.len() <= LISTED => format!("{}: {}", few.len(), listed(few)),
        [first @ .., last] => {
            format!("{}: {} … {last:.1}", times.len(), listed(&first[..LISTED - 1]))
        }
    }
}

fn got(seen: &Seen) -> String {
    match &seen.calls[..] {
        [one] => format!("{} ({:.1} s)", one.outcome().text(), seen.full(one.took())),
        [one, then] => {
            format!(
                "{} ({:.1} s), then {}",
                one.outcome().text(),
                seen.full(one.took()),
                then.outcome().text()
            )
        }
        many => {
            let whole = many.iter().filter(|got| got.outcome() == client::Outcome::Whole).count();
            format!("{whole} of {} whole answers", many.len())
        }
    }
}

/// Every attempt and every call, in the order of time.
pub(crate) fn details(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "== {}: {}", outcome.case.name(), name(outcome.verdict.grade));
        for reason in &outcome.verdict.reasons {
            let _ = writeln!(text, "   {reason}");
        }
        if let Some(seen) = &outcome.seen {
            for attempt in &seen.attempts {
                let _ = writeln!(text, "   {}", attempt_line(seen, attempt));
            }
            for call in &seen.calls {
                let _ = writeln!(text, "   {}", call_line(seen, call));
            }
        }
        for line in outcome.gateway_log.lines() {
            let _ = writeln!(text, "   | {line}");
        }
        text.push('\n');
    }
    text
}

fn attempt_line(seen: &Seen, attempt: &Attempt) -> String {
    let messages = attempt.request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let last = messages.last().and_then(|message| message["role"].as_str()).unwrap_or("none");
    let end = match attempt.left {
        Some(left) => format!(", left by the gateway at {:.2}", seen.full(left)),
        None if attempt.answered => ", answered to the end".to_owned(),
        None => String::new(),
    };
    format!(
        "{:>7.2}  {:8}  {} ({} messages, the last by {last}){end}",
        seen.full(attempt.at),
        attempt.who.name(),
        attempt.did,
        messages.len()
    )
}

fn call_line(seen: &Seen, got: &Got) -> String {
    let mut line = format!(
        "{:>7.2}  caller    {} after {:.2} s, first word after {:.2} s",
        seen.full(got.asked),
        got.outcome().text(),
        seen.full(got.took()),
        seen.full(got.first_word_after().unwrap_or_default()),
    );
    let mut told = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(line, ", {name} {value}");
        }
    };
    told("model", got.model.clone());
    told("finish", got.finish_reason.clone());
    told("usage", got.usage.last().map(Value::to_string));
    told("error", got.error.as_ref().map(Value::to_string));
    for (name, value) in got.headers.iter().filter(|(name, _)| name.starts_with("x-mainstay")) {
        told(name, Some(value.clone()));
    }
    line
}

/// Everything, with times in seconds of the full profile.
pub(crate) fn json(outcomes: &[Outcome], stage: &Stage, profile: Profile) -> Value {
    let target = match &stage.target {
        Target::Direct => "direct".to_owned(),
        Target::Gateway(binary) => binary.display().to_string(),
    };
    let sum = Sum::of(outcomes);
    json!({
        "profile": profile.name(), "scale": stage.scale.0, "target": target,
        "passed": sum.passed, "safe": sum.safe, "failed": sum.failed,
        "cases": outcomes.iter().map(case_json).collect::<Vec<_>>(),
    })
}

fn case_json(outcome: &Outcome) -> Value {
    let (mut attempts, mut calls) = (Vec::new(), Vec::new());
    if let Some(seen) = &outcome.seen {
        attempts.extend(seen.attempts.iter().map(|attempt| attempt_json(seen, attempt)));
        calls.extend(seen.calls.iter().map(|got| call_json(seen, got)));
    }
    json!({
        "scenario": outcome.case.scenario, "variant": outcome.case.variant,
        "verdict": name(outcome.verdict.grade), "reasons": outcome.verdict.reasons,
        "attempts": attempts, "calls": calls,
    })
}

fn attempt_json(seen: &Seen, attempt: &Attempt) -> Value {
    json!({
        "upstream": attempt.who.name(), "at": seen.full(attempt.at), "did": attempt.did,
        "answered": attempt.answered, "left_at": attempt.left.map(|left| seen.full(left)),
        "request": attempt.request,
    })
}

fn call_json(seen: &Seen, got: &Got) -> Value {
    json!({
        "asked": seen.full(got.asked), "took": seen.full(got.took()),
        "first_word_after": got.first_word_after().map(|time| seen.full(time)),
        "outcome": got.outcome().text(), "status": got.status, "headers": got.headers, "text": got.text,
        "model": got.model, "finish_reason": got.finish_reason, "usage": got.usage, "error": got.error,
    })
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::super::verdict::Verdict;
    use super::*;

    #[test]
    fn a_scenario_is_as_good_as_its_worst_variant() {
        let cases = cases::all().into_iter().filter(|case| ["cut", "silence"].contains(&case.scenario));
        let outcomes: Vec<Outcome> = cases
            .map(|case| Outcome {
                verdict: match case.variant {
                    Some("clean-end") => Verdict::failed("truncated"),
                    _ => Verdict { grade: Grade::Pass, reasons: Vec::new() },
                },
                case,
                seen: None,
                gateway_log: String::new(),
            })
            .collect();
        let sum = Sum::of(&outcomes);
        assert_eq!(sum, Sum { passed: 1, safe: 0, failed: 1 });
        assert_eq!(sum.to_string(), "2 scenarios: 1 pass, 0 safe, 1 FAIL");
    }

    #[test]
    fn of_many_attempts_the_first_and_the_last_are_listed() {
        assert_eq!(times(&[]), "0");
        assert_eq!(times(&[0.0, 2.04]), "2: 0.0 2.0");
        assert_eq!(times(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "7: 0.0 1.0 2.0 3.0 … 6.0");
    }
}

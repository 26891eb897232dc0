//! The sixteen scenarios, in the order of the table in docs/faults.md. Some have variants: the same promise where
//! the upstream fails in another manner or the question is another.

use super::plan::{Cut, Fault, Plan, Prefill, When};
use super::verdict::{self, Judge};
use serde_json::{Value, json};

pub(crate) struct Case {
    pub(crate) scenario: &'static str,
    pub(crate) variant: Option<&'static str>,
    pub(crate) primary: Plan,
    pub(crate) fallback: Plan,
    /// What the gateway takes the fallback for: who continues an assistant's turn, it knows by the kind.
    pub(crate) fallback_kind: &'static str,
    pub(crate) question: Question,
    pub(crate) drive: Drive,
    pub(crate) judge: Judge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// A short one, with a streamed answer and its usage.
    Streamed,
    /// The same, answered whole.
    Whole,
    /// The last of many turns.
    ManyTurns,
    /// One turn that is too long by itself.
    OneLongTurn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drive {
    Once,
    /// Again when the first call has ended.
    Twice,
    /// Twenty calls, four seconds apart; some more if the primary is not used again by then.
    Paced,
}

/// From the issue, in seconds of the full profile.
pub(crate) const OUTAGE: f64 = 60.0;
pub(crate) const CALLS: usize = 20;
pub(crate) const APART: f64 = 4.0;
pub(crate) const USED_AGAIN_WITHIN: f64 = 30.0;

/// What fits the primary when a question is too long: the conversation without its older half.
const WINDOW: usize = 700;
const TURNS: usize = 10;

impl Case {
    fn new(scenario: &'static str, fault: Plan, judge: Judge) -> Self {
        Self {
            scenario,
            variant: None,
            primary: fault,
            fallback: Plan::healthy(),
            fallback_kind: "openai",
            question: Question::Streamed,
            drive: Drive::Once,
            judge,
        }
    }

    fn variant(self, name: &'static str) -> Self {
        Self { variant: Some(name), ..self }
    }

    fn fallback(self, fallback: Plan) -> Self {
        Self { fallback, ..self }
    }

    /// The gateway may believe that the fallback continues an assistant's turn.
    fn believed_to_continue(self) -> Self {
        Self { fallback_kind: "vllm", ..self }
    }

    fn asking(self, question: Question) -> Self {
        Self { question, ..self }
    }

    fn driven(self, drive: Drive) -> Self {
        Self { drive, ..self }
    }

    /// `cut`, or `cut/clean-end`.
    pub(crate) fn name(&self) -> String {
        match self.variant {
            None => self.scenario.to_owned(),
            Some(variant) => format!("{}/{variant}", self.scenario),
        }
    }
}

pub(crate) fn all() -> Vec<Case> {
    let cut = |how| Plan::always(Fault::Cut { words: 40, how });
    let no_done = |closes| Plan::always(Fault::NoDone { closes });
    let outage = Plan { when: When::Until(OUTAGE), ..Plan::always(Fault::Unavailable) };
    vec![
        Case::new(
            "rate-limit-once",
            Plan::once(Fault::RateLimited { retry_after: Some(2) }),
            verdict::rate_limit_once,
        ),
        Case::new(
            "rate-limit-forever",
            Plan::always(Fault::RateLimited { retry_after: None }),
            verdict::rate_limit_forever,
        ),
        Case::new("server-error-once", Plan::once(Fault::ServerError), verdict::server_error_once),
        Case::new("server-error-once", Plan::once(Fault::ServerError), verdict::server_error_once)
            .variant("whole")
            .asking(Question::Whole),
        Case::new("unavailable-forever", Plan::always(Fault::Unavailable), verdict::down_forever),
        Case::new("unavailable-forever", Plan::always(Fault::Unavailable), verdict::down_forever)
            .variant("whole")
            .asking(Question::Whole),
        Case::new("reset", Plan::always(Fault::Reset), verdict::down_forever),
        Case::new("silence", Plan::always(Fault::Silence(120.0)), verdict::silence),
        Case::new("slow-first-token", Plan::always(Fault::SlowFirstToken(20.0)), verdict::slow_first_token),
        Case::new("cut", cut(Cut::Socket), verdict::whole_or_clear_error),
        Case::new("cut", cut(Cut::CleanEnd), verdict::whole_or_clear_error).variant("clean-end"),
        Case::new("cut", cut(Cut::Socket), verdict::whole_or_clear_error)
            .variant("prefill-ignored")
            .fallback(Plan::healthy().prefill(Prefill::Ignored))
            .believed_to_continue(),
        Case::new("cut", cut(Cut::Socket), verdict::whole_or_clear_error)
            .variant("continued")
            .believed_to_continue(),
        Case::new("stall", Plan::once(Fault::Stall { words: 20, pause: 30.0 }), verdict::stall)
            .driven(Drive::Twice),
        Case::new("malformed-event", Plan::always(Fault::MalformedEvent(10)), verdict::whole_or_clear_error),
        Case::new("no-done", no_done(false), verdict::no_done),
        Case::new("no-done", no_done(true), verdict::no_done).variant("closed"),
        Case::new("context-length", Plan::healthy().window(WINDOW), verdict::context_length)
            .fallback(Plan::healthy().window(WINDOW))
            .asking(Question::ManyTurns),
        Case::new("context-length", Plan::healthy().window(WINDOW), verdict::context_length_of_one_turn)
            .variant("one-turn")
            .fallback(Plan::healthy().window(WINDOW))
            .asking(Question::OneLongTurn),
        Case::new("content-filter", Plan::always(Fault::FilteredPrompt), verdict::content_filter),
        Case::new(
            "content-filter",
            Plan::always(Fault::FilteredAnswer { words: 5 }),
            verdict::filtered_answer,
        )
        .variant("finish-reason"),
        Case::new("prefill-rejected", cut(Cut::Socket), verdict::prefill_rejected)
            .fallback(Plan::healthy().prefill(Prefill::Rejected)),
        Case::new("prefill-rejected", cut(Cut::Socket), verdict::prefill_rejected)
            .variant("believed")
            .fallback(Plan::healthy().prefill(Prefill::Rejected))
            .believed_to_continue(),
        Case::new("outage", outage, verdict::outage).driven(Drive::Paced),
        Case::new("accounting", Plan::always(Fault::Unavailable), verdict::accounting),
        Case::new("accounting", Plan::always(Fault::Unavailable), verdict::accounting)
            .variant("whole")
            .asking(Question::Whole),
    ]
}

/// The scenarios of these cases, each once.
pub(crate) fn scenarios<'a>(cases: impl Iterator<Item = &'a Case>) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = cases.map(|case| case.scenario).collect();
    names.dedup();
    names
}

impl Question {
    /// The request as a caller writes it.
    pub(crate) fn body(self, model: &str) -> Value {
        let mut body = json!({"model": model, "messages": self.messages()});
        if self != Self::Whole {
            body["stream"] = true.into();
            body["stream_options"] = json!({"include_usage": true});
        }
        body
    }

    pub(crate) fn messages(self) -> Vec<Value> {
        let mut messages = vec![json!({"role": "system", "content": "You know sixty words by heart."})];
        if self == Self::ManyTurns {
            for turn in 1..=TURNS {
                let filler = format!("filler{turn:02} ").repeat(48);
                messages.push(json!({"role": "user", "content": format!("Question {turn}. {filler}")}));
                messages.push(json!({"role": "assistant", "content": format!("Answer {turn}.")}));
            }
        }
        let ballast = if self == Self::OneLongTurn { " please".repeat(800) } else { String::new() };
        messages.push(json!({"role": "user", "content": format!("Say the sixty words{ballast}.")}));
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::super::upstream::tokens_of;
    use super::*;

    #[test]
    fn there_are_sixteen_scenarios_and_no_two_cases_have_one_name() {
        let cases = all();
        assert_eq!(scenarios(cases.iter()).len(), 16);
        let mut names: Vec<String> = cases.iter().map(Case::name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), cases.len());
    }

    #[test]
    fn the_long_conversation_fits_without_its_older_half_and_the_long_turn_never() {
        let messages = Question::ManyTurns.messages();
        assert!(tokens_of(&messages) > WINDOW);
        let half = [&messages[..1], &messages[1 + TURNS..]].concat();
        assert!(tokens_of(&half) <= WINDOW, "{}", tokens_of(&half));
        assert!(tokens_of(&Question::OneLongTurn.messages()[1..]) > WINDOW);
        assert!(tokens_of(&Question::Streamed.messages()) < WINDOW);
    }
}

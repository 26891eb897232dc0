//! An alert as it is sent.

use axum::http::HeaderValue;
use bytes::Bytes;
use jiff::Timestamp;
use mainstay::{Event, Severity};
use serde_json::{Map, Value};

/// The longest field of an event that is sent, in bytes; what is longer is cut.
const LONGEST: usize = 1024;

/// An alert as it is sent, the same at every attempt.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(super) id: HeaderValue,
    pub(super) event: &'static str,
    pub(super) body: Bytes,
}

/// An event, and when it was.
#[derive(Debug)]
pub(super) struct Alert {
    pub(super) at: Timestamp,
    pub(super) event: Event,
}

/// Makes letters: their ids are a number of this process, chosen by chance, and how many letters it has made.
pub(super) struct Letters {
    process: u128,
    made: u64,
}

impl Letters {
    pub(super) fn new() -> Result<Self, String> {
        let mut process = [0; 16];
        getrandom::fill(&mut process).map_err(|error| format!("the system gives no randomness: {error}"))?;
        Ok(Self { process: u128::from_ne_bytes(process), made: 0 })
    }

    /// `{"id", "at", "event", "severity", …}`, then what the event says.
    pub(super) fn write(&mut self, alert: Alert) -> Letter {
        self.made += 1;
        let id = format!("alert-{:032x}-{}", self.process, self.made);
        let Alert { at, event } = alert;
        let mut body = Map::new();
        body.insert("id".into(), id.as_str().into());
        body.insert("at".into(), millis(at).to_string().into());
        body.insert("event".into(), event.name.into());
        body.insert("severity".into(), severity(event.severity).into());
        for (name, value) in &event.attributes {
            let mut name = (*name).to_owned();
            while body.contains_key(&name) {
                name.push('_');
            }
            body.insert(name, cut(value).into());
        }
        Letter {
            id: HeaderValue::from_str(&id).expect("an id is letters, digits and hyphens"),
            event: event.name,
            body: Value::Object(body).to_string().into(),
        }
    }
}

/// Nobody needs to know it to the nanosecond.
fn millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Alert => "alert",
    }
}

fn cut(value: &str) -> String {
    if value.len() <= LONGEST {
        return value.to_owned();
    }
    let mut end = LONGEST;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &value[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(event: Event) -> (Letter, Value) {
        let at = "2026-11-21T16:54:19.123456789Z".parse().unwrap();
        let letter = Letters::new().unwrap().write(Alert { at, event });
        let body = serde_json::from_slice(&letter.body).unwrap();
        (letter, body)
    }

    #[test]
    fn a_letter_says_what_the_event_says_and_when() {
        let event = Event::new("budget.hard_limit", Severity::Alert).with("subject", "org:acme");
        let (letter, body) = letter(event);
        let id = letter.id.to_str().unwrap();
        let expected = serde_json::json!({
            "id": id, "at": "2026-11-21T16:54:19.123Z", "event": "budget.hard_limit", "severity": "alert",
            "subject": "org:acme",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn ids_differ_within_a_process_and_between_processes() {
        let alert = || Alert { at: Timestamp::UNIX_EPOCH, event: Event::new("a", Severity::Info) };
        let (mut one, mut other) = (Letters::new().unwrap(), Letters::new().unwrap());
        let ids = [one.write(alert()).id, one.write(alert()).id, other.write(alert()).id];
        assert!(ids[0] != ids[1] && ids[0] != ids[2]);
    }

    // Security test 22.
    #[test]
    fn control_characters_are_escaped() {
        let (letter, body) =
            letter(Event::new("a", Severity::Info).with("model", "x\r\nHost: y\u{1b}[31m\"\u{0}"));
        assert!(letter.body.iter().all(|byte| !byte.is_ascii_control()), "{:?}", letter.body);
        assert_eq!(body["model"], "x\r\nHost: y\u{1b}[31m\"\u{0}");
    }

    #[test]
    fn a_field_never_takes_the_place_of_another() {
        let (_, body) =
            letter(Event::new("a", Severity::Info).with("event", "b").with("x", "1").with("x", "2"));
        assert_eq!((&body["event"], &body["event_"]), (&"a".into(), &"b".into()));
        assert_eq!((&body["x"], &body["x_"]), (&"1".into(), &"2".into()));
    }

    #[test]
    fn a_long_field_is_cut_between_characters() {
        let (_, body) = letter(Event::new("a", Severity::Info).with("reason", "ä".repeat(600) + "x"));
        assert_eq!(body["reason"].as_str().unwrap(), format!("{}…", "ä".repeat(512)));
    }
}

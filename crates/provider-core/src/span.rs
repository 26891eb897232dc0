//! Spans of time as a configuration writes them: `"10s"`, `"500ms"`, `"2m"`, `"1h"`, `"1d"`, or a number of seconds.
//!
//! All settings read them so, by serde's `with`:
//!
//! ```
//! use std::time::Duration;
//!
//! use mainstay_provider_core::span;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Settings {
//!     #[serde(with = "span")]
//!     timeout: Duration,
//! }
//!
//! for text in [r#"{"timeout": "1.5m"}"#, r#"{"timeout": 90}"#] {
//!     let settings: Settings = serde_json::from_str(text)?;
//!     assert_eq!(settings.timeout, Duration::from_secs(90));
//! }
//! # Ok::<_, serde_json::Error>(())
//! ```

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

/// Reads a number with a unit: `ms`, `s`, `m` or `min`, `h`, `d`. `None` when it is none.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

/// Writes it as whole milliseconds: `"500ms"`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}ms", span.as_millis()))
}

/// Reads a text with a unit, or a number of seconds.
///
/// # Errors
/// When it is neither, negative, or longer than a [`Duration`] can be.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(TextOrSeconds)
}

struct TextOrSeconds;

impl Visitor<'_> for TextOrSeconds {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span of time like \"10s\", \"500ms\" or \"2m\", or a number of seconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        u64::try_from(seconds)
            .map(Duration::from_secs)
            .map_err(|_| E::custom("a span of time cannot be negative"))
    }

    fn visit_u64<E>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| E::custom("a span of time must be a number of seconds from 0 on"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("1.5 m"), Some(Duration::from_secs(90)));
        assert_eq!(parse(" 2min "), Some(Duration::from_secs(120)));
        assert_eq!(parse("1h"), parse("60m"));
        assert_eq!(parse("1d"), parse("24h"));
        for wrong in ["10", "-1s", "", "s", "1 year", "1.2.3s", "NaNs", &format!("{}d", "9".repeat(400))] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_span_is_told_in_the_words_of_a_configuration() {
        let read = |text: &str| deserialize(&mut serde_json::Deserializer::from_str(text));
        assert_eq!(read("0.25").unwrap(), Duration::from_millis(250));
        for (wrong, why) in [
            ("-1", "a span of time cannot be negative"),
            ("-0.5", "a span of time must be a number of seconds from 0 on"),
            ("1e300", "a span of time must be a number of seconds from 0 on"),
            (
                "\"soon\"",
                "invalid value: string \"soon\", expected a span of time like \"10s\", \"500ms\" or \"2m\"",
            ),
            ("true", "invalid type: boolean `true`, expected a span of time"),
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut text = Vec::new();
        serialize(&Duration::from_millis(90_500), &mut serde_json::Serializer::new(&mut text)).unwrap();
        assert_eq!(text, b"\"90500ms\"");
        let read = deserialize(&mut serde_json::Deserializer::from_slice(&text)).unwrap();
        assert_eq!(read, Duration::from_millis(90_500));
    }
}

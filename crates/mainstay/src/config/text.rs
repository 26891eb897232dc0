//! Values with a form of their own: texts with environment references, spans of time.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use mainstay_provider_core::{Error, ErrorKind, span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A text in which `${NAME}` stands for an environment variable. `$${` writes `${` itself.
///
/// `Debug` shows references but no literal text, which may be a key.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvText(String);

impl EnvText {
    /// A text as it stands in a configuration.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The environment variables that it refers to.
    pub fn references(&self) -> Vec<&str> {
        pieces(&self.0)
            .filter_map(|piece| if let Piece::Reference(name) = piece { Some(name) } else { None })
            .collect()
    }

    /// The text with its references replaced. `path` names the setting in errors.
    ///
    /// # Errors
    /// When a variable is not set.
    pub fn resolve(&self, path: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Error> {
        let mut resolved = String::with_capacity(self.0.len());
        for piece in pieces(&self.0) {
            match piece {
                Piece::Literal(text) => resolved.push_str(text),
                Piece::Reference(name) => resolved.push_str(&env(name).ok_or_else(|| {
                    let message = format!("{path}: the environment variable {name} is not set");
                    Error::new(ErrorKind::Configuration, message)
                })?),
            }
        }
        Ok(resolved)
    }
}

enum Piece<'a> {
    Literal(&'a str),
    Reference(&'a str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(after) = rest.strip_prefix("$${") {
            rest = after;
            return Some(Piece::Literal("${"));
        }
        if let Some((name, after)) = rest.strip_prefix("${").and_then(|inner| inner.split_once('}')) {
            rest = after;
            return Some(Piece::Reference(name));
        }
        let end = rest.char_indices().skip(1).find(|(_, c)| *c == '$').map_or(rest.len(), |(at, _)| at);
        let (literal, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Literal(literal))
    })
}

impl fmt::Debug for EnvText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in pieces(&self.0) {
            match piece {
                Piece::Literal(_) => f.write_str("…")?,
                Piece::Reference(name) => write!(f, "${{{name}}}")?,
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for EnvText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for EnvText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "EnvText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "A text; ${NAME} stands for an environment variable."})
    }
}

/// A span of time: `"10s"`, `"500ms"`, `"2m"`, `"1h"`, `"1d"`, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(Duration);

impl Span {
    /// This span.
    pub fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// As a duration.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        span::deserialize(deserializer).map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A span of time: \"10s\", \"500ms\", \"2m\", \"1h\", or a number of seconds.",
            "anyOf": [{"type": "string", "pattern": "^[0-9.]+ *(ms|s|m|min|h|d)$"}, {"type": "number", "minimum": 0}]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_the_rest_is_kept() {
        let env = |name: &str| (name == "KEY").then(|| "s3cret".to_owned());
        let resolve = |text: &str| EnvText::new(text).resolve("providers.x.api_key", &env);
        assert_eq!(resolve("a ${KEY} b$ $${KEY}").unwrap(), "a s3cret b$ ${KEY}");
        let error = resolve("${NOT_SET}").unwrap_err();
        assert_eq!(error.message(), "providers.x.api_key: the environment variable NOT_SET is not set");
    }

    #[test]
    fn debug_shows_no_literal_key() {
        assert_eq!(format!("{:?}", EnvText::new("sk-canary")), "…");
        assert_eq!(format!("{:?}", EnvText::new("${KEY}")), "${KEY}");
    }
}

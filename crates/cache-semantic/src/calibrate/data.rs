//! Labelled questions, a line of JSON each.

use serde_json::Value;

/// Two questions, and whether one answer does for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledPair {
    /// One question.
    pub a: String,
    /// The other.
    pub b: String,
    /// Whether they ask the same.
    pub same_intent: bool,
    /// Where the pair comes from, for a table by source.
    pub source: Option<String>,
}

/// A question in the order in which it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayQuery {
    /// The question.
    pub query: String,
    /// What it asks: questions of the same intent may share an answer.
    pub intent: String,
    /// The answer, where it is known.
    pub answer: Option<String>,
    /// Where the question comes from: its own member, or what stands before the colon of the intent.
    pub source: Option<String>,
}

/// Why labelled data cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct InvalidData {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it. Names members, and quotes nothing.
    pub problem: &'static str,
}

/// Reads `{"a": …, "b": …, "same_intent": …, "source": …}`, one a line; `source` may be left out.
///
/// # Errors
/// The first line that is something else.
pub fn read_pairs(text: &str) -> Result<Vec<LabelledPair>, InvalidData> {
    each_line(text, |value| {
        let same_intent =
            value.get("same_intent").and_then(Value::as_bool).ok_or("same_intent must be true or false")?;
        Ok(LabelledPair {
            a: text_member(value, "a").ok_or("a must be a text")?,
            b: text_member(value, "b").ok_or("b must be a text")?,
            same_intent,
            source: text_member(value, "source"),
        })
    })
}

/// Reads `{"query": …, "intent": …, "answer": …}`, one a line; `answer` and `source` may be left out.
///
/// # Errors
/// The first line that is something else.
pub fn read_stream(text: &str) -> Result<Vec<ReplayQuery>, InvalidData> {
    each_line(text, |value| {
        let intent = text_member(value, "intent").ok_or("intent must be a text")?;
        let source = text_member(value, "source")
            .or_else(|| intent.split_once(':').map(|(source, _)| source.to_owned()));
        Ok(ReplayQuery {
            query: text_member(value, "query").ok_or("query must be a text")?,
            intent,
            answer: text_member(value, "answer"),
            source,
        })
    })
}

fn each_line<T>(text: &str, read: impl Fn(&Value) -> Result<T, &'static str>) -> Result<Vec<T>, InvalidData> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(text, line)| {
            let value: Value = serde_json::from_str(text)
                .map_err(|_| InvalidData { line, problem: "this is no JSON object" })?;
            read(&value).map_err(|problem| InvalidData { line, problem })
        })
        .collect()
}

fn text_member(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

//! A TOML text read section by section, so that all its problems are told at once, each with its line.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeOwned, IntoDeserializer as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A TOML text, read section by section.
pub struct Document<'a> {
    text: &'a str,
    rest: DeTable<'a>,
    /// Where each entry stood that was read: `["models", "main"]`.
    places: BTreeMap<Vec<String>, Range<usize>>,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// All problems of a configuration, in the order of their lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if number > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl<'a> Document<'a> {
    /// Reads the text as TOML.
    ///
    /// # Errors
    /// Every place where it is not TOML.
    pub fn parse(text: &'a str) -> Result<Self, Problems> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document = Self {
            text,
            rest: table.into_inner(),
            places: BTreeMap::new(),
            known: Vec::new(),
            problems: Vec::new(),
        };
        for error in errors {
            document.error("", error.span().unwrap_or(0..0), error.message());
        }
        if document.problems.is_empty() { Ok(document) } else { Err(Problems(document.problems)) }
    }

    /// Takes a section out; `None` when it is not there or has a problem, which is noted.
    pub fn section<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        self.known.push(name);
        let value = self.take(name)?;
        self.read(&[name], value)
    }

    /// Takes a table of named entries out, each read by itself.
    pub fn table<T: DeserializeOwned>(&mut self, name: &'static str) -> BTreeMap<String, T> {
        self.known.push(name);
        let mut entries = BTreeMap::new();
        let Some(value) = self.take(name) else { return entries };
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            self.error(name, span, &format!("must be a table: write [{name}.NAME]"));
            return entries;
        };
        for (key, value) in table {
            let key = key.into_inner().into_owned();
            if let Some(entry) = self.read(&[name, &key], value) {
                entries.insert(key, entry);
            }
        }
        entries
    }

    /// Notes a problem with an entry that was read.
    pub fn problem(&mut self, path: &[&str], message: &str) {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        let span = self.places.get(&path).cloned().unwrap_or(0..0);
        self.error("", span, message);
    }

    /// The problems; sections that nobody took are among them.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn finish(mut self) -> Result<(), Problems> {
        for (key, _) in std::mem::take(&mut self.rest) {
            let message = unknown(key.get_ref(), &self.known);
            self.error("", key.span(), &message);
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        Err(Problems(self.problems))
    }

    fn take(&mut self, name: &str) -> Option<Spanned<DeValue<'a>>> {
        let key = self.rest.keys().find(|key| key.get_ref() == name)?.clone();
        self.rest.remove(&key)
    }

    fn read<T: DeserializeOwned>(&mut self, path: &[&str], value: Spanned<DeValue<'a>>) -> Option<T> {
        let span = value.span();
        self.places.insert(path.iter().map(|&part| part.to_owned()).collect(), span.clone());
        match T::deserialize(value.into_deserializer()) {
            Ok(read) => Some(read),
            Err(error) => {
                let message = suggest(error.message());
                self.error(&path.join("."), error.span().unwrap_or(span), &message);
                None
            }
        }
    }

    fn error(&mut self, path: &str, span: Range<usize>, message: &str) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let message = if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") };
        self.problems.push(Problem {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
        });
    }
}

/// serde's "unknown field `x`, expected one of `a`, `b`" with the nearest of them.
fn suggest(message: &str) -> String {
    let Some(list) =
        message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))
    else {
        return message.to_owned();
    };
    let mut names = list.split('`').skip(1).step_by(2);
    let Some(wrong) = names.next() else { return message.to_owned() };
    unknown(wrong, &names.collect::<Vec<_>>())
}

fn unknown(wrong: &str, known: &[&str]) -> String {
    let near = |name: &str| if name.starts_with(wrong) { 1 } else { distance(wrong, name) };
    let nearest = known.iter().map(|name| (near(name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= wrong.len().max(3) / 3 + 1 => {
            format!("unknown key \"{wrong}\"; did you mean \"{name}\"?")
        }
        _ => format!("unknown key \"{wrong}\"; there are: {}", known.join(", ")),
    }
}

/// How many letters must be changed, added or taken away (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

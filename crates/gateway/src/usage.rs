//! Usage reports (S6.4), for the command line and the admin API.

use jiff::civil::{Date, date};
use mainstay::budget::{UsageQuery, UsageTotal};
use mainstay::{Subject, Usage};
use serde::Serialize;
use serde_json::{Value, json};

/// What is asked, in words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// The first day, `2026-11-01`, in UTC.
    pub(crate) from: Option<&'a str>,
    /// The last day, itself included.
    pub(crate) to: Option<&'a str>,
    /// By what totals are told apart: `day`, `model`, `subject`, with commas between.
    pub(crate) by: Option<&'a str>,
    /// Only what this subject pays for.
    pub(crate) subject: Option<&'a str>,
    /// Only what subjects of this kind pay for.
    pub(crate) kind: Option<&'a str>,
}

const EPOCH: Date = date(1970, 1, 1);

impl Asked<'_> {
    /// The query that says so.
    ///
    /// # Errors
    /// Which word cannot be read, and what it may be.
    pub(crate) fn query(&self) -> Result<UsageQuery, String> {
        let mut query = UsageQuery::default();
        if let Some(from) = self.from {
            query.from_day = day("from", from)?;
        }
        if let Some(to) = self.to {
            query.to_day = day("to", to)?;
        }
        for word in self.by.unwrap_or("model").split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "day" => query.by_day = true,
                "model" => query.by_model = true,
                "subject" => query.by_subject = true,
                _ => return Err(format!("by: {word:?} is none of day, model, subject")),
            }
        }
        if let Some(subject) = self.subject {
            let wrong = || format!("subject: {subject:?} is no subject; write kind:id, such as user:ann");
            query.subject = Some(Subject::parse(subject).ok_or_else(wrong)?);
        }
        query.kind = self.kind.map(ToOwned::to_owned);
        query.by_subject |= query.kind.is_some();
        Ok(query)
    }
}

fn day(name: &str, text: &str) -> Result<u32, String> {
    let date: Date =
        text.parse().map_err(|_| format!("{name}: {text:?} is no date; write it as 2026-11-21"))?;
    let days = EPOCH.until(date).map(|span| span.get_days()).unwrap_or_default();
    u32::try_from(days).map_err(|_| format!("{name}: {text:?} is before 1970"))
}

fn written(day: u32) -> String {
    let date = EPOCH.checked_add(jiff::Span::new().days(i64::from(day)));
    date.map_or_else(|_| day.to_string(), |date| date.to_string())
}

/// One line of a report.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    pub(crate) requests: u64,
    pub(crate) input_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) cache_write_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) reasoning_tokens: u64,
    /// A decimal number of USD, as text: no float holds every amount.
    pub(crate) cost_usd: String,
}

impl Line {
    fn of(total: &UsageTotal) -> Self {
        let Usage { input, output, cache_read, cache_write, reasoning, .. } = total.usage;
        Self {
            day: total.day.map(written),
            model: total.model.as_deref().map(ToOwned::to_owned),
            subject: total.subject.as_ref().map(ToString::to_string),
            requests: total.requests,
            input_tokens: input,
            cached_tokens: cache_read,
            cache_write_tokens: cache_write,
            output_tokens: output,
            reasoning_tokens: reasoning,
            cost_usd: total.cost.to_string().trim_start_matches('$').to_owned(),
        }
    }
}

/// The report, in the order of its lines' names.
pub(crate) fn report(totals: &[UsageTotal]) -> Vec<Line> {
    let mut lines: Vec<Line> = totals.iter().map(Line::of).collect();
    lines.sort_by(|a, b| (&a.day, &a.model, &a.subject).cmp(&(&b.day, &b.model, &b.subject)));
    lines
}

pub(crate) fn as_json(lines: &[Line]) -> Value {
    json!({"object": "list", "data": lines})
}

/// The report as a table for people.
pub(crate) fn as_table(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "nothing was used\n".to_owned();
    }
    let mut rows = vec![
        ["day", "model", "subject", "requests", "input", "cached", "output", "USD"].map(ToOwned::to_owned),
    ];
    rows.extend(lines.iter().map(|line| {
        let or_empty = |name: &Option<String>| name.clone().unwrap_or_default();
        [
            or_empty(&line.day),
            or_empty(&line.model),
            or_empty(&line.subject),
            line.requests.to_string(),
            line.input_tokens.to_string(),
            line.cached_tokens.to_string(),
            line.output_tokens.to_string(),
            line.cost_usd.clone(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let is_used = |column: usize| rows.iter().skip(1).any(|row| !row[column].is_empty());
    let columns: Vec<(usize, usize)> =
        (0..rows[0].len()).filter(|column| is_used(*column)).map(|column| (column, width(column))).collect();
    let mut table = String::new();
    for row in &rows {
        let cells: Vec<String> = columns
            .iter()
            // Names to the left, numbers to the right.
            .map(|&(column, width)| match column {
                0..=2 => format!("{:<width$}", row[column]),
                _ => format!("{:>width$}", row[column]),
            })
            .collect();
        table.push_str(cells.join("  ").trim_end());
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_words_are_read() {
        let asked = Asked {
            from: Some("1970-01-02"),
            to: Some("2026-11-21"),
            by: Some("day, subject"),
            ..Asked::default()
        };
        let query = asked.query().unwrap();
        assert_eq!((query.from_day, written(query.to_day)), (1, "2026-11-21".to_owned()));
        assert_eq!((query.by_day, query.by_model, query.by_subject), (true, false, true));
        assert!(Asked::default().query().unwrap().by_model);
        for (asked, word) in [
            (Asked { from: Some("yesterday"), ..Asked::default() }, "yesterday"),
            (Asked { to: Some("1969-12-31"), ..Asked::default() }, "1969"),
            (Asked { by: Some("week"), ..Asked::default() }, "week"),
            (Asked { subject: Some("ann"), ..Asked::default() }, "user:ann"),
        ] {
            let why = asked.query().unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn a_table_has_the_columns_that_were_asked_for() {
        let mut total = UsageTotal::default();
        (total.model, total.requests) = (Some("openai/gpt-4o".into()), 12);
        total.cost = "1.5".parse().unwrap();
        let table = as_table(&report(&[total]));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "model          requests  input  cached  output   USD");
        assert_eq!(lines[1], "openai/gpt-4o        12      0       0       0  1.50");
        assert_eq!(as_table(&[]), "nothing was used\n");
    }
}

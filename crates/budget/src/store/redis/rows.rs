//! Rows and totals as they stand in Redis.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_provider_core::{Subject, Usage};
use redis::Value;

use super::pack::Numbers;
use super::row;
use crate::row::UsageRow;
use crate::usage::{RowsQuery, UsageQuery, UsageTotal};

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(value)?).ok()
}

/// `[[id, [field, value, ...]], ...]`: where each stands, and the row, if it is one.
pub(super) fn entries(reply: &Value) -> Vec<(&str, Option<Arc<UsageRow>>)> {
    let Value::Array(entries) = reply else { return Vec::new() };
    entries.iter().filter_map(entry).collect()
}

fn entry(value: &Value) -> Option<(&str, Option<Arc<UsageRow>>)> {
    let Value::Array(entry) = value else { return None };
    let [id, Value::Array(fields)] = &entry[..] else { return None };
    let mut pairs = fields.chunks_exact(2);
    let packed = pairs.find(|pair| text(&pair[0]) == Some("r")).and_then(|pair| bytes(&pair[1]));
    Some((text(id)?, packed.and_then(row::unpack).map(Arc::new)))
}

pub(super) fn is_asked_for(query: &RowsQuery, row: &UsageRow) -> bool {
    let pays = |subject| row.subjects.iter().any(|pays| pays == subject);
    (query.from_ms..query.to_ms).contains(&row.at_ms) && query.subject.as_ref().is_none_or(pays)
}

/// What totals are told apart by.
type Key = (Option<u32>, Option<Arc<str>>, Option<Subject>);

/// Totals, as they are read.
#[derive(Default)]
pub(super) struct Totals(BTreeMap<Key, UsageTotal>);

impl Totals {
    /// Adds what one field of a day says, if it is asked for.
    pub(super) fn add(&mut self, query: &UsageQuery, day: u32, field: &str, value: &[u8]) -> Option<()> {
        // As the script names them.
        let (model, subject) = field.split_once('\0')?;
        let of_subjects = query.subject.is_some() || query.by_subject;
        if of_subjects == subject.is_empty() {
            return Some(());
        }
        let subject = if of_subjects { Some(Subject::parse(subject)?) } else { None };
        let is_other = |subject: &Subject| {
            query.subject.as_ref().is_some_and(|asked| asked != subject)
                || query.kind.as_ref().is_some_and(|kind| kind != subject.kind())
        };
        if subject.as_ref().is_some_and(is_other) {
            return Some(());
        }
        let (requests, usage, cost) = row::taken_apart(amounts(value)?);
        if requests == 0 && usage == Usage::default() && cost.is_zero() {
            return Some(());
        }
        let day = query.by_day.then_some(day);
        let model: Option<Arc<str>> = query.by_model.then(|| model.into());
        let subject = subject.filter(|_| query.by_subject);
        let total = self.0.entry((day, model.clone(), subject.clone())).or_default();
        (total.day, total.model, total.subject) = (day, model, subject);
        total.requests = total.requests.saturating_add(requests);
        total.usage += usage;
        total.cost += cost;
        Some(())
    }

    pub(super) fn into_vec(self) -> Vec<UsageTotal> {
        self.0.into_values().collect()
    }
}

/// Eight numbers as the script packs them.
fn amounts(value: &[u8]) -> Option<[u64; 8]> {
    let amounts: Vec<u64> = Numbers::read(value).collect();
    amounts.try_into().ok()
}

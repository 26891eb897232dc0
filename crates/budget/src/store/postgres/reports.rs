//! Totals and rows.

use std::sync::Arc;

use mainstay_metering::NanoUsd;
use mainstay_provider_core::{Subject, Usage};
use tokio_postgres::Row;

use super::super::StoreError;
use super::PostgresStore;
use super::ask::{self, whole};
use crate::row::UsageRow;
use crate::usage::{RowsPage, RowsQuery, UsageQuery, UsageTotal};

/// How many rows are read in one go.
const READ_AT_ONCE: i64 = 1_000;

impl PostgresStore {
    pub(super) async fn usage_now(&self, query: &UsageQuery) -> Result<Vec<UsageTotal>, StoreError> {
        let of_subjects = query.subject.is_some() || query.by_subject;
        let subject = query.subject.as_ref().map(|subject| subject.as_str().as_bytes());
        let kind = query.kind.as_ref().map(|kind| format!("{kind}:").into_bytes());
        let day = |day: u32| i32::try_from(day).unwrap_or(i32::MAX);
        let rows = self
            .query(
                &self.0.statements.usage,
                &[
                    &day(query.from_day),
                    &day(query.to_day),
                    &of_subjects,
                    &subject,
                    &kind,
                    &query.by_day,
                    &query.by_model,
                    &query.by_subject,
                ],
            )
            .await?;
        rows.iter().map(total).collect::<Option<_>>().ok_or_else(|| ask::damaged("a total"))
    }

    /// Reads on until the page is full and one more row is found, or none is left.
    pub(super) async fn page(&self, query: &RowsQuery) -> Result<RowsPage, StoreError> {
        let mut after = match &query.after {
            Some(after) => after.parse::<i64>().map_err(|_| ask::damaged("the beginning of a page"))?,
            None => i64::MIN,
        };
        let (mut page, mut last) = (RowsPage::default(), None);
        loop {
            let (from, to) = (whole(query.from_ms), whole(query.to_ms));
            let rows = self.query(&self.0.statements.rows, &[&after, &from, &to, &READ_AT_ONCE]).await?;
            for row in &rows {
                let read = || {
                    let id: i64 = row.try_get(0).ok()?;
                    Some((id, Arc::new(UsageRow::from_json(row.try_get(1).ok()?)?)))
                };
                let (id, row) = read().ok_or_else(|| ask::damaged("a usage row"))?;
                after = id;
                if query.subject.as_ref().is_some_and(|asked| !row.subjects.contains(asked)) {
                    continue;
                }
                if page.rows.len() == query.limit.max(1) {
                    page.next = last;
                    return Ok(page);
                }
                page.rows.push(row);
                last = Some(id.to_string());
            }
            if rows.len() < READ_AT_ONCE as usize {
                return Ok(page);
            }
        }
    }
}

fn total(row: &Row) -> Option<UsageTotal> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let mut total = UsageTotal::default();
    if let Some(day) = row.try_get::<_, Option<i32>>(0).ok()? {
        total.day = Some(u32::try_from(day).ok()?);
    }
    if let Some(model) = row.try_get::<_, Option<&[u8]>>(1).ok()? {
        total.model = Some(text(model)?.into());
    }
    if let Some(subject) = row.try_get::<_, Option<&[u8]>>(2).ok()? {
        total.subject = Some(Subject::parse(&text(subject)?)?);
    }
    let number = |place: usize| row.try_get::<_, i64>(place).ok().map(ask::counted);
    total.requests = number(3)?;
    total.usage = Usage::new(number(4)?, number(5)?);
    total.usage.cache_read = number(6)?;
    total.usage.cache_write = number(7)?;
    total.usage.cache_write_long = number(8)?;
    total.usage.reasoning = number(9)?;
    total.cost = NanoUsd::from_nanos(number(10)?);
    Some(total)
}

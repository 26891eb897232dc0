//! Rows and totals.

use std::sync::Arc;

use mainstay_metering::{Basis, NanoUsd, PriceVersion};
use mainstay_provider_core::test_kit::contract::Suite;
use mainstay_provider_core::{Namespace, Subject, Usage};

use super::lab::{Lab, fail, hold_at, row};
use crate::row::{RowStatus, UsageRow, day_of};
use crate::store::BudgetStore;
use crate::usage::{RowsQuery, UsageQuery, UsageTotal};

const DAY: u64 = 86_400_000;

/// Writes a row of so many tokens.
async fn wrote<S: BudgetStore>(lab: &Lab<S>, at: u64, model: &str, subjects: &[&str], tokens: u64) {
    let hold = hold_at(at);
    let mut row = UsageRow::clone(&row(hold, subjects, tokens, RowStatus::Settled));
    row.model = model.into();
    lab.settle_with(hold, &[], &[], &[Arc::new(row)]).await;
}

async fn totals<S: BudgetStore>(lab: &Lab<S>, query: UsageQuery) -> Vec<(String, u64)> {
    let totals = lab.store.usage(&query).await.unwrap_or_else(fail);
    let name = |total: &UsageTotal| {
        let day = total.day.map(|day| format!("{day} ")).unwrap_or_default();
        let model = total.model.as_deref().map(|model| format!("{model} ")).unwrap_or_default();
        let subject = total.subject.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{day}{model}{subject}").trim().to_owned()
    };
    let mut all: Vec<_> = totals.iter().map(|total| (name(total), total.usage.total())).collect();
    all.sort();
    for total in &totals {
        assert_eq!(total.cost.as_nanos(), total.usage.total() * 3, "{total:?}");
    }
    all
}

fn expected(totals: &[(&str, u64)]) -> Vec<(String, u64)> {
    totals.iter().map(|(name, tokens)| ((*name).to_owned(), *tokens)).collect()
}

pub(super) fn promises<S: BudgetStore>(suite: Suite<S>) -> Suite<S> {
    suite
        .promise("a row comes back as it was written", |store: S| async move {
            let lab = Lab::new(store);
            let mut full = UsageRow::new(lab.hold(), lab.now);
            full.attempt = 2;
            full.subjects = ["user:a", "org:ü b"].iter().filter_map(|name| Subject::parse(name)).collect();
            full.namespace = Namespace::new("acme");
            (full.asked, full.deployment) = ("smart".into(), Some("eu-1".into()));
            (full.provider, full.model) = ("anthropic".into(), "claude-sonnet-4-5".into());
            full.usage = Usage::new(1_000, 200);
            (full.usage.cache_read, full.usage.cache_write, full.usage.cache_write_long) = (300, 200, 100);
            full.usage.reasoning = 50;
            full.cost = NanoUsd::from_nanos(9_007_199_254_740_991);
            full.requests = 1;
            (full.basis, full.price_version) = (Basis::Assumed, PriceVersion::from("2026-11-21+acme"));
            (full.status, full.estimated) = (RowStatus::Cancelled, true);
            let full = Arc::new(full);
            lab.settle_with(full.hold, &[], &[], std::slice::from_ref(&full)).await;
            assert_eq!(lab.all_rows(RowsQuery::default()).await, [full]);
        })
        .promise("all rows of a call are kept, in their order", |store: S| async move {
            let lab = Lab::new(store);
            let hold = lab.hold();
            let rows: Vec<_> = (1..=3)
                .map(|attempt| {
                    let mut row = UsageRow::clone(&row(hold, &["user:a"], attempt.into(), RowStatus::Failed));
                    row.attempt = attempt;
                    Arc::new(row)
                })
                .collect();
            lab.settle_with(hold, &[], &[], &rows).await;
            assert_eq!(lab.all_rows(RowsQuery::default()).await, rows);
        })
        .promise("rows come page by page, each once", |store: S| async move {
            let lab = Lab::new(store);
            for number in 0..25 {
                wrote(&lab, lab.now + number, "gpt-4o", &["user:a"], number + 1).await;
            }
            for limit in [1, 7, 25, 100] {
                let rows = lab.all_rows(RowsQuery { limit, ..RowsQuery::default() }).await;
                let tokens: Vec<u64> = rows.iter().map(|row| row.usage.total()).collect();
                assert_eq!(tokens, (1..=25).collect::<Vec<_>>(), "pages of {limit}");
            }
        })
        .promise("rows can be asked for by time and by subject", |store: S| async move {
            let lab = Lab::new(store);
            for (number, subjects) in
                [["user:a", "org:x"], ["user:b", "org:x"], ["user:a", "org:y"]].iter().enumerate()
            {
                wrote(&lab, lab.now + number as u64, "gpt-4o", subjects, number as u64 + 1).await;
            }
            let of = async |subject: Option<&str>, from_ms, to_ms| {
                let subject = subject.and_then(Subject::parse);
                let rows = lab.all_rows(RowsQuery { subject, from_ms, to_ms, ..RowsQuery::default() }).await;
                rows.iter().map(|row| row.usage.total()).collect::<Vec<_>>()
            };
            let now = lab.now;
            assert_eq!(of(Some("user:a"), 0, u64::MAX).await, [1, 3]);
            assert_eq!(of(Some("org:x"), 0, u64::MAX).await, [1, 2]);
            assert_eq!(of(Some("user:c"), 0, u64::MAX).await, [0; 0]);
            assert_eq!(of(None, now, now + 2).await, [1, 2]);
            assert_eq!(of(None, now + 1, u64::MAX).await, [2, 3]);
        })
        // S6.4
        .promise("totals are told apart by day, model and subject as asked", |store: S| async move {
            let lab = Lab::new(store);
            let today = day_of(lab.now);
            wrote(&lab, lab.now - DAY, "gpt-4o", &["user:a", "org:x"], 1).await;
            wrote(&lab, lab.now, "gpt-4o", &["user:a", "org:x"], 2).await;
            wrote(&lab, lab.now, "o3", &["user:b", "org:x"], 4).await;
            wrote(&lab, lab.now, "o3", &[], 8).await;
            let all = UsageQuery::default();
            assert_eq!(totals(&lab, all.clone()).await, expected(&[("", 15)]));
            let by_model = UsageQuery { by_model: true, ..all.clone() };
            assert_eq!(
                totals(&lab, by_model.clone()).await,
                expected(&[("openai/gpt-4o", 3), ("openai/o3", 12)])
            );
            let by_subject = UsageQuery { by_subject: true, ..all.clone() };
            let wanted = expected(&[("org:x", 7), ("user:a", 3), ("user:b", 4)]);
            assert_eq!(totals(&lab, by_subject.clone()).await, wanted);
            let users = UsageQuery { kind: Some("user".into()), ..by_subject.clone() };
            assert_eq!(totals(&lab, users).await, expected(&[("user:a", 3), ("user:b", 4)]));
            let of_one = UsageQuery { subject: Subject::parse("org:x"), ..by_model };
            assert_eq!(totals(&lab, of_one).await, expected(&[("openai/gpt-4o", 3), ("openai/o3", 4)]));
            let today_only = UsageQuery { from_day: today, to_day: today, ..all.clone() };
            assert_eq!(totals(&lab, today_only).await, expected(&[("", 14)]));
            let by_day = UsageQuery { by_day: true, subject: Subject::parse("user:a"), ..all };
            let (yesterday, today) = ((today - 1).to_string(), today.to_string());
            assert_eq!(totals(&lab, by_day).await, expected(&[(&yesterday, 1), (&today, 2)]));
        })
        .promise("a total has requests, tokens by kind and cost", |store: S| async move {
            let lab = Lab::new(store);
            for _ in 0..3 {
                let mut row = UsageRow::clone(&row(lab.hold(), &["user:a"], 100, RowStatus::Settled));
                (row.usage.cache_read, row.usage.output, row.usage.reasoning) = (10, 20, 5);
                lab.settle_with(row.hold, &[], &[], &[Arc::new(row)]).await;
            }
            let total = lab.store.usage(&UsageQuery::default()).await.unwrap_or_else(fail).remove(0);
            assert_eq!((total.requests, total.cost), (3, NanoUsd::from_nanos(900)));
            let Usage { input, output, cache_read, reasoning, .. } = total.usage;
            assert_eq!((input, output, cache_read, reasoning), (300, 60, 30, 15));
        })
}

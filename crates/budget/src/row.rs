//! Usage rows: what each attempt of each call used.

use std::fmt;
use std::sync::Arc;

use mainstay_metering::{Basis, NanoUsd, PriceVersion};
use mainstay_provider_core::{Namespace, Subject, Usage};
use serde::{Deserialize, Serialize};

use crate::store::HoldId;

/// What one attempt of a call used. The rows of a subject add up to what was booked on its accounts (M6).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UsageRow {
    /// The hold of the call.
    pub hold: HoldId,
    /// Which attempt of the call it is, from 1; 0 for the call as a whole.
    pub attempt: u32,
    /// When the call reserved, in milliseconds since 1970: the time that its usage is counted at.
    pub at_ms: u64,
    /// Who pays.
    pub subjects: Arc<[Subject]>,
    /// Whose data it is.
    pub namespace: Namespace,
    /// The model that was asked for.
    pub asked: Arc<str>,
    /// The deployment that was asked, where there are several.
    pub deployment: Option<Arc<str>>,
    /// The provider; empty if none was asked.
    pub provider: Arc<str>,
    /// Its name of the model.
    pub model: Arc<str>,
    /// Tokens by kind. What was booked in tokens is their [`total`](Usage::total).
    pub usage: Usage,
    /// What they cost.
    pub cost: NanoUsd,
    /// How many requests it counts for: 1 in one row of a call, 0 in its other rows.
    pub requests: u64,
    /// Where the prices are from.
    pub basis: Basis,
    /// The version of the prices.
    pub price_version: PriceVersion,
    /// How the attempt ended, and whether its figures are the provider's.
    pub status: RowStatus,
    /// Whether the figures were counted here because the provider told none.
    pub estimated: bool,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RowStatus {
    /// The answer is complete.
    Settled,
    /// It failed, before the answer or midway.
    Failed,
    /// The caller left before its end.
    Cancelled,
    /// Nobody told how it ended before its lease passed.
    Lost,
}

impl RowStatus {
    /// The name in reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for RowStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl UsageRow {
    /// A row of this hold without any usage: status `settled`, no subjects.
    pub fn new(hold: HoldId, at_ms: u64) -> Self {
        Self {
            hold,
            attempt: 0,
            at_ms,
            subjects: Arc::from([]),
            namespace: Namespace::default(),
            asked: "".into(),
            deployment: None,
            provider: "".into(),
            model: "".into(),
            usage: Usage::default(),
            cost: NanoUsd::ZERO,
            requests: 0,
            basis: Basis::Listed,
            price_version: PriceVersion::from(""),
            status: RowStatus::Settled,
            estimated: false,
        }
    }

    /// The day that it is counted at: days since 1970-01-01, UTC.
    pub fn day(&self) -> u32 {
        day_of(self.at_ms)
    }

    /// `provider/model`, as totals name it; the model alone if no provider was asked.
    pub fn model_name(&self) -> String {
        if self.provider.is_empty() {
            self.model.to_string()
        } else {
            format!("{}/{}", self.provider, self.model)
        }
    }

    /// The row as one line of JSON: the form in which stores keep it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&OnDisk::from(self)).unwrap_or_default()
    }

    /// Reads what [`to_json`](Self::to_json) wrote; `None` if it is something else.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str::<OnDisk>(text).ok()?.into_row()
    }
}

/// The day of this time: days since 1970-01-01, UTC.
pub(crate) fn day_of(at_ms: u64) -> u32 {
    u32::try_from(at_ms / 86_400_000).unwrap_or(u32::MAX)
}

/// The form of a row in stores. Names are short: there are many rows.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    hold: String,
    #[serde(default, skip_serializing_if = "is_zero32")]
    attempt: u32,
    at: u64,
    subjects: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    namespace: String,
    asked: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deployment: Option<String>,
    provider: String,
    model: String,
    input: u64,
    output: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    cache_read: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    cache_write: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    cache_write_long: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    reasoning: u64,
    cost: u64,
    requests: u64,
    basis: String,
    prices: String,
    status: RowStatus,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    estimated: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_zero32(number: &u32) -> bool {
    *number == 0
}

impl From<&UsageRow> for OnDisk {
    fn from(row: &UsageRow) -> Self {
        Self {
            hold: row.hold.to_string(),
            attempt: row.attempt,
            at: row.at_ms,
            subjects: row.subjects.iter().map(|subject| subject.as_str().to_owned()).collect(),
            namespace: row.namespace.as_str().to_owned(),
            asked: row.asked.to_string(),
            deployment: row.deployment.as_deref().map(str::to_owned),
            provider: row.provider.to_string(),
            model: row.model.to_string(),
            input: row.usage.input,
            output: row.usage.output,
            cache_read: row.usage.cache_read,
            cache_write: row.usage.cache_write,
            cache_write_long: row.usage.cache_write_long,
            reasoning: row.usage.reasoning,
            cost: row.cost.as_nanos(),
            requests: row.requests,
            basis: row.basis.as_str().to_owned(),
            prices: row.price_version.as_str().to_owned(),
            status: row.status,
            estimated: row.estimated,
        }
    }
}

impl OnDisk {
    fn into_row(self) -> Option<UsageRow> {
        let mut usage = Usage::new(self.input, self.output);
        usage.cache_read = self.cache_read;
        usage.cache_write = self.cache_write;
        usage.cache_write_long = self.cache_write_long;
        usage.reasoning = self.reasoning;
        Some(UsageRow {
            hold: HoldId::parse(&self.hold)?,
            attempt: self.attempt,
            at_ms: self.at,
            subjects: self.subjects.iter().map(|text| Subject::parse(text)).collect::<Option<_>>()?,
            namespace: Namespace::new(self.namespace),
            asked: self.asked.into(),
            deployment: self.deployment.map(Into::into),
            provider: self.provider.into(),
            model: self.model.into(),
            usage,
            cost: NanoUsd::from_nanos(self.cost),
            requests: self.requests,
            basis: basis_named(&self.basis)?,
            price_version: PriceVersion::from(self.prices.as_str()),
            status: self.status,
            estimated: self.estimated,
        })
    }
}

fn basis_named(name: &str) -> Option<Basis> {
    [Basis::Listed, Basis::Related, Basis::Local, Basis::Assumed, Basis::Unpriced]
        .into_iter()
        .find(|basis| basis.as_str() == name)
}

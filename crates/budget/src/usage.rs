//! Questions about usage: totals by day, model and subject, and the rows themselves.

use std::sync::Arc;

use mainstay_metering::NanoUsd;
use mainstay_provider_core::{Subject, Usage};

use crate::row::UsageRow;

/// Which totals are asked for: of which days and whose, and by what they are told apart. The default is one total of all
/// there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// The first day: days since 1970-01-01, UTC.
    pub from_day: u32,
    /// The last day, itself included.
    pub to_day: u32,
    /// Only what this subject pays for.
    pub subject: Option<Subject>,
    /// Only what subjects of this kind pay for (`user`); with [`by_subject`](Self::by_subject).
    pub kind: Option<String>,
    /// Each day by itself.
    pub by_day: bool,
    /// Each model by itself.
    pub by_model: bool,
    /// Each subject by itself. A call with three subjects is in the total of each.
    pub by_subject: bool,
}

impl Default for UsageQuery {
    fn default() -> Self {
        Self {
            from_day: 0,
            to_day: u32::MAX,
            subject: None,
            kind: None,
            by_day: false,
            by_model: false,
            by_subject: false,
        }
    }
}

/// A total of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageTotal {
    /// The day, if days were asked for: days since 1970-01-01, UTC.
    pub day: Option<u32>,
    /// `provider/model`, if models were asked for.
    pub model: Option<Arc<str>>,
    /// The subject, if subjects were asked for.
    pub subject: Option<Subject>,
    /// Requests.
    pub requests: u64,
    /// Tokens by kind.
    pub usage: Usage,
    /// What they cost.
    pub cost: NanoUsd,
}

/// Which rows are asked for. The default is the first 1,000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsQuery {
    /// Not before this time, in milliseconds since 1970.
    pub from_ms: u64,
    /// Before this time, in milliseconds since 1970.
    pub to_ms: u64,
    /// Only those that this subject pays for.
    pub subject: Option<Subject>,
    /// After the page that ended here: [`RowsPage::next`].
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Default for RowsQuery {
    fn default() -> Self {
        Self { from_ms: 0, to_ms: u64::MAX, subject: None, after: None, limit: 1_000 }
    }
}

/// Some rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowsPage {
    /// The rows, in the order in which they were written.
    pub rows: Vec<Arc<UsageRow>>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
}

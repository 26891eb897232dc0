//! What a metric is. The page, its help texts and the table in `docs/metrics.md` all come from these.

use std::time::Duration;

use mainstay::metering::NanoUsd;

use super::page::Samples;
use super::snapshot::Snapshot;

/// A metric: what it is called, and where its figures are read.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) read: Read,
}

/// What its figures do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// They only grow.
    Counter,
    /// They go up and down.
    Gauge,
    /// It is always 1; its labels say something.
    Info,
}

/// How its figures are read. What says `None` is not on the page: there is no such layer here.
pub(super) enum Read {
    One(fn(&Snapshot) -> Option<Value>),
    Each(fn(&Snapshot, &mut Samples<'_>) -> Option<()>),
}

/// A figure. Money and time are whole numbers here as everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Whole(u64),
    /// Thousand-millionths: of a USD, of a second.
    Nanos(u128),
    Share(f32),
}

pub(super) const fn counter(
    name: &'static str,
    help: &'static str,
    read: fn(&Snapshot) -> Option<Value>,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels: &[], help, read: Read::One(read) }
}

pub(super) const fn gauge(
    name: &'static str,
    help: &'static str,
    read: fn(&Snapshot) -> Option<Value>,
) -> Metric {
    Metric { name, kind: Kind::Gauge, labels: &[], help, read: Read::One(read) }
}

/// One with labels.
pub(super) const fn labelled(
    kind: Kind,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Snapshot, &mut Samples<'_>) -> Option<()>,
) -> Metric {
    Metric { name, kind, labels, help, read: Read::Each(read) }
}

/// Names of units that stand at the end of a name.
const UNITS: [&str; 5] = ["bytes", "ratio", "seconds", "tokens", "usd"];

impl Metric {
    /// The unit, which is part of the name.
    pub(super) fn unit(&self) -> Option<&'static str> {
        let (_, last) = self.name.strip_suffix("_total").unwrap_or(self.name).rsplit_once('_')?;
        UNITS.into_iter().find(|unit| *unit == last)
    }
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
        }
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Whole(count)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Whole(count as u64)
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Whole(u64::from(is_so))
    }
}

impl From<Duration> for Value {
    fn from(span: Duration) -> Self {
        Self::Nanos(span.as_nanos())
    }
}

impl From<NanoUsd> for Value {
    fn from(amount: NanoUsd) -> Self {
        Self::Nanos(amount.as_nanos().into())
    }
}

impl From<f32> for Value {
    fn from(share: f32) -> Self {
        Self::Share(share)
    }
}

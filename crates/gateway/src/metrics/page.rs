//! The page as text.

use std::fmt::{self, Write as _};

use super::families;
use super::format::Format;
use super::snapshot::Snapshot;
use super::table::{Kind, Metric, Read, Value};

/// The whole page.
pub(super) fn write(format: Format, snapshot: &Snapshot) -> String {
    let mut text = String::with_capacity(16 << 10);
    for metric in families::all() {
        family(&mut text, format, metric, snapshot);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

/// A metric with its figures; nothing when it has none.
fn family(text: &mut String, format: Format, metric: &Metric, snapshot: &Snapshot) {
    let begun = text.len();
    head(text, format, metric);
    let figures = text.len();
    let mut samples = Samples { text, metric };
    match metric.read {
        Read::One(read) => read(snapshot).map(|value| samples.put(&[], value)),
        Read::Each(read) => read(snapshot, &mut samples),
    };
    if text.len() == figures {
        text.truncate(begun);
    }
}

fn head(text: &mut String, format: Format, metric: &Metric) {
    let Metric { kind, help, .. } = metric;
    let (name, kind) = match (format, kind) {
        (Format::Prometheus, Kind::Info) => (metric.name, "gauge"),
        (Format::Prometheus, _) => (metric.name, kind.as_str()),
        // There the family has no suffix, only its samples have.
        (Format::OpenMetrics, _) => {
            let suffix = match kind {
                Kind::Counter => "_total",
                Kind::Info => "_info",
                Kind::Gauge => "",
            };
            (metric.name.strip_suffix(suffix).unwrap_or(metric.name), kind.as_str())
        }
    };
    push(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    if let (Format::OpenMetrics, Some(unit)) = (format, metric.unit()) {
        push(text, format_args!("# UNIT {name} {unit}\n"));
    }
}

/// Where the figures of one metric go.
pub(super) struct Samples<'a> {
    text: &'a mut String,
    metric: &'a Metric,
}

impl Samples<'_> {
    /// One figure. `labels` are the values of the metric's labels, in their order.
    pub(super) fn put(&mut self, labels: &[&str], value: impl Into<Value>) {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        self.text.push_str(self.metric.name);
        let mut before = '{';
        for (name, value) in self.metric.labels.iter().zip(labels) {
            push(self.text, format_args!("{before}{name}=\"{}\"", Escaped(value)));
            before = ',';
        }
        let after = if self.metric.labels.is_empty() { "" } else { "}" };
        push(self.text, format_args!("{after} {}\n", value.into()));
    }

    /// The figures of a metric with one label.
    pub(super) fn all<'l, V: Into<Value>>(
        &mut self,
        values: impl IntoIterator<Item = (&'l str, V)>,
    ) -> Option<()> {
        values.into_iter().for_each(|(label, value)| self.put(&[label], value));
        Some(())
    }
}

fn push(text: &mut String, what: fmt::Arguments<'_>) {
    let _ = text.write_fmt(what); // a String takes everything
}

/// A label's value, in which three characters mean something.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ONE: u128 = 1_000_000_000;
        match self {
            Self::Whole(count) => write!(f, "{count}"),
            Self::Nanos(nanos) if nanos % ONE == 0 => write!(f, "{}", nanos / ONE),
            Self::Nanos(nanos) => {
                let rest = format!("{:09}", nanos % ONE);
                write!(f, "{}.{}", nanos / ONE, rest.trim_end_matches('0'))
            }
            Self::Share(share) => write!(f, "{share}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::table::{counter, labelled};

    fn text(format: Format, metric: &Metric) -> String {
        let mut text = String::new();
        family(&mut text, format, metric, &Snapshot::default());
        text
    }

    const SPENT: Metric = counter("x_spent_usd_total", "Spent.", |_| Some(Value::Nanos(1_500_000_000)));

    #[test]
    fn both_formats_say_the_same_each_in_its_way() {
        let plain =
            "# HELP x_spent_usd_total Spent.\n# TYPE x_spent_usd_total counter\nx_spent_usd_total 1.5\n";
        assert_eq!(text(Format::Prometheus, &SPENT), plain);
        let open = "# HELP x_spent_usd Spent.\n# TYPE x_spent_usd counter\n# UNIT x_spent_usd usd\nx_spent_usd_total 1.5\n";
        assert_eq!(text(Format::OpenMetrics, &SPENT), open);
        let info = labelled(Kind::Info, "x_info", &["version"], "X.", |_, out| out.all([("1", 1u64)]));
        assert!(text(Format::Prometheus, &info).contains("# TYPE x_info gauge\nx_info{version=\"1\"} 1\n"));
        assert!(text(Format::OpenMetrics, &info).contains("# TYPE x info\nx_info{version=\"1\"} 1\n"));
    }

    #[test]
    fn what_has_no_figures_is_not_there_and_labels_cannot_break_out() {
        assert_eq!(text(Format::Prometheus, &counter("x_total", "X.", |_| None)), "");
        let none = labelled(Kind::Gauge, "x", &["a"], "X.", |_, out| out.all::<u64>([]));
        assert_eq!(text(Format::OpenMetrics, &none), "");
        let two = labelled(Kind::Gauge, "x", &["a", "b"], "X.", |_, out| {
            out.put(&["\"} 1\n\\", "ü"], true);
            Some(())
        });
        assert!(text(Format::Prometheus, &two).ends_with("x{a=\"\\\"} 1\\n\\\\\",b=\"ü\"} 1\n"));
    }

    #[test]
    fn money_and_time_are_written_to_the_last_digit() {
        let written = |value: Value| value.to_string();
        assert_eq!(written(Value::Nanos(0)), "0");
        assert_eq!(written(Value::Nanos(1)), "0.000000001");
        assert_eq!(written(Value::Nanos(u128::from(u64::MAX))), "18446744073.709551615");
        assert_eq!(written(Duration::from_millis(2500).into()), "2.5");
        assert_eq!(written(0.25f32.into()), "0.25");
    }
}

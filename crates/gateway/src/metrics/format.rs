//! In which of the two text formats the page is written.

use axum::http::{HeaderMap, header};

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// That of Prometheus, version 0.0.4, which everybody reads.
    Prometheus,
    /// OpenMetrics 1.0, for who asks for it.
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

impl Format {
    /// OpenMetrics if the request names it and likes nothing better that we have.
    pub(super) fn asked_for(headers: &HeaderMap) -> Self {
        let accepted = || headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let liked = |name: &str| {
            accepted().flat_map(|list| list.split(',')).filter_map(|one| quality(one, name)).max()
        };
        match (liked(OPEN_METRICS), liked("text/plain")) {
            (Some(open), plain) if open > 0 && Some(open) >= plain => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// How much this type is liked, in thousandths, if it is the one that is named.
fn quality(one: &str, name: &str) -> Option<u32> {
    let mut parts = one.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(name) {
        return None;
    }
    let said = parts.find_map(|part| part.strip_prefix("q="));
    let Some(said) = said else { return Some(1000) };
    let (whole, rest) = said.split_once('.').unwrap_or((said, ""));
    let rest: String = rest.chars().chain("000".chars()).take(3).collect();
    Some(whole.parse::<u32>().ok()? * 1000 + rest.parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn open_metrics_is_for_who_asks_for_it() {
        let asked = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            Format::asked_for(&headers)
        };
        assert_eq!(Format::asked_for(&HeaderMap::new()), Format::Prometheus);
        for accept in
            ["*/*", "text/html", "text/plain;version=0.0.4", "application/openmetrics-text;q=0", "", "a;q=x"]
        {
            assert_eq!(asked(accept), Format::Prometheus, "{accept}");
        }
        // What Prometheus 2.42 sends, and who likes the other better.
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(asked(prometheus), Format::OpenMetrics);
        assert_eq!(asked("application/openmetrics-text; version=1.0.0"), Format::OpenMetrics);
        assert_eq!(asked("application/openmetrics-text;q=0.5, text/plain"), Format::Prometheus);
        assert_eq!(asked("text/plain;q=0.9, application/openmetrics-text;q=0.95"), Format::OpenMetrics);
    }
}

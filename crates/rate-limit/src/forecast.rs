//! What is foreseen of a limit, and when somebody is told.

use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::{Event, Severity};
use tokio::time::Instant;

use crate::cost::Dimension;
use crate::ledger::WINDOW;

/// How long what is left of a limit will last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Forecast {
    lasts: Option<Duration>,
    reset: Duration,
    /// Whether it is foreseen that the limit is reached before its reset.
    foreseen: bool,
    /// When that was told.
    told: Option<Instant>,
}

/// It is foreseen when it is clear, and no longer when it is clearly not: a rate goes up and down.
const CLEARLY: f64 = 0.9;
const CLEARLY_NOT: f64 = 1.2;

impl Forecast {
    /// Takes in another limit of the same dimension.
    pub(crate) fn heed(&mut self, lasts: Option<Duration>, reset: Duration) {
        let Some(lasts) = lasts else { return };
        let other = Self { lasts: Some(lasts), reset, ..*self };
        if self.lasts.is_none() || other.lasting() < self.lasting() {
            *self = other;
        }
    }

    /// The share of the time to the reset that what is left lasts; at most 1.
    pub(crate) fn lasting(&self) -> f64 {
        self.ratio().min(1.0)
    }

    pub(crate) fn lasts(&self) -> Option<Duration> {
        self.lasts
    }

    /// Puts a newer forecast in the place of this one. Tells it when exhaustion is newly foreseen, once a minute at most,
    /// unless it is to be kept quiet.
    pub(crate) fn follow(&mut self, next: Self, of: Dimension, quiet: bool, now: Instant) -> Option<Told> {
        let ratio = next.ratio();
        let foreseen = ratio < if self.foreseen { CLEARLY_NOT } else { CLEARLY };
        let is_news =
            foreseen && !self.foreseen && !quiet && self.told.is_none_or(|told| told + WINDOW <= now);
        let told = if is_news { Some(now) } else { self.told };
        *self = Self { foreseen, told, ..next };
        is_news.then_some(Told::Foreseen { of, lasts: next.lasts.unwrap_or_default(), reset: next.reset })
    }

    fn ratio(&self) -> f64 {
        match self.lasts {
            Some(lasts) if !self.reset.is_zero() => lasts.as_secs_f64() / self.reset.as_secs_f64(),
            _ => f64::INFINITY,
        }
    }
}

/// What an operator should hear of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Told {
    Foreseen { of: Dimension, lasts: Duration, reset: Duration },
    Throttled { pause: Option<Duration>, requests: Option<u64> },
}

impl Told {
    pub(crate) fn event(self, deployment: &Arc<str>) -> Event {
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let event = |name| Event::new(name, Severity::Warning).with("deployment", deployment.to_string());
        match self {
            Self::Foreseen { of, lasts, reset } => event("rate_limit.exhaustion_foreseen")
                .with("dimension", of.as_str())
                .with("in_ms", milliseconds(lasts))
                .with("reset_ms", milliseconds(reset)),
            Self::Throttled { pause, requests } => {
                let mut event = event("rate_limit.throttled");
                if let Some(pause) = pause {
                    event = event.with("for_ms", milliseconds(pause));
                }
                if let Some(requests) = requests {
                    event = event.with("learned_requests_per_minute", requests.to_string());
                }
                event
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(lasts: u64) -> Forecast {
        let mut forecast = Forecast::default();
        forecast.heed(Some(Duration::from_secs(lasts)), Duration::from_secs(10));
        forecast
    }

    #[test]
    fn a_change_is_told_once_and_a_wavering_one_once_a_minute() {
        let start = Instant::now();
        let mut is = Forecast::default();
        let mut told = 0;
        for (second, lasts) in (0..120).zip([5, 11, 5, 13].into_iter().cycle()) {
            let now = start + Duration::from_secs(second);
            told += u32::from(is.follow(forecast(lasts), Dimension::Tokens, false, now).is_some());
        }
        assert_eq!(told, 2);
        for second in 120..400 {
            let now = start + Duration::from_secs(second);
            told += u32::from(is.follow(forecast(5), Dimension::Tokens, false, now).is_some());
        }
        assert_eq!(told, 3, "what goes on is no news");
    }

    #[test]
    fn the_tighter_of_two_limits_counts() {
        let mut is = forecast(8);
        is.heed(Some(Duration::from_secs(30)), Duration::from_secs(60));
        assert_eq!((is.lasts(), is.lasting()), (Some(Duration::from_secs(30)), 0.5));
        is.heed(None, Duration::from_secs(1));
        is.heed(Some(Duration::from_secs(2)), Duration::from_secs(1));
        assert_eq!(is.lasting(), 0.5);
    }
}

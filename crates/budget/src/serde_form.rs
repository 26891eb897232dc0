//! Limits as configurations write them.

use std::fmt;

use mainstay_metering::NanoUsd;
use serde::{Deserialize, Deserializer, de};

use crate::limit::{Limit, Unit, WhenStoreFails};
use crate::period::Period;

/// `"day"`, `"rolling 24h"`.
impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// `"closed"`, `"open"`, or `{ lease = 0.1 }`.
impl<'de> Deserialize<'de> for WhenStoreFails {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Form {
            Closed,
            Open,
            Lease(f64),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Closed => Self::Closed,
            Form::Open => Self::Open,
            Form::Lease(share) => Self::Lease { share: permille(share)? },
        })
    }
}

/// `{ tokens = 100_000, period = "day" }`, with `usd`, `requests` or `concurrent` in the place of `tokens`, and `soft` and
/// `when_store_fails` where they are not the defaults. USD are a text or a number of dollars. A `soft` of 0 is none.
impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            tokens: Option<u64>,
            usd: Option<Dollars>,
            requests: Option<u64>,
            concurrent: Option<u64>,
            period: Option<Period>,
            soft: Option<f64>,
            when_store_fails: Option<WhenStoreFails>,
        }
        let form = Form::deserialize(deserializer)?;
        let missing = || de::Error::missing_field("period");
        let mut limit = match (form.tokens, form.usd, form.requests, form.concurrent) {
            (Some(amount), None, None, None) => Self::tokens(amount, form.period.ok_or_else(missing)?),
            (None, Some(Dollars(amount)), None, None) => Self::usd(amount, form.period.ok_or_else(missing)?),
            (None, None, Some(amount), None) => Self::requests(amount, form.period.ok_or_else(missing)?),
            (None, None, None, Some(amount)) => Self::concurrent(amount),
            _ => return Err(de::Error::custom("a limit has one of tokens, usd, requests and concurrent")),
        };
        if limit.unit == Unit::Concurrent
            && let Some(period) = form.period
        {
            limit.period = period;
        }
        if let Some(soft) = form.soft {
            limit.soft = if soft == 0.0 { None } else { Some(permille(soft)?) };
        }
        limit.when_store_fails = form.when_store_fails.unwrap_or(limit.when_store_fails);
        limit.check().map(|()| limit).map_err(de::Error::custom)
    }
}

/// A share as thousandths.
fn permille<E: de::Error>(share: f64) -> Result<u16, E> {
    let permille = (share * 1_000.0).round();
    if (0.0..=1_000.0).contains(&permille) {
        // It was looked at: it fits.
        Ok(permille as u16)
    } else {
        Err(E::custom("a share is a number from 0 to 1"))
    }
}

/// Dollars, as a text or a number, read as it would be written.
struct Dollars(NanoUsd);

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl de::Visitor<'_> for Reads {
            type Value = Dollars;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("US dollars, such as 2.5 or \"2.50\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Dollars, E> {
                text.parse().map(Dollars).map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Dollars, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Dollars, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Dollars, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Limit, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn limits_are_read_as_they_are_written_in_the_documentation() {
        let tokens = read("tokens = 100_000\nperiod = \"day\"").unwrap();
        assert_eq!(tokens, Limit::tokens(100_000, Period::Day));
        for dollars in ["\"12.50\"", "12.5"] {
            let usd = read(&format!("usd = {dollars}\nperiod = \"month\"\nsoft = 0.9")).unwrap();
            let wanted = Limit::usd(NanoUsd::from_nanos(12_500_000_000), Period::Month).soft(900);
            assert_eq!(usd, wanted);
        }
        let requests =
            read("requests = 60\nperiod = \"rolling 60s\"\nwhen_store_fails = { lease = 0.25 }\nsoft = 0");
        let wanted = Limit::requests(60, Period::ROLLING_MINUTE).soft(None);
        assert_eq!(requests.unwrap(), wanted.when_store_fails(WhenStoreFails::Lease { share: 250 }));
        let open = read("concurrent = 5\nwhen_store_fails = \"open\"").unwrap();
        assert_eq!(open, Limit::concurrent(5).when_store_fails(WhenStoreFails::Open));
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for wrong in [
            "period = \"day\"",
            "tokens = 5",
            "tokens = 5\nusd = 5\nperiod = \"day\"",
            "tokens = 5\nperiod = \"fortnight\"",
            "tokens = 5\nperiod = \"day\"\nsoft = 2",
            "tokens = 5\nperiod = \"day\"\nsoft = nan",
            "tokens = 5\nperiod = \"day\"\nwhen_store_fails = { lease = 0.9 }",
            "usd = -5\nperiod = \"day\"",
            "concurrent = 5\nperiod = \"day\"",
            "tokens = 5\nperiods = \"day\"",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

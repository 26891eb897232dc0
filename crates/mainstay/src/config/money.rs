//! What calls cost and who may spend how much: `[prices]` and `[budget]`.

use std::collections::BTreeMap;
use std::str::FromStr;

use mainstay_budget::{InvalidLimit, Limit, Period, Unit, WhenStoreFails};
use mainstay_metering::NanoUsd;
use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{EnvText, Span};

/// What calls cost. The built-in prices count without it.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PriceSettings {
    /// A TOML file with prices of your own, over the built-in ones (see `docs/metering.md`). A deployment's `input_price`
    /// and `output_price` count over both.
    pub file: Option<EnvText>,
    /// What is done with a model whose price nobody knows. Default `"deny"`.
    pub unknown: Option<UnknownPriceSetting>,
    /// With `unknown = "estimate"`: USD per million input tokens.
    pub input: Option<f64>,
    /// With `unknown = "estimate"`: USD per million output tokens.
    pub output: Option<f64>,
    /// How many tokens an answer may have where neither the call nor the price table says. Default 16384.
    pub largest_output: Option<u64>,
}

/// What is done with a model whose price nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UnknownPriceSetting {
    /// Its calls are refused.
    #[default]
    Deny,
    /// They cost what `input` and `output` say.
    Estimate,
    /// They cost nothing, and the event `price.unknown` says so, once for each model.
    AllowWithAlarm,
}

/// Budgets and the usage ledger. They are there when this table is.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BudgetSettings {
    /// Where what was spent is kept. Default `"memory"`.
    pub store: BudgetStoreSetting,
    /// The journal's folder, with `store = "journal"`: one of its own, made when it is not there.
    pub path: Option<EnvText>,
    /// The server's address, with `store = "redis"` or `"postgres"`.
    pub url: Option<EnvText>,
    /// What all names in the shared store begin with. Default `"mainstay"`.
    pub prefix: Option<String>,
    /// In which time zone days, weeks and months begin: `"Europe/Berlin"`. Default `"UTC"`.
    pub time_zone: Option<String>,
    /// The limits, by subject (`user:alice`) or for each subject of a kind (`user:*`).
    pub limits: BTreeMap<String, Vec<LimitSetting>>,
    /// What is done with what a process had reserved when it crashed. Default `"settle"`.
    pub lost_holds: LostHoldSetting,
    /// How long after a crash that is. Default `"60s"`.
    pub lease: Option<Span>,
    /// The longest that a call waits for the shared store. Default `"50ms"`.
    pub store_timeout: Option<Span>,
    /// After how many failures in a row the shared store is left alone for a while. Default 3.
    pub store_failures: Option<u32>,
}

/// Where what was spent is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BudgetStoreSetting {
    /// In this process: it begins anew with each start.
    #[default]
    Memory,
    /// In a folder of this machine, which survives a crash; for one process.
    Journal,
    /// In Redis, for several processes.
    Redis,
    /// In PostgreSQL, for several processes.
    Postgres,
}

/// What is done with what a process had reserved when it crashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LostHoldSetting {
    /// It counts as spent: the provider may have billed it.
    #[default]
    Settle,
    /// It is given back.
    Release,
}

/// A limit: `"12.50 usd/month"`, `"100000 tokens/day"`, `"60 requests/rolling-60s"`, `"8 concurrent"`, or a table with
/// more to say.
#[derive(Debug, Clone, PartialEq, JsonSchema, Deserialize)]
#[serde(
    untagged,
    expecting = "write \"12.50 usd/month\", or { limit = \"12.50 usd/month\", soft = 0.8, when_store_fails = \"closed\" }"
)]
#[non_exhaustive]
pub enum LimitSetting {
    /// The limit alone.
    Plain(String),
    /// With its settings.
    Full(FullLimit),
}

/// A limit with its settings.
#[derive(Debug, Clone, PartialEq, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FullLimit {
    /// The limit.
    pub limit: String,
    /// At which share of it an alert is raised, 0.001 to 1. Default 0.8.
    #[serde(default)]
    pub soft: Option<f64>,
    /// What is done when the shared store cannot be asked: `"closed"` (refused), `"open"` (let through), `"lease"` (a share
    /// that this process has kept for itself). Default `"closed"` for USD and tokens, else `"lease"`.
    #[serde(default)]
    pub when_store_fails: Option<StoreFailsSetting>,
    /// With `"lease"`: the share, 0.001 to 0.5. Default 0.1.
    #[serde(default)]
    pub share: Option<f64>,
}

/// What is done when the shared store cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StoreFailsSetting {
    /// Calls are refused.
    Closed,
    /// Calls spend from a share that this process has kept for itself.
    Lease,
    /// Calls go through, are counted here and booked later.
    Open,
}

impl LimitSetting {
    /// The limit.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn limit(&self) -> Result<Limit, String> {
        let full = match self {
            Self::Plain(text) => return read(text),
            Self::Full(full) => full,
        };
        let mut limit = read(&full.limit)?;
        if let Some(share) = full.soft {
            limit = limit.soft(permille("soft", share, 1.0)?);
        }
        let share = full.share.map_or(Ok(100), |share| permille("share", share, 0.5))?;
        let policy = match full.when_store_fails {
            None => return Ok(limit),
            Some(StoreFailsSetting::Closed) => WhenStoreFails::Closed,
            Some(StoreFailsSetting::Open) => WhenStoreFails::Open,
            Some(StoreFailsSetting::Lease) => WhenStoreFails::Lease { share },
        };
        Ok(limit.when_store_fails(policy))
    }
}

/// `12.50 usd/month`.
fn read(text: &str) -> Result<Limit, String> {
    let wrong = || {
        format!(
            "{text:?} is no limit; write 12.50 usd/month, 100000 tokens/day, 60 requests/rolling-60s or 8 concurrent (periods: \
             minute, hour, day, week, month, forever, rolling-24h)"
        )
    };
    let (amount, what) = text.trim().split_once(' ').ok_or_else(wrong)?;
    let (unit, period) = what.trim().split_once('/').unwrap_or((what.trim(), "forever"));
    let unit = Unit::ALL.into_iter().find(|known| known.as_str() == unit.trim()).ok_or_else(wrong)?;
    let number = || amount.parse::<u64>().map_err(|_| wrong());
    let period = Period::from_str(&period.trim().replacen("rolling-", "rolling ", 1))
        .map_err(|why: InvalidLimit| why.to_string());
    let limit = match unit {
        Unit::Concurrent if what.contains('/') => return Err(wrong()),
        Unit::Concurrent => Limit::concurrent(number()?),
        _ if !what.contains('/') => return Err(wrong()),
        Unit::Usd => Limit::usd(NanoUsd::from_str(amount).map_err(|_| wrong())?, period?),
        Unit::Tokens => Limit::tokens(number()?, period?),
        Unit::Requests => Limit::requests(number()?, period?),
        _ => return Err(wrong()),
    };
    limit.check().map(|()| limit).map_err(|why| format!("{text:?}: {why}"))
}

fn permille(name: &str, share: f64, most: f64) -> Result<u16, String> {
    if !(0.001..=most).contains(&share) {
        return Err(format!("{name} is {share}; it must be between 0.001 and {most}"));
    }
    // Within 1 to 1000.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok((share * 1_000.0).round() as u16)
}

impl PriceSettings {
    /// What is wrong with what it says.
    pub(super) fn problem(&self) -> Option<String> {
        let estimates = self.unknown == Some(UnknownPriceSetting::Estimate);
        match (estimates, self.input, self.output) {
            (true, Some(input), Some(output)) if input >= 0.0 && output >= 0.0 => None,
            (true, ..) => {
                Some("unknown = \"estimate\" needs input and output, in USD per million tokens".into())
            }
            (false, None, None) => None,
            (false, ..) => {
                Some("input and output count with unknown = \"estimate\" only; leave them out".into())
            }
        }
    }
}

impl BudgetSettings {
    /// What is wrong with what it says.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (subject, limits) in &self.limits {
            if mainstay_provider_core::Subject::parse(subject).is_none() {
                problems.push(format!(
                    "limits: {subject:?} is no subject; write kind:id, or kind:* for each of a kind"
                ));
            }
            let wrong = limits.iter().filter_map(|limit| limit.limit().err());
            problems.extend(wrong.map(|why| format!("limits.{subject:?}: {why}")));
        }
        let wants = match self.store {
            BudgetStoreSetting::Memory => None,
            BudgetStoreSetting::Journal => self.path.is_none().then_some("path, a folder of its own"),
            BudgetStoreSetting::Redis => self.url.is_none().then_some("url, such as redis://host:6379/0"),
            BudgetStoreSetting::Postgres => {
                self.url.is_none().then_some("url, such as postgres://user@host/database")
            }
        };
        problems.extend(wants.map(|what| format!("this store needs {what}")));
        problems
    }

    /// The texts that may hold references.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &EnvText> {
        self.path.iter().chain(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn plain(text: &str) -> Result<Limit, String> {
        LimitSetting::Plain(text.to_owned()).limit()
    }

    #[test]
    fn a_limit_is_written_as_people_say_it() {
        let dollars = |text: &str| NanoUsd::from_str(text).unwrap();
        assert_eq!(plain("12.50 usd/month"), Ok(Limit::usd(dollars("12.50"), Period::Month)));
        assert_eq!(plain("100000 tokens/day"), Ok(Limit::tokens(100_000, Period::Day)));
        let minute = Period::Rolling(Duration::from_secs(60));
        assert_eq!(plain("60 requests/rolling-60s"), Ok(Limit::requests(60, minute)));
        assert_eq!(plain(" 8 concurrent "), Ok(Limit::concurrent(8)));
    }

    #[test]
    fn what_is_no_limit_is_refused_with_the_form_that_is_one() {
        for text in [
            "",
            "usd",
            "12",
            "12 usd",
            "-1 usd/day",
            "1.5 tokens/day",
            "5 apples/day",
            "5 concurrent/day",
            "1 usd/fortnight",
        ] {
            let why = plain(text).unwrap_err();
            assert!(why.contains("month"), "{text}: {why}");
        }
    }

    #[test]
    fn a_full_limit_says_when_to_alert_and_what_to_do_without_the_store() {
        let full: LimitSetting = toml::from_str::<BTreeMap<String, LimitSetting>>(
            r#"x = { limit = "5 usd/day", soft = 0.5, when_store_fails = "lease", share = 0.25 }"#,
        )
        .unwrap()
        .remove("x")
        .unwrap();
        let limit = full.limit().unwrap();
        assert_eq!(limit.soft, Some(500));
        assert_eq!(limit.when_store_fails, WhenStoreFails::Lease { share: 250 });
    }
}

//! Money: amounts in nano-dollars, prices in pico-dollars a token.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::decimal::{self, InvalidAmount};

/// An amount of money in thousand-millionths of a US dollar, never a float and never below zero.
///
/// Sums stop at the largest amount, some 18 thousand million dollars, instead of wrapping: a hostile provider's figures
/// must neither panic nor turn into a small amount. In JSON it is the plain number of nano-dollars.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(u64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(u64::MAX);

    /// So many nano-dollars.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// So many whole dollars; [`MAX`](Self::MAX) if that is more.
    pub const fn from_dollars(dollars: u64) -> Self {
        Self(dollars.saturating_mul(1_000_000_000))
    }

    /// The amount in nano-dollars.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Both together, unless that is more than [`MAX`](Self::MAX).
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// What is left, unless `other` is more.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// What is left; nothing if `other` is more.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Pico-dollars, rounded up: the one place where money is rounded.
    pub(crate) fn from_picos(picos: u128) -> Self {
        Self(u64::try_from(picos.div_ceil(1_000)).unwrap_or(u64::MAX))
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// As dollars, with as many decimals as there are and at least two: `$12.50`, `$0.000075`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("${}", decimal::write(self.0, 9, 2)))
    }
}

impl fmt::Debug for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Dollars as a decimal number, with or without the sign: `12.50`, `$12.50`.
impl FromStr for NanoUsd {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        decimal::parse(text.strip_prefix('$').unwrap_or(text), 9).map(Self)
    }
}

/// What one token costs, in millionths of a millionth of a US dollar, so that every price that a provider names per million
/// tokens is a whole number: a dollar per million is a million of these.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(u64);

impl Price {
    /// It costs nothing.
    pub const FREE: Self = Self(0);

    /// So many pico-dollars a token.
    pub const fn from_picos_a_token(picos: u64) -> Self {
        Self(picos)
    }

    /// The price in pico-dollars a token.
    pub const fn picos_a_token(self) -> u64 {
        self.0
    }

    /// The price of a million tokens.
    pub const fn of_a_million(self) -> NanoUsd {
        NanoUsd(self.0.saturating_mul(1_000))
    }

    /// US dollars per million tokens as a decimal number of at most six decimals: `"2.50"`.
    ///
    /// # Errors
    /// What is not such a number.
    pub fn per_million(dollars: &str) -> Result<Self, InvalidAmount> {
        decimal::parse(dollars, 6).map(Self)
    }

    /// The same from a configuration that has floats. It is read as it would be written: 0.1 is one tenth.
    ///
    /// # Errors
    /// What is below zero, is no number, or has more than six decimals.
    pub fn from_f64_per_million(dollars: f64) -> Result<Self, InvalidAmount> {
        Self::per_million(&dollars.to_string())
    }

    /// About so many US dollars per million tokens: to compare and to show, not to add up.
    pub fn as_f64_per_million(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// What `tokens` cost, in pico-dollars.
    pub(crate) fn times(self, tokens: u64) -> u128 {
        u128::from(self.0) * u128::from(tokens)
    }

    /// This price, raised as `from` is raised to `to`; never rounded down.
    pub(crate) fn scaled(self, from: Self, to: Self) -> Self {
        if from.0 == 0 {
            return self.max(to);
        }
        let scaled = (u128::from(self.0) * u128::from(to.0)).div_ceil(u128::from(from.0));
        Self(u64::try_from(scaled).unwrap_or(u64::MAX))
    }
}

/// As US dollars per million tokens: `2.5`.
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&decimal::write(self.0, 6, 0))
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} USD/M")
    }
}

impl FromStr for Price {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        Self::per_million(text)
    }
}

/// A text or a number, both in US dollars per million tokens.
impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dollars;
        impl serde::de::Visitor<'_> for Dollars {
            type Value = Price;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("US dollars per million tokens, such as 2.5 or \"2.50\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Price, E> {
                Price::per_million(text).map_err(E::custom)
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Price, E> {
                Price::from_f64_per_million(number).map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Price, E> {
                Price::per_million(&number.to_string()).map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Price, E> {
                Price::per_million(&number.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Dollars)
    }
}

/// As a text, so that nothing is lost on the way.
impl Serialize for Price {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

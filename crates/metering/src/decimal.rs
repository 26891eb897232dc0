//! Decimal numbers as whole numbers of a small unit, exactly: no float is ever between the text and the amount.

/// Why a text is not taken for an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAmount {
    /// It is not a plain decimal number such as `12.50`.
    #[error("{text:?} is not a plain decimal number, such as 12.50")]
    NotDecimal {
        /// The text.
        text: String,
    },
    /// It has more decimals than the unit can hold.
    #[error("{text:?} has more than {decimals} decimals")]
    TooPrecise {
        /// The text.
        text: String,
        /// How many decimals there may be.
        decimals: u32,
    },
    /// It is larger than the unit can hold.
    #[error("{text:?} is too large")]
    TooLarge {
        /// The text.
        text: String,
    },
}

/// The decimal number `text` in units of 10^-`decimals`.
pub(crate) fn parse(text: &str, decimals: u32) -> Result<u64, InvalidAmount> {
    let not_decimal = || InvalidAmount::NotDecimal { text: text.to_owned() };
    let too_large = || InvalidAmount::TooLarge { text: text.to_owned() };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(not_decimal());
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = u32::try_from(fraction.len()).ok().and_then(|length| decimals.checked_sub(length));
    let Some(missing) = missing else {
        return Err(InvalidAmount::TooPrecise { text: text.to_owned(), decimals });
    };
    let read = |part: &str| match part {
        "" => Ok(0),
        _ => part.parse::<u64>().map_err(|_| too_large()),
    };
    let scaled = |number: u64, by: u32| 10u64.checked_pow(by).and_then(|unit| number.checked_mul(unit));
    let whole = scaled(read(whole)?, decimals).ok_or_else(too_large)?;
    let fraction = scaled(read(fraction)?, missing).ok_or_else(too_large)?;
    whole.checked_add(fraction).ok_or_else(too_large)
}

/// The shortest decimal number for `units` of 10^-`decimals`, with at least `least` decimals.
pub(crate) fn write(units: u64, decimals: usize, least: usize) -> String {
    let mut digits = format!("{units:0width$}", width = decimals + 1);
    let fraction = digits.split_off(digits.len() - decimals);
    let kept = fraction.trim_end_matches('0').len().max(least.min(decimals));
    if kept > 0 {
        digits.push('.');
        digits.push_str(&fraction[..kept]);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_read_exactly_or_refused() {
        assert_eq!(parse("2.50", 6), Ok(2_500_000));
        assert_eq!(parse("0.000001", 6), Ok(1));
        assert_eq!(parse("7", 0), Ok(7));
        assert_eq!(parse("1.500000000", 2), Ok(150), "zeros at the end are no precision");
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "NaN", "0x1", " 1"] {
            assert!(matches!(parse(text, 6), Err(InvalidAmount::NotDecimal { .. })), "{text:?}");
        }
        assert!(matches!(parse("0.0000001", 6), Err(InvalidAmount::TooPrecise { .. })));
        assert!(matches!(parse("18446744073710", 6), Err(InvalidAmount::TooLarge { .. })));
        assert!(matches!(parse("99999999999999999999", 0), Err(InvalidAmount::TooLarge { .. })));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for units in [0, 1, 10, 999_999, 1_000_000, 2_500_000, u64::MAX] {
            assert_eq!(parse(&write(units, 6, 0), 6), Ok(units));
            assert_eq!(parse(&write(units, 9, 2), 9), Ok(units));
        }
        assert_eq!(write(2_500_000, 6, 0), "2.5");
        assert_eq!(write(12_000_000_000, 9, 2), "12.00");
        assert_eq!(write(1, 9, 2), "0.000000001");
    }
}

//! Money adds up to the last nano-dollar, whatever the figures (M6).

use mainstay_metering::{Kind, ModelPrices, Most, NanoUsd, Price, PriceVersion, Rates};
use mainstay_provider_core::Usage;
use proptest::prelude::*;

fn price() -> impl Strategy<Value = Price> {
    // Up to a thousand dollars per million tokens, most of them not round.
    (0u64..1_000_000_000).prop_map(Price::from_picos_a_token)
}

prop_compose! {
    fn rates()(input in price(), output in price(), read in price(), write in price(), long in price(), thinking in price())
        -> Rates
    {
        let mut rates = Rates::new(input, output);
        (rates.cache_read, rates.cache_write, rates.cache_write_long, rates.reasoning) = (read, write, long, thinking);
        rates
    }
}

prop_compose! {
    /// Tokens of a call that does not contradict itself.
    fn usage()(read in 0u64..1 << 40, written in 0u64..1 << 40, long in 0u64..1 << 40, plain in 0u64..1 << 40,
               thinking in 0u64..1 << 40, shown in 0u64..1 << 40)
        -> Usage
    {
        let mut usage = Usage::new(read + written + plain, thinking + shown);
        (usage.cache_read, usage.cache_write, usage.reasoning) = (read, written, thinking);
        usage.cache_write_long = long.min(written);
        usage
    }
}

fn picos(rates: &Rates, usage: &Usage) -> u128 {
    let times = |price: Price, tokens: u64| u128::from(price.picos_a_token()) * u128::from(tokens);
    times(rates.input, usage.input - usage.cache_read - usage.cache_write)
        + times(rates.cache_read, usage.cache_read)
        + times(rates.cache_write, usage.cache_write - usage.cache_write_long)
        + times(rates.cache_write_long, usage.cache_write_long)
        + times(rates.output, usage.output - usage.reasoning)
        + times(rates.reasoning, usage.reasoning)
}

fn nanos(picos: u128) -> u64 {
    u64::try_from(picos.div_ceil(1_000)).unwrap_or(u64::MAX)
}

proptest! {
    #[test]
    fn a_cost_is_the_exact_product_rounded_up_once(rates in rates(), usage in usage()) {
        let cost = ModelPrices::new(rates).cost(usage, &PriceVersion::from("test"));
        prop_assert_eq!(cost.total().as_nanos(), nanos(picos(&rates, &usage)));
        prop_assert_eq!(cost.parts().map(|(_, amount)| amount).sum::<NanoUsd>(), cost.total());
    }

    #[test]
    fn a_part_is_off_by_less_than_a_nano_dollar(rates in rates(), usage in usage()) {
        let cost = ModelPrices::new(rates).cost(usage, &PriceVersion::from("test"));
        let exact = u128::from(rates.reasoning.picos_a_token()) * u128::from(usage.reasoning);
        let shown = u128::from(cost.of(Kind::Reasoning).as_nanos()) * 1_000;
        prop_assume!(cost.total() < NanoUsd::MAX);
        prop_assert!(shown.abs_diff(exact) < 1_000, "{} {}", shown, exact);
    }

    #[test]
    fn two_calls_cost_no_less_than_one_of_both(rates in rates(), one in usage(), other in usage()) {
        let prices = ModelPrices::new(rates);
        let cost = |usage: Usage| prices.cost(usage, &PriceVersion::from("test")).total();
        let (apart, together) = (cost(one) + cost(other), cost(one + other));
        prop_assert!(apart >= together);
        prop_assert!(apart.saturating_sub(together) <= NanoUsd::from_nanos(1));
    }

    /// M1: whatever part of the input is cached and whatever part of the output is reasoning.
    #[test]
    fn a_call_never_costs_more_than_was_reserved(low in rates(), high in rates(), above in 0u64..1 << 41, used in usage()) {
        let prices = ModelPrices::new(low).tier(above, high);
        let most = prices.most(Most::new(used.input, used.output).with_long_cache());
        prop_assert!(prices.cost(used, &PriceVersion::from("test")).total() <= most);
    }

    #[test]
    fn hostile_figures_neither_panic_nor_wrap(rates in rates(), figures in any::<[u64; 6]>()) {
        let mut usage = Usage::new(figures[0], figures[1]);
        (usage.cache_read, usage.cache_write) = (figures[2], figures[3]);
        (usage.cache_write_long, usage.reasoning) = (figures[4], figures[5]);
        let cost = ModelPrices::new(rates).cost(usage, &PriceVersion::from("test"));
        let least = u128::from(rates.cache_read.picos_a_token()) * u128::from(usage.cache_read);
        prop_assert!(cost.total().as_nanos() >= nanos(least));
        prop_assert_eq!(cost.parts().map(|(_, amount)| amount).sum::<NanoUsd>(), cost.total());
    }

    #[test]
    fn an_amount_is_read_as_it_is_written(nanos in any::<u64>()) {
        let amount = NanoUsd::from_nanos(nanos);
        prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        let json = serde_json::to_string(&amount).unwrap();
        prop_assert_eq!(serde_json::from_str::<NanoUsd>(&json).unwrap(), amount);
    }

    #[test]
    fn a_price_is_read_as_it_is_written_and_from_a_float_too(picos in 0u64..1_000_000_000_000) {
        let price = Price::from_picos_a_token(picos);
        prop_assert_eq!(price.to_string().parse(), Ok(price));
        prop_assert_eq!(serde_json::from_str::<Price>(&serde_json::to_string(&price).unwrap()).unwrap(), price);
        // Twelve digits are fewer than a float holds.
        prop_assert_eq!(Price::from_f64_per_million(picos as f64 / 1e6), Ok(price));
    }

    #[test]
    fn sums_stop_at_the_largest_amount(amounts in prop::collection::vec(any::<u64>(), 0..20)) {
        let exact: u128 = amounts.iter().map(|nanos| u128::from(*nanos)).sum();
        let sum: NanoUsd = amounts.into_iter().map(NanoUsd::from_nanos).sum();
        prop_assert_eq!(u128::from(sum.as_nanos()), exact.min(u128::from(u64::MAX)));
    }
}

#[test]
fn a_float_is_read_as_it_would_be_written() {
    assert_eq!(Price::from_f64_per_million(0.1), Ok(Price::from_picos_a_token(100_000)));
    assert_eq!(Price::from_f64_per_million(2.5), Price::per_million("2.50"));
    for wrong in [-1.0, f64::NAN, f64::INFINITY, 0.1 + 0.2, 1e300] {
        assert!(Price::from_f64_per_million(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn amounts_are_shown_in_dollars() {
    assert_eq!(NanoUsd::from_nanos(12_500_000_000).to_string(), "$12.50");
    assert_eq!(NanoUsd::from_nanos(75_000).to_string(), "$0.000075");
    assert_eq!(NanoUsd::ZERO.to_string(), "$0.00");
    assert_eq!(format!("{:>8}|", NanoUsd::from_dollars(3)), "   $3.00|");
    assert_eq!("12.5".parse(), Ok(NanoUsd::from_nanos(12_500_000_000)));
}

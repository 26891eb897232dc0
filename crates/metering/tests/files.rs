//! What a user knows better is laid on top of the table.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use mainstay_metering::{Basis, InvalidPriceFile, Price, PriceFile, PriceTable};
use mainstay_provider_core::Usage;

const JSON: &str = r#"{
    "version": "acme-7",
    "prices": {
        "openai/gpt-4o": {"input": 2, "output": "8.00", "cache_read": 0.5},
        "azure-openai/*": {"input": 3, "output": 9},
        "azure-openai/prod-*": {"input": 4, "output": 9},
        "vllm/*": {"input": 0.05, "output": 0.05},
        "openai/gpt-99": {"input": 1, "output": 2, "context_window": 1000, "max_output": 100,
            "tiers": [{"above": 500, "input": 2}]}
    },
    "aliases": {"azure-openai/summaries": "openai/gpt-4o-mini", "openai/mine": "openai/gpt-99"}
}"#;

fn table() -> PriceTable {
    PriceTable::built_in().with(&PriceFile::from_json(JSON).unwrap()).unwrap()
}

fn nanos(table: &PriceTable, provider: &str, model: &str) -> u64 {
    table.cost(provider, model, &Usage::new(1_000, 0)).unwrap().total().as_nanos()
}

#[test]
fn what_the_file_says_of_a_model_counts() {
    let table = table();
    let prices = table.prices("openai", "gpt-4o").unwrap();
    assert_eq!(prices.basis, Basis::Listed);
    assert_eq!(prices.prices.base().input, Price::per_million("2").unwrap());
    assert_eq!(prices.prices.base().cache_write, Price::per_million("2").unwrap(), "not said: as input");
    // A snapshot without a price of its own follows its model; one with its own keeps it.
    assert_eq!(nanos(&table, "openai", "gpt-4o-2024-08-06"), 2_000_000);
    assert_eq!(nanos(&table, "openai", "gpt-4o-2024-05-13"), 5_000_000);
    // The rest of the table is as it was.
    assert_eq!(nanos(&table, "openai", "gpt-4o-mini"), 150_000);
}

#[test]
fn the_longest_pattern_counts_and_an_exact_name_before_it() {
    let table = table();
    assert_eq!(nanos(&table, "azure-openai", "prod-eu"), 4_000_000);
    assert_eq!(nanos(&table, "azure-openai", "gpt-5"), 3_000_000);
    assert_eq!(nanos(&table, "azure", "gpt-5"), 3_000_000, "by any of its names");
    assert_eq!(nanos(&table, "azure-openai", "summaries"), 150_000, "an alias is an exact name");
}

#[test]
fn a_model_of_ones_own_can_have_a_price_too() {
    assert_eq!(nanos(&table(), "vllm", "llama"), 50_000);
    assert_eq!(nanos(&table(), "ollama", "llama"), 0);
}

#[test]
fn tiers_and_limits_are_taken_over() {
    let table = table();
    let prices = table.prices("openai", "mine").unwrap().prices;
    assert_eq!((prices.context_window(), prices.max_output()), (Some(1_000), Some(100)));
    assert_eq!(prices.rates(500).input, Price::per_million("1").unwrap());
    assert_eq!(prices.rates(501).input, Price::per_million("2").unwrap());
    assert_eq!(prices.rates(501).cache_read, Price::per_million("2").unwrap(), "raised as input is");
    assert_eq!(prices.rates(501).output, Price::per_million("2").unwrap(), "as below");
}

#[test]
fn the_version_tells_the_file() {
    assert_eq!(table().version().as_str(), "2026-11-21+acme-7");
    let unnamed = |json: &str| {
        PriceTable::built_in().with(&PriceFile::from_json(json).unwrap()).unwrap().version().clone()
    };
    let one = r#"{"prices": {"openai/gpt-4o": {"input": 2, "output": 8}}}"#;
    let other = r#"{"prices": {"openai/gpt-4o": {"input": 2, "output": 9}}}"#;
    assert_eq!(unnamed(one), unnamed(one));
    assert_ne!(unnamed(one), unnamed(other));
}

#[test]
fn a_newer_file_lies_on_top_of_an_older_one() {
    let newer = PriceFile::from_json(r#"{"prices": {"openai/gpt-4o": {"input": 7, "output": 8}}}"#).unwrap();
    let table = table().with(&newer).unwrap();
    assert_eq!(nanos(&table, "openai", "gpt-4o"), 7_000_000);
    assert_eq!(nanos(&table, "azure-openai", "prod-eu"), 4_000_000);
    let listed = table.models().filter(|(provider, model, _)| (*provider, *model) == ("openai", "gpt-4o"));
    assert_eq!(
        listed.map(|(_, _, prices)| prices.base().input).collect::<Vec<_>>(),
        [Price::per_million("7").unwrap()]
    );
}

#[test]
fn a_slip_is_told() {
    let told = |json: &str| match PriceFile::from_json(json) {
        Ok(file) => PriceTable::built_in().with(&file).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(told(r#"{"prices": {"openai/a": {"input": 2}}}"#).starts_with("missing field `output`"));
    assert!(
        told(r#"{"prices": {"openai/a": {"input": 2, "output": 3, "cached": 1}}}"#)
            .contains("unknown field `cached`")
    );
    assert!(
        told(r#"{"prices": {"openai/a": {"input": -2, "output": 3}}}"#)
            .contains("\"-2\" is not a plain decimal")
    );
    assert!(
        told(r#"{"prices": {"openai/a": {"input": 0.00000001, "output": 3}}}"#)
            .contains("more than 6 decimals")
    );
    assert_eq!(
        told(r#"{"prices": {"gpt-4o": {"input": 2, "output": 3}}}"#),
        "\"gpt-4o\" is not provider/model"
    );
    let alias = PriceFile::from_json(r#"{"aliases": {"openai/a": "openai/gpt-none"}}"#).unwrap();
    let error = PriceTable::built_in().with(&alias).unwrap_err();
    assert!(matches!(error, InvalidPriceFile::NoSuchModel { .. }), "{error}");
}

#[cfg(feature = "toml")]
#[test]
fn a_file_can_be_toml() {
    let file = PriceFile::from_toml(
        r#"
        version = "acme-7"

        [prices."openai/gpt-4o"]
        input = 2.5
        output = "10.00"
        cache_write_1h = 5

        [[prices."openai/gpt-4o".tiers]]
        above = 200_000
        input = 5.0

        [aliases]
        "azure-openai/summaries" = "openai/gpt-4o"
        "#,
    );
    let table = PriceTable::built_in().with(&file.unwrap()).unwrap();
    let prices = table.prices("azure-openai", "summaries").unwrap().prices;
    assert_eq!(prices.rates(200_001).cache_write_long, Price::per_million("10").unwrap());
}

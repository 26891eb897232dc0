//! `cargo xtask prices`: the built-in price table beside LiteLLM's list of prices, where that is there.
//!
//! The check is the table's own lookup: every model of the list that the table should know must cost there what the list
//! says, by whatever name and rule it is found. `--write` makes the table anew from the list.

mod source;
mod write;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use mainstay_metering::{ModelPrices, Price, PriceTable};

use self::source::{Listed, Prices};
use crate::metadata::Metadata;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The list; without it `data/model_prices.json` in ../shared or $MAINSTAY_SHARED.
    list: Option<PathBuf>,
    /// Makes the table anew from the list; models that were switched off half a year before this day are left out.
    #[arg(long, value_name = "YYYY-MM-DD")]
    write: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = Metadata::load()?;
    let shared = || metadata.shared("data").map(|folder| folder.join("model_prices.json"));
    let Some(list) = options.list.clone().or_else(shared) else {
        println!("prices: no list at ../shared/data or $MAINSTAY_SHARED/data; nothing to compare with");
        return Ok(());
    };
    let listed = source::read(&list).with_context(|| list.display().to_string())?;
    if let Some(today) = &options.write {
        let path = metadata.workspace_root.join("crates/metering/prices/table.txt");
        let old = std::fs::read_to_string(&path)?;
        std::fs::write(&path, write::table(&old, &listed, today)?)?;
        println!("prices: {} written; build again, then check", path.display());
        return Ok(());
    }
    check(&PriceTable::built_in(), &listed)
}

/// Each model that is in both costs the same in both, and each model of the table is in the list.
fn check(table: &PriceTable, listed: &[Listed]) -> Result<()> {
    let oldest =
        write::half_a_year_before(table.version().as_str()).context("the version of the table is no day")?;
    let wanted = |model: &&Listed| model.is_wanted() && !model.was_off_before(&oldest);
    let wanted: Vec<&Listed> = listed.iter().filter(wanted).collect();
    let (mut same, mut missing, mut wrong) = (0, Vec::new(), Vec::new());
    for model in &wanted {
        match table.prices(model.provider, &model.name) {
            None => missing.push(format!("{}/{}", model.provider, model.name)),
            Some(priced) => match differences(priced.prices, &model.prices) {
                told if told.is_empty() => same += 1,
                told => wrong.push(format!("{}/{}: {}", model.provider, model.name, told.join(", "))),
            },
        }
    }
    let known = |provider: &str, name: &str| {
        let name = name.trim_end_matches('*');
        wanted.iter().any(|model| model.provider == provider && model.name.starts_with(name))
    };
    let strangers = table.models().filter(|(provider, name, _)| !known(provider, name));
    let strangers: Vec<_> = strangers.map(|(provider, name, _)| format!("{provider}/{name}")).collect();
    wrong.iter().for_each(|line| println!("differs: {line}"));
    strangers.iter().for_each(|line| println!("not in the list, or switched off: {line}"));
    missing.iter().for_each(|line| println!("not in the table: {line}"));
    println!(
        "prices: table {} has {} models; of {} in the list {same} cost the same, {} differ, {} are not in the table",
        table.version(),
        table.models().count(),
        wanted.len(),
        wrong.len(),
        missing.len(),
    );
    if !wrong.is_empty() || !strangers.is_empty() {
        bail!("the table does not agree with the list: cargo xtask prices --write YYYY-MM-DD");
    }
    Ok(())
}

/// What the list says and the table does not follow.
fn differences(ours: &ModelPrices, theirs: &Prices) -> Vec<String> {
    let base = ours.base();
    let mut pairs = vec![
        ("in".to_owned(), base.input, Some(theirs.base.input)),
        ("out".to_owned(), base.output, Some(theirs.base.output)),
        ("read".to_owned(), base.cache_read, theirs.base.read),
        ("write".to_owned(), base.cache_write, theirs.base.write),
        ("write-1h".to_owned(), base.cache_write_long, theirs.base.write_1h),
        ("reasoning".to_owned(), base.reasoning, theirs.base.reasoning),
        ("audio".to_owned(), base.audio_input, theirs.base.audio),
        ("audio-out".to_owned(), base.audio_output, theirs.base.audio_out),
    ];
    for (above, tier) in &theirs.tiers {
        let rates = ours.rates(above + 1);
        pairs.extend([
            (format!(">{above} in"), rates.input, tier.input),
            (format!(">{above} out"), rates.output, tier.output),
            (format!(">{above} read"), rates.cache_read, tier.read),
            (format!(">{above} write"), rates.cache_write, tier.write),
        ]);
    }
    let differ = |(name, ours, theirs): (String, Price, Option<Price>)| {
        let theirs = theirs.filter(|theirs| *theirs != ours)?;
        Some(format!("{name} is {ours}, in the list {theirs}"))
    };
    let mut told: Vec<_> = pairs.into_iter().filter_map(differ).collect();
    if ours.tiers().len() != theirs.tiers.len() {
        told.push(format!("{} tiers, in the list {}", ours.tiers().len(), theirs.tiers.len()));
    }
    told
}

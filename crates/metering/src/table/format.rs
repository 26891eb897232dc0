//! The form of the built-in table, one line a model; `prices/table.txt` describes it.

use std::sync::Arc;

use super::{InvalidPriceFile, Layer, PriceTable};
use crate::cost::PriceVersion;
use crate::money::Price;
use crate::spec::{PriceSpec, TierSpec};

pub(super) fn read(text: &str) -> Result<PriceTable, InvalidPriceFile> {
    let mut layer = Layer::default();
    let mut version = None;
    let mut provider = None;
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: String| InvalidPriceFile::Line { number: index + 1, what };
        let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
        if line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            provider = Some(name);
            continue;
        }
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (name, provider) {
            ("version", None) => version = Some(rest.trim()),
            (_, None) => return Err(wrong(format!("{name:?} stands before the first [provider]"))),
            ("like", Some(provider)) => {
                let models = layer.providers.entry(provider.into()).or_default();
                models.like.extend(rest.split_whitespace().map(Box::from));
            }
            (_, Some(provider)) => {
                let prices = Arc::new(spec(rest).map_err(wrong)?.prices());
                if !layer.put(provider, name, prices) {
                    return Err(wrong(format!("{name:?} stands there twice")));
                }
            }
        }
    }
    let version = version.ok_or(InvalidPriceFile::Line { number: 1, what: "there is no version".into() })?;
    Ok(PriceTable { layers: Arc::new([Arc::new(layer)]), version: PriceVersion::from(version) })
}

fn spec(fields: &str) -> Result<PriceSpec, String> {
    let mut spec = PriceSpec::new(Price::FREE, Price::FREE);
    let (mut has_input, mut has_output) = (false, false);
    for field in fields.split_whitespace() {
        if let Some(above) = field.strip_prefix('>') {
            let above = above.parse().map_err(|_| format!("{field:?} is no number of tokens"))?;
            spec.tiers.push(TierSpec::new(above));
            continue;
        }
        let (name, value) = field.split_once('=').ok_or_else(|| format!("{field:?} is not name=value"))?;
        let price = || Price::per_million(value).map_err(|error| error.to_string());
        let count =
            || value.parse::<u64>().map(Some).map_err(|_| format!("{field:?} is no number of tokens"));
        if let Some(tier) = spec.tiers.last_mut() {
            match name {
                "in" => tier.input = Some(price()?),
                "out" => tier.output = Some(price()?),
                "read" => tier.cache_read = Some(price()?),
                "write" => tier.cache_write = Some(price()?),
                "write-1h" => tier.cache_write_1h = Some(price()?),
                _ => return Err(format!("{name:?} is not a price of a tier")),
            }
            continue;
        }
        match name {
            "in" => (spec.input, has_input) = (price()?, true),
            "out" => (spec.output, has_output) = (price()?, true),
            "read" => spec.cache_read = Some(price()?),
            "write" => spec.cache_write = Some(price()?),
            "write-1h" => spec.cache_write_1h = Some(price()?),
            "reasoning" => spec.reasoning = Some(price()?),
            "audio" => spec.audio_input = Some(price()?),
            "audio-out" => spec.audio_output = Some(price()?),
            "window" => spec.context_window = count()?,
            "max" => spec.max_output = count()?,
            _ => return Err(format!("there is no price {name:?}")),
        }
    }
    // A price that is not there is not zero.
    match (has_input, has_output) {
        (true, true) => Ok(spec),
        (false, _) => Err("there is no `in`".into()),
        (true, false) => Err("there is no `out`".into()),
    }
}

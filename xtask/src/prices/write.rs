//! The table as text.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use mainstay_metering::{Price, PriceTable};

use super::differences;
use super::source::{Listed, Prices};

const PROVIDERS: [&str; 15] = [
    "openai",
    "azure-openai",
    "anthropic",
    "gemini",
    "vertex",
    "bedrock",
    "mistral",
    "cohere",
    "deepseek",
    "groq",
    "xai",
    "cerebras",
    "perplexity",
    "together",
    "zai",
];

/// Providers whose unlisted models cost as at others.
const LIKE: [(&str, &str); 2] = [("azure-openai", "openai"), ("vertex", "gemini anthropic")];

/// One name for all that begin so, which all cost as one of them.
const PATTERNS: [(&str, &str, &str); 1] = [("xai", "grok-4.20*", "grok-4.20")];

/// The table with the comment that the old one begins with. A model that would cost the same without a line of its own
/// (a snapshot, the same at a provider that it is like) gets none.
pub(super) fn table(old: &str, listed: &[Listed], today: &str) -> Result<String> {
    let oldest = half_a_year_before(today).with_context(|| format!("{today:?} is not YYYY-MM-DD"))?;
    let comment = old.lines().take_while(|line| line.starts_with('#'));
    let mut text = comment.fold(String::new(), |text, line| text + line + "\n");
    writeln!(text, "\nversion {today}")?;
    for provider in PROVIDERS {
        writeln!(text, "\n[{provider}]")?;
        if let Some((_, others)) = LIKE.iter().find(|(of, _)| *of == provider) {
            writeln!(text, "like {others}")?;
        }
        let of_provider = || listed.iter().filter(|model| model.provider == provider);
        let mut lines = Vec::new();
        for (_, pattern, of) in PATTERNS.iter().filter(|(of, _, _)| *of == provider) {
            let model = of_provider().find(|model| model.name == *of).context("a pattern without a model")?;
            lines.push(line(pattern, model));
        }
        let mut models: Vec<_> =
            of_provider().filter(|model| model.is_wanted() && !model.was_off_before(&oldest)).collect();
        // The shortest first, so that a snapshot finds its model.
        models.sort_by_key(|model| (model.name.len(), &model.name));
        for model in models {
            let so_far = PriceTable::from_text(&format!("{text}{}", lines.join("\n")))?;
            let is_known = so_far
                .prices(provider, &model.name)
                .is_some_and(|priced| differences(priced.prices, &model.prices).is_empty());
            if !is_known {
                lines.push(line(&model.name, model));
            }
        }
        lines.sort();
        ensure!(!lines.is_empty(), "no models of {provider}");
        writeln!(text, "{}", lines.join("\n"))?;
    }
    Ok(text)
}

fn line(name: &str, model: &Listed) -> String {
    let Prices { base, tiers } = &model.prices;
    let mut line = format!("{name} in={} out={}", base.input, base.output);
    let mut add = |name: &str, price: Option<Price>, unless: Price| {
        if let Some(price) = price.filter(|price| *price != unless) {
            write!(line, " {name}={price}").expect("a String takes all");
        }
    };
    add("read", base.read, base.input);
    add("write", base.write, base.input);
    add("write-1h", base.write_1h, base.write.unwrap_or(base.input));
    add("reasoning", base.reasoning, base.output);
    add("audio", base.audio, base.input);
    add("audio-out", base.audio_out, base.output);
    let counts = [("window", model.context_window), ("max", model.max_output)];
    for (name, tokens) in counts {
        if let Some(tokens) = tokens {
            write!(line, " {name}={tokens}").expect("a String takes all");
        }
    }
    for (above, tier) in tiers {
        write!(line, " >{above}").expect("a String takes all");
        for (name, price) in
            [("in", tier.input), ("out", tier.output), ("read", tier.read), ("write", tier.write)]
        {
            if let Some(price) = price {
                write!(line, " {name}={price}").expect("a String takes all");
            }
        }
    }
    line
}

/// Days are compared as they are written, so the day of the month may be one that is not there.
pub(super) fn half_a_year_before(day: &str) -> Option<String> {
    let (year, rest) = day.split_once('-')?;
    let (month, date) = rest.split_once('-')?;
    let (year, month): (u32, u32) = (year.parse().ok()?, month.parse().ok()?);
    let months = (year * 12 + month).checked_sub(1 + 6)?;
    Some(format!("{:04}-{:02}-{date}", months / 12, months % 12 + 1))
}

#[cfg(test)]
mod tests {
    use super::half_a_year_before;

    #[test]
    fn half_a_year_goes_over_the_turn_of_the_year() {
        assert_eq!(half_a_year_before("2026-11-21").as_deref(), Some("2026-05-21"));
        assert_eq!(half_a_year_before("2026-03-31").as_deref(), Some("2025-09-31"));
        assert_eq!(half_a_year_before("today"), None);
    }
}

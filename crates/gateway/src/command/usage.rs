//! `mainstay usage`: who has used how much of which model (S6.4).

use std::path::PathBuf;

use mainstay::config::BudgetStoreSetting::{Journal, Memory};

use super::{Failure, client, print, read_config, runtime};
use crate::usage::{Asked, as_json, as_table, report};

#[derive(clap::Args)]
pub(super) struct UsageArguments {
    /// The configuration whose [budget] say where the usage is.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// The first day, in UTC: 2026-11-01.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day, itself included.
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// By what totals are told apart: day, model, subject, with commas between.
    #[arg(long, default_value = "model")]
    by: String,
    /// Only what this subject pays for: user:ann.
    #[arg(long)]
    subject: Option<String>,
    /// Each subject of this kind: user.
    #[arg(long)]
    kind: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn usage_command(arguments: &UsageArguments) -> Result<(), Failure> {
    let asked = Asked {
        from: arguments.from.as_deref(),
        to: arguments.to.as_deref(),
        by: Some(&arguments.by),
        subject: arguments.subject.as_deref(),
        kind: arguments.kind.as_deref(),
    };
    let query = asked.query()?;
    let config = read_config(&arguments.config)?;
    let Some(settings) = &config.client.budget else {
        return Err("the configuration has no [budget], so nothing is counted".to_owned());
    };
    if settings.store == Memory {
        return Err("the usage is in the memory of the gateway that runs: ask its admin API (GET /admin/usage), or set \
                    budget.store to \"journal\", \"redis\" or \"postgres\""
            .to_owned());
    }
    let runtime = runtime()?;
    let totals = runtime.block_on(async {
        let client = client(&config).map_err(|why| match settings.store {
            Journal => {
                format!("{why}; the usage of a gateway that runs is told by its admin API (GET /admin/usage)")
            }
            _ => why,
        })?;
        let budget = client.budget().ok_or("there is no budget")?;
        budget.usage(&query).await.map_err(|error| format!("the store of the budgets: {error}"))
    })?;
    let lines = report(&totals);
    print(&if arguments.json { format!("{:#}\n", as_json(&lines)) } else { as_table(&lines) })
}

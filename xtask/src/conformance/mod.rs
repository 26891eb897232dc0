//! `cargo xtask conformance`: recorded exchanges with real providers, replayed through the adapters.
//!
//! docs/conformance.md tells what is compared and how to read the output.

mod auth;
mod dialect;
mod expect;
mod features;
mod fixture;
mod gateway;
mod json;
mod meaning;
mod replay;
mod report;
mod requests;
mod reverse;
mod server;
#[cfg(test)]
mod tests;
mod validate;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use mainstay_adapters::{Transport, TransportConfig};

use self::dialect::{Target, Wire};
use self::fixture::Fixture;
use self::gateway::Gateway;
use self::replay::Stage;
use self::report::Report;
use self::validate::Specs;

#[derive(Args)]
pub(crate) struct Options {
    /// The folder of recorded exchanges.
    folder: Option<PathBuf>,
    /// Only the files of this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Only the files whose `provider/name` contains this.
    #[arg(long)]
    only: Option<String>,
    /// Print each neutral request and what the adapter made of it.
    #[arg(long)]
    verbose: bool,
    /// The folder of the providers' OpenAPI documents. Default: `specs` beside the folder of exchanges, if it is there.
    #[arg(long)]
    specs: Option<PathBuf>,
    /// Go through this gateway (`target/release/mainstay`) instead of calling the adapters.
    #[arg(long, value_name = "BIN")]
    through_gateway: Option<PathBuf>,
    /// Validate hand-made requests, one per feature, at every provider instead of replaying files.
    #[arg(long)]
    requests: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(conformance(options))
}

async fn conformance(options: &Options) -> Result<()> {
    let specs = options.specs.clone().or_else(|| beside(options.folder.as_deref()?));
    let mut stage = Stage {
        server: server::Loopback::start().await?,
        gateway: None,
        transport: Transport::new(&TransportConfig::default())?,
        specs: specs.as_deref().map(Specs::read).transpose()?,
        verbose: options.verbose,
    };
    if stage.specs.is_none() {
        println!(
            "note: no folder of OpenAPI documents (--specs DIR): requests are not validated against them\n"
        );
    }
    if options.requests {
        let specs = stage.specs.as_ref().context("name the folder of OpenAPI documents: --specs DIR")?;
        let all_fit = requests::validate_all(&stage, specs, options.only.as_deref()).await;
        return if all_fit { Ok(()) } else { bail!("not every request fits its document") };
    }
    let folder = options.folder.as_deref().context("name the folder of recorded exchanges")?;
    let fixtures = chosen(folder, options)?;
    if let Some(binary) = &options.through_gateway {
        let targets: Vec<Target> =
            fixtures.iter().map(|fixture| Target::of(fixture, Wire::of(fixture))).collect();
        stage.gateway = Some(Gateway::start(binary, &targets, &stage.server.origin).await?);
    }
    if replay_all(&stage, &fixtures).await { Ok(()) } else { bail!("not every exchange conforms") }
}

/// The documents usually lie beside the recorded exchanges.
fn beside(folder: &Path) -> Option<PathBuf> {
    let specs = folder.canonicalize().ok()?.parent()?.join("specs");
    specs.is_dir().then_some(specs)
}

fn chosen(folder: &Path, options: &Options) -> Result<Vec<Fixture>> {
    let mut chosen = Vec::new();
    for path in fixture::files(folder)? {
        let fixture = Fixture::read(&path)?;
        let wanted = options.provider.as_ref().is_none_or(|provider| *provider == fixture.provider)
            && options.only.as_ref().is_none_or(|only| fixture.id().contains(only.as_str()));
        if wanted {
            chosen.push(fixture);
        }
    }
    Ok(chosen)
}

async fn replay_all(stage: &Stage, fixtures: &[Fixture]) -> bool {
    let mut report = Report::default();
    for fixture in fixtures {
        let outcome = stage.replay(fixture).await;
        report.add(&fixture.id(), &fixture.provider, &fixture.categories, &outcome);
    }
    report.finish()
}

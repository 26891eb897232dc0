//! Local models: `model fetch` and `model list`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use mainstay::embed::fetch;

use super::rehearse::whole;
use super::{Failure, print, runtime};

#[derive(Subcommand)]
pub(super) enum ModelCommand {
    /// Download a local embedding model, checked by its checksums, and print its folder.
    Fetch {
        /// Its name.
        #[arg(default_value = "all-MiniLM-L6-v2")]
        name: String,
        /// Where models are kept. Default: this user's cache folder.
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
        /// A mirror: the address that the model's files lie under.
        #[arg(long, value_name = "URL")]
        from: Option<String>,
    },
    /// List the models that can be fetched.
    List,
}

pub(super) fn model_command(command: &ModelCommand) -> Result<(), Failure> {
    match command {
        ModelCommand::List => {
            let names: Vec<_> = fetch::known_names().collect();
            print(&format!("{}\n", names.join("\n")))
        }
        ModelCommand::Fetch { name, to, from } => fetch_command(name, to.clone(), from.as_deref()),
    }
}

fn fetch_command(name: &str, to: Option<PathBuf>, from: Option<&str>) -> Result<(), Failure> {
    let known = || fetch::known_names().collect::<Vec<_>>().join(", ");
    let mut manifest = fetch::known(name)
        .ok_or_else(|| format!("{name:?} is no model that can be fetched; there are: {}", known()))?;
    if let Some(base) = from {
        manifest = manifest.from_base(if base.ends_with('/') { base.to_owned() } else { format!("{base}/") });
    }
    let models = to
        .or_else(fetch::user_folder)
        .ok_or("this user has no cache folder (XDG_CACHE_HOME, HOME); say where with --to")?;
    let mut told = String::new();
    let folder = runtime()?.block_on(manifest.fetch(&models, |progress| {
        if progress.done >= progress.bytes && told != progress.path {
            progress.path.clone_into(&mut told);
            // Standard error may be closed; the file is there all the same.
            let _ = writeln!(std::io::stderr(), "{} ({} bytes)", progress.path, progress.bytes);
        }
    }));
    let folder = folder.map_err(|why| whole(&why))?;
    print(&format!("{}\n", folder.display()))
}

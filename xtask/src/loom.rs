//! Every order in which threads can meet: the models of the crates that depend on loom.

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use crate::metadata::{Metadata, Package};

pub(crate) fn run(sh: &Shell, metadata: &Metadata) -> Result<()> {
    let _flags = sh.push_env("RUSTFLAGS", "--cfg loom");
    // In a folder of its own: other flags would build everything else anew.
    let folder = metadata.target_directory.join("loom");
    for Package { name, .. } in metadata.packages.iter().filter(|package| has_models(package)) {
        let said =
            cmd!(sh, "cargo test --quiet --release --package {name} --lib --target-dir {folder} loom_")
                .ignore_status()
                .read()?;
        let models = passed(&said);
        ensure!(models.is_some_and(|models| models > 0), "{name}: a model failed, or there is none\n{said}");
        eprintln!("   ok  {name}: {} models", models.unwrap_or_default());
    }
    Ok(())
}

fn has_models(package: &Package) -> bool {
    package.dependencies.iter().any(|dependency| dependency.name == "loom")
}

/// Of `test result: ok. 7 passed; ...`.
fn passed(said: &str) -> Option<u32> {
    let (_, result) = said.split_once("test result: ok. ")?;
    result.split_once(' ')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn only_models_that_ran_and_passed_count() {
        let said = "running 7 tests\n.......\ntest result: ok. 7 passed; 0 failed; 0 ignored";
        assert_eq!(passed(said), Some(7));
        assert_eq!(passed("test result: ok. 0 passed; 0 failed; 0 ignored"), Some(0));
        assert_eq!(passed("test result: FAILED. 6 passed; 1 failed; 0 ignored"), None);
        assert_eq!(passed("error: could not compile"), None);
    }
}

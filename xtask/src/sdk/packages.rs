//! Pinned packages of others' languages, installed once beneath `target`.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use xshell::{Shell, cmd};

/// A virtual environment with pinned packages in it.
pub(crate) struct Python {
    interpreter: PathBuf,
    scripts: PathBuf,
}

impl Python {
    /// `requirements` is a file among the scripts.
    pub(crate) fn prepare(sh: &Shell, scripts: &Path, requirements: &str, home: &Path) -> Result<Self> {
        let (venv, pins) = (home.join("python"), scripts.join(requirements));
        let interpreter = venv.join("bin/python");
        install_once(&venv, &[&pins], || {
            cmd!(sh, "python3 -m venv {venv}").run()?;
            // The files name everything, so nothing else is to be found.
            cmd!(sh, "{interpreter} -m pip --quiet --disable-pip-version-check install --no-deps --requirement {pins}")
                .run()?;
            Ok(())
        })?;
        Ok(Self { interpreter, scripts: scripts.to_owned() })
    }

    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = self.command();
        command.arg(self.scripts.join(name));
        command
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg("-B");
        command
    }
}

/// A folder with `node_modules`; the scripts are copied into it, since Node.js looks for packages beside the script.
pub(super) struct Node {
    interpreter: PathBuf,
    home: PathBuf,
}

impl Node {
    pub(super) fn prepare(sh: &Shell, scripts: &Path, home: &Path) -> Result<Self> {
        let home = home.join("node");
        let pins = ["package.json", "package-lock.json"].map(|name| scripts.join(name));
        install_once(&home, &pins.each_ref().map(PathBuf::as_path), || {
            copy_into(&home, &pins)?;
            let _at = sh.push_dir(&home);
            // `npm ci` warns when the system's Node.js is older than the one that comes with the packages.
            cmd!(sh, "npm ci --no-audit --no-fund --loglevel=error").run()?;
            Ok(())
        })?;
        copy_into(&home, &scripts_of(scripts, "mjs")?)?;
        let pinned = home.join("node_modules/.bin/node");
        let interpreter = if pinned.exists() { pinned } else { "node".into() };
        Ok(Self { interpreter, home })
    }

    pub(super) fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg(self.home.join(name));
        command
    }
}

/// Installs into a fresh folder unless a stamp says that these very pins are there already.
pub(crate) fn install_once(
    folder: &Path,
    pins: &[&Path],
    install: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut wanted = String::new();
    for pin in pins {
        wanted += &fs::read_to_string(pin).with_context(|| pin.display().to_string())?;
    }
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    install()?;
    fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())
}

fn scripts_of(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            scripts.push(path);
        }
    }
    Ok(scripts)
}

fn copy_into(folder: &Path, files: &[PathBuf]) -> Result<()> {
    for file in files {
        let name = file.file_name().expect("a file has a name");
        fs::copy(file, folder.join(name)).with_context(|| format!("copy {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_installed_once_until_a_pin_moves() {
        let temp = tempfile::tempdir().unwrap();
        let (folder, pin) = (temp.path().join("venv"), temp.path().join("pins"));
        let mut installed = 0;
        for pins in ["a==1", "a==1", "a==2"] {
            fs::write(&pin, pins).unwrap();
            install_once(&folder, &[&pin], || {
                installed += 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(installed, 2);
    }

    #[test]
    fn a_failed_installation_is_tried_again() {
        let temp = tempfile::tempdir().unwrap();
        let (folder, pin) = (temp.path().join("venv"), temp.path().join("pins"));
        fs::write(&pin, "a==1").unwrap();
        assert!(install_once(&folder, &[&pin], || anyhow::bail!("no network")).is_err());
        let mut tried = false;
        install_once(&folder, &[&pin], || {
            tried = true;
            Ok(())
        })
        .unwrap();
        assert!(tried);
    }
}

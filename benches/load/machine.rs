//! Which core does what.

use anyhow::{Context, Result, ensure};
use std::fmt;
use std::fs;
use std::process::Command;

/// One core makes the load, another serves.
pub(crate) struct Cores {
    pub(crate) load: usize,
    pub(crate) serve: usize,
}

/// Pins this process, and lets it and what it starts open enough files.
pub(crate) fn prepare() -> Result<Cores> {
    let cores = choose(&allowed_cores()?)?;
    let me = std::process::id().to_string();
    run(&["taskset", "--cpu-list", "--pid", &cores.load.to_string(), &me])?;
    // 256 clients, and as many kept-alive connections of each target to the upstream.
    run(&["prlimit", "--nofile=8192:", "--pid", &me])?;
    Ok(cores)
}

/// A load average from which on latencies say more of the machine than of the target.
const BUSY: f64 = 0.5;

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loaded = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let before = loaded.split(' ').next().unwrap_or("unknown");
        write!(
            f,
            "load and upstream on core {}, the target on core {}; load average before: {before}",
            self.load, self.serve
        )?;
        if before.parse::<f64>().is_ok_and(|load| load > BUSY) {
            write!(f, "\nthe machine is busy: trust CPU and ratios, not latencies and answers per second")?;
        }
        Ok(())
    }
}

fn choose(allowed: &[usize]) -> Result<Cores> {
    ensure!(allowed.len() >= 2, "the load runs need two cores, one for the target and one for the load");
    Ok(Cores { load: allowed[0], serve: allowed[allowed.len() - 1] })
}

fn allowed_cores() -> Result<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").context("the load runs need Linux's /proc")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    parse_list(list.context("no Cpus_allowed_list in /proc/self/status")?.trim())
}

/// `0-3,8` as the kernel writes it.
fn parse_list(list: &str) -> Result<Vec<usize>> {
    let mut cores = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<usize>()?..=last.parse::<usize>()?);
    }
    Ok(cores)
}

fn run(command: &[&str]) -> Result<()> {
    let output = Command::new(command[0])
        .args(&command[1..])
        .output()
        .with_context(|| format!("{} is missing; as root: apt-get install util-linux", command[0]))?;
    ensure!(
        output.status.success(),
        "{}: {}",
        command.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_of_cores_is_understood() {
        assert_eq!(parse_list("0-3,8,10-11").unwrap(), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_list("5").unwrap(), [5]);
    }

    #[test]
    fn one_core_is_too_few() {
        assert!(choose(&[0]).is_err());
        assert_eq!(choose(&[0, 1, 2]).unwrap().serve, 2);
    }
}

//! A target as a process: started on its core, watched through `/proc`, ended when dropped.

use crate::machine::Cores;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) struct Process {
    child: Child,
    /// Its configuration and its log; gone with it.
    folder: TempDir,
}

impl Process {
    /// Starts `program` in `folder`, on the core for targets.
    pub(crate) fn start(program: &Path, args: &[&str], folder: TempDir, cores: &Cores) -> Result<Self> {
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new("taskset")
            .args(["--cpu-list", &cores.serve.to_string()])
            .arg(program)
            .args(args)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} did not start", program.display()))?;
        Ok(Self { child, folder })
    }

    /// An error with its log if it has ended by itself.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("ended with {status}: {}", self.log());
        }
        Ok(())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// User and system time of the process and its descendants so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let tree = tree(&all_processes()?, self.child.id());
        let ticks: u64 = tree.iter().map(|stat| stat.ticks).sum();
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// A field of `/proc/PID/status` in KiB, summed over the process and its descendants.
    pub(crate) fn memory_kib(&self, field: &str) -> Result<u64> {
        let mut sum = 0;
        for stat in tree(&all_processes()?, self.child.id()) {
            let status = fs::read_to_string(format!("/proc/{}/status", stat.pid))?;
            let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            let kib = line.and_then(|value| value.trim().strip_suffix(" kB")).context("a field in kB")?;
            sum += kib.parse::<u64>()?;
        }
        Ok(sum)
    }
}

impl Drop for Process {
    /// SIGTERM lets nginx's master take its worker along; SIGKILL would leave the worker behind.
    fn drop(&mut self) {
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        for _ in 0..200 {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            // Nothing else runs any more: the measurements are over.
            #[allow(clippy::disallowed_methods, reason = "a drop cannot wait otherwise")]
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `sysconf(_SC_CLK_TCK)` is 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

fn all_processes() -> Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc").context("the load runs need Linux's /proc")?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // A process may end between the listing and the reading.
    Ok(pids.filter_map(|pid| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect())
}

/// Fields by proc(5): 1 pid, 4 parent, 14 user time, 15 system time. The name, field 2, may hold blanks and parentheses.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (before, after) = (stat.split_once(" (")?, stat.rsplit_once(") ")?.1);
    let fields: Vec<&str> = after.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        pid: before.0.parse().ok()?,
        parent: u32::try_from(field(4)?).ok()?,
        ticks: field(14)? + field(15)?,
    })
}

fn tree(all: &[Stat], root: u32) -> Vec<Stat> {
    let mut found: Vec<Stat> = all.iter().filter(|stat| stat.pid == root).copied().collect();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next].pid;
        found.extend(all.iter().filter(|stat| stat.parent == parent));
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let line =
            "42 (a (b) c) S 7 42 42 0 -1 4194560 100 0 0 0 11 22 0 0 20 0 1 0 9 1000 5 18446744073709551615";
        assert_eq!(parse_stat(line), Some(Stat { pid: 42, parent: 7, ticks: 33 }));
    }

    #[test]
    fn a_tree_holds_children_of_children_and_no_stranger() {
        let stat = |pid, parent| Stat { pid, parent, ticks: 1 };
        let all = [stat(1, 0), stat(5, 1), stat(6, 5), stat(7, 6), stat(8, 1)];
        let pids: Vec<u32> = tree(&all, 5).iter().map(|stat| stat.pid).collect();
        assert_eq!(pids, [5, 6, 7]);
    }
}

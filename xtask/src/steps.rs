//! Steps with a name, a duration and an outcome, and the table of them at the end.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Runs steps one after the other; a failed one does not keep the next from running.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
    fail_fast: bool,
}

struct Step {
    name: String,
    outcome: Outcome,
    took: Duration,
}

enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

impl Steps {
    /// `fail_fast` leaves out what comes after the first failure.
    pub(crate) fn new(fail_fast: bool) -> Self {
        Self { done: Vec::new(), fail_fast }
    }

    pub(crate) fn run(&mut self, name: impl Into<String>, work: impl FnOnce() -> Result<()>) {
        let name = name.into();
        if self.fail_fast && self.failures() > 0 {
            self.skip(name, "an earlier step failed");
            return;
        }
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = match work() {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                eprintln!("== {name} failed: {error:#}");
                Outcome::Failed(format!("{error:#}"))
            }
        };
        self.done.push(Step { name, outcome, took: start.elapsed() });
    }

    /// A step that cannot run here, and why.
    pub(crate) fn skip(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.done.push(Step {
            name: name.into(),
            outcome: Outcome::Skipped(reason.into()),
            took: Duration::ZERO,
        });
    }

    /// Prints the table; an error if a step failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n{}", self.table());
        match self.failures() {
            0 => Ok(()),
            failed => bail!("{failed} of {} steps failed", self.done.len()),
        }
    }

    fn failures(&self) -> usize {
        self.done.iter().filter(|step| matches!(step.outcome, Outcome::Failed(_))).count()
    }

    fn table(&self) -> String {
        let width = self.done.iter().map(|step| step.name.len()).max().unwrap_or(0).max(4);
        let mut table = format!("{:width$}  {:>8}  result\n", "step", "seconds");
        for step in &self.done {
            let result = match &step.outcome {
                Outcome::Passed => "ok".to_owned(),
                Outcome::Skipped(reason) => format!("skipped: {reason}"),
                Outcome::Failed(error) => format!("FAILED: {}", error.lines().next().unwrap_or_default()),
            };
            table.push_str(&format!("{:width$}  {:>8.1}  {result}\n", step.name, step.took.as_secs_f64()));
        }
        let total: Duration = self.done.iter().map(|step| step.took).sum();
        table.push_str(&format!("{:width$}  {:>8.1}", "total", total.as_secs_f64()));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn one_failed_step_fails_the_run_and_the_others_still_run() {
        let mut steps = Steps::default();
        let mut ran = 0;
        steps.run("first", || Err(anyhow!("broken\nsecond line")));
        steps.run("second", || {
            ran += 1;
            Ok(())
        });
        assert_eq!(ran, 1);
        assert!(steps.table().contains("FAILED: broken\n"));
        assert_eq!(steps.finish().unwrap_err().to_string(), "1 of 2 steps failed");
    }

    #[test]
    fn fail_fast_skips_what_follows_a_failure() {
        let mut steps = Steps::new(true);
        steps.run("first", || Err(anyhow!("broken")));
        steps.run("second", || unreachable!("left out"));
        assert!(steps.table().contains("skipped: an earlier step failed"));
    }

    #[test]
    fn skipped_steps_do_not_fail_the_run() {
        let mut steps = Steps::default();
        steps.skip("fixtures", "not here");
        assert!(steps.finish().is_ok());
    }
}

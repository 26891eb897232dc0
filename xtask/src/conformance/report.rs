//! A line per file and the totals.

use std::collections::BTreeMap;

/// What came of one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// Everything that can be compared is equal; the note says what could not.
    Pass(Option<&'static str>),
    Fail(String),
    /// Nothing was compared, for this reason.
    Skip(String),
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Pass(_) => self.passed += 1,
            Outcome::Fail(_) => self.failed += 1,
            Outcome::Skip(_) => self.skipped += 1,
        }
    }
}

/// The totals of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    all: Tally,
    providers: BTreeMap<String, Tally>,
    categories: BTreeMap<String, Tally>,
    skips: BTreeMap<String, usize>,
    notes: BTreeMap<&'static str, usize>,
}

impl Report {
    /// Counts a file and prints its line.
    pub(crate) fn add(&mut self, id: &str, provider: &str, categories: &[String], outcome: &Outcome) {
        self.all.add(outcome);
        self.providers.entry(provider.to_owned()).or_default().add(outcome);
        for category in categories {
            self.categories.entry(category.clone()).or_default().add(outcome);
        }
        match outcome {
            Outcome::Pass(None) => println!("pass  {id}"),
            Outcome::Pass(Some(note)) => {
                println!("pass  {id}  (answer only: {note})");
                *self.notes.entry(note).or_default() += 1;
            }
            Outcome::Fail(flaw) => println!("FAIL  {id}  {flaw}"),
            Outcome::Skip(reason) => {
                println!("skip  {id}  {reason}");
                *self.skips.entry(reason.clone()).or_default() += 1;
            }
        }
    }

    /// Prints the totals. Whether every file passed or was skipped for a reason.
    pub(crate) fn finish(&self) -> bool {
        for (title, rows) in [("provider", &self.providers), ("category", &self.categories)] {
            println!("\n{title:<32} {:>6} {:>6} {:>6}", "pass", "FAIL", "skip");
            for (name, tally) in rows {
                println!("{name:<32} {:>6} {:>6} {:>6}", tally.passed, tally.failed, tally.skipped);
            }
        }
        for (title, counts) in [
            ("Skipped", self.skips.iter().map(|(reason, n)| (reason.as_str(), *n)).collect::<Vec<_>>()),
            ("Passed by the answer only", self.notes.iter().map(|(note, n)| (*note, *n)).collect()),
        ] {
            if !counts.is_empty() {
                println!("\n{title}:");
            }
            for (reason, count) in counts {
                println!("{count:>6}  {reason}");
            }
        }
        let Tally { passed, failed, skipped } = self.all;
        println!("\n{} files: {passed} pass, {failed} FAIL, {skipped} skip", passed + failed + skipped);
        failed == 0
    }
}

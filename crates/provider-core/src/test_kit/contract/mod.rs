//! Contract suites: named promises that every implementation of a trait keeps, each checked on a fresh one.
//!
//! A crate with a store trait writes its promises once and exports them, so that the store in this process, the one
//! in Redis and a third party's pass the same tests:
//!
//! ```
//! use mainstay_provider_core::test_kit::contract::Suite;
//! # use std::sync::Mutex;
//! # #[derive(Default)] struct InMemory(Mutex<Vec<u8>>);
//! # trait Store: 'static { fn put(&self, byte: u8); fn len(&self) -> usize; }
//! # impl Store for InMemory {
//! #     fn put(&self, byte: u8) { self.0.lock().unwrap().push(byte) }
//! #     fn len(&self) -> usize { self.0.lock().unwrap().len() }
//! # }
//! pub fn suite<S: Store>() -> Suite<S> {
//!     Suite::new("Store")
//!         .promise("what was put is there", |store: S| async move {
//!             store.put(1);
//!             assert_eq!(store.len(), 1);
//!         })
//!         .promise("a new one is empty", |store: S| async move { assert_eq!(store.len(), 0) })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! suite().run(async || InMemory::default()).await.assert_kept();
//! # }
//! ```

mod provider;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use self::provider::{Upstream, UpstreamCase, provider};
use super::tasks::guarded;

type Check<S> = Box<dyn Fn(S) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// Named promises about an `S`.
pub struct Suite<S> {
    name: String,
    promises: Vec<(&'static str, Check<S>)>,
}

impl<S: 'static> Suite<S> {
    /// A suite without promises yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), promises: Vec::new() }
    }

    /// Adds a promise: a sentence, and a function that panics when it is broken.
    #[must_use]
    pub fn promise<F>(
        mut self,
        sentence: &'static str,
        check: impl Fn(S) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        self.promises.push((sentence, Box::new(move |fresh| Box::pin(check(fresh)))));
        self
    }

    /// Checks every promise, each on a fresh `S`. One that takes more than a minute counts as broken.
    pub async fn run(&self, make: impl AsyncFn() -> S) -> Report {
        let mut results = Vec::with_capacity(self.promises.len());
        for (sentence, check) in &self.promises {
            let checked = guarded(LIMIT, async { check(make().await).await }).await;
            results.push((*sentence, checked));
        }
        Report { name: self.name.clone(), results }
    }

    /// The promises, in the order in which they are checked.
    pub fn promises(&self) -> impl Iterator<Item = &'static str> {
        self.promises.iter().map(|(sentence, _)| *sentence)
    }
}

impl<S> fmt::Debug for Suite<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("name", &self.name).field("promises", &self.promises.len()).finish()
    }
}

const LIMIT: Duration = Duration::from_secs(60);

/// Which promises were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a report says nothing until it is looked at: assert_kept()"]
pub struct Report {
    name: String,
    results: Vec<(&'static str, Result<(), String>)>,
}

impl Report {
    /// The broken promises, each with what went wrong.
    pub fn broken(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.results
            .iter()
            .filter_map(|(sentence, result)| Some((*sentence, result.as_ref().err()?.as_str())))
    }

    /// How many promises were checked.
    pub fn checked(&self) -> usize {
        self.results.len()
    }

    /// Whether all were kept. Of no promises none was kept.
    pub fn is_kept(&self) -> bool {
        !self.results.is_empty() && self.broken().next().is_none()
    }

    /// # Panics
    /// When a promise was broken; the message lists all.
    #[track_caller]
    pub fn assert_kept(&self) {
        assert!(self.is_kept(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.results.iter().filter(|(_, result)| result.is_ok()).count();
        write!(f, "{}: {kept} of {} promises kept", self.name, self.results.len())?;
        for (sentence, problem) in self.broken() {
            write!(f, "\n  broken: {sentence}\n    {}", problem.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

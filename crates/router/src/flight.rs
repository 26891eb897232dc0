//! One call at one deployment: what it adds to the deployment's load, and what is learned when it ends.

use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::{Attempts, End, Error, ErrorKind, Outcome, Reply};
use tokio::time::Instant;

use crate::load::{Lane, Load};
use crate::past::{is_held_against, is_refusal};

/// A call under way. It counts as in flight until it is dropped, which is the end of the answer, of the attempt, or the
/// caller's leaving.
pub(crate) struct Flight {
    load: Arc<Load>,
    lane: Lane,
    sent: Instant,
    is_waiting: bool,
}

impl Flight {
    pub(crate) fn begin(load: Arc<Load>, lane: Lane, sent: Instant) -> Self {
        load.begin(lane, load.tick(sent));
        Self { load, lane, sent, is_waiting: true }
    }

    pub(crate) fn sent(&self) -> Instant {
        self.sent
    }

    /// The first token is there, or the whole answer; how long that took.
    pub(crate) fn answered(&mut self, now: Instant) -> Duration {
        let took = now.saturating_duration_since(self.sent);
        let tick = self.load.tick(now);
        self.stop_waiting();
        self.load.hear(self.lane, tick);
        self.load.observe(self.lane, took, tick);
        self.load.succeed(tick);
        took
    }

    /// It failed, before its first token or after.
    pub(crate) fn failed(&mut self, error: &Error, now: Instant) {
        if is_refusal(error) {
            self.load.refuse();
            self.stop_waiting();
            return;
        }
        let tick = self.load.tick(now);
        if self.is_waiting && matches!(error.kind(), ErrorKind::Timeout(_)) {
            let waited = now.saturating_duration_since(self.sent);
            self.load.observe_at_least(self.lane, waited, tick);
        }
        self.stop_waiting();
        if is_held_against(error) {
            self.load.fail(tick);
        }
    }

    /// Watches the answer to its end: until then the call is in flight, and one that breaks off has failed.
    pub(crate) fn watch(mut self, reply: Reply, deployment: &Arc<str>, attempts: &Attempts) -> Reply {
        if !reply.is_stream() {
            // It has ended.
            return reply;
        }
        let (deployment, attempts) = (deployment.clone(), attempts.clone());
        reply.on_end(move |end: &End| {
            if let Outcome::Failed(error) = &end.outcome {
                self.failed(error, Instant::now());
                attempts.broke_off(&deployment, &error.clone().with_deployment(deployment.clone()));
            }
        })
    }

    fn stop_waiting(&mut self) {
        if std::mem::take(&mut self.is_waiting) {
            self.load.stop_waiting(self.lane);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.is_waiting {
            // Nobody saw the first token: it takes at least that long, which is news if it is longer than was known.
            let now = Instant::now();
            let waited = now.saturating_duration_since(self.sent);
            self.load.observe_at_least(self.lane, waited, self.load.tick(now));
            self.stop_waiting();
        }
        self.load.end();
    }
}

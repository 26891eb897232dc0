//! Alerts: events that somebody must hear of, sent to a webhook.

mod address;
mod config;
mod connect;
mod letter;
mod queue;
mod signature;
mod target;
#[cfg(test)]
mod tests;
mod wanted;
mod webhook;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mainstay::Event;
use tokio_util::sync::CancellationToken;

pub(crate) use self::config::AlertsConfig;
use self::letter::{Alert, Letters};
pub(crate) use self::queue::AlertStats;
use self::queue::Queue;
use self::wanted::Wanted;
use self::webhook::Webhook;
use self::worker::{Post, Worker};

/// How long what is queued may take when the gateway stops.
const LAST: Duration = Duration::from_secs(5);

/// Where events are told that may be alerts. Cloning copies pointers.
#[derive(Clone)]
pub(crate) struct Teller {
    wanted: Arc<Wanted>,
    queue: Arc<Queue>,
}

impl Teller {
    /// Queues the event if it is one that is wanted. Never waits: it runs inside of calls.
    pub(crate) fn tell(&self, event: &Event) {
        if self.wanted.holds(event) {
            self.queue.push(Alert { at: Timestamp::now(), event: event.clone() });
        }
    }
}

/// Where it is read how alerts do.
#[derive(Clone)]
pub(crate) struct Figures(Arc<Queue>);

impl Figures {
    pub(crate) fn read(&self) -> AlertStats {
        self.0.stats()
    }
}

/// Alerts, ready to be sent.
pub(crate) struct Alerts<P = Webhook> {
    teller: Teller,
    worker: Worker<P>,
}

impl<P: Post> Alerts<P> {
    fn new(wanted: Wanted, queue: usize, attempts: u32, post: P) -> Result<Self, String> {
        let queue = Arc::new(Queue::new(queue));
        let teller = Teller { wanted: Arc::new(wanted), queue: queue.clone() };
        let stopping = CancellationToken::new();
        let (letters, chance) = (Letters::new()?, fastrand::Rng::new());
        Ok(Self { teller, worker: Worker { queue, letters, post, attempts, chance, stopping } })
    }

    pub(crate) fn teller(&self) -> Teller {
        self.teller.clone()
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures(self.teller.queue.clone())
    }

    /// Sends alerts while `service` runs. Then what is still queued has 5 s, with one attempt each.
    pub(crate) async fn during<T>(alerts: Option<Self>, service: impl Future<Output = T>) -> T {
        let Some(Self { teller: Teller { queue, .. }, worker }) = alerts else { return service.await };
        let stopping = worker.stopping.clone();
        let mut sending = tokio::spawn(worker.run());
        let served = service.await;
        queue.close();
        stopping.cancel();
        if tokio::time::timeout(LAST, &mut sending).await.is_err() {
            sending.abort();
            let unsent = queue.len() + 1; // the one that was being sent
            tracing::error!(unsent, "the gateway stops, and these alerts could not be sent in time");
        }
        served
    }
}

impl<P> fmt::Debug for Alerts<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").field("wanted", &self.teller.wanted).finish_non_exhaustive()
    }
}

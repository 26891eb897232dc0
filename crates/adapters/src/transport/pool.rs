//! The connections to one provider, kept while they are idle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use mainstay_provider_core::Error;
use tokio::time::Instant;

use super::connect::Connector;
use super::connection::{Connection, Unanswered};
use super::reads::Reads;
use super::{Base, Incoming, TransportConfig, broken, unreachable_provider};

/// The connections to one provider.
#[derive(Debug)]
pub(super) struct Pool {
    origin: Result<Uri, Arc<http::Error>>,
    connector: Connector,
    read_timeout: Duration,
    idle: Idle,
}

/// The idle connections, the one used last on top. Cloning copies a pointer.
#[derive(Clone)]
pub(super) struct Idle(Arc<IdleList>);

struct IdleList {
    connections: Mutex<Kept>,
    most: usize,
    timeout: Duration,
}

#[derive(Default)]
struct Kept {
    stack: Vec<(Box<Connection>, Instant)>,
    /// Whether a task clears away what lies too long.
    is_swept: bool,
}

impl Pool {
    pub(super) fn new(base: &Base, connector: Connector, config: &TransportConfig) -> Self {
        let list =
            IdleList { connections: Mutex::default(), most: config.max_idle, timeout: config.idle_timeout };
        Self {
            origin: base.origin().map_err(Arc::new),
            connector,
            read_timeout: config.read_timeout,
            idle: Idle(Arc::new(list)),
        }
    }

    /// Sends a request on an idle connection or a new one, and waits for the head of the answer, from `now`.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        mut now: Instant,
    ) -> Result<Incoming, Error> {
        loop {
            let (mut connection, is_new) = match self.idle.take(now) {
                Some(connection) => (connection, false),
                None => {
                    let connection = Box::pin(self.connect()).await?;
                    now = Instant::now();
                    (connection, true)
                }
            };
            match connection.send(request, now).await {
                Ok(response) => {
                    // The connection goes back to the idle ones at the end of the body, and is closed if the body is
                    // dropped before.
                    let reads = |body| Reads::direct(body, connection, self.idle.clone());
                    return Ok(Incoming(response.map(reads)));
                }
                Err(Unanswered::Unsent(unsent)) if !is_new => {
                    (request, now) = (*unsent, Instant::now());
                }
                Err(Unanswered::Unsent(_)) => {
                    return Err(broken("the provider closed a new connection at once"));
                }
                Err(Unanswered::Failed(error)) => return Err(error),
            }
        }
    }

    async fn connect(&self) -> Result<Box<Connection>, Error> {
        let origin = self.origin.clone().map_err(unreachable_provider)?;
        let io = self.connector.connect(origin).await?;
        Connection::new(io, self.read_timeout).await.map(Box::new)
    }
}

impl Idle {
    fn take(&self, now: Instant) -> Option<Box<Connection>> {
        let mut kept = self.lock();
        let (connection, since) = kept.stack.pop()?;
        if now.saturating_duration_since(since) > self.0.timeout {
            // The one used last is too old, so all below it are.
            kept.stack.clear();
            return None;
        }
        Some(connection)
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(super) fn put(&self, mut connection: Box<Connection>) {
        if !connection.rest() {
            return;
        }
        let mut kept = self.lock();
        if kept.stack.len() >= self.0.most {
            return;
        }
        kept.stack.push((connection, Instant::now()));
        if !kept.is_swept {
            kept.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.0), self.0.timeout));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock()
    }
}

/// Closes what lies too long or was closed by the server, until nothing is left.
async fn sweep(list: Weak<IdleList>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(list) = list.upgrade() else { return };
        let mut kept = list.lock();
        kept.stack.retain_mut(|(connection, since)| since.elapsed() <= every && connection.is_open());
        if kept.stack.is_empty() {
            kept.is_swept = false;
            return;
        }
    }
}

impl IdleList {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A list of connections is as good after a panic elsewhere as before.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Idle({})", self.lock().stack.len())
    }
}

//! The connections to one provider, kept while they are idle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use mainstay_provider_core::Error;
use tokio::time::Instant;

use super::connect::Connector;
use super::reads::Reads;
use super::{Base, TransportConfig, broken, silent, unreachable_provider};

pub(super) type Sender = SendRequest<Full<Bytes>>;

/// The connections to one provider.
#[derive(Debug)]
pub(super) struct Pool {
    origin: Result<Uri, Arc<http::Error>>,
    connector: Connector,
    read_timeout: Duration,
    idle: Idle,
}

/// The idle connections, the one used last on top. Cloning copies a pointer.
#[derive(Debug, Clone)]
pub(super) struct Idle(Arc<IdleList>);

#[derive(Debug)]
struct IdleList {
    connections: Mutex<Vec<(Sender, Instant)>>,
    most: usize,
    timeout: Duration,
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

    /// Sends a request on an idle connection or a new one, and waits for the head of the answer.
    pub(super) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Reads>, Error> {
        loop {
            let (mut sender, is_new) = match self.idle.take() {
                Some(sender) => (sender, false),
                None => (Box::pin(self.connect()).await?, true),
            };
            if sender.ready().await.is_err() {
                if is_new {
                    return Err(broken("the provider closed a new connection at once"));
                }
                continue; // it was closed while idle
            }
            match tokio::time::timeout(self.read_timeout, sender.try_send_request(request)).await {
                Err(_) => return Err(silent()),
                Ok(Ok(response)) => return Ok(self.with_sender(response, sender)),
                Ok(Err(mut failed)) => match failed.take_message() {
                    // Not a byte of it was written: the server had closed an idle connection just then.
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(broken(failed.into_error())),
                },
            }
        }
    }

    async fn connect(&self) -> Result<Sender, Error> {
        let origin = self.origin.clone().map_err(unreachable_provider)?;
        let io = self.connector.connect(origin).await?;
        let (sender, connection) = http1::Builder::new()
            // A head and a prompt are small: one write of both together is quicker than a list of pieces.
            .writev(false)
            .handshake(io)
            .await
            .map_err(unreachable_provider)?;
        // It ends by itself when the server closes, or when the sender and the body that it serves are dropped.
        tokio::spawn(async move {
            let _ = connection.await; // whoever waits for an answer on it gets the error
        });
        Ok(sender)
    }

    /// The connection goes back to the idle ones at the end of the body, and is closed if the body is dropped before.
    fn with_sender(&self, response: Response<Incoming>, sender: Sender) -> Response<Reads> {
        response.map(|body| Reads::direct(body, self.read_timeout, sender, self.idle.clone()))
    }
}

impl Idle {
    fn take(&self) -> Option<Sender> {
        let mut connections = self.lock();
        while let Some((sender, since)) = connections.pop() {
            if sender.is_closed() {
                continue;
            }
            if since.elapsed() <= self.0.timeout {
                return Some(sender);
            }
            // The one used last is too old, so all below it are.
            connections.clear();
        }
        None
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(super) fn put(&self, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut connections = self.lock();
        // The oldest lies at the bottom; when it is too old, all that are go.
        if connections.first().is_some_and(|(_, since)| since.elapsed() > self.0.timeout) {
            connections.retain(|(sender, since)| since.elapsed() <= self.0.timeout && !sender.is_closed());
        }
        if connections.len() < self.0.most {
            connections.push((sender, Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Sender, Instant)>> {
        // A list of connections is as good after a panic elsewhere as before.
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

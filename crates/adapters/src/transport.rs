//! The way out: one HTTP client, shared by all adapters of a process.

mod connect;
mod reads;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mainstay_provider_core::{BoxError, Error, ErrorKind, Timer};

use self::connect::Connector;
pub(crate) use self::reads::Reads;

/// The HTTP client that adapters share. Cloning copies a pointer.
///
/// It never follows redirects (a redirect must not carry a key), never repeats a request that a server may have seen
/// (that is the retry layer's choice), and sets `TCP_NODELAY`, without which small writes wait for the peer's
/// delayed acknowledgement.
///
/// It stands on hyper's own client, since a general client's work per request (addresses parsed anew, redirects,
/// cookies, its own timers) costs about as much as all of ours. Where you need a proxy, your own certificates or DNS,
/// bring a `reqwest::Client` (feature `reqwest`, `Transport::from_reqwest`).
#[derive(Debug, Clone)]
pub struct Transport(Way);

#[derive(Debug, Clone)]
enum Way {
    Hyper { client: Arc<HyperClient>, read_timeout: Duration },
    #[cfg(feature = "reqwest")]
    Reqwest(reqwest::Client),
}

type HyperClient = hyper_util::client::legacy::Client<Connector, Full<Bytes>>;

/// How connections are made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TransportConfig {
    /// How long connecting may take, DNS and TLS included. Default 10 s.
    pub connect_timeout: Duration,
    /// How long the server may be silent: before its head, and between two reads. Default 120 s; the timeout layer has
    /// finer timers.
    pub read_timeout: Duration,
    /// How long an idle connection is kept. Default 60 s, below the usual 75 s of servers in front.
    pub idle_timeout: Duration,
    /// How many idle connections are kept per host. Default 512.
    pub max_idle_per_host: usize,
    /// Speak HTTP/2 where the server offers it. It puts all streams to a host on one connection, whose stream limit queues
    /// silently and whose lost packets stall all of them. Default `false`: HTTP/1.1, one connection per call in flight.
    pub http2: bool,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(60),
            max_idle_per_host: 512,
            http2: false,
        }
    }
}

impl Transport {
    /// Makes the client. TLS is rustls with ring and the platform's certificates.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when TLS cannot be set up.
    pub fn new(config: &TransportConfig) -> Result<Self, Error> {
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.max_idle_per_host)
            // Only a request that was never written to the connection is sent on another.
            .retry_canceled_requests(true)
            .build(Connector::new(config)?);
        Ok(Self(Way::Hyper { client: Arc::new(client), read_timeout: config.read_timeout }))
    }

    /// Uses your own client. Build it with `redirect(Policy::none())` and `retry(retry::never())`: a redirect would carry
    /// the key to another host, a repeated request is paid twice.
    #[cfg(feature = "reqwest")]
    pub fn from_reqwest(client: reqwest::Client) -> Self {
        Self(Way::Reqwest(client))
    }

    /// Sends a `POST` and waits for the head of the answer.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection.
    pub(crate) async fn send(&self, address: Uri, headers: HeaderMap, body: Bytes) -> Result<Incoming, Error> {
        match &self.0 {
            Way::Hyper { client, read_timeout } => {
                let mut request = Request::new(Full::new(body));
                *request.method_mut() = Method::POST;
                *request.uri_mut() = address;
                *request.headers_mut() = headers;
                let agent = HeaderValue::from_static(concat!("mainstay/", env!("CARGO_PKG_VERSION")));
                request.headers_mut().entry(header::USER_AGENT).or_insert(agent);
                let response = match tokio::time::timeout(*read_timeout, client.request(request)).await {
                    Ok(response) => response.map_err(client_error)?,
                    Err(_) => return Err(silent()),
                };
                let (parts, body) = response.into_parts();
                Ok(Incoming(Response::from_parts(parts, Reads::hyper(body, *read_timeout))))
            }
            #[cfg(feature = "reqwest")]
            Way::Reqwest(client) => {
                let request = client.post(address.to_string()).headers(headers).body(body);
                let response: Response<reqwest::Body> = request.send().await.map_err(reqwest_error)?.into();
                let (parts, body) = response.into_parts();
                Ok(Incoming(Response::from_parts(parts, Reads::reqwest(body))))
            }
        }
    }
}

/// The head of an answer; the body is still to be read.
pub(crate) struct Incoming(Response<Reads>);

impl Incoming {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The whole body, at most `limit` bytes.
    pub(crate) async fn body(self, limit: usize) -> Result<Bytes, Error> {
        let mut reads = self.0.into_body();
        let Some(first) = reads.next().await.transpose()? else { return Ok(Bytes::new()) };
        within(first.len(), limit)?;
        let Some(second) = reads.next().await.transpose()? else { return Ok(first) };
        let mut body = Vec::with_capacity((first.len() + second.len()) * 2);
        body.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(read) = next {
            within(body.len() + read.len(), limit)?;
            body.extend_from_slice(&read);
            next = reads.next().await.transpose()?;
        }
        Ok(body.into())
    }

    /// The body as it arrives.
    pub(crate) fn into_reads(self) -> Reads {
        self.0.into_body()
    }
}

fn within(length: usize, limit: usize) -> Result<(), Error> {
    if length <= limit {
        return Ok(());
    }
    let message = format!("the provider's answer is larger than {limit} bytes");
    Err(Error::new(ErrorKind::MalformedResponse, message))
}

fn silent() -> Error {
    Error::new(ErrorKind::Timeout(Timer::Idle), "the provider was silent for too long (transport.read_timeout)")
}

/// An error of the client in the words of the taxonomy, without the address: a gateway's caller must not see it.
fn client_error(error: hyper_util::client::legacy::Error) -> Error {
    if !error.is_connect() {
        return broken(error);
    }
    if connect::timed_out(&error) {
        let message = "connecting to the provider took too long (transport.connect_timeout)";
        return Error::new(ErrorKind::Timeout(Timer::Connect), message).with_source(error);
    }
    unreachable_provider(error)
}

fn unreachable_provider(error: impl Into<BoxError>) -> Error {
    let message = "the provider cannot be reached; check base_url and the network";
    Error::new(ErrorKind::Network, message).with_source(error)
}

fn broken(error: impl Into<BoxError>) -> Error {
    Error::new(ErrorKind::Network, "the connection to the provider broke").with_source(error)
}

#[cfg(feature = "reqwest")]
fn reqwest_error(error: reqwest::Error) -> Error {
    let error = error.without_url();
    match (error.is_timeout(), error.is_connect()) {
        (true, true) => Error::new(ErrorKind::Timeout(Timer::Connect), "connecting to the provider took too long")
            .with_source(error),
        (true, false) => silent().with_source(error),
        (false, true) => unreachable_provider(error),
        (false, false) => broken(error),
    }
}

/// An error while a body is read.
fn body_error(error: impl Into<BoxError>) -> Error {
    broken(error)
}

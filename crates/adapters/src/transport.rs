//! The way out: how adapters reach their providers.

mod base;
mod connect;
mod connection;
mod pool;
mod reads;
mod silence;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use mainstay_provider_core::{BoxError, Error, ErrorKind, Timer};
use tokio::time::Instant;

pub(crate) use self::base::Base;
use self::connect::Connector;
use self::pool::Pool;
pub(crate) use self::reads::Reads;

/// How adapters reach their providers. Cloning copies a pointer; each adapter keeps its own connections.
///
/// HTTP/1.1, one connection per call in flight: HTTP/2 would put all calls to a host on one connection, whose stream
/// limit queues silently and whose lost packets stall all of them. It never follows redirects (a redirect must not carry
/// a key), never repeats a request that a server may have seen (that is the retry layer's choice), and sets
/// `TCP_NODELAY`, without which small writes wait for the peer's delayed acknowledgement.
///
/// It stands on hyper's connections and not on a general client, whose work per request (addresses parsed anew,
/// redirects, its own timers) is more than all of ours. Where you need a proxy, HTTP/2, your own certificates or DNS,
/// bring a `reqwest::Client` (feature `reqwest`, `Transport::from_reqwest`).
#[derive(Debug, Clone)]
pub struct Transport(Way);

#[derive(Debug, Clone)]
enum Way {
    Direct(Arc<Direct>),
    #[cfg(feature = "reqwest")]
    Reqwest(reqwest::Client),
}

#[derive(Debug)]
struct Direct {
    connector: Connector,
    config: TransportConfig,
}

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
    /// How many idle connections an adapter keeps. Default 512.
    pub max_idle: usize,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(60),
            max_idle: 512,
        }
    }
}

impl Transport {
    /// Reads the platform's certificates. TLS is rustls with ring.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when TLS cannot be set up.
    pub fn new(config: &TransportConfig) -> Result<Self, Error> {
        let connector = Connector::new(config)?;
        Ok(Self(Way::Direct(Arc::new(Direct { connector, config: config.clone() }))))
    }

    /// Uses your own client. Build it with `redirect(Policy::none())` and `retry(retry::never())`: a redirect would carry
    /// the key to another host, a repeated request is paid twice.
    #[cfg(feature = "reqwest")]
    pub fn from_reqwest(client: reqwest::Client) -> Self {
        Self(Way::Reqwest(client))
    }

    /// The way to one provider.
    pub(crate) fn to(&self, base: Base) -> Route {
        let way = match &self.0 {
            Way::Direct(direct) => {
                RouteWay::Direct(Pool::new(&base, direct.connector.clone(), &direct.config))
            }
            #[cfg(feature = "reqwest")]
            Way::Reqwest(client) => RouteWay::Reqwest(client.clone()),
        };
        Route { base, way }
    }
}

/// The way to one provider: its address, and connections to it.
#[derive(Debug)]
pub(crate) struct Route {
    base: Base,
    way: RouteWay,
}

#[derive(Debug)]
enum RouteWay {
    Direct(Pool),
    #[cfg(feature = "reqwest")]
    Reqwest(reqwest::Client),
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Route {
    /// The whole address of a path, for signatures.
    #[cfg(feature = "bedrock")]
    pub(crate) fn url(&self, path: &str) -> String {
        self.base.url(path)
    }

    /// Adds the headers that every request has.
    pub(crate) fn complete(&self, headers: &mut HeaderMap) {
        match &self.way {
            RouteWay::Direct(_) => self.base.complete(headers),
            #[cfg(feature = "reqwest")]
            RouteWay::Reqwest(_) => {} // the client has its own
        }
    }

    /// Sends a `POST` with headers that were completed once, and waits for the head of the answer, from `now`.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection.
    pub(crate) fn send(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        now: Instant,
    ) -> BoxFuture<'_, Result<Incoming, Error>> {
        match &self.way {
            RouteWay::Direct(pool) => match self.request(path, headers, body) {
                Ok(request) => Box::pin(pool.send(request, now)),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            },
            #[cfg(feature = "reqwest")]
            RouteWay::Reqwest(client) => {
                let request = client.post(self.base.url(path)).headers(headers).body(body);
                Box::pin(async move {
                    let response: Response<reqwest::Body> =
                        request.send().await.map_err(reqwest_error)?.into();
                    Ok(Incoming(response.map(Reads::reqwest)))
                })
            }
        }
    }

    fn request(&self, path: &str, headers: HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, Error> {
        let length = body.len();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.base.target(path)?;
        *request.headers_mut() = headers;
        Base::measure(request.headers_mut(), length);
        Ok(request)
    }
}

/// The head of an answer; the body is still to be read.
#[derive(Debug)]
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

// Errors in the words of the taxonomy, without the address: a gateway's caller must not see it.

fn silent() -> Error {
    Error::new(
        ErrorKind::Timeout(Timer::Idle),
        "the provider was silent for too long (transport.read_timeout)",
    )
}

fn slow_connect() -> Error {
    let message = "connecting to the provider took too long (transport.connect_timeout)";
    Error::new(ErrorKind::Timeout(Timer::Connect), message)
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
        (true, true) => slow_connect().with_source(error),
        (true, false) => silent().with_source(error),
        (false, true) => unreachable_provider(error),
        (false, false) => broken(error),
    }
}

//! The way out: one HTTP client, shared by all adapters of a process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use mainstay_provider_core::{BoxError, Error, ErrorKind, Timer};

/// The HTTP client that adapters share. Cloning copies a pointer.
///
/// It never follows redirects (a redirect must not carry a key), never repeats a request by itself (that is the
/// retry layer's choice), and sets `TCP_NODELAY`, without which small writes wait for the peer's delayed
/// acknowledgement.
#[derive(Debug, Clone)]
pub struct Transport {
    client: reqwest::Client,
}

/// How connections are made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TransportConfig {
    /// How long connecting may take, TLS included. Default 10 s.
    pub connect_timeout: Duration,
    /// How long the server may be silent between two reads. Default 120 s; the timeout layer has finer timers.
    pub read_timeout: Duration,
    /// How long an idle connection is kept. Default 60 s, below the usual 75 s of servers in front.
    pub idle_timeout: Duration,
    /// How many idle connections are kept per host. Default 512.
    pub max_idle_per_host: usize,
    /// Speak HTTP/1.1 only. HTTP/2 puts all streams to a host on one connection, whose stream limit queues silently
    /// and whose lost packets stall all. Default `false`: the server chooses.
    pub http1_only: bool,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(60),
            max_idle_per_host: 512,
            http1_only: false,
        }
    }
}

impl Transport {
    /// Makes the client. TLS is rustls with ring and the platform's certificates.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when TLS cannot be set up.
    pub fn new(config: &TransportConfig) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls_config(config.http1_only)?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .connect_timeout(config.connect_timeout)
            .read_timeout(config.read_timeout)
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.max_idle_per_host)
            .user_agent(concat!("mainstay/", env!("CARGO_PKG_VERSION")));
        if config.http1_only {
            builder = builder.http1_only();
        }
        let client = builder.build().map_err(|error| {
            Error::new(ErrorKind::Configuration, "the HTTP client cannot be set up").with_source(error)
        })?;
        Ok(Self { client })
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection.
    pub(crate) async fn send(&self, request: reqwest::Request) -> Result<Incoming, Error> {
        let response = self.client.execute(request).await.map_err(transport_error)?;
        Ok(Incoming(response))
    }
}

/// A request to this address.
pub(crate) fn request(url: reqwest::Url, headers: HeaderMap, body: Bytes) -> reqwest::Request {
    let mut request = reqwest::Request::new(Method::POST, url);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(body.into());
    request
}

/// The head of an answer; the body is still to be read.
pub(crate) struct Incoming(reqwest::Response);

impl Incoming {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The whole body, at most `limit` bytes.
    pub(crate) async fn body(mut self, limit: usize) -> Result<Bytes, Error> {
        let Some(first) = self.read().await? else { return Ok(Bytes::new()) };
        let mut more = self.read().await?;
        if more.is_none() {
            return within(first.len(), limit).map(|()| first);
        }
        let mut body = Vec::with_capacity(self.0.content_length().map_or(0, |length| length.min(1 << 20) as usize));
        body.extend_from_slice(&first);
        while let Some(read) = more {
            within(body.len() + read.len(), limit)?;
            body.extend_from_slice(&read);
            more = self.read().await?;
        }
        Ok(body.into())
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        self.0.chunk().await.map_err(transport_error)
    }

    /// The body as it arrives.
    pub(crate) fn into_reads(self) -> impl futures_core::Stream<Item = Result<Bytes, reqwest::Error>> + Send {
        self.0.bytes_stream()
    }
}

fn within(length: usize, limit: usize) -> Result<(), Error> {
    if length <= limit {
        return Ok(());
    }
    let message = format!("the provider's answer is larger than {limit} bytes");
    Err(Error::new(ErrorKind::MalformedResponse, message))
}

/// An error of the client in the words of the taxonomy. The address is taken out: it may hold a host that the caller
/// of a gateway must not see.
pub(crate) fn transport_error(error: reqwest::Error) -> Error {
    let error = error.without_url();
    let (kind, message) = if error.is_timeout() {
        let timer = if error.is_connect() { Timer::Connect } else { Timer::Idle };
        (ErrorKind::Timeout(timer), "the provider did not answer in time")
    } else if error.is_connect() {
        (ErrorKind::Network, "the provider cannot be reached; check base_url and the network")
    } else {
        (ErrorKind::Network, "the connection to the provider broke")
    };
    Error::new(kind, message).with_source(Box::new(error) as BoxError)
}

fn tls_config(http1_only: bool) -> Result<rustls::ClientConfig, Error> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let unusable = |error: rustls::Error| {
        Error::new(ErrorKind::Configuration, "TLS cannot be set up with the platform's certificates").with_source(error)
    };
    // The provider is named here and not installed for the process: that is the binary's choice.
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_platform_verifier()
        .map_err(unusable)?
        .with_no_client_auth();
    config.alpn_protocols = if http1_only {
        vec![b"http/1.1".to_vec()]
    } else {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    };
    Ok(config)
}

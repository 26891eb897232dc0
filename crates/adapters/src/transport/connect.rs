//! Connections: DNS, TCP, TLS, all under one timer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use mainstay_cork::Corked;
use mainstay_provider_core::{Error, ErrorKind};
use tower_service::Service;

use super::{TransportConfig, slow_connect, unreachable_provider};

/// What bytes go through.
pub(super) type Io = MaybeHttpsStream<TokioIo<Corked>>;

/// Connects to `http:` and `https:` addresses.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Tcp>,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(config: &TransportConfig) -> Result<Self, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls_config()?).https_or_http().enable_http1();
        Ok(Self { https: https.wrap_connector(Tcp(tcp)), timeout: config.connect_timeout })
    }

    pub(super) async fn connect(&self, origin: Uri) -> Result<Io, Error> {
        let mut https = self.https.clone();
        let connecting = async move {
            std::future::poll_fn(|task| https.poll_ready(task)).await?;
            https.call(origin).await
        };
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(connected) => connected.map_err(unreachable_provider),
            Err(_) => Err(slow_connect()),
        }
    }
}

/// Connections whose small writes go out together.
#[derive(Debug, Clone)]
struct Tcp(HttpConnector);

impl Service<Uri> for Tcp {
    type Response = TokioIo<Corked>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(task)
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        let connecting = self.0.call(origin);
        Box::pin(async move { Ok(TokioIo::new(Corked::new(connecting.await?.into_inner()))) })
    }
}

fn tls_config() -> Result<rustls::ClientConfig, Error> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let unusable = |error: rustls::Error| {
        let message = "TLS cannot be set up with the platform's certificates; install ca-certificates";
        Error::new(ErrorKind::Configuration, message).with_source(error)
    };
    // The provider is named here and not installed for the process: that is the binary's choice.
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_platform_verifier()
        .map_err(unusable)?
        .with_no_client_auth())
}

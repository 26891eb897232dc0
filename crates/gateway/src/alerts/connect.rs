//! Connections to the webhook, to public addresses alone.
//!
//! A name is looked up once for each connection, what is not public is taken out, and exactly what is left is connected to. So a
//! name that changes its address between the check and the connection gains nothing.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::address::is_public;
use super::target::Target;

/// Gives a name's addresses. Another one is only for tests.
pub(super) type Resolve = Box<dyn Fn(&str, u16) -> Resolving + Send + Sync>;
pub(super) type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// What a request goes through.
pub(super) type Stream = Box<dyn ReadWrite>;

pub(super) trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for T {}

/// Connects to one target.
pub(super) struct Connector {
    resolve: Resolve,
    allow_private: bool,
    /// `None` for plain HTTP.
    tls: Option<TlsConnector>,
    /// How long one address may take to accept.
    patience: Duration,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoConnection {
    /// None of the name's addresses is public. Nothing was sent.
    NotPublic,
    Failed(io::Error),
}

/// More addresses of one name are not tried.
const MOST_ADDRESSES: usize = 4;

impl Connector {
    pub(super) fn new(is_https: bool, allow_private: bool, timeout: Duration) -> Result<Self, String> {
        let tls = if is_https { Some(TlsConnector::from(Arc::new(tls_config()?))) } else { None };
        // So that the others have a turn when one says nothing.
        let patience = timeout / 3;
        Ok(Self { resolve: Box::new(look_up), allow_private, tls, patience })
    }

    #[cfg(test)]
    pub(super) fn with_resolve(mut self, resolve: Resolve) -> Self {
        self.resolve = resolve;
        self
    }

    pub(super) async fn connect(&self, target: &Target) -> Result<Stream, NoConnection> {
        let addresses = self.permitted((self.resolve)(&target.host, target.port).await?)?;
        let stream = self.reach(&addresses).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    /// What of a name's addresses may be connected to.
    fn permitted(&self, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NoConnection> {
        let found = !addresses.is_empty();
        addresses.retain(|address| self.allow_private || is_public(address.ip()));
        if found && addresses.is_empty() {
            return Err(NoConnection::NotPublic);
        }
        addresses.truncate(MOST_ADDRESSES);
        Ok(addresses)
    }

    /// The first that accepts.
    async fn reach(&self, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match tokio::time::timeout(self.patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Asks the system, on a thread of its own: one of the runtime's would hold up the end when the system takes its time.
fn look_up(host: &str, port: u16) -> Resolving {
    let (answer, answered) = oneshot::channel();
    let host = host.to_owned();
    let asking = std::thread::Builder::new().name("alerts-dns".into()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        let _ = answer.send(found); // who asked may have given up
    });
    Box::pin(async move {
        asking?;
        answered.await.unwrap_or_else(|_| Err(io::Error::other("the name could not be looked up")))
    })
}

fn tls_config() -> Result<rustls::ClientConfig, String> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let unusable = |error: rustls::Error| {
        format!("TLS cannot be set up with the platform's certificates; install ca-certificates ({error})")
    };
    // The provider is named here and not installed for the process.
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_platform_verifier()
        .map_err(unusable)?
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::address::REFUSED;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 443)).collect()
    }

    fn permitted(texts: &[&str], allow_private: bool) -> Result<Vec<SocketAddr>, NoConnection> {
        let connector = Connector::new(false, allow_private, Duration::from_secs(1)).unwrap();
        connector.permitted(addresses(texts))
    }

    #[test]
    fn of_several_addresses_only_public_ones_are_left() {
        let mut mixed = REFUSED.to_vec();
        mixed.extend(["8.8.8.8", "2606:4700::1111"]);
        assert_eq!(permitted(&mixed, false).unwrap(), addresses(&["8.8.8.8", "2606:4700::1111"]));
        assert!(matches!(permitted(&REFUSED, false), Err(NoConnection::NotPublic)));
        assert_eq!(permitted(&["10.0.0.1"], true).unwrap(), addresses(&["10.0.0.1"]));
    }

    #[test]
    fn a_name_without_addresses_is_no_refusal() {
        assert_eq!(permitted(&[], false).unwrap(), []);
    }
}

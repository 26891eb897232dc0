//! What has a listener of its own beside the gateway's: the admin API, and the metrics if that is wanted.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};

use crate::admin::Admin;
use crate::metrics::Metrics;

/// A listener and what is behind it.
pub(crate) struct Beside {
    listener: TcpListener,
    address: SocketAddr,
    service: Aside,
}

/// What can be behind one. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) enum Aside {
    Admin(Admin),
    Metrics(Metrics),
}

impl Beside {
    pub(crate) async fn listen(address: SocketAddr, service: Aside) -> Result<Self, String> {
        let cure = match service {
            Aside::Admin(_) => "choose another address in admin.listen",
            Aside::Metrics(_) => "choose another address in metrics.listen",
        };
        let (listener, address) = listen(address, cure).await?;
        Ok(Self { listener, address, service })
    }

    /// A line that says where it is.
    pub(crate) fn greeting(&self) -> String {
        let address = self.address;
        match self.service {
            Aside::Admin(_) => format!("The admin API is on http://{address}/admin\n"),
            Aside::Metrics(_) => format!("The metrics are on http://{address}/metrics\n"),
        }
    }
}

/// A listener, and the address that it has.
pub(crate) async fn listen(address: SocketAddr, cure: &str) -> Result<(TcpListener, SocketAddr), String> {
    let bound = TcpListener::bind(address).await;
    let bound = bound.and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    bound.map_err(|error| format!("cannot listen on {address}: {error}; {cure}"))
}

/// The next connection to any of them; waits for ever when there are none.
pub(crate) async fn accept(all: &[Beside]) -> std::io::Result<(TcpStream, Aside)> {
    std::future::poll_fn(|task| {
        for beside in all {
            if let Poll::Ready(accepted) = beside.listener.poll_accept(task) {
                return Poll::Ready(accepted.map(|(stream, _)| (stream, beside.service.clone())));
            }
        }
        Poll::Pending
    })
    .await
}

impl hyper::service::Service<Request<Incoming>> for Aside {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        match self {
            Self::Admin(admin) => admin.call(request),
            Self::Metrics(metrics) => Box::pin(metrics.call(request)),
        }
    }
}

//! A body as it arrives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::Body;
use hyper::body::Incoming;
use mainstay_provider_core::Error;

#[cfg(feature = "reqwest")]
use super::broken;
use super::connection::Connection;
use super::pool::Idle;

/// The reads of a body, as they arrive; empty ones are left out.
pub(crate) struct Reads(Way);

enum Way {
    Direct {
        body: Incoming,
        /// Until its end.
        connection: Option<(Box<Connection>, Idle)>,
    },
    #[cfg(feature = "reqwest")]
    Reqwest(reqwest::Body),
}

impl Reads {
    /// Reads that put the connection among the idle ones at their end.
    pub(super) fn direct(body: Incoming, connection: Box<Connection>, idle: Idle) -> Self {
        Self(Way::Direct { body, connection: Some((connection, idle)) })
    }

    /// The client has timers of its own.
    #[cfg(feature = "reqwest")]
    pub(super) fn reqwest(body: reqwest::Body) -> Self {
        Self(Way::Reqwest(body))
    }

    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        std::future::poll_fn(|task| Pin::new(&mut *self).poll_next(task)).await
    }

    fn poll_body(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let frame = match &mut self.0 {
                Way::Direct { body, connection } => {
                    let Some((driven, _)) = connection else { return Poll::Ready(None) };
                    if body.is_end_stream() {
                        give_back(connection);
                        return Poll::Ready(None);
                    }
                    match ready!(driven.poll_frame(body, task)) {
                        None => {
                            give_back(connection);
                            return Poll::Ready(None);
                        }
                        Some(frame) => frame,
                    }
                }
                #[cfg(feature = "reqwest")]
                Way::Reqwest(body) => match ready!(Pin::new(body).poll_frame(task)) {
                    None => return Poll::Ready(None),
                    Some(frame) => frame.map_err(|error| broken(error.without_url())),
                },
            };
            match frame?.into_data() {
                Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                _ => {} // trailers, or nothing
            }
        }
    }
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reads")
    }
}

fn give_back(connection: &mut Option<(Box<Connection>, Idle)>) {
    if let Some((connection, idle)) = connection.take() {
        idle.put(connection);
    }
}

impl Stream for Reads {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_body(task)
    }
}

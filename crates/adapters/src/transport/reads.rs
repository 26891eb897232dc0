//! A body as it arrives, with a timer for silence.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http_body::Body;
use hyper::body::Incoming;
use mainstay_provider_core::Error;
use tokio::time::{Instant, Sleep};

use super::pool::{Idle, Sender};
use super::{broken, silent};

/// The reads of a body, as they arrive; empty ones are left out.
pub(crate) struct Reads {
    body: Way,
    silence: Silence,
}

enum Way {
    Direct {
        body: Incoming,
        connection: Option<(Sender, Idle)>,
    },
    #[cfg(feature = "reqwest")]
    Reqwest(reqwest::Body),
}

impl Reads {
    /// Reads that put `sender` back among the idle connections at their end.
    pub(super) fn direct(body: Incoming, read_timeout: Duration, sender: Sender, idle: Idle) -> Self {
        let body = Way::Direct { body, connection: Some((sender, idle)) };
        Self { body, silence: Silence::new(Some(read_timeout)) }
    }

    /// The client has timers of its own.
    #[cfg(feature = "reqwest")]
    pub(super) fn reqwest(body: reqwest::Body) -> Self {
        Self { body: Way::Reqwest(body), silence: Silence::new(None) }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        std::future::poll_fn(|task| Pin::new(&mut *self).poll_next(task)).await
    }

    fn poll_body(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let frame = match &mut self.body {
                Way::Direct { body, connection } => {
                    if body.is_end_stream() {
                        give_back(connection);
                        return Poll::Ready(None);
                    }
                    match ready!(Pin::new(body).poll_frame(task)) {
                        None => {
                            give_back(connection);
                            return Poll::Ready(None);
                        }
                        Some(frame) => frame.map_err(broken),
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

fn give_back(connection: &mut Option<(Sender, Idle)>) {
    if let Some((sender, idle)) = connection.take() {
        idle.put(sender);
    }
}

impl Stream for Reads {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        match this.poll_body(task) {
            Poll::Ready(read) => {
                this.silence.broken();
                Poll::Ready(read)
            }
            Poll::Pending if this.silence.poll(task).is_ready() => Poll::Ready(Some(Err(silent()))),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Tells when nothing came for too long.
///
/// One timer serves a whole stream: it is not moved at each read but, when it fires, waits for what is left since the
/// last one. Moving it would cost a lock of the timer wheel per event.
struct Silence {
    limit: Option<Duration>,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    fn new(limit: Option<Duration>) -> Self {
        Self { limit, since: None, timer: None }
    }

    fn broken(&mut self) {
        self.since = None;
    }

    fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let end = *self.since.get_or_insert_with(Instant::now) + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        loop {
            ready!(timer.as_mut().poll(task));
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_after_the_limit_since_the_last_read() {
        let mut silence = Silence::new(Some(Duration::from_secs(10)));
        let begun = Instant::now();
        for _ in 0..3 {
            // Something comes every eight seconds.
            let waited =
                tokio::time::timeout(Duration::from_secs(8), std::future::poll_fn(|task| silence.poll(task)))
                    .await;
            assert!(waited.is_err(), "told too early");
            silence.broken();
        }
        std::future::poll_fn(|task| silence.poll(task)).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(34));
    }
}

//! A client with one kept-alive connection, and many of them in a closed loop.

use anyhow::{Context, Result, ensure};
use benches::answers::Shape;
use benches::http::Reader;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// One kept-alive connection.
pub(crate) struct Client {
    stream: TcpStream,
    reader: Reader,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, reader: Reader::default() })
    }

    /// Asks, and waits for the whole answer.
    pub(crate) async fn exchange(&mut self, shape: Shape, request: &[u8]) -> Result<()> {
        self.begin(request).await?;
        while !self.advance().await? {}
        shape.check(self.reader.status(), self.reader.body())
    }

    /// Sends a request; the answer is read by [`Client::advance`].
    pub(crate) async fn begin(&mut self, request: &[u8]) -> Result<()> {
        self.reader.next();
        Ok(self.stream.write_all(request).await?)
    }

    /// Reads once. True when the answer is complete.
    pub(crate) async fn advance(&mut self) -> Result<bool> {
        let read = self.stream.read_buf(self.reader.input()).await?;
        ensure!(read > 0, "closed within an answer after {:?}", String::from_utf8_lossy(self.reader.head()));
        self.reader.advance()
    }

    pub(crate) fn status(&self) -> Option<u16> {
        self.reader.status()
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.reader.body()
    }
}

/// What a closed loop saw between the opening and the closing of its window.
pub(crate) struct Seen {
    /// How long each exchange took, shortest first.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) window: Duration,
}

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// `clients` connections, each asking again as soon as it is answered. An incomplete answer is an error.
///
/// `at_edge` is called when the window opens and when it closes.
pub(crate) async fn closed_loop(
    (shape, address): (Shape, SocketAddr),
    clients: usize,
    (warm_up, window): (Duration, Duration),
    mut at_edge: impl FnMut() -> Result<()>,
) -> Result<Seen> {
    let phase = Arc::new(AtomicU8::new(WARMING_UP));
    let request: Arc<[u8]> = shape.request(address).into();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let client = Client::connect(address).await?;
        tasks.spawn(ask_again_and_again(client, shape, request.clone(), phase.clone()));
    }
    sleep(warm_up).await;
    at_edge()?;
    let opened = Instant::now();
    phase.store(MEASURING, Ordering::Relaxed);
    sleep(window).await;
    phase.store(OVER, Ordering::Relaxed);
    let window = opened.elapsed();
    at_edge()?;

    let mut latencies = Vec::new();
    while let Some(task) = tasks.join_next().await {
        latencies.append(&mut task??);
    }
    ensure!(!latencies.is_empty(), "no answer within {window:?}");
    latencies.sort_unstable();
    Ok(Seen { latencies, window })
}

async fn ask_again_and_again(
    mut client: Client,
    shape: Shape,
    request: Arc<[u8]>,
    phase: Arc<AtomicU8>,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let asked = Instant::now();
        client.exchange(shape, &request).await?;
        match phase.load(Ordering::Relaxed) {
            WARMING_UP => {}
            MEASURING => latencies.push(asked.elapsed()),
            _ => return Ok(latencies),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream;
    use benches::answers::EVENTS;

    #[tokio::test]
    async fn every_shape_of_the_upstream_is_complete_on_a_kept_alive_connection() {
        let address = upstream::start().await.unwrap();
        let mut client = Client::connect(address).await.unwrap();
        for shape in [Shape::Json, Shape::Stream, Shape::Json, Shape::Paced, Shape::Stream] {
            client.exchange(shape, &shape.request(address)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_closed_loop_counts_only_what_its_window_saw() {
        let address = upstream::start().await.unwrap();
        let mut edges = 0;
        let times = (Duration::from_millis(20), Duration::from_millis(100));
        let seen = closed_loop((Shape::Stream, address), 4, times, || {
            edges += 1;
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(edges, 2);
        assert!(seen.latencies.is_sorted() && !seen.latencies.is_empty());
        assert!(seen.window >= Duration::from_millis(100));
    }

    #[tokio::test]
    async fn a_held_stream_stays_open_and_brings_its_first_event() {
        let address = upstream::start().await.unwrap();
        let mut client = Client::connect(address).await.unwrap();
        client.begin(&Shape::Held.request(address)).await.unwrap();
        while client.body().is_empty() {
            assert!(!client.advance().await.unwrap());
        }
        assert!(benches::answers::events_in(client.body()) < EVENTS);
    }
}

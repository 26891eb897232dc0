//! A provider that answers at once, so that what is measured is what stands before it.

use anyhow::Result;
use benches::answers::{ANSWER, STREAM, Shape};
use benches::http::Reader;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::sleep;

/// Serves until the process ends.
pub(crate) async fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        }
    });
    Ok(address)
}

/// One connection, kept alive. Its end, however it comes, is the client's affair.
async fn serve(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = Reader::default();
    loop {
        while !reader.advance()? {
            if stream.read_buf(reader.input()).await? == 0 {
                return Ok(());
            }
        }
        match Shape::of_request(reader.body()) {
            Shape::Json => stream.write_all(WHOLE.as_bytes()).await?,
            Shape::Stream => send(&mut stream, Duration::ZERO, Duration::ZERO).await?,
            Shape::Paced => send(&mut stream, Duration::from_millis(20), Duration::from_millis(10)).await?,
            Shape::Held => hold(&mut stream).await?,
        }
        reader.next();
    }
}

static WHOLE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
        ANSWER.len(),
        *ANSWER
    )
});

const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// Each event as a chunk; the last brings the end of the body along.
static CHUNKS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut chunks: Vec<String> =
        STREAM.iter().map(|event| format!("{:x}\r\n{event}\r\n", event.len())).collect();
    if let Some(last) = chunks.last_mut() {
        last.push_str("0\r\n\r\n");
    }
    chunks
});

async fn send(stream: &mut TcpStream, first: Duration, next: Duration) -> io::Result<()> {
    stream.write_all(STREAM_HEAD).await?;
    let mut wait = first;
    for chunk in CHUNKS.iter() {
        // Tokens come one by one: a burst would let a proxy pass on many events as one.
        match wait {
            Duration::ZERO => yield_now().await,
            _ => sleep(wait).await,
        }
        wait = next;
        stream.write_all(chunk.as_bytes()).await?;
    }
    Ok(())
}

async fn hold(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(STREAM_HEAD).await?;
    loop {
        stream.write_all(CHUNKS[0].as_bytes()).await?;
        sleep(Duration::from_secs(1)).await;
    }
}

//! A server on loopback that gives every request the same answer, and the bare exchange with it.

use crate::http::Reader;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves `parts`, each as its own write, to every request; until the runtime ends.
pub async fn serve(content_type: &str, parts: Vec<String>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let writes: Arc<[Vec<u8>]> = writes(content_type, parts).into();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // How a connection ends is the client's affair.
            tokio::spawn(answer(stream, writes.clone()));
        }
    });
    Ok(address)
}

/// One part goes out with its length, several as chunks.
fn writes(content_type: &str, parts: Vec<String>) -> Vec<Vec<u8>> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n");
    if let [body] = &parts[..] {
        return vec![format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()];
    }
    let mut writes = vec![format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes()];
    writes.extend(parts.iter().map(|part| format!("{:x}\r\n{part}\r\n", part.len()).into_bytes()));
    writes.push(b"0\r\n\r\n".to_vec());
    writes
}

async fn answer(mut stream: TcpStream, writes: Arc<[Vec<u8>]>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = Reader::default();
    loop {
        while !reader.advance()? {
            if stream.read_buf(reader.input()).await? == 0 {
                return Ok(());
            }
        }
        reader.next();
        for write in writes.iter() {
            stream.write_all(write).await?;
        }
    }
}

/// A kept-alive connection that reads answers and understands nothing of them.
pub struct Bare {
    stream: TcpStream,
    reader: Reader,
}

impl Bare {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, reader: Reader::default() })
    }

    /// Sends a request and waits for the whole answer; its size.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<usize> {
        self.reader.next();
        self.stream.write_all(request).await?;
        while !self.reader.advance()? {
            let read = self.stream.read_buf(self.reader.input()).await?;
            (read > 0).then_some(()).context("closed within an answer")?;
        }
        Ok(self.reader.body().len())
    }
}

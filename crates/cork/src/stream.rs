//! The stream.

use std::io::Result;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use crate::queue::Queue;
use crate::socket::Socket;

/// Larger writes do not wait: the copy would cost more than it saves.
const LARGEST: usize = 16 << 10;

/// A TCP stream whose small writes wait for the end of the scheduler's round, to go out with those of other streams.
///
/// For whoever writes whole messages, as hyper's connections do (in a `hyper_util::rt::TokioIo`). Set `TCP_NODELAY`
/// yourself.
///
/// # Errors
/// A write is reported as done when it is kept. What fails later is the result of the next write, flush or shutdown;
/// a connection that the peer has closed also shows at the next read.
///
/// # Cancellation
/// Dropping it sends what it kept at the end of the round, then closes the stream.
pub struct Corked {
    read: OwnedReadHalf,
    socket: Arc<Socket>,
}

impl Corked {
    /// Takes over a connected stream.
    pub fn new(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        Self { read, socket: Arc::new(Socket::new(write)) }
    }

    /// Ready when the peer has closed its half, or is gone, and all that it sent has been read. Nothing is read. The task is
    /// woken for it only when nothing is there to be read.
    pub fn poll_end(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        match ready!(self.read.poll_peek(task, &mut ReadBuf::new(&mut byte))) {
            Ok(0) | Err(_) => Poll::Ready(()),
            Ok(_) => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for Corked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Corked").field(self.read.as_ref()).finish()
    }
}

impl AsyncRead for Corked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.read).poll_read(task, buffer)
    }
}

impl AsyncWrite for Corked {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        if bytes.len() > LARGEST {
            ready!(self.socket.poll_send(task))?;
            return self.socket.poll_write(bytes, task);
        }
        let queue = Queue::ours();
        ready!(self.socket.poll_queue(&queue, task))?;
        queue.push(&self.socket, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<()>> {
        self.socket.poll_rest(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.socket.poll_send(task))?;
        Poll::Ready(socket2::SockRef::from(self.socket.stream()?).shutdown(Shutdown::Write))
    }
}

/// For hyper-util's connectors.
impl Connection for Corked {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

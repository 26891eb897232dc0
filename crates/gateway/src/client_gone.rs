//! A client that has left is noticed, whatever it had sent beyond its request.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainstay_cork::Corked;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's stream that fails when the client has left.
///
/// hyper looks for the end of the stream while a call is under way, but not while it holds bytes of what comes next: a
/// second request, or the stray line end that some clients send after a body. Then this looks in its place.
pub(crate) struct ClientGone {
    stream: Corked,
    /// Whether hyper waits to read, so that it will see the end.
    is_awaited: bool,
}

impl ClientGone {
    pub(crate) fn new(stream: Corked) -> Self {
        Self { stream, is_awaited: false }
    }
}

impl AsyncRead for ClientGone {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(task, buffer);
        self.is_awaited = read.is_pending();
        read
    }
}

impl AsyncWrite for ClientGone {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    /// hyper flushes whenever it has done what it could.
    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(task))?;
        if !self.is_awaited && self.stream.poll_end(task).is_ready() {
            return Poll::Ready(Err(Error::new(ErrorKind::ConnectionReset, "the client has left")));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}

//! One connection of a client: requests read, answers written, and its leaving noticed in between.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(super) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

pub(super) struct Request {
    /// `POST /v1/chat/completions HTTP/1.1`
    pub(super) line: String,
    pub(super) body: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The next request; `None` when the client has closed.
    pub(super) async fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some(request) = take_request(&mut self.unread)? {
                return Ok(Some(request));
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(None);
            }
        }
    }

    pub(super) async fn write(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes()).await
    }

    /// Waits; an error as soon as the client leaves.
    pub(super) async fn pause(&mut self, time: Duration) -> io::Result<()> {
        let end = tokio::time::sleep(time);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                read = self.stream.read_buf(&mut self.unread) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
            }
        }
    }

    /// Ends it with a TCP reset.
    pub(super) fn reset(self) {
        // Without a linger the kernel sends RST, not FIN, when the socket is dropped.
        let _ = self.stream.set_zero_linger();
    }
}

/// Takes a whole request off the front, if it is there. Clients of this kind say how long their bodies are.
fn take_request(unread: &mut Vec<u8>) -> io::Result<Option<Request>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(head) = unread.windows(END.len()).position(|window| window == END) else { return Ok(None) };
    let text = String::from_utf8_lossy(&unread[..head]).into_owned();
    let value = |name: &str| {
        let fields = text.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    if value("transfer-encoding").is_some() {
        return Err(io::Error::other("a request without content-length"));
    }
    let length: usize = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let whole = head + END.len() + length;
    if unread.len() < whole {
        return Ok(None);
    }
    let mut message: Vec<u8> = unread.drain(..whole).collect();
    let body = message.split_off(head + END.len());
    Ok(Some(Request { line: text.lines().next().unwrap_or_default().to_owned(), body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_off_one_by_one_when_they_are_whole() {
        let mut unread = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nab".to_vec();
        assert!(take_request(&mut unread).unwrap().is_none());
        unread.extend(b"cGET /b HTTP/1.1\r\n\r\n");
        let first = take_request(&mut unread).unwrap().unwrap();
        assert_eq!((first.line.as_str(), &first.body[..]), ("POST /a HTTP/1.1", &b"abc"[..]));
        assert_eq!(take_request(&mut unread).unwrap().unwrap().line, "GET /b HTTP/1.1");
        assert!(take_request(&mut unread).unwrap().is_none());
    }
}

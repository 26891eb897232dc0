//! Just enough HTTP/1.1 to make load and to answer it: one message at a time, by length or in chunks.

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;

/// Reads one request or response after the other from the bytes of a connection.
#[derive(Default)]
pub struct Reader {
    unread: Vec<u8>,
    at: usize,
    state: State,
    head: Vec<u8>,
    body: Vec<u8>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Body(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    Done,
}

impl Reader {
    /// Where the bytes of the connection go.
    pub fn input(&mut self) -> &mut Vec<u8> {
        &mut self.unread
    }

    /// Forgets the message that was read; what came after it stays.
    pub fn next(&mut self) {
        self.unread.drain(..self.at);
        self.at = 0;
        self.state = State::Head;
        self.head.clear();
        self.body.clear();
    }

    /// Reads what is there. True when the message is complete.
    pub fn advance(&mut self) -> Result<bool> {
        while self.step()? {}
        Ok(self.state == State::Done)
    }

    /// The first line and the headers.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The body so far, without the framing of chunks.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The status of a response whose head is there.
    pub fn status(&self) -> Option<u16> {
        std::str::from_utf8(self.head.get(9..12)?).ok()?.parse().ok()
    }

    /// True when it went a step further.
    fn step(&mut self) -> Result<bool> {
        self.state = match self.state {
            State::Done => return Ok(false),
            State::Head => match self.take_until(b"\r\n\r\n") {
                None => return Ok(false),
                Some(head) => {
                    self.head.extend_from_slice(&self.unread[head.0..head.1]);
                    framing(&self.head)?
                }
            },
            State::Body(0) => State::Done,
            State::ChunkSize => match self.take_until(b"\r\n") {
                None => return Ok(false),
                Some((from, to)) => match chunk_size(&self.unread[from..to])? {
                    0 => State::Trailer,
                    size => State::Chunk(size),
                },
            },
            State::Chunk(0) => State::ChunkEnd,
            State::Body(left) => match self.take_body(left) {
                0 => return Ok(false),
                taken => State::Body(left - taken),
            },
            State::Chunk(left) => match self.take_body(left) {
                0 => return Ok(false),
                taken => State::Chunk(left - taken),
            },
            State::ChunkEnd => match self.take_until(b"\r\n") {
                None => return Ok(false),
                Some((from, to)) => {
                    ensure!(from == to, "a chunk is longer than its size says");
                    State::ChunkSize
                }
            },
            State::Trailer => match self.take_until(b"\r\n") {
                None => return Ok(false),
                Some((from, to)) if from == to => State::Done,
                Some(_) => State::Trailer,
            },
        };
        Ok(true)
    }

    /// The range before `end`, which is passed over.
    fn take_until(&mut self, end: &[u8]) -> Option<(usize, usize)> {
        let from = self.at;
        let length = memmem::find(&self.unread[from..], end)?;
        self.at = from + length + end.len();
        Some((from, from + length))
    }

    fn take_body(&mut self, left: usize) -> usize {
        let taken = left.min(self.unread.len() - self.at);
        self.body.extend_from_slice(&self.unread[self.at..self.at + taken]);
        self.at += taken;
        taken
    }
}

fn framing(head: &[u8]) -> Result<State> {
    let head = std::str::from_utf8(head).context("a head that is no text")?;
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { bail!("a header without a colon: {line:?}") };
        if name.eq_ignore_ascii_case("content-length") {
            return Ok(State::Body(value.trim().parse().with_context(|| format!("content-length {value}"))?));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            ensure!(value.trim().eq_ignore_ascii_case("chunked"), "unknown transfer-encoding {value}");
            return Ok(State::ChunkSize);
        }
    }
    ensure!(!head.starts_with("HTTP/"), "an answer with neither a length nor chunks");
    Ok(State::Body(0))
}

fn chunk_size(line: &[u8]) -> Result<usize> {
    let line = std::str::from_utf8(line).context("a chunk size that is no text")?;
    let size = line.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(size, 16).with_context(|| format!("chunk size {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n";
    const SIZED: &[u8] = b"HTTP/1.1 429 Too Many\r\nContent-Length: 4\r\n\r\nwait";

    #[test]
    fn a_message_is_read_the_same_however_it_is_cut() {
        for (message, body) in [(CHUNKED, "hello world"), (SIZED, "wait")] {
            for cut in 1..message.len() {
                let mut reader = Reader::default();
                reader.input().extend_from_slice(&message[..cut]);
                assert!(!reader.advance().unwrap(), "complete after {cut} bytes");
                reader.input().extend_from_slice(&message[cut..]);
                assert!(reader.advance().unwrap());
                assert_eq!(reader.body(), body.as_bytes());
            }
        }
    }

    #[test]
    fn the_next_message_begins_where_the_last_one_ended() {
        let mut reader = Reader::default();
        reader.input().extend_from_slice(&[CHUNKED, SIZED].concat());
        assert!(reader.advance().unwrap());
        assert_eq!(reader.status(), Some(200));
        reader.next();
        assert!(reader.advance().unwrap());
        assert_eq!((reader.status(), reader.body()), (Some(429), b"wait".as_slice()));
    }

    #[test]
    fn a_request_without_a_length_has_no_body_and_an_answer_without_one_is_an_error() {
        let mut reader = Reader::default();
        reader.input().extend_from_slice(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(reader.advance().unwrap());
        let mut reader = Reader::default();
        reader.input().extend_from_slice(b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\n");
        assert!(reader.advance().is_err());
    }
}

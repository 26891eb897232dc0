//! Cuts reads into lines, whatever ends them, without copying a line that lies within one read.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A line is longer than the room that it was given.
#[derive(Debug)]
pub(super) struct TooLong;

/// Lines end in LF, CR LF or CR; the pair may be split over two reads. A byte order mark before the first is dropped.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What is left of the read being worked on.
    read: Bytes,
    /// Reads that were pushed before the ones above were used up.
    queue: VecDeque<Bytes>,
    /// The start of a line whose end has not come yet.
    partial: BytesMut,
    /// A CR ended the last read; an LF at the start of the next belongs to it.
    after_cr: bool,
    /// The first line has gone, and with it the place for a byte order mark.
    started: bool,
}

impl Lines {
    pub(super) fn push(&mut self, read: Bytes) {
        if self.read.is_empty() {
            self.read = read;
        } else {
            self.queue.push_back(read);
        }
    }

    /// The next whole line without its end, or `None` if it has not come yet.
    ///
    /// An unfinished line is refused as soon as it has outgrown `room`, so whether a line fits does not depend on how it
    /// was split into reads.
    pub(super) fn next(&mut self, room: usize) -> Option<Result<Bytes, TooLong>> {
        loop {
            let Some(&first) = self.read.first() else {
                // Even an empty rest holds on to the buffer that it is of, and the connection wants to read into that again.
                self.read = Bytes::new();
                self.read = self.queue.pop_front()?;
                continue;
            };
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                self.read.advance(1);
                continue;
            }
            // Every second line of an event stream is empty: no need to search for its end.
            let end = if first == b'\n' { Some(0) } else { memchr::memchr2(b'\n', b'\r', &self.read) };
            if self.partial.len() + end.unwrap_or(self.read.len()) > room {
                return Some(Err(TooLong));
            }
            match end {
                Some(end) => return Some(Ok(self.take_line(end))),
                None => self.keep_rest(),
            }
        }
    }

    /// At the end of the body: the line that nothing ended. Ask after [`next`](Self::next) gave `None`.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        if self.partial.is_empty() {
            return None;
        }
        let line = self.partial.split().freeze();
        Some(self.without_mark(line))
    }

    /// Takes the line that ends at `end` in the read, and its line end.
    fn take_line(&mut self, end: usize) -> Bytes {
        let line = if self.partial.is_empty() {
            self.read.split_to(end)
        } else {
            self.partial.extend_from_slice(&self.read[..end]);
            self.read.advance(end);
            self.partial.split().freeze()
        };
        let carriage_return = self.read.first() == Some(&b'\r');
        self.read.advance(1);
        if carriage_return {
            match self.read.first() {
                Some(b'\n') => self.read.advance(1),
                Some(_) => {}
                None => self.after_cr = true,
            }
        }
        self.without_mark(line)
    }

    fn keep_rest(&mut self) {
        self.partial.extend_from_slice(&self.read);
        self.read = Bytes::new();
    }

    fn without_mark(&mut self, mut line: Bytes) -> Bytes {
        if !std::mem::replace(&mut self.started, true) && line.starts_with(BYTE_ORDER_MARK) {
            line.advance(BYTE_ORDER_MARK.len());
        }
        line
    }
}

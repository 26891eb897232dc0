//! Lines of JSON.

use bytes::Bytes;

use super::lines::{Lines, TooLong};
use super::{DEFAULT_LIMIT, Frame, FramingError};

/// Decodes newline-delimited JSON (`application/x-ndjson`, Ollama's native streams) from reads of any size.
///
/// Each line that holds more than white space is a frame. Lines end in LF, CR LF or CR (which cannot stand inside a JSON
/// string). A last line that nothing ended comes out of [`finish`](Self::finish) as `terminated: false`.
///
/// # Limit
/// The longest line, in bytes. The default is [`DEFAULT_LIMIT`], 1 MiB.
///
/// # Errors
/// [`FramingError::TooLarge`] only; it ends the decoder.
#[derive(Debug)]
pub struct NdjsonDecoder {
    lines: Lines,
    limit: usize,
    failed: bool,
}

impl NdjsonDecoder {
    /// A decoder for lines of at most [`DEFAULT_LIMIT`] bytes.
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// A decoder for lines of at most `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { lines: Lines::default(), limit, failed: false }
    }

    /// Takes the next read of the body.
    pub fn push(&mut self, read: Bytes) {
        if !self.failed {
            self.lines.push(read);
        }
    }

    /// At the end of the body: the line that nothing ended. Call it until `None`.
    pub fn finish(&mut self) -> Option<Result<Frame, FramingError>> {
        if let Some(frame) = self.next() {
            return Some(frame);
        }
        let line = self.lines.finish().filter(|line| has_content(line))?;
        Some(Ok(Frame { terminated: false, ..Frame::new(line) }))
    }
}

impl Default for NdjsonDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The lines that are complete by now; `None` means: push more.
impl Iterator for NdjsonDecoder {
    type Item = Result<Frame, FramingError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.lines.next(self.limit)? {
                Ok(line) if has_content(&line) => return Some(Ok(Frame::new(line))),
                Ok(_) => {}
                Err(TooLong) => {
                    *self = Self { failed: true, ..Self::with_limit(self.limit) };
                    return Some(Err(FramingError::TooLarge { limit: self.limit }));
                }
            }
        }
    }
}

fn has_content(line: &[u8]) -> bool {
    !line.trim_ascii().is_empty()
}

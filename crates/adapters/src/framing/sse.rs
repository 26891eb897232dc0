//! Server-sent events.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::lines::{Lines, TooLong};
use super::{DEFAULT_LIMIT, EventName, Frame, FramingError};

/// Decodes server-sent events (`text/event-stream`) from reads of any size.
///
/// Follows the WHATWG grammar: lines end in LF, CR LF or CR; lines that start with `:` are comments; several `data`
/// lines of one event are joined with LF; unknown fields are ignored, and so are `id` and `retry`, since no provider
/// resumes a stream. It departs from the grammar in two points, both for the sake of what providers send:
///
/// - An event whose data is empty (`data:` and nothing else) carries nothing and is not yielded.
/// - An event that the end of the body cut off is not dropped: [`finish`](Self::finish) hands it out as
///   `terminated: false`.
///
/// # Limit
/// All lines of an event count towards the limit, empty `data:` lines and unknown fields included, so that no flood of
/// small lines passes beneath it. A finished comment is free: a server may send a million keep-alives before it answers.
/// An unfinished line of any sort counts. The default is [`DEFAULT_LIMIT`], 1 MiB an event.
///
/// # Errors
/// [`FramingError::TooLarge`] only; it ends the decoder.
#[derive(Debug)]
pub struct SseDecoder {
    lines: Lines,
    limit: usize,
    /// How many bytes of lines the event has had so far.
    size: usize,
    event: Option<Bytes>,
    data: Data,
    failed: bool,
}

/// The data lines of an event so far.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    /// As it stood in the read.
    One(Bytes),
    /// Joined with LF.
    Many(BytesMut),
}

impl SseDecoder {
    /// A decoder for events of at most [`DEFAULT_LIMIT`] bytes each.
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// A decoder for events of at most `limit` bytes each.
    pub fn with_limit(limit: usize) -> Self {
        Self { lines: Lines::default(), limit, size: 0, event: None, data: Data::None, failed: false }
    }

    /// Takes the next read of the body.
    pub fn push(&mut self, read: Bytes) {
        if !self.failed {
            self.lines.push(read);
        }
    }

    /// At the end of the body: the event that no blank line ended, if it has data. Call it until `None`.
    pub fn finish(&mut self) -> Option<Result<Frame, FramingError>> {
        if let Some(frame) = self.next() {
            return Some(frame);
        }
        if let Some(line) = self.lines.finish() {
            self.take_field(line);
        }
        self.end_event(false).map(Ok)
    }

    /// Adds one line that is not empty to the event.
    fn take_field(&mut self, line: Bytes) {
        if line.first() == Some(&b':') {
            return; // a comment
        }
        self.size += line.len() + 1;
        if is_field(&line, b"data") {
            self.data.add(value(line, b"data"));
        } else if is_field(&line, b"event") {
            self.event = Some(value(line, b"event"));
        }
    }

    /// Ends the event and starts the next one. No frame comes of an event without data.
    fn end_event(&mut self, terminated: bool) -> Option<Frame> {
        self.size = 0;
        let event = self.event.take();
        let data = std::mem::take(&mut self.data).joined()?;
        let event = event.filter(|name| !name.is_empty()).map(EventName::new);
        Some(Frame { event, data, terminated, exception: false })
    }

    fn fail(&mut self) -> FramingError {
        *self = Self { failed: true, ..Self::with_limit(self.limit) };
        FramingError::TooLarge { limit: self.limit }
    }
}

impl Default for SseDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The events that are complete by now; `None` means: push more.
impl Iterator for SseDecoder {
    type Item = Result<Frame, FramingError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.lines.next(self.limit.saturating_sub(self.size))? {
                Ok(line) => line,
                Err(TooLong) => return Some(Err(self.fail())),
            };
            if !line.is_empty() {
                self.take_field(line);
            } else if let Some(frame) = self.end_event(true) {
                return Some(Ok(frame));
            }
        }
    }
}

impl Data {
    fn add(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(line),
            Self::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + 1 + line.len());
                lines.put(first);
                Self::Many(joined(lines, &line))
            }
            Self::Many(lines) => Self::Many(joined(lines, &line)),
        }
    }

    /// All lines, unless there is nothing in them.
    fn joined(self) -> Option<Bytes> {
        match self {
            Self::None => None,
            Self::One(line) => Some(line).filter(|line| !line.is_empty()),
            Self::Many(lines) => lines.iter().any(|&byte| byte != b'\n').then(|| lines.freeze()),
        }
    }
}

fn joined(mut lines: BytesMut, line: &[u8]) -> BytesMut {
    lines.put_u8(b'\n');
    lines.put_slice(line);
    lines
}

/// Whether the line is this field: its name, then a colon or nothing.
fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.starts_with(name) && matches!(line.get(name.len()), None | Some(b':'))
}

/// What follows the field's name and colon, without the one space that may stand there.
fn value(mut line: Bytes, name: &[u8]) -> Bytes {
    line.advance(name.len());
    for optional in [b':', b' '] {
        if line.first() == Some(&optional) {
            line.advance(1);
        }
    }
    line
}

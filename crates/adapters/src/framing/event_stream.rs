//! AWS event-stream messages.

use bytes::{Buf, Bytes, BytesMut};

use super::{DEFAULT_LIMIT, EventName, Frame, FramingError};

/// Total length, header length, and the checksum of these two.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;
/// A message without headers and payload.
const SMALLEST: usize = PRELUDE + CHECKSUM;

/// Decodes `application/vnd.amazon.eventstream`, the binary framing of Bedrock's streams, from reads of any size.
///
/// A message is a frame: `event` is its `:event-type`, or for an exception its `:exception-type` (or `:error-code`), with
/// `exception` set; `data` is the payload (for an error without one, its `:error-message`).
///
/// # Limit
/// The largest message in bytes, prelude, headers and checksums included. The default is [`DEFAULT_LIMIT`], 1 MiB. A
/// message that announces more is refused before its first byte is kept.
///
/// # Errors
/// [`FramingError::TooLarge`]; [`FramingError::Checksum`] for a wrong checksum, of the prelude or the message;
/// [`FramingError::Malformed`] for lengths and headers that cannot be; [`FramingError::Truncated`] from
/// [`finish`](Self::finish) if the body ended within a message. Each ends the decoder.
#[derive(Debug)]
pub struct EventStreamDecoder {
    buffer: BytesMut,
    limit: usize,
    /// How long the message at the start of the buffer is, once its prelude has come and holds.
    message: Option<usize>,
    failed: bool,
}

impl EventStreamDecoder {
    /// A decoder for messages of at most [`DEFAULT_LIMIT`] bytes each.
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// A decoder for messages of at most `limit` bytes each.
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit, message: None, failed: false }
    }

    /// Takes the next read of the body.
    pub fn push(&mut self, read: Bytes) {
        if self.failed {
            return;
        }
        if self.buffer.is_empty() {
            self.buffer = read.into(); // a copy only if something else holds the read too
        } else {
            self.buffer.extend_from_slice(&read);
        }
    }

    /// At the end of the body: [`FramingError::Truncated`] if it ended within a message. Call it until `None`.
    pub fn finish(&mut self) -> Option<Result<Frame, FramingError>> {
        if let Some(frame) = self.next() {
            return Some(frame);
        }
        if self.buffer.is_empty() {
            return None;
        }
        self.fail();
        Some(Err(FramingError::Truncated))
    }

    fn decode(&mut self) -> Result<Option<Frame>, FramingError> {
        let Some(length) = self.message_length()? else { return Ok(None) };
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.message = None;
        read_message(self.buffer.split_to(length).freeze()).map(Some)
    }

    /// The length of the message at the start of the buffer, from its prelude.
    fn message_length(&mut self) -> Result<Option<usize>, FramingError> {
        if self.message.is_none() {
            let Some(mut prelude) = self.buffer.get(..PRELUDE) else { return Ok(None) };
            // Before the rest has come: a wrong length would have us wait for bytes that never come.
            verify(prelude)?;
            let length = usize::try_from(prelude.get_u32()).unwrap_or(usize::MAX);
            if length < SMALLEST {
                return Err(FramingError::Malformed("its length is below that of an empty message"));
            }
            if length > self.limit {
                return Err(FramingError::TooLarge { limit: self.limit });
            }
            self.message = Some(length);
        }
        Ok(self.message)
    }

    fn fail(&mut self) {
        *self = Self { failed: true, ..Self::with_limit(self.limit) };
    }
}

impl Default for EventStreamDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The messages that are complete by now; `None` means: push more.
impl Iterator for EventStreamDecoder {
    type Item = Result<Frame, FramingError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.decode().inspect_err(|_| self.fail()).transpose()
    }
}

/// Reads a message that has come whole and whose prelude holds.
fn read_message(mut message: Bytes) -> Result<Frame, FramingError> {
    verify(&message)?;
    message.truncate(message.len() - CHECKSUM);
    let headers = (&message[4..8]).get_u32();
    message.advance(PRELUDE);
    let headers = take(&mut message, usize::try_from(headers).unwrap_or(usize::MAX))?;
    frame(&Headers::read(headers)?, message)
}

/// A message as a frame, by its `:message-type`.
fn frame(headers: &Headers, payload: Bytes) -> Result<Frame, FramingError> {
    let (event, exception) = match headers.message_type.as_deref() {
        Some(b"event") => (&headers.event_type, false),
        Some(b"exception") => (&headers.exception_type, true),
        Some(b"error") => (&headers.error_code, true),
        Some(_) => return Err(FramingError::Malformed("its :message-type is unknown")),
        None => return Err(FramingError::Malformed("it has no :message-type")),
    };
    let data = match &headers.error_message {
        Some(message) if exception && payload.is_empty() => message.clone(),
        _ => payload,
    };
    Ok(Frame { event: event.clone().map(EventName::new), exception, ..Frame::new(data) })
}

/// The headers that tell what a message is.
#[derive(Default)]
struct Headers {
    message_type: Option<Bytes>,
    event_type: Option<Bytes>,
    exception_type: Option<Bytes>,
    error_code: Option<Bytes>,
    error_message: Option<Bytes>,
}

impl Headers {
    /// Each header is a name with its length in a byte, a value's type in a byte, and the value.
    fn read(mut bytes: Bytes) -> Result<Self, FramingError> {
        let mut headers = Self::default();
        while !bytes.is_empty() {
            let length = take_number(&mut bytes, 1)?;
            let name = take(&mut bytes, length)?;
            let Some(text) = take_value(&mut bytes)? else { continue };
            let place = match &*name {
                b":message-type" => &mut headers.message_type,
                b":event-type" => &mut headers.event_type,
                b":exception-type" => &mut headers.exception_type,
                b":error-code" => &mut headers.error_code,
                b":error-message" => &mut headers.error_message,
                _ => continue,
            };
            *place = Some(text);
        }
        Ok(headers)
    }
}

/// Takes a header's value: the text if it is one, `None` for the other types, which no header of ours has.
fn take_value(bytes: &mut Bytes) -> Result<Option<Bytes>, FramingError> {
    const TEXT: usize = 7;
    let kind = take_number(bytes, 1)?;
    let length = match kind {
        0 | 1 => 0,                         // true, false
        2 => 1,                             // byte
        3 => 2,                             // 16-bit integer
        4 => 4,                             // 32-bit integer
        5 | 8 => 8,                         // 64-bit integer, timestamp
        6 | TEXT => take_number(bytes, 2)?, // bytes, text: the length comes first
        9 => 16,                            // UUID
        _ => return Err(FramingError::Malformed("a header's type is unknown")),
    };
    let value = take(bytes, length)?;
    Ok((kind == TEXT).then_some(value))
}

/// Takes a big-endian number of `width` bytes.
fn take_number(bytes: &mut Bytes, width: usize) -> Result<usize, FramingError> {
    Ok(take(bytes, width)?.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
}

fn take(bytes: &mut Bytes, length: usize) -> Result<Bytes, FramingError> {
    if length > bytes.len() {
        return Err(FramingError::Malformed("a length in it reaches past its end"));
    }
    Ok(bytes.split_to(length))
}

/// Checks that the bytes end in their own checksum.
fn verify(bytes: &[u8]) -> Result<(), FramingError> {
    match bytes.split_last_chunk::<CHECKSUM>() {
        Some((checked, checksum)) if crc32(checked) == u32::from_be_bytes(*checksum) => Ok(()),
        _ => Err(FramingError::Checksum),
    }
}

/// CRC-32 as in IEEE 802.3, the checksum of zlib and PNG.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| (crc >> 8) ^ CRC_TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)])
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
    }
}

//! How large an image is, read from its first bytes.

/// Width and height in pixels.
pub(super) type Size = (u32, u32);

/// The size of an image in a `data:` URL, or in bare base64; `None` when it is elsewhere or of another kind.
pub(super) fn size_in_url(url: &str) -> Option<Size> {
    let encoded = match url.strip_prefix("data:") {
        Some(data) => data.split_once(";base64,")?.1,
        None if url.contains(':') => return None,
        None => url,
    };
    // A JPEG may carry a preview and a colour profile before its size.
    const ENOUGH: usize = 256 * 1024;
    size(&decode(encoded, ENOUGH))
}

/// The size of an image that begins with these bytes.
fn size(bytes: &[u8]) -> Option<Size> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some((big(bytes, 16, 4)?, big(bytes, 20, 4)?));
    }
    if bytes.starts_with(b"GIF8") {
        return Some((little(bytes, 6, 2)?, little(bytes, 8, 2)?));
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return webp(bytes);
    }
    if bytes.starts_with(b"\xff\xd8") {
        return jpeg(bytes);
    }
    None
}

fn webp(bytes: &[u8]) -> Option<Size> {
    match bytes.get(12..16)? {
        b"VP8X" => Some((little(bytes, 24, 3)? + 1, little(bytes, 27, 3)? + 1)),
        b"VP8L" => {
            let bits = little(bytes, 21, 4)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => Some((little(bytes, 26, 2)? & 0x3fff, little(bytes, 28, 2)? & 0x3fff)),
        _ => None,
    }
}

/// Goes from segment to segment until the one with the size.
fn jpeg(bytes: &[u8]) -> Option<Size> {
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        match *bytes.get(at + 1)? {
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some((big(bytes, at + 7, 2)?, big(bytes, at + 5, 2)?));
            }
            _ => at += 2 + (big(bytes, at + 2, 2)?.max(2) as usize),
        }
    }
}

fn big(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    Some(bytes.get(at..at + length)?.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)))
}

fn little(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    Some(bytes.get(at..at + length)?.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
}

/// The first `most` bytes of base64; it ends at the first sign that is none.
fn decode(encoded: &str, most: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(most.min(encoded.len() / 4 * 3));
    let (mut bits, mut held) = (0u32, 0);
    for sign in encoded.bytes() {
        let value = match sign {
            b'A'..=b'Z' => sign - b'A',
            b'a'..=b'z' => sign - b'a' + 26,
            b'0'..=b'9' => sign - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'\r' | b'\n' => continue,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
            if bytes.len() == most {
                break;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_read_from_each_kind_of_image() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0";
        assert_eq!(size(png), Some((640, 480)));
        assert_eq!(size(b"GIF89a\x40\x01\xf0\x00"), Some((320, 240)));
        let jpeg = b"\xff\xd8\xff\xe0\0\x04JF\xff\xdb\0\x03\x00\xff\xc2\0\x11\x08\x01\xe0\x02\x80\x03";
        assert_eq!(size(jpeg), Some((640, 480)));
        let mut webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
        webp.extend([0x7f, 0x02, 0, 0xdf, 0x01, 0]);
        assert_eq!(size(&webp), Some((640, 480)));
        let lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x7f\xc2\x77\x00";
        assert_eq!(size(lossless), Some((640, 480)));
        let mut lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a".to_vec();
        lossy.extend([0x80, 0x02, 0xe0, 0x01]);
        assert_eq!(size(&lossy), Some((640, 480)));
    }

    #[test]
    fn what_is_cut_off_or_no_image_has_no_size() {
        for bytes in [
            &b""[..],
            b"\x89PNG\r\n\x1a\n\0",
            b"\xff\xd8\xff",
            b"\xff\xd8\xff\xe0\0\0",
            b"RIFF\0\0\0\0WEBP",
            b"%PDF",
        ] {
            assert_eq!(size(bytes), None, "{bytes:?}");
        }
        assert_eq!(size_in_url("https://example.com/a.png"), None);
        assert_eq!(size_in_url("data:image/png,xx"), None);
        assert_eq!(size_in_url("data:image/gif;base64,R0lGODlhQAHwAA=="), Some((320, 240)));
    }
}

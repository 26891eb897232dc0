//! What the scripts read as MessagePack or as packed numbers: written here, so that they need not put it together.

use super::super::MOST;
use super::names::Place;

/// MessagePack.
#[derive(Default)]
pub(super) struct Pack(Vec<u8>);

impl Pack {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn array(&mut self, length: usize) -> &mut Self {
        match length {
            0..16 => self.0.push(0x90 | length as u8),
            _ => self.head(0xdd, &len(length)),
        }
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// As a text, which to a script is any bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        match bytes.len() {
            length @ 0..32 => self.0.push(0xa0 | length as u8),
            length @ 32..256 => self.head(0xd9, &[length as u8]),
            length => self.head(0xdb, &len(length)),
        }
        self.0.extend_from_slice(bytes);
        self
    }

    /// As a text, something that is MessagePack itself.
    pub(super) fn nested(&mut self, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.head(0xdb, &[0; 4]);
        let begin = self.0.len();
        write(self);
        let length = len(self.0.len() - begin);
        self.0[begin - 4..begin].copy_from_slice(&length);
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        match number {
            0..128 => self.0.push(number as u8),
            128..0x1_0000 => self.head(0xcd, &(number as u16).to_be_bytes()),
            0x1_0000..0x1_0000_0000 => self.head(0xce, &(number as u32).to_be_bytes()),
            _ => self.head(0xcf, &number.to_be_bytes()),
        }
        self
    }

    /// What was written before.
    pub(super) fn already(&mut self, pack: &Self) -> &mut Self {
        self.0.extend_from_slice(&pack.0);
        self
    }

    /// An account as it stands in a record, with so much taken of it and booked when it is lost.
    pub(super) fn account(&mut self, place: &Place<'_>, take: u64, if_lost: u64) -> &mut Self {
        let (step, at) = place.slice.unwrap_or((0, place.start));
        self.array(if step == 0 { 6 } else { 7 }).text(place.name).number(at);
        self.number(take.min(MOST)).number(if_lost.min(MOST)).number(place.ttl_ms).number(step);
        if step == 0 { self } else { self.number(place.start) }
    }

    fn head(&mut self, kind: u8, rest: &[u8]) {
        self.0.push(kind);
        self.0.extend_from_slice(rest);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn len(length: usize) -> [u8; 4] {
    // A length beyond that has no form here; the script then finds it to be no MessagePack.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// Whole numbers as Lua has them: exact up to 2^53.
pub(super) struct Numbers(Vec<u8>);

impl Numbers {
    pub(super) fn with_capacity(numbers: usize) -> Self {
        Self(Vec::with_capacity(8 * numbers))
    }

    pub(super) fn push(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&(number as f64).to_le_bytes());
        self
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what a script has packed.
    pub(super) fn read(bytes: &[u8]) -> impl Iterator<Item = u64> {
        let number = |eight: &[u8]| eight.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        bytes.chunks_exact(8).map(move |eight| f64::from_bits(number(eight)) as u64)
    }
}

/// Reads what [`Pack`] wrote, or a script.
pub(super) struct Unpack<'a>(pub(super) &'a [u8]);

impl<'a> Unpack<'a> {
    pub(super) fn array(&mut self) -> Option<usize> {
        match self.byte()? {
            small @ 0x90..0xa0 => Some(usize::from(small & 0xf)),
            0xdc => self.whole(2).map(|length| length as usize),
            0xdd => self.whole(4).map(|length| length as usize),
            _ => None,
        }
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            small @ 0xa0..0xc0 => u64::from(small & 0x1f),
            0xd9 => self.whole(1)?,
            0xda => self.whole(2)?,
            0xdb => self.whole(4)?,
            _ => return None,
        };
        self.take(usize::try_from(length).ok()?)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A text, or nothing where the number 0 is.
    pub(super) fn text_or_zero(&mut self) -> Option<Option<&'a str>> {
        if self.0.first() == Some(&0) { self.byte().map(|_| None) } else { self.text().map(Some) }
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        match self.byte()? {
            small @ 0..0x80 => Some(u64::from(small)),
            0xcc => self.whole(1),
            0xcd => self.whole(2),
            0xce => self.whole(4),
            0xcf => self.whole(8),
            _ => None,
        }
    }

    fn whole(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_messagepack() {
        let bytes = |write: fn(&mut Pack)| {
            let mut pack = Pack::default();
            write(&mut pack);
            pack.0
        };
        let all = |pack: &mut Pack| _ = pack.array(3).text("ab").number(7).text("");
        assert_eq!(bytes(all), b"\x93\xa2ab\x07\xa0");
        assert_eq!(bytes(|pack| _ = pack.number(128)), b"\xcd\0\x80");
        assert_eq!(bytes(|pack| _ = pack.number(0x1_0000)), b"\xce\0\x01\0\0");
        assert_eq!(bytes(|pack| _ = pack.number(MOST)), b"\xcf\0\x1f\xff\xff\xff\xff\xff\xff");
        assert_eq!(bytes(|pack| _ = pack.text(&"x".repeat(32)))[..3], *b"\xd9\x20x");
        assert_eq!(bytes(|pack| _ = pack.text(&"x".repeat(256)))[..6], *b"\xdb\0\0\x01\0x");
        assert_eq!(bytes(|pack| _ = pack.array(16)), b"\xdd\0\0\0\x10");
        assert_eq!(bytes(|pack| _ = pack.nested(|pack| _ = pack.number(7))), b"\xdb\0\0\0\x01\x07");
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else_is() {
        for number in [0, 127, 128, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
            let mut pack = Pack::default();
            pack.number(number);
            assert_eq!(Unpack(pack.as_bytes()).number(), Some(number));
        }
        for length in [0, 15, 16, 31, 32, 255, 256, 70_000] {
            let (mut pack, text) = (Pack::default(), "x".repeat(length));
            pack.array(length).text(&text);
            let mut read = Unpack(pack.as_bytes());
            assert_eq!((read.array(), read.text(), read.0), (Some(length), Some(&*text), &[][..]));
            let cut = &pack.as_bytes()[..pack.as_bytes().len() - 1];
            let mut read = Unpack(cut);
            assert!(read.array().is_none() || read.text().is_none());
        }
        assert_eq!(Unpack(b"no row").array(), None);
        let mut numbers = Numbers::with_capacity(2);
        numbers.push(MOST).push(7);
        assert_eq!(Numbers::read(numbers.as_bytes()).collect::<Vec<_>>(), [MOST, 7]);
    }
}

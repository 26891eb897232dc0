//! What the scripts read as MessagePack: written here, so that they need not put it together.

use super::super::{Charge, MOST};
use super::names::Place;

#[derive(Default)]
pub(super) struct Pack(Vec<u8>);

impl Pack {
    /// With so much in it before.
    pub(super) fn after(text: String) -> Self {
        Self(text.into_bytes())
    }

    pub(super) fn array(&mut self, length: usize) -> &mut Self {
        match length {
            0..16 => self.0.push(0x90 | length as u8),
            _ => self.head(0xdd, &len(length)),
        }
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        match text.len() {
            length @ 0..32 => self.0.push(0xa0 | length as u8),
            length @ 32..256 => self.head(0xd9, &[length as u8]),
            length => self.head(0xdb, &len(length)),
        }
        self.0.extend_from_slice(text.as_bytes());
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

    /// A number, or an empty text.
    pub(super) fn optional(&mut self, number: Option<u64>) -> &mut Self {
        match number {
            Some(number) => self.number(number),
            None => self.text(""),
        }
    }

    /// An account as it stands in a record, with so much taken of it and booked when it is lost.
    pub(super) fn account(&mut self, charge: &Charge, place: &Place, take: u64, if_lost: u64) -> &mut Self {
        self.array(7).text(&place.key).optional(place.slice);
        self.number(take.min(MOST)).number(if_lost.min(MOST)).number(place.ttl_ms);
        self.text(charge.account.as_str()).number(charge.window.slice_ms.unwrap_or(0))
    }

    fn head(&mut self, kind: u8, rest: &[u8]) {
        self.0.push(kind);
        self.0.extend_from_slice(rest);
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

fn len(length: usize) -> [u8; 4] {
    // A length beyond that has no form here; the script then finds it to be no MessagePack.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_messagepack() {
        let bytes = |write: fn(&mut Pack)| {
            let mut pack = Pack::default();
            write(&mut pack);
            pack.bytes()
        };
        let all = |pack: &mut Pack| _ = pack.array(3).text("ab").number(7).optional(None);
        assert_eq!(bytes(all), b"\x93\xa2ab\x07\xa0");
        assert_eq!(bytes(|pack| _ = pack.number(128)), b"\xcd\0\x80");
        assert_eq!(bytes(|pack| _ = pack.number(0x1_0000)), b"\xce\0\x01\0\0");
        assert_eq!(bytes(|pack| _ = pack.number(MOST)), b"\xcf\0\x1f\xff\xff\xff\xff\xff\xff");
        assert_eq!(bytes(|pack| _ = pack.text(&"x".repeat(32)))[..3], *b"\xd9\x20x");
        assert_eq!(bytes(|pack| _ = pack.text(&"x".repeat(256)))[..6], *b"\xdb\0\0\x01\0x");
        assert_eq!(bytes(|pack| _ = pack.array(16)), b"\xdd\0\0\0\x10");
    }
}

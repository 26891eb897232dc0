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
        self.0.push(0xdd);
        self.0.extend_from_slice(&len(length));
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.0.push(0xdb);
        self.0.extend_from_slice(&len(text.len()));
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.0.push(0xcf);
        self.0.extend_from_slice(&number.to_be_bytes());
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
        let mut pack = Pack::default();
        pack.array(3).text("ab").number(258).optional(None);
        assert_eq!(pack.bytes(), b"\xdd\0\0\0\x03\xdb\0\0\0\x02ab\xcf\0\0\0\0\0\0\x01\x02\xdb\0\0\0\0");
    }
}

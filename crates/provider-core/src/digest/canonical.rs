//! Canonical JSON: one text for all texts that mean the same.

use std::fmt;
use std::io::Write as _;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Prints canonical JSON.
#[derive(Debug, Default)]
pub(super) struct Canonical {
    pub(super) out: Vec<u8>,
    /// The members of the objects that are being printed, innermost last.
    members: Vec<Member>,
    spare: Vec<u8>,
}

/// Where a member stands in the text: `"name":value,`.
#[derive(Debug, Clone, Copy)]
struct Member {
    start: usize,
    name_end: usize,
    end: usize,
}

impl Canonical {
    /// Ready for another use; how much memory it holds.
    pub(super) fn clear(&mut self) -> usize {
        self.out.clear();
        self.members.clear();
        self.out.capacity() + self.spare.capacity()
    }

    fn write(&mut self, number: fmt::Arguments<'_>) {
        // Writing to a vector does not fail.
        let _written = self.out.write_fmt(number);
    }

    fn text(&mut self, text: &str) {
        self.out.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(at) = special(rest) {
            let (before, after) = rest.split_at(at);
            self.out.extend_from_slice(before);
            match after[0] {
                byte @ (b'"' | b'\\') => self.out.extend_from_slice(&[b'\\', byte]),
                byte => self.write(format_args!("\\u{byte:04x}")),
            }
            rest = &after[1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    // Within the range that is checked before, the cast keeps the value.
    #[allow(clippy::cast_possible_truncation)]
    fn float(&mut self, number: f64) {
        const EXACT: f64 = 18_446_744_073_709_551_616.0; // 2^64
        if number.fract() == 0.0 && number.abs() < EXACT {
            self.write(format_args!("{}", number as i128));
        } else {
            self.write(format_args!("{number:?}"));
        }
    }

    /// Closes a list or an object: the last comma gives way.
    fn close(&mut self, bracket: u8) {
        match self.out.last_mut() {
            Some(last) if *last == b',' => *last = bracket,
            _ => self.out.push(bracket),
        }
    }
}

/// The first byte that JSON writes in another way. Sixteen at a time, which the compiler makes one step of.
fn special(text: &[u8]) -> Option<usize> {
    let is_special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    let mut at = 0;
    for block in text.chunks_exact(16) {
        if block.iter().fold(false, |found, byte| found | is_special(*byte)) {
            break;
        }
        at += 16;
    }
    text[at..].iter().position(|byte| is_special(*byte)).map(|found| at + found)
}

/// What a value said when it could not be printed; nobody reads it.
#[derive(Debug)]
pub(super) struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value cannot be printed as JSON")
    }
}

impl std::error::Error for Unprintable {}

impl serde::ser::Error for Unprintable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

pub(super) type Printed = Result<(), Unprintable>;

macro_rules! integers {
    ($($method:ident: $type:ty,)*) => { $(
        fn $method(self, number: $type) -> Printed {
            self.write(format_args!("{number}"));
            Ok(())
        }
    )* };
}

impl<'a> Serializer for &'a mut Canonical {
    type Ok = ();
    type Error = Unprintable;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = Object<'a>;
    type SerializeStruct = Object<'a>;
    type SerializeStructVariant = Object<'a>;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
    }

    fn serialize_bool(self, value: bool) -> Printed {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_f32(self, number: f32) -> Printed {
        self.float(number.into());
        Ok(())
    }

    fn serialize_f64(self, number: f64) -> Printed {
        self.float(number);
        Ok(())
    }

    fn serialize_char(self, letter: char) -> Printed {
        self.text(letter.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Printed {
        self.text(text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Printed {
        self.collect_seq(bytes)
    }

    fn serialize_none(self) -> Printed {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Printed {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Printed {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Printed {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Printed {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Printed {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Printed {
        let mut object = self.serialize_map(Some(1))?;
        object.serialize_entry(variant, value)?;
        SerializeMap::end(object)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>, Unprintable> {
        self.out.push(b'[');
        Ok(List { printer: self, close: "]" })
    }

    fn serialize_tuple(self, length: usize) -> Result<List<'a>, Unprintable> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<List<'a>, Unprintable> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'a>, Unprintable> {
        self.out.push(b'{');
        self.text(variant);
        self.out.extend_from_slice(b":[");
        Ok(List { printer: self, close: "]}" })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object<'a>, Unprintable> {
        self.out.push(b'{');
        let first = self.members.len();
        Ok(Object { printer: self, first, sorted: true, close: "}" })
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Object<'a>, Unprintable> {
        self.serialize_map(Some(length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Object<'a>, Unprintable> {
        self.out.push(b'{');
        self.text(variant);
        self.out.push(b':');
        let object = self.serialize_map(Some(length))?;
        Ok(Object { close: "}}", ..object })
    }
}

/// A list that is being printed.
pub(super) struct List<'a> {
    printer: &'a mut Canonical,
    close: &'static str,
}

impl List<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Printed {
        value.serialize(&mut *self.printer)?;
        self.printer.out.push(b',');
        Ok(())
    }

    fn finish(self) -> Printed {
        let (first, rest) = self.close.as_bytes().split_at(1);
        self.printer.close(first[0]);
        self.printer.out.extend_from_slice(rest);
        Ok(())
    }
}

/// An object that is being printed.
pub(super) struct Object<'a> {
    printer: &'a mut Canonical,
    /// Where its members begin.
    first: usize,
    sorted: bool,
    close: &'static str,
}

impl Object<'_> {
    fn name<T: Serialize + ?Sized>(&mut self, name: &T) -> Printed {
        let out = &mut *self.printer;
        let start = out.out.len();
        name.serialize(&mut *out)?;
        // A name that is a number is written as a text.
        if out.out.get(start) != Some(&b'"') {
            out.out.insert(start, b'"');
            out.out.push(b'"');
        }
        let name_end = out.out.len();
        if let Some(last) = out.members[self.first..].last() {
            self.sorted &= out.out[last.start..last.name_end] < out.out[start..name_end];
        }
        out.out.push(b':');
        out.members.push(Member { start, name_end, end: start });
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Printed {
        let out = &mut *self.printer;
        value.serialize(&mut *out)?;
        out.out.push(b',');
        let end = out.out.len();
        let member = out.members[self.first..].last_mut().ok_or(Unprintable)?;
        member.end = end;
        Ok(())
    }

    fn finish(self) -> Printed {
        let Canonical { out, members, spare } = &mut *self.printer;
        let members_of_this = &mut members[self.first..];
        if !self.sorted
            && let Some(Member { start, .. }) = members_of_this.first().copied()
        {
            let text = &out[..];
            members_of_this
                .sort_by(|one, other| text[one.start..one.name_end].cmp(&text[other.start..other.name_end]));
            spare.clear();
            members_of_this
                .iter()
                .for_each(|member| spare.extend_from_slice(&text[member.start..member.end]));
            out.truncate(start);
            out.extend_from_slice(spare);
        }
        members.truncate(self.first);
        let (first, rest) = self.close.as_bytes().split_at(1);
        self.printer.close(first[0]);
        self.printer.out.extend_from_slice(rest);
        Ok(())
    }
}

impl SerializeSeq for List<'_> {
    type Ok = ();
    type Error = Unprintable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Printed {
        self.element(value)
    }

    fn end(self) -> Printed {
        self.finish()
    }
}

impl SerializeTuple for List<'_> {
    type Ok = ();
    type Error = Unprintable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Printed {
        self.element(value)
    }

    fn end(self) -> Printed {
        self.finish()
    }
}

impl SerializeTupleStruct for List<'_> {
    type Ok = ();
    type Error = Unprintable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Printed {
        self.element(value)
    }

    fn end(self) -> Printed {
        self.finish()
    }
}

impl SerializeTupleVariant for List<'_> {
    type Ok = ();
    type Error = Unprintable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Printed {
        self.element(value)
    }

    fn end(self) -> Printed {
        self.finish()
    }
}

impl SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Unprintable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Printed {
        self.name(name)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Printed {
        self.value(value)
    }

    fn end(self) -> Printed {
        self.finish()
    }
}

impl SerializeStruct for Object<'_> {
    type Ok = ();
    type Error = Unprintable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Printed {
        self.name(name)?;
        self.value(value)
    }

    fn end(self) -> Printed {
        self.finish()
    }
}

impl SerializeStructVariant for Object<'_> {
    type Ok = ();
    type Error = Unprintable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Printed {
        self.name(name)?;
        self.value(value)
    }

    fn end(self) -> Printed {
        self.finish()
    }
}

#[cfg(test)]
mod tests;

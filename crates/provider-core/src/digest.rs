//! The name of a thing that is too long to compare: 256 bits of it.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use sha2::{Digest as _, Sha256};

/// 256 bits that stand for what was written into a [`DigestWriter`]. Shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// A digest from its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// SHA-256 of these bytes, and of nothing else.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// The bits of a digest are as good as random: eight bytes of them do for a hash table, whose own hasher has a secret.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (place, byte) in text.chunks_exact_mut(2).zip(self.0) {
            place[0] = DIGITS[usize::from(byte >> 4)];
            place[1] = DIGITS[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Makes a [`Digest`] of named fields: SHA-256 over each field's name, kind, length and content.
///
/// Two digests are the same only if the same fields were written in the same order with the same content: what is absent
/// differs from what is empty, and no content runs over into the next field.
///
/// ```
/// use mainstay_provider_core::DigestWriter;
///
/// let digest = |user: Option<&str>| {
///     let mut writer = DigestWriter::new("example");
///     writer.text("model", "m");
///     match user {
///         Some(user) => writer.text("user", user),
///         None => writer.absent("user"),
///     };
///     writer.finish()
/// };
/// assert_eq!(digest(Some("ann")), digest(Some("ann")));
/// assert_ne!(digest(Some("")), digest(None));
/// ```
#[derive(Debug)]
pub struct DigestWriter {
    /// Takes what does not fit into `text` any more.
    hash: Option<Sha256>,
    text: Canonical,
}

impl DigestWriter {
    /// A writer for things of this kind, which never have the digest of a thing of another kind.
    pub fn new(kind: &str) -> Self {
        let text = SPARE.with(Cell::take).unwrap_or_default();
        let mut writer = Self { hash: None, text };
        writer.text("kind", kind);
        writer
    }

    /// A text.
    pub fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.field(name, Kind::Text, |out| out.out.extend_from_slice(text.as_bytes()))
    }

    /// Bytes.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.field(name, Kind::Bytes, |out| out.out.extend_from_slice(bytes))
    }

    /// A number.
    pub fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.field(name, Kind::Number, |out| out.out.extend_from_slice(&number.to_le_bytes()))
    }

    /// Another digest.
    pub fn digest(&mut self, name: &str, digest: &Digest) -> &mut Self {
        self.bytes(name, digest.as_bytes())
    }

    /// A field that is not there.
    pub fn absent(&mut self, name: &str) -> &mut Self {
        self.field(name, Kind::Absent, |_| {})
    }

    /// Anything that can be printed as JSON, in canonical form: members in the order of their names, no white space, numbers
    /// by their meaning (`1` and `1.0` are the same). What cannot be printed has a digest that nothing else has.
    pub fn json<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> &mut Self {
        self.field(name, Kind::Json, |out| {
            if value.serialize(&mut *out).is_err() {
                out.out.extend_from_slice(b"\0unprintable");
                out.out.extend_from_slice(&never_again());
            }
        })
    }

    /// The digest of all fields.
    pub fn finish(self) -> Digest {
        let Self { hash, mut text } = self;
        let digest = match hash {
            None => Digest::sha256(&text.out),
            Some(hash) => Digest(hash.chain_update(&text.out).finalize().into()),
        };
        if text.out.capacity() <= 2 * MOST_AT_ONCE && text.spare.capacity() <= 2 * MOST_AT_ONCE {
            text.out.clear();
            text.members.clear();
            SPARE.set(Some(text));
        }
        digest
    }

    fn field(&mut self, name: &str, kind: Kind, write: impl FnOnce(&mut Canonical)) -> &mut Self {
        let out = &mut self.text.out;
        out.extend_from_slice(&(name.len() as u64).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.push(kind as u8);
        let length = out.len();
        out.extend_from_slice(&[0; 8]);
        write(&mut self.text);
        let out = &mut self.text.out;
        let written = (out.len() - length - 8) as u64;
        out[length..length + 8].copy_from_slice(&written.to_le_bytes());
        if out.len() > MOST_AT_ONCE {
            self.hash.get_or_insert_default().update(&out);
            out.clear();
        }
        self
    }
}

/// Sixteen bytes that no other call gives, in this process or in another.
fn never_again() -> [u8; 16] {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let chance = RandomState::new().hash_one(number);
    (u128::from(number) << 64 | u128::from(chance)).to_le_bytes()
}

thread_local! {
    /// The memory of the last writer of this thread, for the next.
    static SPARE: Cell<Option<Canonical>> = const { Cell::new(None) };
}

/// Up to this many bytes are hashed in one piece, which is quicker than field by field.
const MOST_AT_ONCE: usize = 64 * 1024;

#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Absent,
    Text,
    Bytes,
    Number,
    Json,
}

/// Prints canonical JSON.
#[derive(Debug, Default)]
struct Canonical {
    out: Vec<u8>,
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
struct Unprintable;

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

type Printed = Result<(), Unprintable>;

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
struct List<'a> {
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
struct Object<'a> {
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
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn canonical<T: Serialize>(value: &T) -> String {
        let mut printer = Canonical::default();
        value.serialize(&mut printer).unwrap();
        assert!(printer.members.is_empty());
        String::from_utf8(printer.out).unwrap()
    }

    #[test]
    fn members_stand_in_the_order_of_their_names() {
        #[derive(serde::Serialize)]
        struct Unsorted {
            z: u8,
            a: [&'static str; 2],
            m: Inner,
        }
        #[derive(serde::Serialize)]
        struct Inner {
            y: Option<bool>,
            b: (),
        }
        let value = Unsorted { z: 1, a: ["x", ""], m: Inner { y: Some(true), b: () } };
        assert_eq!(canonical(&value), r#"{"a":["x",""],"m":{"b":null,"y":true},"z":1}"#);
        assert_eq!(canonical(&json!({})), "{}");
        assert_eq!(canonical(&json!([[], {}, [1]])), "[[],{},[1]]");
    }

    #[test]
    fn numbers_are_written_by_their_meaning() {
        let number = |text: &str| canonical(&serde_json::from_str::<Value>(text).unwrap());
        for (one, other) in
            [("1", "1.0"), ("0", "-0.0"), ("1e2", "100"), ("1.50", "1.5"), ("1e18", "1000000000000000000")]
        {
            assert_eq!(number(one), number(other), "{one} {other}");
        }
        for (one, other) in [
            ("1", "1.1"),
            ("9007199254740993", "9007199254740992.0"),
            ("1", "-1"),
            ("0.1", "0.10000000000000002"),
        ] {
            assert_ne!(number(one), number(other), "{one} {other}");
        }
        assert_eq!(
            [f64::NAN, f64::INFINITY, 1e300].map(|number| canonical(&number)),
            ["NaN", "inf", "1e300"]
        );
    }

    #[test]
    fn a_text_is_read_back_as_it_was() {
        for text in [
            "",
            "plain",
            "a \"quoted\" \\ one",
            "\u{0}\n\u{1f}",
            "帆 é ⛵ and more than sixteen bytes of it \"",
            "exactly sixteen!",
        ] {
            assert_eq!(serde_json::from_str::<String>(&canonical(&text)).unwrap(), text);
        }
    }

    #[test]
    fn names_that_are_numbers_and_variants_are_printed() {
        #[derive(serde::Serialize)]
        enum Variant {
            Unit,
            One(u8),
            Two(u8, u8),
            Named { b: u8, a: u8 },
        }
        let by_number = std::collections::BTreeMap::from([(2, 'b'), (10, 'a')]);
        assert_eq!(canonical(&by_number), r#"{"10":"a","2":"b"}"#);
        let all = (Variant::Unit, Variant::One(1), Variant::Two(1, 2), Variant::Named { b: 1, a: 2 });
        assert_eq!(canonical(&all), r#"["Unit",{"One":1},{"Two":[1,2]},{"Named":{"a":2,"b":1}}]"#);
    }
}

//! The name of a thing that is too long to compare: 256 bits of it.

mod canonical;

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use self::canonical::Canonical;

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
        if text.clear() <= 4 * MOST_AT_ONCE {
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

//! A value and the text that it came as.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chat::{ChatChunk, ChatResponse, FinishReason, PlainAnswer, PlainSeries, PlainText};
use crate::plain_text;
use crate::usage::Usage;

/// A value together with the bytes it was read from, for as long as nobody changes it.
///
/// Reading goes through `Deref`. The first change (`DerefMut`) forgets the bytes, so [`Wire::to_json`] is either
/// the provider's own text, untouched, or the changed value printed anew.
///
/// A chunk or an answer of plain text ([`Wire::plain`]) is taken apart only when somebody looks into it: a gateway that
/// passes it on never does.
#[derive(Clone)]
pub struct Wire<T: OnWire> {
    value: OnceLock<Box<T>>,
    raw: Option<Bytes>,
    plain: Option<T::Plain>,
}

/// What a [`Wire`] can hold.
pub trait OnWire: DeserializeOwned + Serialize + sealed::Sealed {
    /// What is known of a plain one that is not taken apart.
    #[doc(hidden)]
    type Plain: Copy + Send + Sync;

    #[doc(hidden)]
    fn empty() -> Self;
}

impl OnWire for ChatChunk {
    type Plain = PlainText;

    fn empty() -> Self {
        ChatChunk::empty("", "")
    }
}

impl OnWire for ChatResponse {
    type Plain = PlainAnswer;

    fn empty() -> Self {
        ChatResponse::empty("")
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ChatChunk {}
    impl Sealed for super::ChatResponse {}
}

impl<T: OnWire> Wire<T> {
    /// A value that was read from `raw`, which must be its JSON form.
    pub fn with_raw(value: T, raw: Bytes) -> Self {
        Self { value: OnceLock::from(Box::new(value)), raw: Some(raw), plain: None }
    }

    /// A value that waits to be read from `raw`, which is known to be its JSON form; and what is known of it, if it is
    /// plain.
    pub(crate) fn unread(raw: Bytes, plain: Option<T::Plain>) -> Self {
        Self { value: OnceLock::new(), raw: Some(raw), plain }
    }

    /// The bytes the value was read from, if it was not changed since.
    pub fn raw(&self) -> Option<&Bytes> {
        self.raw.as_ref()
    }

    /// The value without its bytes.
    pub fn into_inner(mut self) -> T {
        self.read();
        self.value.take().map_or_else(T::empty, |value| *value)
    }

    /// The JSON form: the bytes it was read from, or the value printed.
    pub fn to_json(&self) -> Bytes {
        match &self.raw {
            Some(raw) => raw.clone(),
            // Printing can only fail on a map whose keys are not text, which the contract's types do not have.
            None => serde_json::to_vec(self.read()).map(Bytes::from).unwrap_or_default(),
        }
    }

    fn read(&self) -> &T {
        self.value.get_or_init(|| {
            // Only bytes that are known to be such a value wait to be read.
            let read = self.raw.as_ref().and_then(|raw| serde_json::from_slice(raw).ok());
            Box::new(read.unwrap_or_else(T::empty))
        })
    }
}

impl Wire<ChatChunk> {
    /// A chunk of plain text from its bytes; `None` when they are anything else, or not sound.
    pub fn plain(raw: Bytes) -> Option<Self> {
        let plain = PlainText::read(&raw)?;
        Some(Self { value: OnceLock::new(), raw: Some(raw), plain: Some(plain) })
    }

    /// The same for the next chunk of a stream.
    pub fn plain_in(series: &mut PlainSeries, raw: Bytes) -> Option<Self> {
        let plain = series.read(&raw)?;
        Some(Self { value: OnceLock::new(), raw: Some(raw), plain: Some(plain) })
    }

    /// What a chunk of plain text holds, if it is known to be one.
    pub fn as_plain(&self) -> Option<PlainText> {
        self.plain
    }

    /// Appends the new text of answer 0. A chunk of plain text is not taken apart for it.
    pub fn push_text(&self, text: &mut String) {
        self.push_text_near(&mut 0, text);
    }

    /// The same for a chunk of a stream, quicker: `near` is where the text of the chunk before stood, 0 for the first.
    pub fn push_text_near(&self, near: &mut usize, text: &mut String) {
        match (self.plain, &self.raw) {
            (Some(plain), _) if !plain.has_text || plain.index != 0 => {}
            (Some(_), Some(raw)) if plain_text::push(raw, near, text) => {}
            _ => text.push_str(self.read().text()),
        }
    }

    /// Whether the caller gets something of the answer with it: text, reasoning, a refusal, a tool call, or the end.
    pub fn has_content(&self) -> bool {
        self.plain.map_or_else(|| self.read().has_content(), |plain| plain.has_text)
    }
}

impl Wire<ChatResponse> {
    /// A plain answer from its bytes; `None` when they are anything else, or not sound.
    pub fn plain(raw: Bytes) -> Option<Self> {
        let plain = PlainAnswer::read(&raw)?;
        Some(Self { value: OnceLock::new(), raw: Some(raw), plain: Some(plain) })
    }

    /// What a plain answer holds, if it is known to be one.
    pub fn as_plain(&self) -> Option<PlainAnswer> {
        self.plain
    }

    /// Tokens used, in the neutral form.
    pub fn usage(&self) -> Option<Usage> {
        self.plain.map_or_else(|| self.read().usage(), |plain| plain.usage)
    }

    /// Why the first choice stopped.
    pub fn finish_reason(&self) -> Option<&FinishReason> {
        match &self.plain {
            Some(plain) => Some(plain.finish_reason()),
            None => self.read().finish_reason(),
        }
    }
}

impl<T: OnWire> From<T> for Wire<T> {
    fn from(value: T) -> Self {
        Self { value: OnceLock::from(Box::new(value)), raw: None, plain: None }
    }
}

/// Values are compared, not the bytes that they were read from.
impl<T: OnWire + PartialEq> PartialEq for Wire<T> {
    fn eq(&self, other: &Self) -> bool {
        self.read() == other.read()
    }
}

impl<T: OnWire> Deref for Wire<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.read()
    }
}

impl<T: OnWire> DerefMut for Wire<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.read();
        self.raw = None;
        self.plain = None;
        self.value.get_mut().expect("it was just read")
    }
}

impl<T: OnWire + fmt::Debug> fmt::Debug for Wire<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

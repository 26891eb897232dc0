//! The commonest events and answers by far: some text, and nothing else.
//!
//! A gateway passes such a thing on as it came. To know that it may, it must know that the thing is sound and what it
//! holds; it need not take it apart. [`PlainText::read`] and [`PlainAnswer::read`] find that out without an allocation;
//! whatever else there is, is for the full reader.

mod answer;
mod event;
mod series;

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub use self::answer::PlainAnswer;
pub use self::event::PlainText;
pub use self::series::PlainSeries;

/// Reads an object whose members are all listed, each once; anything else says that it is not plain.
macro_rules! plain_object {
    ($type:ident, $read:ident, $map:ident, { $($($name:literal)|+ => $member:expr,)* }) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut $map: A) -> Result<$type, A::Error> {
                        const NAMES: &[&str] = &[$($($name),+),*];
                        let mut $read = $type::default();
                        let mut seen = 0_u32;
                        while let Some(name) = $map.next_key::<$crate::lossless::Name<'de>>()? {
                            let at = NAMES.iter().position(|known| *known == name.as_str());
                            let bit = at.map_or(0, |at| 1 << at);
                            if bit == 0 || seen & bit != 0 {
                                return Err(serde::de::Error::custom("not plain"));
                            }
                            seen |= bit;
                            match name.as_str() {
                                $($($name)|+ => $member,)*
                                _ => {}
                            }
                        }
                        Ok($read)
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    };
}

use plain_object;

/// A list of exactly one element.
struct One<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = One<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one element")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<One<T>, A::Error> {
                let first = list.next_element()?.ok_or_else(|| A::Error::custom("not plain"))?;
                match list.next_element::<IgnoredAny>()? {
                    None => Ok(One(first)),
                    Some(_) => Err(A::Error::custom("not plain")),
                }
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// A text or null; whether it has anything in it.
struct Text(bool);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNull;
        impl Visitor<'_> for TextOrNull {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or null")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(!text.is_empty()))
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(false))
            }
        }
        deserializer.deserialize_any(TextOrNull)
    }
}

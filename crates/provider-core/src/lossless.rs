//! Structs that keep what they do not know.
//!
//! [`lossless!`] makes a struct whose JSON form is an object: known members become typed fields, all others go to
//! `extra` and come out again unchanged. serde's `flatten` does the same through a buffer that costs about 70 %
//! more time, and it cannot be combined with a quick path for the common case of no unknown members.

use std::fmt;

use serde_json::map::Entry;
use serde_json::{Map, Value};

/// The members of a JSON object that the contract has no field for. Empty costs one word and no allocation.
#[derive(Clone, Default, PartialEq)]
pub struct Extra(Option<Box<Map<String, Value>>>);

impl Extra {
    /// The value of an unknown member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_deref()?.get(name)
    }

    /// The value of an unknown member, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.as_deref_mut()?.get_mut(name)
    }

    /// Sets an unknown member and returns what stood there.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        self.0.get_or_insert_default().insert(name.into(), value.into())
    }

    /// Reads the value of an unknown member.
    pub(crate) fn read<'de, A: serde::de::MapAccess<'de>>(
        &mut self,
        name: Name<'de>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let value = map.next_value::<Value>()?;
        match self.0.get_or_insert_default().entry(name.into_string()) {
            Entry::Vacant(place) => {
                place.insert(value);
                Ok(())
            }
            Entry::Occupied(place) => {
                Err(serde::de::Error::custom(format_args!("duplicate field `{}`", place.key())))
            }
        }
    }

    /// Removes an unknown member.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let members = self.0.as_deref_mut()?;
        let removed = members.remove(name);
        // No members are the same as none ever: in comparisons, and in memory.
        if members.is_empty() {
            self.0 = None;
        }
        removed
    }

    /// The members in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().flat_map(|members| members.iter())
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.as_deref().map_or(0, Map::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl From<Map<String, Value>> for Extra {
    fn from(members: Map<String, Value>) -> Self {
        Self((!members.is_empty()).then(|| Box::new(members)))
    }
}

impl From<Extra> for Map<String, Value> {
    fn from(extra: Extra) -> Self {
        extra.0.map(|members| *members).unwrap_or_default()
    }
}

/// How a field stands in JSON. `need` must be there; `may` is absent when `None` (a JSON null reads as `None`);
/// `null` is printed as null when `None`; `list` is absent when empty; `zero` reads as its default when absent or null and
/// is always printed; `count` is a `zero` number that some servers write with a fraction.
///
/// A member that stands there twice is an error: keeping either one would lose the other.
macro_rules! lossless {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$field_meta:meta])* $how:ident $field:ident $(as $wire:literal)? : $type:ty, )*
        }
    )*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: lossless!(@type $how $type), )*
            /// Members that the contract has no field for; they pass through unchanged.
            pub extra: $crate::lossless::Extra,
        }

        impl $name {
            /// Prints the members into an object that is already begun.
            pub(crate) fn print_members<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $( lossless!(@print $how map, lossless!(@name $field $($wire)?), self.$field); )*
                for (name, value) in self.extra.iter() {
                    map.serialize_entry(name, value)?;
                }
                Ok(())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                self.print_members(&mut map)?;
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        $( let mut $field: Option<$type> = None; )*
                        let mut extra = $crate::lossless::Extra::default();
                        while let Some(name) = map.next_key::<$crate::lossless::Name<'de>>()? {
                            match name.as_str() {
                                $( lossless!(@name $field $($wire)?) => {
                                    if $field.is_some() {
                                        let name = lossless!(@name $field $($wire)?);
                                        return Err(serde::de::Error::duplicate_field(name));
                                    }
                                    $field = lossless!(@read $how map, $type);
                                } )*
                                _ => extra.read(name, &mut map)?,
                            }
                        }
                        Ok($name {
                            $( $field: lossless!(@take $how $field, lossless!(@name $field $($wire)?)), )*
                            extra,
                        })
                    }
                }
                deserializer.deserialize_map(Fields)
            }
        }
    )* };

    (@type need $type:ty) => { $type };
    (@type may $type:ty) => { Option<$type> };
    (@type null $type:ty) => { Option<$type> };
    (@type list $type:ty) => { $type };
    (@type zero $type:ty) => { $type };
    (@type count $type:ty) => { $type };

    (@name $field:ident $wire:literal) => { $wire };
    (@name $field:ident) => { stringify!($field) };

    (@read need $map:ident, $type:ty) => { Some($map.next_value::<$type>()?) };
    (@read may $map:ident, $type:ty) => { $map.next_value::<Option<$type>>()? };
    (@read null $map:ident, $type:ty) => { $map.next_value::<Option<$type>>()? };
    (@read list $map:ident, $type:ty) => { $map.next_value::<Option<$type>>()? };
    (@read zero $map:ident, $type:ty) => { $map.next_value::<Option<$type>>()? };

    (@read count $map:ident, $type:ty) => { $map.next_value::<Option<$crate::lossless::Count>>()?.map(|count| count.0) };

    (@take need $field:ident, $wire:expr) => {
        $field.ok_or_else(|| serde::de::Error::missing_field($wire))?
    };
    (@take may $field:ident, $wire:expr) => { $field };
    (@take null $field:ident, $wire:expr) => { $field };
    (@take list $field:ident, $wire:expr) => { $field.unwrap_or_default() };
    (@take zero $field:ident, $wire:expr) => { $field.unwrap_or_default() };
    (@take count $field:ident, $wire:expr) => { $field.unwrap_or_default() };

    (@print need $map:ident, $wire:expr, $value:expr) => { $map.serialize_entry($wire, &$value)?; };
    (@print may $map:ident, $wire:expr, $value:expr) => {
        if let Some(value) = &$value { $map.serialize_entry($wire, value)?; }
    };
    (@print zero $map:ident, $wire:expr, $value:expr) => { $map.serialize_entry($wire, &$value)?; };
    (@print count $map:ident, $wire:expr, $value:expr) => { $map.serialize_entry($wire, &$value)?; };
    (@print null $map:ident, $wire:expr, $value:expr) => { $map.serialize_entry($wire, &$value)?; };
    (@print list $map:ident, $wire:expr, $value:expr) => {
        if !$value.is_empty() { $map.serialize_entry($wire, &$value)?; }
    };
}
pub(crate) use lossless;

/// An object's member name, borrowed from the input where it has no escapes.
pub(crate) enum Name<'a> {
    Borrowed(&'a str),
    Owned(String),
}

impl Name<'_> {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Name::Borrowed(name) => name,
            Name::Owned(name) => name,
        }
    }

    pub(crate) fn into_string(self) -> String {
        match self {
            Name::Borrowed(name) => name.to_owned(),
            Name::Owned(name) => name,
        }
    }
}

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> serde::de::Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name::Borrowed(name))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name::Owned(name.to_owned()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A number of things or seconds, which some servers write with a fraction. The fraction is dropped; what is negative
/// reads as 0.
pub(crate) struct Count(pub(crate) u64);

impl<'de> serde::Deserialize<'de> for Count {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl serde::de::Visitor<'_> for Number {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Count, E> {
                Ok(Count(number))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Count, E> {
                Ok(Count(u64::try_from(number).unwrap_or(0)))
            }

            // A cast of a float stays within the range of the integer.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            fn visit_f64<E>(self, number: f64) -> Result<Count, E> {
                Ok(Count(number as u64))
            }
        }
        deserializer.deserialize_u64(Number)
    }
}

/// Reads a word, borrowed or owned, without a copy of it.
pub(crate) struct Word<T>(pub(crate) std::marker::PhantomData<T>);

impl<T: for<'a> From<&'a str>> serde::de::Visitor<'_> for Word<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, word: &str) -> Result<T, E> {
        Ok(T::from(word))
    }
}

//! Small translations that several dialects share.

pub(crate) mod claude;

use mainstay_provider_core::chat::{FunctionCall, ImageUrl};
use mainstay_provider_core::{Error, ErrorKind, Extra};
use serde_json::{Map, Value};

/// An error about a parameter of the caller's request.
pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, message).with_param(param)
}

/// An answer that cannot be read.
pub(crate) fn malformed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::MalformedResponse, message)
}

/// Reads JSON. One check of the whole text is quicker than one for each text in it.
pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(json: &'a [u8]) -> Result<T, serde_json::Error> {
    match std::str::from_utf8(json) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(json), // says where it is wrong
    }
}

/// Reads a JSON answer; what is not JSON, or has another shape, is a malformed response.
pub(crate) fn read_json<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    parse(body).map_err(|error| malformed("the provider's answer has an unexpected shape").with_source(error))
}

/// An image inside a `data:` URL: its media type and its base64 text. `None` for any other URL.
pub(crate) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    Some((media_type.split(';').next().unwrap_or(media_type), data))
}

/// The image of a part: embedded, or at an address.
pub(crate) enum Image<'a> {
    Data { media_type: &'a str, base64: &'a str },
    Url(&'a str),
}

pub(crate) fn image(image: &ImageUrl) -> Image<'_> {
    match data_url(&image.url) {
        Some((media_type, base64)) => Image::Data { media_type, base64 },
        None => Image::Url(&image.url),
    }
}

/// The arguments of a call in the caller's history as an object, as some providers want them.
pub(crate) fn arguments(call: &FunctionCall) -> Result<Value, Error> {
    call.parse_arguments().map_err(|error| {
        let message = format!(
            "messages: the arguments of the call of \"{}\" are not JSON; send the text that the model wrote",
            call.name
        );
        invalid("messages", message).with_source(error)
    })
}

/// Puts the caller's provider-specific parameters into the provider's request (S1.9): objects are merged member by
/// member, everything else is replaced.
pub(crate) fn merge_parameters(body: &mut Map<String, Value>, parameters: &Extra) {
    for (name, value) in parameters.iter() {
        merge_member(body, name, value);
    }
}

fn merge_member(body: &mut Map<String, Value>, name: &str, value: &Value) {
    match (body.get_mut(name), value) {
        (Some(Value::Object(old)), Value::Object(new)) => {
            for (name, value) in new {
                merge_member(old, name, value);
            }
        }
        _ => {
            body.insert(name.to_owned(), value.clone());
        }
    }
}

/// Inserts a member when there is a value for it.
pub(crate) fn put<T: Into<Value>>(body: &mut Map<String, Value>, name: &str, value: Option<T>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

/// Percent-encodes a path segment (a model id with `:` or `/`).
pub(crate) fn path_segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// An id for a tool call that the provider gave none: unique enough within one answer and across a conversation.
pub(crate) fn new_tool_call_id() -> String {
    format!("call_{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..))
}

/// A number that may be written as an integer or a float, never negative.
pub(crate) fn tokens(value: Option<&Value>) -> u64 {
    match value {
        // Figures from outside: anything that is not a sane count reads as 0.
        Some(Value::Number(number)) => number.as_u64().or_else(|| whole(number.as_f64()?)).unwrap_or(0),
        _ => 0,
    }
}

fn whole(number: f64) -> Option<u64> {
    const LARGEST: f64 = 9_007_199_254_740_992.0; // 2^53: beyond it a float is no count
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the range was checked
    (0.0..=LARGEST).contains(&number).then_some(number as u64)
}

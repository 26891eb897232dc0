//! Tools: what is offered, what is chosen, what is called.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::lossless::{Extra, lossless};

lossless! {
    /// A tool that the model may call.
    pub struct Tool {
        /// `function`; other kinds are the provider's own and live in `extra`.
        need kind as "type": String,
        /// The function.
        may function: FunctionDef,
    }

    /// A function that the model may call.
    pub struct FunctionDef {
        /// Its name.
        need name: String,
        /// What it does.
        may description: String,
        /// The JSON schema of its arguments.
        may parameters: Value,
        /// Whether the arguments must follow the schema to the letter.
        may strict: bool,
    }

    /// A call of a tool by the model.
    pub struct ToolCall {
        /// The id that the tool's result refers to.
        need id: String,
        /// `function`.
        need kind as "type": String,
        /// The function and its arguments.
        may function: FunctionCall,
    }

    /// The function that is called.
    pub struct FunctionCall {
        /// Its name.
        need name: String,
        /// Its arguments as JSON text; empty means `{}`.
        need arguments: String,
    }
}

impl Tool {
    /// A function with the JSON schema of its arguments.
    pub fn function(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self {
            kind: "function".into(),
            function: Some(FunctionDef {
                name: name.into(),
                description: Some(description.into()),
                parameters: Some(parameters),
                strict: None,
                extra: Extra::default(),
            }),
            extra: Extra::default(),
        }
    }
}

impl ToolCall {
    /// A call of a function.
    pub fn function(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        let function =
            FunctionCall { name: name.into(), arguments: arguments.into(), extra: Extra::default() };
        Self { id: id.into(), kind: "function".into(), function: Some(function), extra: Extra::default() }
    }
}

impl FunctionCall {
    /// The arguments as JSON. Empty text means no arguments; text that does not parse is an error.
    pub fn parse_arguments(&self) -> Result<Value, serde_json::Error> {
        if self.arguments.trim().is_empty() {
            return Ok(Value::Object(Map::new()));
        }
        serde_json::from_str(&self.arguments)
    }
}

/// Which tools the model may or must call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This function.
    Function(String),
    /// Any other choice, as it came.
    Other(Value),
}

impl ToolChoice {
    fn from_object(members: Map<String, Value>) -> Self {
        let name = match members.get("function") {
            Some(Value::Object(function))
                if members.len() == 2
                    && function.len() == 1
                    && members.get("type").is_some_and(|kind| kind == "function") =>
            {
                function.get("name").and_then(Value::as_str).map(str::to_owned)
            }
            _ => None,
        };
        name.map_or_else(|| Self::Other(Value::Object(members)), Self::Function)
    }
}

impl Serialize for ToolChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ToolChoice::Auto => serializer.serialize_str("auto"),
            ToolChoice::None => serializer.serialize_str("none"),
            ToolChoice::Required => serializer.serialize_str("required"),
            ToolChoice::Function(name) => {
                serde_json::json!({"type": "function", "function": {"name": name}}).serialize(serializer)
            }
            ToolChoice::Other(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrObject;
        impl<'de> Visitor<'de> for WordOrObject {
            type Value = ToolChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\", \"none\", \"required\" or an object that names a function")
            }

            fn visit_str<E>(self, word: &str) -> Result<ToolChoice, E> {
                Ok(match word {
                    "auto" => ToolChoice::Auto,
                    "none" => ToolChoice::None,
                    // Mistral's word for it.
                    "required" | "any" => ToolChoice::Required,
                    other => ToolChoice::Other(other.into()),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ToolChoice, A::Error> {
                Map::deserialize(MapAccessDeserializer::new(map)).map(ToolChoice::from_object)
            }
        }
        deserializer.deserialize_any(WordOrObject)
    }
}

//! The promises of the dialect, on hand-written exchanges of the documented shapes.

mod caching;
mod recorded;
mod request;
mod response;
mod stream;

use mainstay_provider_core::chat::{Assembler, ChatChunk, ChatResponse};
use mainstay_provider_core::{ChatRequest, Error, Wire};
use serde_json::{Value, json};

use super::dialect;
use crate::config::{AdapterConfig, PromptCaching};
use crate::dialect::{Chunks, Dialect, Flow, Outgoing};
use crate::framing::{EventName, Frame};

const MODEL: &str = "us.anthropic.claude-sonnet-4-6";

fn with_caching(caching: PromptCaching) -> Box<dyn Dialect> {
    let mut config = AdapterConfig::new("bedrock");
    config.prompt_caching = caching;
    dialect(&config).unwrap()
}

/// The dialect without cache points of its own.
fn plain() -> Box<dyn Dialect> {
    with_caching(PromptCaching::Off)
}

fn send_to(model: &str, dialect: &dyn Dialect, request: Value) -> Result<Outgoing, Error> {
    let request: ChatRequest = serde_json::from_value(request).unwrap();
    dialect.encode_chat(&request, model)
}

fn body_of(outgoing: &Outgoing) -> Value {
    serde_json::from_slice(&outgoing.body).unwrap()
}

/// The body that is sent for a request with these members besides model and messages.
fn body(members: Value) -> Value {
    body_for(MODEL, members)
}

fn body_for(model: &str, members: Value) -> Value {
    body_of(&send_to(model, &*plain(), with_defaults(members)).unwrap())
}

/// The error that a request with these members gets.
fn refusal(members: Value) -> Error {
    send_to(MODEL, &*plain(), with_defaults(members)).unwrap_err()
}

fn with_defaults(members: Value) -> Value {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    request
}

/// The `messages` that are sent for these.
fn turns(messages: Value) -> Value {
    body(json!({"messages": messages}))["messages"].take()
}

fn decode(body: &Value) -> Result<Wire<ChatResponse>, Error> {
    plain().decode_chat(body.to_string().into(), MODEL)
}

/// The answer as the JSON that a caller gets.
fn answer(body: &Value) -> Value {
    serde_json::to_value(&*decode(body).unwrap()).unwrap()
}

/// Reads frames; the chunks until the end or the error, and whether the last event was one that ends.
fn read_stream(frames: impl IntoIterator<Item = Frame>) -> (Vec<ChatChunk>, Result<bool, Error>) {
    let request: ChatRequest = serde_json::from_value(with_defaults(json!({}))).unwrap();
    let mut reader = plain().chat_stream(&request, MODEL);
    let mut chunks = Chunks::new();
    let run = || -> Result<bool, Error> {
        for frame in frames {
            if reader.read(frame, &mut chunks)? == Flow::Done {
                return Ok(true);
            }
        }
        reader.end(&mut chunks).map(|()| false)
    };
    let result = run();
    (chunks.into_iter().map(Wire::into_inner).collect(), result)
}

fn frame(name: &str, payload: &Value) -> Frame {
    Frame { event: Some(EventName::new(name.to_owned().into())), ..Frame::new(payload.to_string().into()) }
}

/// Reads these events, which must end well, and puts the answer together.
fn assembled(events: &[(&str, Value)]) -> (Vec<ChatChunk>, ChatResponse) {
    let (chunks, done) = read_stream(events.iter().map(|(name, payload)| frame(name, payload)));
    assert!(done.unwrap(), "the stream has no end");
    let mut whole = Assembler::default();
    chunks.iter().for_each(|chunk| whole.push(chunk));
    (chunks, whole.finish())
}

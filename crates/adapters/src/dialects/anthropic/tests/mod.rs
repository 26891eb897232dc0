//! The promises of the dialect, on hand-written exchanges of the documented shapes.

mod caching;
mod recorded;
mod request;
mod response;
mod stream;

use bytes::Bytes;
use mainstay_provider_core::chat::{Assembler, ChatChunk, ChatResponse};
use mainstay_provider_core::{ChatRequest, Error, Wire};
use serde_json::{Value, json};

use super::dialect;
use crate::config::{AdapterConfig, PromptCaching};
use crate::dialect::{Chunks, Dialect, Flow, Outgoing};

const MODEL: &str = "claude-sonnet-4-6";

/// The dialect with every default, but without cache breakpoints.
fn plain() -> Box<dyn Dialect> {
    let mut config = AdapterConfig::new("anthropic");
    config.prompt_caching = PromptCaching::Off;
    dialect(&config).unwrap()
}

fn read(request: Value) -> ChatRequest {
    serde_json::from_value(request).unwrap()
}

fn send_to(model: &str, dialect: &dyn Dialect, request: Value) -> Result<Outgoing, Error> {
    dialect.encode_chat(&read(request), model)
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

/// Reads server-sent events; the chunks until the end or the error, and whether the last event was one that ends.
fn read_stream(body: impl Into<Bytes>) -> (Vec<ChatChunk>, Result<bool, Error>) {
    let dialect = plain();
    let (mut reader, mut frames) =
        (dialect.chat_stream(&read(with_defaults(json!({}))), MODEL), dialect.frames());
    let (mut chunks, mut done) = (Chunks::new(), false);
    frames.push(body.into());
    let mut run = || -> Result<(), Error> {
        while let Some(frame) = frames.next().or_else(|| frames.finish()) {
            if reader.read(frame?, &mut chunks)? == Flow::Done {
                done = true;
                return Ok(());
            }
        }
        reader.end(&mut chunks)
    };
    let result = run();
    (chunks.into_iter().map(Wire::into_inner).collect(), result.map(|()| done))
}

/// Reads these events, which must end well, and puts the answer together.
fn assembled(events: &[Value]) -> (Vec<ChatChunk>, ChatResponse) {
    let (chunks, done) = read_stream(sse(events));
    assert!(done.unwrap(), "the stream has no end");
    let mut whole = Assembler::default();
    chunks.iter().for_each(|chunk| whole.push(chunk));
    (chunks, whole.finish())
}

fn sse(events: &[Value]) -> String {
    let event = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    events.iter().map(event).collect()
}

//! What OpenAI's dialect promises, one file a subject; and helpers that the tests of Responses share.

mod answers;
mod embeddings;
pub(crate) mod recorded;
mod requests;
mod streams;

use bytes::Bytes;
use mainstay_provider_core::chat::{Assembler, ChatRequest};
use mainstay_provider_core::{ChatChunk, ChatResponse, Error, Wire};
use serde_json::{Value, json};

use super::profile::Profile;
use crate::config::AdapterConfig;
use crate::dialect::{Chunks, Dialect, Flow};

/// The provider of this kind.
pub(crate) fn provider(kind: &str, profile: &'static Profile) -> Box<dyn Dialect> {
    super::dialect(&AdapterConfig::new(kind), profile).unwrap()
}

/// The body that the provider is sent for this request of a caller.
pub(crate) fn sent(dialect: &dyn Dialect, request: &Value) -> Result<Value, Error> {
    let request: ChatRequest = serde_json::from_value(request.clone()).unwrap();
    let model = request.model.clone();
    dialect.encode_chat(&request, &model).map(|outgoing| serde_json::from_slice(&outgoing.body).unwrap())
}

/// What becomes of a whole answer.
pub(crate) fn read(dialect: &dyn Dialect, body: &Value) -> Result<Wire<ChatResponse>, Error> {
    dialect.decode_chat(Bytes::from(body.to_string()), "the-model")
}

/// What becomes of a streamed answer: the chunks, and the error that ended it.
pub(crate) fn read_stream(dialect: &dyn Dialect, body: &str) -> (Vec<Wire<ChatChunk>>, Option<Error>) {
    let request: ChatRequest =
        serde_json::from_value(json!({"model": "m", "messages": [], "stream": true})).unwrap();
    let (mut frames, mut reader) = (dialect.frames(), dialect.chat_stream(&request, "the-model"));
    let mut out = Chunks::new();
    frames.push(Bytes::copy_from_slice(body.as_bytes()));
    let mut flow = Ok(Flow::More);
    while let (Ok(Flow::More), Some(frame)) = (&flow, frames.next()) {
        flow = reader.read(frame.unwrap(), &mut out);
    }
    while let (Ok(Flow::More), Some(frame)) = (&flow, frames.finish()) {
        flow = reader.read(frame.unwrap(), &mut out);
    }
    let end = flow.and_then(|flow| if flow == Flow::More { reader.end(&mut out) } else { Ok(()) });
    (out.into(), end.err())
}

/// The events of a stream, each of the given JSON.
pub(crate) fn events(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// The whole answer of a stream.
pub(crate) fn assembled(chunks: &[Wire<ChatChunk>]) -> ChatResponse {
    let mut whole = Assembler::default();
    chunks.iter().for_each(|chunk| whole.push(chunk));
    whole.finish()
}

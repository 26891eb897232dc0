//! What the tests of several dialects share: feeding answers in, and the exchanges that were recorded.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use mainstay_provider_core::chat::{Assembler, ChatRequest};
use mainstay_provider_core::{ChatChunk, ChatResponse, Error};
use serde_json::Value;

use crate::dialect::{Chunks, Dialect, Flow};

/// The request that a dialect writes, as JSON, with its path.
pub(crate) fn encode(dialect: &dyn Dialect, model: &str, request: Value) -> Result<(String, Value), Error> {
    let mut request = request;
    request["model"] = model.into();
    let request: ChatRequest = serde_json::from_value(request).unwrap();
    let outgoing = dialect.encode_chat(&request, model)?;
    Ok((outgoing.path, serde_json::from_slice(&outgoing.body).unwrap()))
}

/// A whole answer.
pub(crate) fn whole(dialect: &dyn Dialect, body: &Value) -> Result<ChatResponse, Error> {
    let body = Bytes::from(serde_json::to_vec(body).unwrap());
    dialect.decode_chat(body, "asked-for").map(|answer| answer.into_inner())
}

/// The chunks of a stream that arrives in reads of `size` bytes, and the error that ended it.
pub(crate) fn chunks(dialect: &dyn Dialect, text: &str, size: usize) -> (Vec<ChatChunk>, Option<Error>) {
    let request = ChatRequest::new("asked-for", Vec::new());
    let mut reader = dialect.chat_stream(&request, "asked-for");
    let mut frames = dialect.frames();
    let mut out = Chunks::new();
    let mut flow = Ok(Flow::More);
    let mut reads = text.as_bytes().chunks(size);
    'stream: loop {
        for frame in frames.by_ref() {
            flow = reader.read(frame.unwrap(), &mut out);
            if !matches!(flow, Ok(Flow::More)) {
                break 'stream;
            }
        }
        match reads.next() {
            Some(read) => frames.push(Bytes::copy_from_slice(read)),
            None => break,
        }
    }
    while let (Ok(Flow::More), Some(frame)) = (&flow, frames.finish()) {
        flow = reader.read(frame.unwrap(), &mut out);
    }
    if let Ok(Flow::More) = flow {
        flow = reader.end(&mut out).map(|()| Flow::Done);
    }
    (out.into_iter().map(|chunk| chunk.into_inner()).collect(), flow.err())
}

/// A streamed answer, put together.
pub(crate) fn stream(dialect: &dyn Dialect, text: &str) -> Result<ChatResponse, Error> {
    let (pieces, error) = chunks(dialect, text, text.len().max(1));
    match error {
        Some(error) => Err(error),
        None => Ok(assemble(&pieces)),
    }
}

pub(crate) fn assemble(pieces: &[ChatChunk]) -> ChatResponse {
    let mut whole = Assembler::default();
    pieces.iter().for_each(|chunk| whole.push(chunk));
    whole.finish()
}

/// Server-sent events with these data.
pub(crate) fn sse(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// One recorded exchange.
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) api: String,
    pub(crate) expected_class: Option<String>,
    pub(crate) status: u64,
    pub(crate) response: Value,
}

/// The recorded exchanges of a provider, or `None` and a line that says so where they are not there.
pub(crate) fn recorded(provider: &str) -> Option<Vec<Exchange>> {
    let shared = std::env::var_os("MAINSTAY_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), // beside the workspace
        PathBuf::from,
    );
    let folder = shared.join("fixtures").join(provider);
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("SKIPPED: no recorded exchanges at {} (set MAINSTAY_SHARED)", folder.display());
        return None;
    };
    let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    Some(files.iter().map(|file| exchange(file)).collect())
}

fn exchange(file: &Path) -> Exchange {
    let value: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    Exchange {
        name: file.file_stem().unwrap().to_string_lossy().into_owned(),
        api: value["api"].as_str().unwrap_or_default().to_owned(),
        expected_class: value["expected_class"].as_str().map(str::to_owned),
        status: value["response"]["status"].as_u64().unwrap(),
        response: value["response"].clone(),
    }
}

/// What an answer comes down to, as an independent reading of the recording tells it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Gist {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) calls: Vec<(String, Value)>,
    pub(crate) finish: String,
    /// input, output, cache_read, reasoning
    pub(crate) usage: [u64; 4],
}

impl Gist {
    pub(crate) fn of(answer: &ChatResponse) -> Self {
        let choice = &answer.choices[0];
        let calls = choice.message.tool_calls.iter().map(|call| {
            assert!(!call.id.is_empty(), "a call without an id");
            let function = call.function.as_ref().unwrap();
            (function.name.clone(), serde_json::from_str(&function.arguments).unwrap())
        });
        let usage = answer.usage().unwrap_or_default();
        Self {
            text: choice.message.text().into_owned(),
            reasoning: choice.message.reasoning_content.clone().unwrap_or_default(),
            calls: calls.collect(),
            finish: choice.finish_reason.as_ref().map_or("", |reason| reason.as_str()).to_owned(),
            usage: [usage.input, usage.output, usage.cache_read, usage.reasoning],
        }
    }
}

/// Decodes a recorded stream whole and in small reads and expects the same each time.
pub(crate) fn stream_every_way(dialect: &dyn Dialect, name: &str, text: &str) -> Result<ChatResponse, Error> {
    let answer = stream(dialect, text)?;
    for size in [1, 13, 4096] {
        let (pieces, error) = chunks(dialect, text, size);
        assert!(error.is_none(), "{name} in reads of {size}: {error:?}");
        assert_eq!(Gist::of(&assemble(&pieces)), Gist::of(&answer), "{name} in reads of {size}");
    }
    Ok(answer)
}

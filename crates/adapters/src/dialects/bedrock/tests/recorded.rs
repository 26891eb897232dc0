//! Recorded exchanges with the real API, where they are at hand: every answer is read without loss.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::{Value, json};

use super::*;
use crate::framing::Frames;

/// What an answer says, by whichever reader.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    reasoning: String,
    /// Id, name and arguments.
    calls: Vec<(String, String, Value)>,
    finish: String,
    citations: usize,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
}

#[test]
fn every_recorded_answer_is_read_as_a_second_reader_reads_it() {
    let Some(files) = recorded("bedrock") else { return };
    let (mut whole, mut streamed) = (0, 0);
    for file in files {
        let exchange: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let (name, response) = (file.display(), &exchange["response"]);
        if exchange["api"] != "converse" || response["status"] != 200 {
            continue;
        }
        if let Some(body) = response.get("body") {
            let answer = decode(body).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(said(&answer), read_message(body), "{name}");
            whole += 1;
        } else {
            let bytes = response["eventstream_base64"].as_str().unwrap();
            let bytes = base64::engine::general_purpose::STANDARD.decode(bytes).unwrap();
            let mut frames = Frames::event_stream();
            frames.push(bytes.clone().into());
            let (chunks, done) = read_stream(frames.by_ref().map(Result::unwrap));
            assert!(done.unwrap_or_else(|error| panic!("{name}: {error}")), "{name}");
            let mut assembler = Assembler::default();
            chunks.iter().for_each(|chunk| assembler.push(chunk));
            assert_eq!(said(&assembler.finish()), read_message(&join(&bytes)), "{name}");
            streamed += 1;
        }
    }
    println!("bedrock: {whole} whole and {streamed} streamed answers");
    assert!(whole > 0 && streamed > 0);
}

/// The recorded exchanges, or `None` and a line that says so where they are not there.
fn recorded(provider: &str) -> Option<Vec<PathBuf>> {
    let shared = std::env::var_os("MAINSTAY_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let folder = shared.join("fixtures").join(provider);
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("SKIPPED: no recorded exchanges at {} (set MAINSTAY_SHARED)", folder.display());
        return None;
    };
    Some(files.flatten().map(|file| file.path()).collect())
}

fn said(answer: &ChatResponse) -> Said {
    let choice = &answer.choices[0];
    let message = &choice.message;
    let calls = message.tool_calls.iter().map(|call| {
        let function = call.function.as_ref().unwrap();
        (call.id.clone(), function.name.clone(), function.parse_arguments().unwrap())
    });
    let usage = answer.usage().unwrap();
    Said {
        text: message.text().into_owned(),
        reasoning: message.reasoning_content.clone().unwrap_or_default(),
        calls: calls.collect(),
        finish: choice.finish_reason.as_ref().unwrap().as_str().to_owned(),
        citations: message.annotations.len(),
        input: usage.input,
        output: usage.output,
        cache_read: usage.cache_read,
        cache_write: usage.cache_write,
    }
}

/// A second reader, as plain as can be.
fn read_message(answer: &Value) -> Said {
    let mut said = Said::default();
    for block in answer["output"]["message"]["content"].as_array().unwrap() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        said.text += &text(&block["text"]);
        said.reasoning += &text(&block["reasoningContent"]["reasoningText"]["text"]);
        for piece in block["citationsContent"]["content"].as_array().into_iter().flatten() {
            said.text += &text(&piece["text"]);
        }
        said.citations += block["citationsContent"]["citations"].as_array().map_or(0, Vec::len);
        let call = &block["toolUse"];
        if call.is_object() && call["type"] != "server_tool_use" {
            said.calls.push((text(&call["toolUseId"]), text(&call["name"]), call["input"].clone()));
        }
    }
    said.finish = match answer["stopReason"].as_str().unwrap() {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        "guardrail_intervened" => "content_filter",
        other => panic!("{other}"),
    }
    .to_owned();
    let count = |name: &str| answer["usage"][name].as_u64().unwrap_or(0);
    said.cache_read = count("cacheReadInputTokens");
    said.cache_write = count("cacheWriteInputTokens");
    said.input = count("inputTokens") + said.cache_read + said.cache_write;
    said.output = count("outputTokens");
    said
}

/// Cuts the messages apart without looking at their headers, and puts a whole answer together from their payloads.
fn join(mut bytes: &[u8]) -> Value {
    let (mut answer, mut blocks) = (json!({}), Vec::<Value>::new());
    while !bytes.is_empty() {
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let (total, headers) = (number(0), number(4));
        let payload: Value = serde_json::from_slice(&bytes[12 + headers..total - 4]).unwrap();
        bytes = &bytes[total..];
        if let Some(at) = payload["contentBlockIndex"].as_u64() {
            let at = usize::try_from(at).unwrap();
            blocks.resize(blocks.len().max(at + 1), json!({}));
            join_block(&mut blocks[at], &payload);
        }
        for name in ["stopReason", "usage"] {
            if !payload[name].is_null() {
                answer[name] = payload[name].clone();
            }
        }
    }
    for call in
        blocks.iter_mut().filter(|block| block["toolUse"].is_object()).map(|block| &mut block["toolUse"])
    {
        let input = call["input"].as_str().unwrap_or("{}").to_owned();
        call["input"] = serde_json::from_str(&input).unwrap();
    }
    answer["output"]["message"]["content"] = blocks.into();
    answer
}

fn join_block(block: &mut Value, payload: &Value) {
    if let Some(start) = payload["start"].as_object() {
        block.as_object_mut().unwrap().extend(start.clone());
    }
    let delta = &payload["delta"];
    let mut add = |path: &[&str], piece: &Value| {
        let Some(piece) = piece.as_str() else { return };
        let place = path.iter().fold(&mut *block, |value, name| &mut value[*name]);
        *place = format!("{}{piece}", place.as_str().unwrap_or_default()).into();
    };
    add(&["text"], &delta["text"]);
    add(&["toolUse", "input"], &delta["toolUse"]["input"]);
    add(&["reasoningContent", "reasoningText", "text"], &delta["reasoningContent"]["text"]);
}

//! Recorded exchanges with the real API, where they are at hand: every answer is read without loss.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::*;

/// What an answer says, by whichever reader.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    reasoning: String,
    signatures: Vec<String>,
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
    let Some(files) = recorded("anthropic") else { return };
    let (mut whole, mut streamed, mut failed) = (0, 0, 0);
    for file in files {
        let exchange: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let (name, response) = (file.display(), &exchange["response"]);
        if exchange["api"] != "messages" || response["status"] != 200 {
            continue;
        }
        if let Some(class) = exchange["expected_class"].as_str() {
            let (_, result) = read_stream(response["sse_text"].as_str().unwrap().to_owned());
            assert_eq!(format!("{:?}", result.unwrap_err().kind()), class, "{name}");
            failed += 1;
        } else if let Some(body) = response.get("body") {
            let answer = decode(body).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(said(&answer), read_message(body), "{name}");
            whole += 1;
        } else {
            let (chunks, done) = read_stream(response["sse_text"].as_str().unwrap().to_owned());
            assert!(done.unwrap_or_else(|error| panic!("{name}: {error}")), "{name}");
            let mut assembler = Assembler::default();
            chunks.iter().for_each(|chunk| assembler.push(chunk));
            assert_eq!(
                said(&assembler.finish()),
                read_events(response["sse_text"].as_str().unwrap()),
                "{name}"
            );
            streamed += 1;
        }
    }
    println!("anthropic: {whole} whole and {streamed} streamed answers, {failed} errors in streams");
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
        signatures: message.thinking_blocks.iter().filter_map(|block| block.signature.clone()).collect(),
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
fn read_message(message: &Value) -> Said {
    let mut said = Said::default();
    for block in message["content"].as_array().unwrap() {
        let text = |name: &str| block[name].as_str().unwrap_or_default().to_owned();
        match block["type"].as_str().unwrap() {
            "text" => {
                said.text += &text("text");
                said.citations += block["citations"].as_array().map_or(0, Vec::len);
            }
            "thinking" => {
                said.reasoning += &text("thinking");
                said.signatures.push(text("signature"));
            }
            "tool_use" => said.calls.push((text("id"), text("name"), block["input"].clone())),
            _ => {}
        }
    }
    said.finish = match message["stop_reason"].as_str().unwrap() {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        other => panic!("{other}"),
    }
    .to_owned();
    let count = |name: &str| message["usage"][name].as_u64().unwrap_or(0);
    said.cache_read = count("cache_read_input_tokens");
    said.cache_write = count("cache_creation_input_tokens");
    said.input = count("input_tokens") + said.cache_read + said.cache_write;
    said.output = count("output_tokens");
    said
}

/// Puts the message together from its events, then reads it as a whole one.
fn read_events(text: &str) -> Said {
    let (mut message, mut blocks) = (Map::new(), Vec::<Value>::new());
    for line in text.lines().filter_map(|line| line.strip_prefix("data:")) {
        let event: Value = serde_json::from_str(line).unwrap();
        let delta = &event["delta"];
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].as_object().unwrap().clone(),
            "content_block_start" => blocks.push(event["content_block"].clone()),
            "content_block_delta" => {
                let block = blocks.last_mut().unwrap();
                for (from, to) in [
                    ("text", "text"),
                    ("thinking", "thinking"),
                    ("signature", "signature"),
                    ("partial_json", "json"),
                ] {
                    if let Some(piece) = delta[from].as_str() {
                        block[to] = format!("{}{piece}", block[to].as_str().unwrap_or_default()).into();
                    }
                }
            }
            "message_delta" => {
                message.insert("stop_reason".into(), delta["stop_reason"].clone());
                for (name, value) in event["usage"].as_object().unwrap() {
                    message["usage"][name] = value.clone();
                }
            }
            _ => {}
        }
    }
    for block in blocks.iter_mut().filter(|block| block["type"] == "tool_use") {
        let json = block["json"].as_str().unwrap_or_default();
        block["input"] = if json.is_empty() { json!({}) } else { serde_json::from_str(json).unwrap() };
    }
    message.insert("content".into(), blocks.into());
    read_message(&message.into())
}

//! Against recorded exchanges: each answer is decoded, and compared with what a second, simpler reader makes
//! of it.

use serde_json::{Value, json};

use super::cohere;
use super::support::{Gist, recorded, stream_every_way, whole};

#[test]
fn every_recorded_answer_of_cohere_reads_as_an_independent_reader_reads_it() {
    let Some(exchanges) = recorded("cohere") else { return };
    let dialect = cohere();
    let (mut read, mut citations, mut other) = (0, 0, Vec::new());
    for exchange in exchanges {
        let body = &exchange.response["body"];
        match exchange.api.as_str() {
            _ if exchange.status != 200 => other.push(exchange.name),
            "embeddings" => {
                let (vectors, usage) = dialect.decode_embed(body.to_string().into()).unwrap();
                assert_eq!((vectors.len(), vectors[0].len()), (1, 1536), "{}", exchange.name);
                assert_eq!(usage.unwrap().input, 4, "{}", exchange.name);
            }
            "cohere_chat" => {
                let sse = exchange.response["sse_text"].as_str();
                let (answer, (expected, cited)) = match sse {
                    Some(text) => (stream_every_way(&*dialect, &exchange.name, text), streamed(text)),
                    None => (whole(&*dialect, body), of_whole(body)),
                };
                let answer = answer.unwrap_or_else(|error| panic!("{}: {error:?}", exchange.name));
                assert_eq!(Gist::of(&answer), expected, "{}", exchange.name);
                assert_eq!(answer.choices[0].message.annotations.len(), cited, "{}", exchange.name);
                read += 1;
                citations += cited;
            }
            _ => other.push(exchange.name),
        }
    }
    println!(
        "cohere: {read} answers read with {citations} citations; not answers of chat or embed: {}",
        other.join(", ")
    );
    assert!(read > 0);
}

fn of_whole(body: &Value) -> (Gist, usize) {
    let message = &body["message"];
    let blocks = |kind: &str| -> String {
        let blocks = message["content"].as_array().into_iter().flatten();
        blocks.filter(|block| block["type"] == kind).map(|block| block[kind].as_str().unwrap()).collect()
    };
    let call = |call: &Value| {
        let arguments = call["function"]["arguments"].as_str().unwrap();
        (call["function"]["name"].as_str().unwrap().to_owned(), serde_json::from_str(arguments).unwrap())
    };
    let gist = Gist {
        text: blocks("text"),
        reasoning: blocks("thinking"),
        calls: message["tool_calls"].as_array().into_iter().flatten().map(call).collect(),
        finish: finish(&body["finish_reason"]),
        usage: usage(&body["usage"]),
    };
    (gist, message["citations"].as_array().map_or(0, Vec::len))
}

/// Reads a stream into the whole answer that it tells.
fn streamed(text: &str) -> (Gist, usize) {
    let (mut said, mut thought, mut cited) = (String::new(), String::new(), 0);
    let mut calls: Vec<(String, String)> = Vec::new();
    let mut end = Value::Null;
    for line in text.lines() {
        let Some(Ok(event)) = line.strip_prefix("data: ").map(serde_json::from_str::<Value>) else {
            continue;
        };
        let message = &event["delta"]["message"];
        said.push_str(message["content"]["text"].as_str().unwrap_or_default());
        thought.push_str(message["content"]["thinking"].as_str().unwrap_or_default());
        let function = &message["tool_calls"]["function"];
        let arguments = function["arguments"].as_str().unwrap_or_default();
        match event["type"].as_str().unwrap() {
            "tool-call-start" => {
                calls.push((function["name"].as_str().unwrap().to_owned(), arguments.to_owned()))
            }
            "tool-call-delta" => calls.last_mut().unwrap().1.push_str(arguments),
            "citation-start" => cited += 1,
            "message-end" => end = event["delta"].clone(),
            _ => {}
        }
    }
    let parsed = |arguments: &str| serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
    let gist = Gist {
        text: said,
        reasoning: thought,
        calls: calls.into_iter().map(|(name, arguments)| (name, parsed(&arguments))).collect(),
        finish: finish(&end["finish_reason"]),
        usage: usage(&end["usage"]),
    };
    (gist, cited)
}

fn finish(reason: &Value) -> String {
    match reason.as_str().unwrap() {
        "COMPLETE" | "STOP_SEQUENCE" => "stop",
        "MAX_TOKENS" => "length",
        "TOOL_CALL" => "tool_calls",
        other => panic!("the second reader does not know {other}"),
    }
    .to_owned()
}

fn usage(usage: &Value) -> [u64; 4] {
    let tokens = |name: &str| usage["tokens"][name].as_u64().unwrap_or(0);
    [
        tokens("input_tokens"),
        tokens("output_tokens"),
        usage["cached_tokens"].as_u64().unwrap_or(0),
        tokens("reasoning_tokens"),
    ]
}

//! Against recorded exchanges: each answer is decoded, and compared with what a second, simpler reader makes
//! of it.

use serde_json::{Map, Value};

use super::support::{Gist, recorded, stream_every_way, whole};
use super::{gemini, vertex};
use crate::dialect::Dialect;

#[test]
fn every_recorded_answer_of_gemini_reads_as_an_independent_reader_reads_it() {
    check("gemini", &*gemini());
}

#[test]
fn every_recorded_answer_of_vertex_reads_as_an_independent_reader_reads_it() {
    check("vertex", &*vertex());
}

fn check(provider: &str, dialect: &dyn Dialect) {
    let Some(exchanges) = recorded(provider) else { return };
    let (mut read, mut vectors, mut blocked, mut other) = (0, 0, 0, Vec::new());
    for exchange in exchanges {
        let body = &exchange.response["body"];
        match exchange.api.as_str() {
            _ if exchange.status != 200 => other.push(exchange.name),
            "embeddings" => {
                let (embedded, usage) = dialect.decode_embed(body.to_string().into()).unwrap();
                assert!(embedded.iter().all(|vector| vector.len() > 100), "{}", exchange.name);
                assert!(usage.is_some_and(|usage| usage.input > 0), "{}", exchange.name);
                vectors += 1;
            }
            "generate" => {
                let sse = exchange.response["sse_text"].as_str();
                let events: Vec<Value> = match (sse, body) {
                    (Some(text), _) => events(text),
                    (None, Value::Array(events)) => events.clone(),
                    (None, answer) => vec![answer.clone()],
                };
                let answer = match sse {
                    Some(text) => stream_every_way(dialect, &exchange.name, text),
                    None => whole(dialect, body),
                };
                if events.iter().any(|event| event["promptFeedback"]["blockReason"].is_string()) {
                    let error = answer.unwrap_err();
                    assert_eq!(error.kind().as_str(), "content_filtered", "{}", exchange.name);
                    blocked += 1;
                    continue;
                }
                assert!(exchange.expected_class.is_none(), "{}", exchange.name);
                assert_eq!(Gist::of(&answer.unwrap()), gist(&events), "{}", exchange.name);
                read += 1;
            }
            // Counting, caching and the OpenAI dialect are not this dialect's.
            _ => other.push(exchange.name),
        }
    }
    println!(
        "{provider}: {read} answers read, {blocked} blocked prompts, {vectors} embeddings; not answers of this \
         dialect: {}",
        other.join(", ")
    );
    assert!(read > 0);
}

fn events(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

/// The second reader: looks only at the first candidate, and knows only paths of one name.
fn gist(events: &[Value]) -> Gist {
    let mut gist = Gist::default();
    for event in events {
        let candidate = &event["candidates"][0];
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            let text = part["text"].as_str().unwrap_or_default();
            match part["thought"].as_bool() {
                Some(true) => gist.reasoning.push_str(text),
                _ => gist.text.push_str(text),
            }
            let call = &part["functionCall"];
            if let Some(name) = call["name"].as_str() {
                let args = if call["args"].is_object() { call["args"].clone() } else { Map::new().into() };
                gist.calls.push((name.to_owned(), args));
            }
            for piece in call["partialArgs"].as_array().into_iter().flatten() {
                let name = piece["jsonPath"].as_str().unwrap().strip_prefix("$.").unwrap();
                let place = &mut gist.calls.last_mut().unwrap().1[name];
                *place =
                    format!("{}{}", place.as_str().unwrap_or(""), piece["stringValue"].as_str().unwrap())
                        .into();
            }
        }
        match &candidate["finishReason"] {
            Value::Null => {}
            reason if reason == "MAX_TOKENS" || reason == 2 => gist.finish = "length".into(),
            reason if reason == "STOP" || reason == 1 => {
                gist.finish = if gist.calls.is_empty() { "stop" } else { "tool_calls" }.into();
            }
            other => panic!("the second reader does not know {other}"),
        }
        if event.get("usageMetadata").is_some() {
            let count = |name: &str| event["usageMetadata"][name].as_u64().unwrap_or(0);
            let (thoughts, tools) = (count("thoughtsTokenCount"), count("toolUsePromptTokenCount"));
            let (input, output) =
                (count("promptTokenCount") + tools, count("candidatesTokenCount") + thoughts);
            gist.usage = [input, output, count("cachedContentTokenCount"), thoughts];
        }
    }
    gist
}

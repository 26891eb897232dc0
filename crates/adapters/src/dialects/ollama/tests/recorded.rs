//! Against recorded exchanges: each answer is decoded, and compared with what a second, simpler reader makes
//! of it.

use serde_json::Value;

use super::ollama;
use super::support::{Gist, chunks, recorded, stream_every_way, whole};

#[test]
fn every_recorded_answer_of_ollama_reads_as_an_independent_reader_reads_it() {
    let Some(exchanges) = recorded("ollama") else { return };
    let dialect = ollama();
    let (mut read, mut other) = (0, Vec::new());
    for exchange in exchanges {
        let (name, body) = (&exchange.name, &exchange.response["body"]);
        match exchange.api.as_str() {
            _ if exchange.status != 200 => other.push(exchange.name),
            "embeddings" => {
                let (vectors, usage) = dialect.decode_embed(body.to_string().into()).unwrap();
                assert_eq!((vectors.len(), vectors[0].len()), (1, 768), "{name}");
                assert_eq!(usage.unwrap().input, 4, "{name}");
            }
            // The answers of /api/generate are lines of the same form, but for the member that holds the text.
            "ollama_chat" | "ollama_generate" => {
                let lines = exchange.response["ndjson_text"].as_str();
                if exchange.expected_class.is_some() {
                    let (pieces, error) = chunks(&*dialect, lines.unwrap(), 7);
                    assert!(!pieces.is_empty() && error.is_some(), "{name}");
                    continue;
                }
                let answer = match lines {
                    Some(text) => stream_every_way(&*dialect, name, text),
                    None => whole(&*dialect, body),
                };
                let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                let expected = lines.map_or_else(
                    || gist(std::slice::from_ref(body)),
                    |text| {
                        gist(
                            &text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>(),
                        )
                    },
                );
                assert_eq!(Gist::of(&answer), expected, "{name}");
                read += 1;
            }
            // Ollama's /v1 is the OpenAI dialect.
            _ => other.push(exchange.name),
        }
    }
    println!("ollama: {read} answers read; not answers of the native interface: {}", other.join(", "));
    assert!(read > 0);
}

fn gist(lines: &[Value]) -> Gist {
    let mut gist = Gist::default();
    for line in lines {
        for text in [&line["message"]["content"], &line["response"]] {
            gist.text.push_str(text.as_str().unwrap_or_default());
        }
        gist.reasoning.push_str(line["message"]["thinking"].as_str().unwrap_or_default());
        for call in line["message"]["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            gist.calls.push((function["name"].as_str().unwrap().to_owned(), function["arguments"].clone()));
        }
        if line["done"] == true {
            gist.finish =
                if gist.calls.is_empty() { line["done_reason"].as_str().unwrap() } else { "tool_calls" }
                    .to_owned();
            let count = |name: &str| line[name].as_u64().unwrap_or(0);
            gist.usage = [count("prompt_eval_count"), count("eval_count"), 0, 0];
        }
    }
    gist
}

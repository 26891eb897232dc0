//! Every recorded exchange, read by the dialect and by a small reader that knows nothing of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mainstay_provider_core::{ChatResponse, Usage};
use serde_json::{Value, json};

use super::{assembled, provider, read, read_stream};
use crate::dialect::Dialect;
use crate::dialects::openai::profile::{self, Profile};

/// The folders of the recordings, and who they are of.
const PROVIDERS: [(&str, &str, &Profile); 15] = [
    ("openai", "openai", &profile::OPENAI),
    ("azure_openai", "azure-openai", &profile::AZURE),
    ("mistral", "mistral", &profile::MISTRAL),
    ("groq", "groq", &profile::GROQ),
    ("deepseek", "deepseek", &profile::DEEPSEEK),
    ("xai", "xai", &profile::XAI),
    ("openrouter", "openrouter", &profile::OPENROUTER),
    ("together", "together", &profile::TOGETHER),
    ("perplexity", "perplexity", &profile::PERPLEXITY),
    ("cerebras", "cerebras", &profile::CEREBRAS),
    ("huggingface", "huggingface", &profile::HUGGINGFACE),
    ("zai", "zai", &profile::ZAI),
    ("vllm", "vllm", &profile::VLLM),
    ("ollama", "ollama", &profile::OLLAMA_V1),
    ("gemini", "gemini", &profile::GEMINI_OPENAI),
];

#[test]
fn every_recorded_chat_answer_says_what_the_provider_said() {
    let mut seen = 0;
    for (folder, kind, profile) in PROVIDERS {
        let dialect = provider(kind, profile);
        for (name, exchange) in recordings(folder, "chat") {
            check_chat(&name, folder, &*dialect, &exchange);
            seen += 1;
        }
    }
    println!("{seen} recorded chat answers");
}

#[test]
fn every_recorded_embedding_has_its_figures() {
    for (folder, kind, profile) in PROVIDERS {
        let dialect = provider(kind, profile);
        for (name, exchange) in recordings(folder, "embeddings") {
            if exchange["request"]["path"] == "/api/embed" {
                continue; // Ollama's native interface is another dialect
            }
            let body = &exchange["response"]["body"];
            let (vectors, usage) = dialect.decode_embed(body.to_string().into()).unwrap();
            assert_eq!(vectors.len(), body["data"].as_array().unwrap().len(), "{name}");
            assert!(
                vectors.iter().all(|vector| vector.len() == vectors[0].len() && vector.len() >= 256),
                "{name}"
            );
            assert_eq!(usage.unwrap().input, body["usage"]["prompt_tokens"], "{name}");
            if let Some(first) = body["data"][0]["embedding"].as_array() {
                let first: Vec<_> = first.iter().map(|figure| figure.as_f64().unwrap() as f32).collect();
                assert_eq!(vectors[0], first, "{name}");
            }
        }
    }
}

fn check_chat(name: &str, folder: &str, dialect: &dyn Dialect, exchange: &Value) {
    let response = &exchange["response"];
    let (answer, pieces) = match response["sse_text"].as_str() {
        None => (
            read(dialect, &response["body"])
                .unwrap_or_else(|error| panic!("{name}: {error:?} {:?}", std::error::Error::source(&error)))
                .into_inner(),
            vec![response["body"].clone()],
        ),
        Some(text) => {
            let (chunks, error) = read_stream(dialect, text);
            if let Some(expected) = exchange["expected_class"].as_str() {
                assert_eq!(format!("{:?}", error.unwrap().kind()), expected, "{name}");
                return;
            }
            assert!(error.is_none(), "{name}: {error:?}");
            (assembled(&chunks), pieces(text))
        }
    };
    let told = Told::of(&pieces, folder);
    assert_eq!(Told::by(&answer), told, "{name}");
}

/// What an answer says, in a form that both readers can make.
#[derive(Debug, PartialEq, Default)]
struct Told {
    text: String,
    reasoning: String,
    calls: Vec<(String, Value)>,
    finish: Vec<String>,
    usage: Usage,
    refusal: String,
}

impl Told {
    /// By the dialect.
    fn by(answer: &ChatResponse) -> Self {
        let mut told = Self::default();
        for choice in &answer.choices {
            let message = &choice.message;
            told.text += &message.text();
            told.reasoning += message.reasoning_content.as_deref().unwrap_or_default();
            told.refusal += message.refusal.as_deref().unwrap_or_default();
            told.calls.extend(message.tool_calls.iter().filter_map(|call| {
                assert!(!call.id.is_empty());
                let function = call.function.as_ref()?;
                Some((function.name.clone(), function.parse_arguments().unwrap()))
            }));
            told.finish.push(choice.finish_reason.as_ref().unwrap().as_str().to_owned());
        }
        told.usage = answer.usage().unwrap_or_default();
        told
    }

    /// By the independent reader: from the pieces of a stream, or the one piece that a whole answer is.
    fn of(pieces: &[Value], folder: &str) -> Self {
        let mut told = Self::default();
        let mut calls: Vec<(u64, String, String)> = Vec::new();
        let mut finish = BTreeMap::new();
        for choice in pieces.iter().flat_map(|piece| piece["choices"].as_array().unwrap()) {
            let said = if choice["delta"].is_null() || choice["message"].is_object() && pieces.len() == 1 {
                &choice["message"]
            } else {
                &choice["delta"]
            };
            told.text += &text_of(&said["content"]);
            told.refusal += said["refusal"].as_str().unwrap_or_default();
            told.reasoning += &thought(said);
            for call in said["tool_calls"].as_array().into_iter().flatten() {
                add_call(&mut calls, call, pieces.len() == 1);
            }
            if let Some(reason) = choice["finish_reason"].as_str() {
                finish.insert(choice["index"].as_u64().unwrap(), reason.to_owned());
            }
        }
        let parse =
            |text: &str| if text.is_empty() { json!({}) } else { serde_json::from_str(text).unwrap() };
        told.finish = finish.into_values().collect();
        told.calls = calls.iter().map(|(_, name, arguments)| (name.clone(), parse(arguments))).collect();
        told.usage = pieces
            .iter()
            .filter_map(usage_object)
            .next_back()
            .map(|usage| figures(usage, folder))
            .unwrap_or_default();
        told
    }
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn thought(said: &Value) -> String {
    for name in ["reasoning_content", "reasoning"] {
        if let Some(text) = said[name].as_str() {
            return text.to_owned();
        }
    }
    let parts = said["content"].as_array().into_iter().flatten();
    parts.map(|part| text_of(&part["thinking"])).collect()
}

fn add_call(calls: &mut Vec<(u64, String, String)>, call: &Value, whole: bool) {
    let (name, arguments) = (&call["function"]["name"], &call["function"]["arguments"]);
    if call["function"].is_null() {
        return; // a custom tool
    }
    let index = call["index"].as_u64().unwrap_or(0);
    let begins = whole || !calls.iter().any(|known| known.0 == index) || call["id"].is_string();
    if begins {
        calls.push((index, name.as_str().unwrap().to_owned(), String::new()));
    }
    let known = calls.iter_mut().rev().find(|known| known.0 == index).unwrap();
    known.2 += arguments.as_str().unwrap_or_default();
}

fn usage_object(piece: &Value) -> Option<&Value> {
    [&piece["usage"], &piece["x_groq"]["usage"]].into_iter().find(|usage| usage.is_object())
}

/// By the providers' conventions.
fn figures(usage: &Value, folder: &str) -> Usage {
    let count = |path: &str| usage.pointer(path).and_then(Value::as_u64);
    let (input, output) = (count("/prompt_tokens").unwrap(), count("/completion_tokens").unwrap());
    let mut figures = Usage::new(input, output);
    figures.cache_read = ["/prompt_tokens_details/cached_tokens", "/cached_tokens", "/num_cached_tokens"]
        .into_iter()
        .find_map(count)
        .unwrap_or(0);
    figures.cache_write = count("/prompt_tokens_details/cache_write_tokens").unwrap_or(0);
    figures.reasoning = count("/completion_tokens_details/reasoning_tokens").unwrap_or(0);
    match folder {
        "xai" => figures.output += figures.reasoning,
        "gemini" => {
            figures.output = count("/total_tokens").unwrap() - input;
            figures.reasoning = figures.output - output;
        }
        _ => {}
    }
    figures
}

/// The events of a stream that is known to be written plainly.
fn pieces(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter(|data| data.trim() != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// The recorded success answers of one interface, or none and a line that says so where they are not there.
pub(crate) fn recordings(folder: &str, api: &str) -> Vec<(String, Value)> {
    let shared = std::env::var_os("MAINSTAY_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), // beside the workspace
        PathBuf::from,
    );
    let Ok(files) = std::fs::read_dir(shared.join("fixtures").join(folder)) else {
        println!("SKIPPED: no recorded exchanges of {folder} at {} (set MAINSTAY_SHARED)", shared.display());
        return Vec::new();
    };
    let mut found: Vec<_> = files
        .flatten()
        .map(|file| file.path())
        .map(|path| {
            (path.display().to_string(), serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .filter(|(_, exchange): &(_, Value)| exchange["api"] == api && exchange["response"]["status"] == 200)
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

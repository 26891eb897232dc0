//! Every recorded exchange, read by the dialect and by a small reader that knows nothing of it.

use mainstay_provider_core::{ChatResponse, Usage};
use serde_json::Value;

use crate::config::AdapterConfig;
use crate::dialects::openai::profile::{self, Profile};
use crate::dialects::openai::tests::recorded::recordings;
use crate::dialects::openai::tests::{assembled, read, read_stream};

/// The folders of the recordings, and who they are of.
const PROVIDERS: [(&str, &str, &Profile); 5] = [
    ("openai", "openai", &profile::OPENAI),
    ("azure_openai", "azure-openai", &profile::AZURE),
    ("deepseek", "deepseek", &profile::DEEPSEEK),
    ("xai", "xai", &profile::XAI),
    ("openrouter", "openrouter", &profile::OPENROUTER),
];

#[test]
fn every_recorded_answer_says_what_the_provider_said() {
    let mut seen = 0;
    for (folder, kind, profile) in PROVIDERS {
        let dialect = super::super::dialect(&AdapterConfig::new(kind), profile).unwrap();
        for (name, exchange) in recordings(folder, "responses") {
            let recorded = &exchange["response"];
            let (answer, response) = match recorded["sse_text"].as_str() {
                None => (read(&*dialect, &recorded["body"]).unwrap().into_inner(), recorded["body"].clone()),
                Some(text) => {
                    let (chunks, error) = read_stream(&*dialect, text);
                    if let Some(expected) = exchange["expected_class"].as_str() {
                        assert_eq!(format!("{:?}", error.unwrap().kind()), expected, "{name}");
                        continue;
                    }
                    assert!(error.is_none(), "{name}: {error:?}");
                    (assembled(&chunks), last_response(text))
                }
            };
            if response["object"] == "response" {
                assert_eq!(Told::by(&answer), Told::of(&response), "{name}");
            }
            seen += 1;
        }
    }
    println!("{seen} recorded answers of Responses");
}

/// The whole answer that ends a stream.
fn last_response(text: &str) -> Value {
    let read = |line: &str| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok();
    text.lines().rev().filter_map(read).find(|event| event["response"].is_object()).unwrap()["response"]
        .take()
}

/// What an answer says, in a form that both readers can make.
#[derive(Debug, PartialEq)]
struct Told {
    id: String,
    text: String,
    reasoning: String,
    /// How many: OpenAI encrypts anew for each event of a stream.
    encrypted: usize,
    calls: Vec<(String, String, Value)>,
    citations: usize,
    finish: String,
    usage: Usage,
}

impl Told {
    /// By the dialect.
    fn by(answer: &ChatResponse) -> Self {
        let message = &answer.choices[0].message;
        let calls = message.tool_calls.iter().map(|call| {
            let function = call.function.as_ref().unwrap();
            (call.id.clone(), function.name.clone(), function.parse_arguments().unwrap())
        });
        Self {
            id: answer.id.clone(),
            text: message.text().into_owned(),
            reasoning: message.reasoning_content.clone().unwrap_or_default(),
            encrypted: message.thinking_blocks.iter().filter(|block| block.signature.is_some()).count(),
            calls: calls.collect(),
            citations: message.annotations.len(),
            finish: answer.finish_reason().unwrap().as_str().to_owned(),
            usage: answer.usage().unwrap(),
        }
    }

    /// By the independent reader.
    fn of(response: &Value) -> Self {
        let items = |kind: &'static str| {
            response["output"].as_array().unwrap().iter().filter(move |item| item["type"] == kind)
        };
        let parts = || items("message").flat_map(|item| item["content"].as_array().unwrap());
        let texts = |list: &Value| {
            let parts = list.as_array().into_iter().flatten();
            parts.map(|part| part["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let thought = |item: &Value| [texts(&item["summary"]), texts(&item["content"])].concat();
        let string = |value: &Value| value.as_str().unwrap().to_owned();
        let calls = items("function_call").map(|item| {
            let arguments = serde_json::from_str(item["arguments"].as_str().unwrap()).unwrap();
            (string(&item["call_id"]), string(&item["name"]), arguments)
        });
        let finish = match response["incomplete_details"]["reason"].as_str() {
            Some("max_output_tokens") => "length",
            Some(other) => other,
            None if items("function_call").next().is_some() => "tool_calls",
            None => "stop",
        };
        Self {
            id: string(&response["id"]),
            text: parts().filter_map(|part| part["text"].as_str()).collect(),
            reasoning: items("reasoning").flat_map(thought).collect::<Vec<_>>().join("\n\n"),
            encrypted: items("reasoning").filter(|item| item["encrypted_content"].is_string()).count(),
            calls: calls.collect(),
            citations: parts().map(|part| part["annotations"].as_array().map_or(0, Vec::len)).sum(),
            finish: finish.to_owned(),
            usage: figures(&response["usage"]),
        }
    }
}

fn figures(usage: &Value) -> Usage {
    let count = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let mut figures = Usage::new(count("/input_tokens"), count("/output_tokens"));
    figures.cache_read = count("/input_tokens_details/cached_tokens");
    figures.cache_write = count("/input_tokens_details/cache_write_tokens");
    figures.reasoning = count("/output_tokens_details/reasoning_tokens");
    figures
}

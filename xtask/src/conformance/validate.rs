//! Requests against the providers' OpenAPI documents.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Value, json};

use super::dialect::Wire;
use super::meaning::Sent;

/// The documents of a folder, compiled as they are needed.
pub(crate) struct Specs {
    folder: PathBuf,
    compiled: Mutex<Vec<(Place, std::sync::Arc<Validator>)>>,
}

/// A request body in a document: its file, and the path of its operation.
type Place = (&'static str, &'static str);

/// Each schema that is used; all are compiled and tried with a bad body before anything else.
const PLACES: &[Place] = &[
    ("openai.json", "/chat/completions"),
    ("openai.json", "/responses"),
    ("openai.json", "/embeddings"),
    ("azure_openai.json", "/deployments/{deployment-id}/chat/completions"),
    ("azure_openai.json", "/deployments/{deployment-id}/embeddings"),
    ("anthropic.json", "/v1/messages"),
    ("bedrock.json", "/model/{modelId}/converse"),
    ("gemini.json", "/models/{modelsId}:generateContent"),
    ("gemini.json", "/models/{modelsId}:embedContent"),
    ("gemini.json", "/models/{modelsId}:batchEmbedContents"),
    ("groq.json", "/openai/v1/chat/completions"),
    ("mistral.json", "/v1/chat/completions"),
    ("mistral.json", "/v1/embeddings"),
    ("ollama.json", "/api/chat"),
    ("ollama.json", "/api/embed"),
    ("openrouter.json", "/chat/completions"),
    ("openrouter.json", "/embeddings"),
    ("together.json", "/chat/completions"),
    ("together.json", "/embeddings"),
];

/// Where the body of such a request is described; `None` where no document may be had (Cohere).
///
/// xAI's document is wrong (its README says so) and OpenRouter's Responses items are too narrow; OpenAI's document
/// describes both, and every server that speaks OpenAI's dialect without a document of its own.
fn place(wire: Wire, kind: &str, path: &str) -> Option<Place> {
    let deployments = path.contains("/deployments/");
    Some(match (wire, kind) {
        (Wire::OpenAiChat, "azure-openai") if deployments => PLACES[3],
        (Wire::OpenAiChat, "groq") => PLACES[10],
        (Wire::OpenAiChat, "mistral") => PLACES[11],
        (Wire::OpenAiChat, "openrouter") => PLACES[15],
        (Wire::OpenAiChat, "together") => PLACES[17],
        (Wire::OpenAiChat, _) => PLACES[0],
        (Wire::Responses, _) => PLACES[1],
        (Wire::OpenAiEmbed, "azure-openai") if deployments => PLACES[4],
        (Wire::OpenAiEmbed, "mistral") => PLACES[12],
        (Wire::OpenAiEmbed, "openrouter") => PLACES[16],
        (Wire::OpenAiEmbed, "together") => PLACES[18],
        (Wire::OpenAiEmbed, _) => PLACES[2],
        (Wire::Anthropic, _) => PLACES[5],
        (Wire::Bedrock, _) => PLACES[6],
        (Wire::Gemini, _) => PLACES[7],
        (Wire::GeminiEmbed, _) if path.contains("batch") => PLACES[9],
        (Wire::GeminiEmbed, _) => PLACES[8],
        (Wire::OllamaChat, _) => PLACES[13],
        (Wire::OllamaEmbed, _) => PLACES[14],
        (Wire::Cohere | Wire::CohereEmbed | Wire::Other, _) => return None,
    })
}

impl Specs {
    /// Reads the documents and makes sure that each schema compiles and rejects a bad body: a schema that cannot be
    /// compiled would let everything pass.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let specs = Self { folder: folder.to_owned(), compiled: Mutex::default() };
        for place in PLACES {
            for bad in bad_bodies() {
                ensure!(
                    !specs.errors(*place, &bad).is_empty(),
                    "{}: the schema of {} lets {bad} pass",
                    place.0,
                    place.1
                );
            }
        }
        Ok(specs)
    }

    fn validator(&self, place: Place) -> Result<std::sync::Arc<Validator>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, validator)) = compiled.iter().find(|(known, _)| *known == place) {
            return Ok(validator.clone());
        }
        let (file, path) = place;
        let path_of_file = self.folder.join(file);
        let text = std::fs::read_to_string(&path_of_file)
            .with_context(|| format!("cannot read {}", path_of_file.display()))?;
        let document: Value = serde_json::from_str(&text).with_context(|| format!("{file} is no JSON"))?;
        let body = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"];
        ensure!(body.is_object(), "{file} describes no body for POST {path}");
        // The references point into `components`: with them at the root of the schema they resolve as they stand.
        let schema = json!({"allOf": [body], "components": document["components"]});
        let validator = jsonschema::draft202012::new(&schema)
            .map_err(|error| anyhow::anyhow!("{file}: the schema of {path} does not compile: {error}"))?;
        let validator = std::sync::Arc::new(validator);
        compiled.push((place, validator.clone()));
        Ok(validator)
    }

    /// Why the provider's document rejects a request.
    ///
    /// Where the document rejects `taken` too, a request that the provider took, it is not to be trusted: only what it
    /// holds against the sent request alone counts.
    pub(crate) fn flaw(&self, wire: Wire, kind: &str, sent: &Sent, taken: Option<&Value>) -> Option<String> {
        let place = place(wire, kind, &sent.path)?;
        let found = self.errors(place, &sent.body);
        let excused = taken.map(|body| self.errors(place, body)).unwrap_or_default();
        let (path, error) =
            found.into_iter().find(|(path, _)| !excused.iter().any(|(known, _)| known == path))?;
        // Azure's document is of 2024-10-21; later versions take what OpenAI's own document has.
        if place.0 == "azure_openai.json" && self.errors(PLACES[0], &sent.body).is_empty() {
            return None;
        }
        Some(format!("{} {} rejects it at {path:?}: {}", place.0, place.1, short(&error)))
    }

    /// Where the neutral request itself breaks the rules of the dialect that it is written in.
    pub(crate) fn is_callers_fault(&self, neutral: &Value) -> bool {
        !self.errors(PLACES[0], neutral).is_empty()
    }

    /// Each place of a body that a document rejects, and why, less what the document is known to have wrong.
    fn errors(&self, place: Place, body: &Value) -> Vec<(String, String)> {
        let validator = match self.validator(place) {
            Ok(validator) => validator,
            Err(error) => return vec![(String::new(), format!("{error:#}"))],
        };
        let body = as_documented(place, body);
        let errors = validator.iter_errors(&body).filter(|error| {
            // Together's document has the schema of a call where that of a choice belongs.
            let choice = place.0 == "together.json" && error.instance_path().to_string() == "/tool_choice";
            !is_overlap(error) && !choice
        });
        errors.map(|error| (error.instance_path().to_string(), error.to_string())).collect()
    }

    /// Whether there is a document for such requests.
    pub(crate) fn has(wire: Wire, kind: &str) -> bool {
        place(wire, kind, "").is_some()
    }
}

/// Bodies that no provider takes: members of the wrong type, and a part without its text.
fn bad_bodies() -> [Value; 2] {
    let part = json!({"type": "text", "text": {"a": 1}});
    let turn = json!({"role": "user", "content": [part], "parts": [part]});
    [
        json!({"model": {"a": 1}, "messages": 7, "contents": 7, "content": 7, "requests": 7, "input": {"a": 1}}),
        json!({
            "model": "m", "max_tokens": 9, "messages": [turn], "contents": [turn], "content": turn,
            "requests": [{"content": turn}], "input": [turn],
        }),
    ]
}

/// Whether all that is wrong is that alternatives of the document overlap: the body fits more than one of them, where
/// `oneOf` wants exactly one.
fn is_overlap(error: &ValidationError<'_>) -> bool {
    match error.kind() {
        ValidationErrorKind::OneOfMultipleValid { .. } => true,
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            context.iter().any(|alternative| !alternative.is_empty() && alternative.iter().all(is_overlap))
        }
        _ => false,
    }
}

/// OpenAI's document demands an id of a replayed reasoning item that the API does not insist on: recordings have none.
fn as_documented<'a>(place: Place, body: &'a Value) -> Cow<'a, Value> {
    let lacks_id = |item: &Value| item["type"] == "reasoning" && item.get("id").is_none();
    let items = body.get("input").and_then(Value::as_array);
    if place != PLACES[1] || !items.is_some_and(|items| items.iter().any(lacks_id)) {
        return Cow::Borrowed(body);
    }
    let mut body = body.clone();
    for item in body["input"].as_array_mut().into_iter().flatten().filter(|item| lacks_id(item)) {
        item["id"] = "rs_0".into();
    }
    Cow::Owned(body)
}

fn short(text: &str) -> String {
    const LONGEST: usize = 300;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

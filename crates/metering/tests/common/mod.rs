//! Recorded exchanges with real providers, where they are: `$MAINSTAY_SHARED/fixtures`, or `../shared/fixtures` beside
//! the workspace. Read here in a few lines and independently of the adapters; they are data and not part of this crate.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads the environment, and files that are there"
)]

mod asked;
mod used;

use std::path::{Path, PathBuf};

use mainstay_provider_core::{ChatRequest, Usage};
use serde_json::Value;

/// One answered exchange.
pub(crate) struct Exchange {
    /// `openai/chat_plain_01`
    pub(crate) id: String,
    /// As the adapters name it.
    pub(crate) provider: String,
    pub(crate) api: String,
    /// As it was asked for, or as the answer names it.
    pub(crate) model: String,
    pub(crate) usage: Usage,
    /// What the provider says that the tokens cost, in US dollars.
    pub(crate) billed: Option<f64>,
    /// The request in the neutral form.
    pub(crate) request: Option<ChatRequest>,
    /// Why the request cannot be counted: it is not all there.
    pub(crate) hidden: Option<&'static str>,
}

/// All answered exchanges with usage; `None` when there are no recordings on this machine.
pub(crate) fn exchanges() -> Option<Vec<Exchange>> {
    let folder = folder()?;
    let mut files = Vec::new();
    for provider in
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        files.extend(std::fs::read_dir(provider).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Some(files.iter().filter_map(|path| exchange(path)).collect())
}

fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("MAINSTAY_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    Some(shared.join("fixtures")).filter(|folder| folder.is_dir())
}

fn exchange(path: &Path) -> Option<Exchange> {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let text = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
    if !file["expected_class"].is_null() || file["response"]["status"] != 200 {
        return None;
    }
    let (provider, api) = (text("provider"), text("api"));
    let answers = used::answers(&file["response"]);
    let usage = used::usage(&api, &answers)?;
    let asked = &file["request"]["body"];
    let path = file["request"]["path"].as_str().unwrap_or_default();
    let model = asked["model"]
        .as_str()
        .map(str::to_owned)
        .or_else(|| asked::model_in(path))
        .or_else(|| used::model(&answers))?;
    let (request, hidden) = match asked {
        Value::Object(_) => asked::request(&api, &model, asked),
        _ => (None, Some("there is no request")),
    };
    let hidden = hidden
        .or_else(|| request.as_ref().filter(|request| repeats(request)).map(|_| "one phrase over and over"));
    Some(Exchange {
        id: format!("{provider}/{}", text("name")),
        provider: if provider == "azure_openai" { "azure-openai".into() } else { provider },
        api,
        model: model.trim_start_matches("models/").to_owned(),
        usage,
        billed: used::billed(&answers),
        request,
        hidden,
    })
}

/// Whether the request is one phrase said hundreds of times, to fill a prompt cache. What a vocabulary makes of that one
/// phrase says nothing of texts.
fn repeats(request: &ChatRequest) -> bool {
    request.messages.iter().any(|message| {
        let text = message.text();
        let words = text.split_whitespace().count();
        let different = text.split_whitespace().collect::<std::collections::BTreeSet<_>>().len();
        words >= 200 && different * 10 < words
    })
}

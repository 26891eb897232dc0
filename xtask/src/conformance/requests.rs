//! Hand-made neutral requests, one per feature, sent by every provider's adapter and held against its document.

use mainstay_adapters::{Adapter, Api};
use mainstay_provider_core::{Call, ChatRequest, ErrorKind, Provider as _};
use serde_json::{Value, json};

use super::dialect::{Target, Wire};
use super::features::features;
use super::meaning::Sent;
use super::replay::Stage;
use super::server::Scripted;
use super::{auth, validate::Specs};

/// Every provider, the interface it is asked by, and a model of its own.
const PROVIDERS: &[(&str, Wire, Api, &str)] = &[
    ("openai", Wire::OpenAiChat, Api::Default, "gpt-4.1"),
    ("openai", Wire::OpenAiChat, Api::Default, "gpt-5-mini"),
    ("openai", Wire::Responses, Api::Responses, "gpt-5-mini"),
    ("azure-openai", Wire::OpenAiChat, Api::Default, "gpt-4.1"),
    ("azure-openai", Wire::Responses, Api::Responses, "gpt-4.1"),
    ("anthropic", Wire::Anthropic, Api::Default, "claude-sonnet-4-5"),
    ("anthropic", Wire::Anthropic, Api::Default, "claude-opus-4-8"),
    ("gemini", Wire::Gemini, Api::Default, "gemini-2.5-flash"),
    ("gemini", Wire::Gemini, Api::Default, "gemini-3-pro-preview"),
    ("gemini", Wire::OpenAiChat, Api::ChatCompletions, "gemini-2.5-flash"),
    ("vertex", Wire::Gemini, Api::Default, "gemini-2.5-flash"),
    ("bedrock", Wire::Bedrock, Api::Default, "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("bedrock", Wire::Bedrock, Api::Default, "us.amazon.nova-lite-v1:0"),
    ("cohere", Wire::Cohere, Api::Default, "command-a-03-2025"),
    ("mistral", Wire::OpenAiChat, Api::Default, "mistral-large-latest"),
    ("ollama", Wire::OllamaChat, Api::Default, "qwen3:0.6b"),
    ("ollama", Wire::OpenAiChat, Api::ChatCompletions, "qwen3:0.6b"),
    ("groq", Wire::OpenAiChat, Api::Default, "openai/gpt-oss-20b"),
    ("deepseek", Wire::OpenAiChat, Api::Default, "deepseek-chat"),
    ("deepseek", Wire::Responses, Api::Responses, "deepseek-v4-flash"),
    ("xai", Wire::OpenAiChat, Api::Default, "grok-4.3"),
    ("xai", Wire::Responses, Api::Responses, "grok-4.3"),
    ("openrouter", Wire::OpenAiChat, Api::Default, "anthropic/claude-sonnet-4.5"),
    ("openrouter", Wire::Responses, Api::Responses, "openai/gpt-5-mini"),
    ("together", Wire::OpenAiChat, Api::Default, "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    ("perplexity", Wire::OpenAiChat, Api::Default, "sonar"),
    ("cerebras", Wire::OpenAiChat, Api::Default, "gpt-oss-120b"),
    ("huggingface", Wire::OpenAiChat, Api::Default, "openai/gpt-oss-120b"),
    ("vllm", Wire::OpenAiChat, Api::Default, "Qwen/Qwen3-0.6B"),
    ("zai", Wire::OpenAiChat, Api::Default, "glm-5.3"),
];

/// Sends every feature through every provider. Whether all that was sent fits the documents, and all that was refused
/// names its parameter.
pub(crate) async fn validate_all(stage: &Stage, specs: &Specs, only: Option<&str>) -> bool {
    let (mut fit, mut unchecked, mut refused, mut failed) = (0, 0, 0, 0);
    for (kind, wire, api, model) in PROVIDERS {
        let target = target(kind, *api, model);
        for (feature, mut request) in features() {
            let id = format!("{kind} {wire:?} {model}: {feature}");
            if only.is_some_and(|only| !id.contains(only)) {
                continue;
            }
            request["model"] = (*model).into();
            match validate(stage, specs, &target, *wire, &request).await {
                Verdict::Fits if Specs::has(*wire, kind) => {
                    println!("fits    {id}");
                    fit += 1;
                }
                Verdict::Fits => {
                    println!("sent    {id}  (no document)");
                    unchecked += 1;
                }
                Verdict::CallersFault => {
                    println!("passed  {id}  (no valid request of OpenAI's either: the provider decides)");
                    unchecked += 1;
                }
                Verdict::Refused(why) => {
                    println!("refused {id}  {why}");
                    refused += 1;
                }
                Verdict::Fails(why) => {
                    println!("FAIL    {id}  {why}\n        {request}");
                    failed += 1;
                }
            }
        }
    }
    println!(
        "\n{fit} fit their document, {unchecked} have none or were no valid requests, {refused} refused by the adapter with a reason, {failed} FAIL"
    );
    failed == 0
}

enum Verdict {
    Fits,
    /// The adapter says that the provider has no such thing; the caller learns which parameter and what to do.
    Refused(String),
    Fails(String),
    /// OpenAI's own document rejects the neutral request; it was passed on.
    CallersFault,
}

fn target(kind: &str, api: Api, model: &str) -> Target {
    Target {
        exchange: String::new(),
        kind: kind.into(),
        api,
        prefix: String::new(),
        model: model.into(),
        project: Some("project-1".into()),
        region: Some("us-central1".into()),
        api_version: None,
        headers: Vec::new(),
    }
}

async fn validate(stage: &Stage, specs: &Specs, target: &Target, wire: Wire, request: &Value) -> Verdict {
    // The answer is of no interest; a plain refusal ends the call.
    stage.server.play(Scripted::json(400, &json!({"error": {"message": "not today"}})));
    let chat: ChatRequest = match serde_json::from_value(request.clone()) {
        Ok(chat) => chat,
        Err(error) => return Verdict::Fails(format!("the neutral form cannot hold it: {error}")),
    };
    let adapter = match Adapter::new(target.config(&stage.server.origin), &stage.transport) {
        Ok(adapter) => adapter,
        Err(error) => return Verdict::Fails(error.message().to_owned()),
    };
    let error = adapter.ask(Call::new(chat)).await.err();
    let received = stage.server.received();
    let Some(received) = received.first() else {
        return match error {
            Some(error) if error.kind() == ErrorKind::InvalidRequest && error.param().is_some() => {
                Verdict::Refused(format!("{}: {}", error.param().unwrap_or_default(), error.message()))
            }
            Some(error) => {
                Verdict::Fails(format!("not sent, and no parameter is named: {error}: {}", error.message()))
            }
            None => Verdict::Fails("nothing was sent".into()),
        };
    };
    if let Some(flaw) = auth::flaw(target, received) {
        return Verdict::Fails(flaw);
    }
    let body = match serde_json::from_slice::<Value>(&received.body) {
        Ok(body) => body,
        Err(error) => return Verdict::Fails(format!("the body is no JSON: {error}")),
    };
    if let Some(path) = null_in(&body, "$") {
        return Verdict::Fails(format!("{path} is null"));
    }
    let sent = Sent { method: received.method.clone(), path: received.path.clone(), body };
    match specs.flaw(wire, &target.kind, &sent, None) {
        // The neutral form is this very dialect: what is wrong in it is the caller's, and the provider tells him.
        Some(_) if wire == Wire::OpenAiChat && specs.is_callers_fault(request) => Verdict::CallersFault,
        Some(flaw) => Verdict::Fails(format!("{flaw}\n        sent {}", sent.body)),
        None => Verdict::Fits,
    }
}

/// Where a null stands outside of schemas and arguments; no provider needs one and several refuse them.
fn null_in(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null => Some(path.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| null_in(item, &format!("{path}[{at}]")))
        }
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !["parameters", "schema", "input_schema", "json"].contains(&name.as_str()))
            .find_map(|(name, member)| null_in(member, &format!("{path}.{name}"))),
        _ => None,
    }
}

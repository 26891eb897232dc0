//! The request: everything but its messages and tools.

use mainstay_provider_core::chat::{ChatRequest, JsonSchema};
use mainstay_provider_core::{Error, Extra};
use serde_json::{Map, Value, json};

use super::{messages, reasoning, tools};
use crate::translate::claude::{self, Form};
use crate::translate::{invalid, merge_parameters, put};

/// Members of OpenAI's requests that Bedrock has no use for and would refuse.
pub(super) const DROPPED: &[&str] = &[
    "audio",
    "logit_bias",
    "metadata", // becomes `requestMetadata`
    "modalities",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier", // becomes `serviceTier`
    "store",
    "verbosity",
    "web_search_options",
];

/// Members of Converse's requests, besides those that the neutral form has words for; all others are the model's.
const OWN: &[&str] = &[
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "inferenceConfig",
    "outputConfig",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
    "system",
    "toolConfig",
];

/// Where the parameters are that only the model knows.
pub(super) const MODEL_FIELDS: &str = "additionalModelRequestFields";

/// The body of a request to `model`.
pub(super) fn body(request: &ChatRequest, model: &str) -> Result<Map<String, Value>, Error> {
    refuse_what_is_lost(request)?;
    let form = claude::form(request.response_format.as_ref())?;
    let mut conversation = messages::conversation(&request.messages)?;
    if let Form::Object = form {
        conversation.system.push(json!({"text": claude::JSON_OBJECT}));
    }
    let mut body = Map::new();
    put(&mut body, "toolConfig", tools::config(request, &conversation.turns)?);
    body.insert("messages".into(), conversation.turns.into());
    put_filled(&mut body, "system", conversation.system);
    put_inference(&mut body, request);
    if let Form::Schema(schema) = form {
        body.insert("outputConfig".into(), json!({"textFormat": text_format(schema)}));
    }
    reasoning::put(&mut body, request, model)?;
    put_metadata(&mut body, request);
    put(&mut body, "serviceTier", service_tier(request));
    put_parameters(&mut body, &request.extra);
    Ok(body)
}

/// Refuses parameters whose loss would change what the answer means.
fn refuse_what_is_lost(request: &ChatRequest) -> Result<(), Error> {
    if request.n.is_some_and(|n| n > 1) {
        return Err(invalid("n", "Bedrock gives one answer per request; leave n out and ask several times"));
    }
    if request.logprobs == Some(true) || request.top_logprobs.is_some_and(|n| n > 0) {
        return Err(invalid(
            "logprobs",
            "Bedrock has no token probabilities; leave logprobs and top_logprobs out",
        ));
    }
    if request.temperature.is_some_and(|temperature| temperature > 1.0) {
        return Err(invalid("temperature", "Bedrock's temperature goes from 0 to 1; send at most 1"));
    }
    if request.extra.get("functions").is_some() {
        return Err(invalid("functions", "functions is OpenAI's old form; send tools"));
    }
    Ok(())
}

fn put_filled(body: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    put(body, name, (!list.is_empty()).then_some(list));
}

fn put_inference(body: &mut Map<String, Value>, request: &ChatRequest) {
    let mut inference = Map::new();
    put(&mut inference, "maxTokens", request.max_output_tokens());
    put(&mut inference, "temperature", request.temperature);
    put(&mut inference, "topP", request.top_p);
    let stop = request.stop.as_ref().map(|stop| stop.as_slice()).unwrap_or_default();
    put(&mut inference, "stopSequences", (!stop.is_empty()).then(|| stop.to_vec()));
    put(body, "inferenceConfig", (!inference.is_empty()).then_some(inference));
}

fn text_format(schema: JsonSchema) -> Value {
    let mut definition = Map::new();
    definition.insert("schema".into(), schema.schema.unwrap_or_default().to_string().into());
    definition.insert("name".into(), schema.name.into());
    put(&mut definition, "description", schema.description);
    json!({"type": "json_schema", "structure": {"jsonSchema": definition}})
}

/// `metadata` and `user` as far as AWS's characters and lengths allow; they only mark the request in AWS's logs.
fn put_metadata(body: &mut Map<String, Value>, request: &ChatRequest) {
    const LONGEST: usize = 256;
    const MOST: usize = 16;
    let allowed = |character: char| {
        // Between `,` and `.` the published pattern holds all three.
        character.is_ascii_alphanumeric()
            || character.is_ascii_whitespace()
            || ":_@$#=/+,-.".contains(character)
    };
    let fits = |text: &str| text.len() <= LONGEST && text.chars().all(allowed);
    let metadata = request.extra.get("metadata").and_then(Value::as_object).into_iter().flatten();
    let metadata = metadata.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    let user = request.user.as_deref().map(|user| ("user", user));
    let marks = metadata.chain(user).filter(|(name, value)| !name.is_empty() && fits(name) && fits(value));
    let marks: Map<_, _> = marks.take(MOST).map(|(name, value)| (name.to_owned(), value.into())).collect();
    put(body, "requestMetadata", (!marks.is_empty()).then_some(marks));
}

/// `auto` is what Bedrock does without a word.
fn service_tier(request: &ChatRequest) -> Option<Value> {
    let tier = request.extra.get("service_tier")?.as_str()?;
    matches!(tier, "default" | "flex" | "priority" | "reserved").then(|| json!({"type": tier}))
}

/// The parameters that pass through (S1.9).
fn put_parameters(body: &mut Map<String, Value>, extra: &Extra) {
    let passing = extra.iter().filter(|(name, value)| !value.is_null() && !DROPPED.contains(&name.as_str()));
    let (own, model): (Vec<_>, Vec<_>) = passing.partition(|(name, _)| OWN.contains(&name.as_str()));
    let collect = |members: Vec<(&String, &Value)>| -> Map<String, Value> {
        members.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    if !model.is_empty() {
        let fields = Map::from_iter([(MODEL_FIELDS.to_owned(), Value::Object(collect(model)))]);
        merge_parameters(body, &fields.into());
    }
    merge_parameters(body, &collect(own).into());
}

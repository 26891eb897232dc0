//! Chat requests.

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{ChatRequest, ResponseFormat, Stop};
use serde_json::{Map, Value, json};

use super::contents::conversation;
use super::thinking::Family;
use super::{Place, thinking, tools};
use crate::translate::{invalid, merge_parameters, put};

/// OpenAI's parameters that Google has no use for and would refuse. `user`, `parallel_tool_calls`,
/// `stream_options` and the like are fields of the request and are simply not written.
const DROPPED: [&str; 14] = [
    "store",
    "metadata",
    "logit_bias",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "safety_identifier",
    "verbosity",
    "prediction",
    "web_search_options",
    "audio",
    "moderation",
    "cache_control",
    "extra_headers",
];

/// Members of `generationConfig`: a caller may also write them at the top level, as other providers have it.
const GENERATION: [&str; 23] = [
    "audioTimestamp",
    "audioTranscriptionConfig",
    "candidateCount",
    "enableAffectiveDialog",
    "enableEnhancedCivicAnswers",
    "frequencyPenalty",
    "imageConfig",
    "logprobs",
    "maxOutputTokens",
    "mediaResolution",
    "modelSelectionConfig",
    "presencePenalty",
    "responseJsonSchema",
    "responseLogprobs",
    "responseMimeType",
    "responseModalities",
    "responseSchema",
    "routingConfig",
    "speechConfig",
    "stopSequences",
    "thinkingConfig",
    "topK",
    "translationConfig",
];

/// Members of the request itself; any other unknown parameter goes there as it is written.
const TOP_LEVEL: [&str; 8] = [
    "cachedContent",
    "generationConfig",
    "labels",
    "modelArmorConfig",
    "safetySettings",
    "serviceTier",
    "systemInstruction",
    "toolConfig",
];

/// The body of a chat request.
pub(super) fn body(request: &ChatRequest, model: &str, place: &Place) -> Result<Map<String, Value>, Error> {
    let parameters = Parameters::of(request, place);
    let family = Family::of(model);
    let conversation = conversation(&request.messages, place, family)?;
    let mut body = Map::new();
    if !conversation.system.is_empty() {
        body.insert("systemInstruction".into(), json!({ "parts": conversation.system }));
    }
    body.insert("contents".into(), conversation.contents.into());
    let tools = tools::tools(&request.tools);
    if !tools.is_empty() {
        body.insert("tools".into(), tools.into());
    }
    if let Some(config) = tools::calling_config(request)? {
        body.insert("toolConfig".into(), json!({ "functionCallingConfig": config }));
    }
    let mut generation = generation(request, model, &parameters)?;
    merge_parameters(&mut generation, &parameters.generation.into());
    if !generation.is_empty() {
        body.insert("generationConfig".into(), generation.into());
    }
    merge_parameters(&mut body, &parameters.top.into());
    Ok(body)
}

/// The caller's own parameters, sorted by where Google wants them.
#[derive(Default)]
struct Parameters {
    top: Map<String, Value>,
    generation: Map<String, Value>,
}

impl Parameters {
    fn of(request: &ChatRequest, place: &Place) -> Self {
        let mut parameters = Self::default();
        for (name, value) in request.extra.iter() {
            match (name.as_str(), value) {
                (name, _) if DROPPED.contains(&name) => {}
                // The form of Google's own OpenAI dialect: {"extra_body": {"google": {"thinking_config": …}}}.
                ("extra_body" | "google", Value::Object(members)) => {
                    let members = members.get("google").and_then(Value::as_object).unwrap_or(members);
                    members.iter().for_each(|(name, value)| parameters.add(name, value));
                }
                ("modalities", value) => parameters.modalities(value),
                ("service_tier", Value::String(tier)) => parameters.service_tier(tier, place),
                (name, value) => parameters.add(name, value),
            }
        }
        parameters
    }

    fn add(&mut self, name: &str, value: &Value) {
        let camel = camel_case(name);
        match value {
            Value::Null => {}
            Value::Object(members) if camel == "generationConfig" => {
                members.iter().for_each(|(name, value)| self.add_generation(camel_case(name), value));
            }
            _ if GENERATION.contains(&camel.as_str()) => self.add_generation(camel, value),
            _ if TOP_LEVEL.contains(&camel.as_str()) => {
                self.top.insert(camel, value.clone());
            }
            _ => {
                self.top.insert(name.to_owned(), value.clone());
            }
        }
    }

    fn add_generation(&mut self, name: String, value: &Value) {
        let value = match value {
            // Both spellings of one member in one object would be refused.
            Value::Object(members) if name == "thinkingConfig" => members
                .iter()
                .map(|(name, value)| (camel_case(name), upper_case_level(name, value)))
                .collect(),
            other => other.clone(),
        };
        self.generation.insert(name, value);
    }

    /// What kinds of content the answer may have; text alone is understood.
    fn modalities(&mut self, value: &Value) {
        let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        let words: Vec<_> = words.map(str::to_ascii_uppercase).collect();
        if words.iter().any(|word| word != "TEXT") {
            self.generation.insert("responseModalities".into(), words.into());
        }
    }

    fn service_tier(&mut self, tier: &str, place: &Place) {
        let tier = match tier {
            "default" => "standard",
            "flex" | "priority" | "standard" => tier,
            _ => return,
        };
        // Vertex chooses its tier by header.
        if !place.is_vertex() {
            self.top.insert("serviceTier".into(), tier.into());
        }
    }

    /// Whether the caller itself says how hard to think: Google refuses two measures of it.
    fn measures_thinking(&self) -> bool {
        let config = self.generation.get("thinkingConfig");
        config.is_some_and(|config| {
            config.get("thinkingLevel").is_some() || config.get("thinkingBudget").is_some()
        })
    }
}

fn upper_case_level(name: &str, value: &Value) -> Value {
    match value {
        Value::String(level) if camel_case(name) == "thinkingLevel" => level.to_ascii_uppercase().into(),
        other => other.clone(),
    }
}

fn generation(
    request: &ChatRequest,
    model: &str,
    parameters: &Parameters,
) -> Result<Map<String, Value>, Error> {
    let mut config = Map::new();
    put(&mut config, "maxOutputTokens", request.max_output_tokens());
    put(&mut config, "temperature", request.temperature);
    put(&mut config, "topP", request.top_p);
    put(&mut config, "stopSequences", request.stop.as_ref().map(Stop::as_slice).map(<[String]>::to_vec));
    put(&mut config, "candidateCount", request.n.filter(|n| *n != 1));
    // Google's seed has 32 bits: the low ones of a longer one still fix the chance.
    #[allow(clippy::cast_possible_truncation)]
    put(&mut config, "seed", request.seed.map(|seed| seed as i32));
    put(&mut config, "presencePenalty", request.presence_penalty);
    put(&mut config, "frequencyPenalty", request.frequency_penalty);
    if request.logprobs == Some(true) {
        config.insert("responseLogprobs".into(), true.into());
        put(&mut config, "logprobs", request.top_logprobs.filter(|top| *top > 0));
    }
    if let Some(format) = &request.response_format {
        response_format(format, &mut config)?;
    }
    if let Some(effort) = request.reasoning_effort.as_deref()
        && !parameters.measures_thinking()
    {
        put(&mut config, "thinkingConfig", thinking::config(effort, model)?);
    }
    Ok(config)
}

fn response_format(format: &ResponseFormat, config: &mut Map<String, Value>) -> Result<(), Error> {
    let schema = match format {
        ResponseFormat::Text => return Ok(()),
        ResponseFormat::JsonObject => None,
        ResponseFormat::JsonSchema(schema) => schema.schema.clone(),
        // Several OpenAI-compatible servers take the schema beside the type.
        ResponseFormat::Other(members) if members.get("type").is_some_and(|kind| kind == "json_object") => {
            members.get("schema").or_else(|| members.get("response_schema")).cloned()
        }
        _ => {
            let message =
                "response_format has a type that Gemini does not know; take text, json_object or json_schema";
            return Err(invalid("response_format", message));
        }
    };
    config.insert("responseMimeType".into(), "application/json".into());
    put(config, "responseJsonSchema", schema);
    Ok(())
}

/// `thinking_config` as `thinkingConfig`.
pub(super) fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

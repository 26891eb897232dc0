//! Gemini generateContent, also Vertex.

use serde_json::{Value, json};

use super::{function_call, function_tool};
use crate::conformance::json::{Look as _, Object, is_empty, object, put, rename};
use crate::conformance::meaning::camel_case;

/// Ids that this translator invents where the recording has none begin so.
pub(crate) const INVENTED_ID: &str = "call_invented_";

pub(super) fn generate(body: &Value, path: &str) -> Value {
    let body = camel_case(body);
    let mut rest = object(&body);
    let mut chat = Object::new();
    rest.remove("model");
    let model = path.rsplit("/models/").next().and_then(|rest| rest.split(':').next()).unwrap_or_default();
    chat.insert("model".into(), model.into());
    if path.contains(":streamGenerateContent") {
        chat.insert("stream".into(), true.into());
    }
    let mut turns = Turns::default();
    if let Some(system) = rest.remove("systemInstruction") {
        let text: String = system.items("parts").iter().map(|part| part.text("text")).collect();
        turns.list.push(json!({"role": "system", "content": text}));
    }
    for content in rest.remove("contents").unwrap_or_default().as_array().into_iter().flatten() {
        turns.add(content);
    }
    chat.insert("messages".into(), turns.list.into());
    generation(&mut rest, &mut chat);
    tools(&mut rest, &mut chat);
    // safetySettings, cachedContent, toolConfig modes of Gemini's own, modelArmorConfig, …
    chat.extend(rest);
    Value::Object(chat)
}

fn generation(rest: &mut Object, chat: &mut Object) {
    let Some(Value::Object(mut config)) = rest.remove("generationConfig") else { return };
    let names = [
        ("maxOutputTokens", "max_tokens"),
        ("temperature", "temperature"),
        ("topP", "top_p"),
        ("stopSequences", "stop"),
        ("seed", "seed"),
        ("presencePenalty", "presence_penalty"),
        ("frequencyPenalty", "frequency_penalty"),
        ("candidateCount", "n"),
        ("responseLogprobs", "logprobs"),
        ("logprobs", "top_logprobs"),
    ];
    for (theirs, ours) in names {
        rename(&mut config, theirs, chat, ours);
    }
    if config.get("responseMimeType").is_some_and(|kind| kind == "application/json") {
        config.remove("responseMimeType");
        let schema = config.remove("responseJsonSchema").or_else(|| config.remove("responseSchema"));
        chat.insert("response_format".into(), match schema {
            Some(schema) => {
                json!({"type": "json_schema", "json_schema": {"name": "response", "schema": schema, "strict": true}})
            }
            None => json!({"type": "json_object"}),
        });
    }
    if !config.is_empty() {
        rest.insert("generationConfig".into(), config.into());
    }
}

fn tools(rest: &mut Object, chat: &mut Object) {
    let mut list = Vec::new();
    for tool in rest.remove("tools").unwrap_or_default().as_array().into_iter().flatten() {
        for declaration in tool.items("functionDeclarations") {
            let schema = declaration.some("parametersJsonSchema").or(declaration.some("parameters"));
            let schema = schema.unwrap_or(&Value::Null);
            list.push(function_tool(
                &declaration["name"],
                &declaration["description"],
                schema,
                &Value::Null,
                Object::new(),
            ));
        }
        for (kind, settings) in object(tool).into_iter().filter(|(kind, _)| kind != "functionDeclarations") {
            let mut native = Object::new();
            native.insert("type".into(), kind.clone().into());
            native.insert(kind, settings);
            list.push(native.into());
        }
    }
    if !list.is_empty() {
        chat.insert("tools".into(), list.into());
    }
    let Some(config) = rest.get("toolConfig").and_then(|config| config.get("functionCallingConfig")) else {
        return;
    };
    let choice = match (config.text("mode"), config.items("allowedFunctionNames")) {
        ("AUTO", []) => "auto".into(),
        ("NONE", []) => "none".into(),
        ("ANY", []) => "required".into(),
        ("ANY", [only]) => json!({"type": "function", "function": {"name": only}}),
        _ => return,
    };
    chat.insert("tool_choice".into(), choice);
    if let Some(Value::Object(config)) = rest.get_mut("toolConfig") {
        config.remove("functionCallingConfig");
        if config.is_empty() {
            rest.remove("toolConfig");
        }
    }
}

/// The conversation so far; calls without ids get invented ones that their results then use.
#[derive(Default)]
struct Turns {
    list: Vec<Value>,
    open: Vec<(String, String)>,
    invented: usize,
}

impl Turns {
    fn add(&mut self, content: &Value) {
        match content.text("role") {
            "model" => {
                let message = self.model(content.items("parts"));
                self.list.push(message);
            }
            "" | "user" | "function" => self.user(content.items("parts")),
            role => {
                let text: String = content.items("parts").iter().map(|part| part.text("text")).collect();
                self.list.push(json!({"role": role, "content": text}));
            }
        }
    }

    fn model(&mut self, parts: &[Value]) -> Value {
        let mut message = object(&json!({"role": "assistant"}));
        let (mut said, mut calls, mut thoughts) = (String::new(), Vec::new(), String::new());
        for part in parts {
            if let Some(call) = part.get("functionCall") {
                calls.push(self.call(call, part.some("thoughtSignature")));
            } else if part.get("thought") == Some(&Value::Bool(true)) {
                thoughts.push_str(part.text("text"));
            } else {
                said.push_str(part.text("text"));
                if let Some(signature) = part.some("thoughtSignature") {
                    message
                        .insert("extra_content".into(), json!({"google": {"thought_signature": signature}}));
                }
            }
        }
        if !said.is_empty() {
            message.insert("content".into(), said.into());
        }
        if !thoughts.is_empty() {
            message.insert("reasoning_content".into(), thoughts.into());
        }
        if !calls.is_empty() {
            message.insert("tool_calls".into(), calls.into());
        }
        Value::Object(message)
    }

    fn call(&mut self, call: &Value, signature: Option<&Value>) -> Value {
        let name = call.text("name");
        let id = match call.text("id") {
            "" => {
                self.invented += 1;
                format!("{INVENTED_ID}{}", self.invented)
            }
            id => id.to_owned(),
        };
        self.open.push((name.to_owned(), id.clone()));
        let arguments = call.some("args").cloned().unwrap_or_else(|| json!({}));
        let mut neutral = object(&function_call(&id, name, &arguments));
        if let Some(signature) = signature {
            neutral.insert("extra_content".into(), json!({"google": {"thought_signature": signature}}));
        }
        Value::Object(neutral)
    }

    fn user(&mut self, parts: &[Value]) {
        let mut said = Vec::new();
        for part in parts {
            match part.get("functionResponse") {
                Some(response) => {
                    let message = self.result(response);
                    self.list.push(message);
                }
                None => said.push(user_part(part)),
            }
        }
        if !said.is_empty() {
            self.list.push(json!({"role": "user", "content": super::plain_if_one_text(said)}));
        }
    }

    fn result(&mut self, response: &Value) -> Value {
        let name = response.text("name");
        let at = self.open.iter().position(|(called, _)| called == name);
        let id = match (response.text("id"), at) {
            ("", Some(at)) => self.open.remove(at).1,
            (id, _) => id.to_owned(),
        };
        let mut message = object(&json!({"role": "tool", "tool_call_id": id}));
        message.insert("content".into(), response["response"].to_string().into());
        put(&mut message, "name", name.into());
        Value::Object(message)
    }
}

fn user_part(part: &Value) -> Value {
    if let Some(text) = part.get("text").filter(|_| part.as_object().is_some_and(|part| part.len() == 1)) {
        return json!({"type": "text", "text": text});
    }
    if let Some(data) = part.get("inlineData").filter(|data| data.text("mimeType").starts_with("image/")) {
        let url = format!("data:{};base64,{}", data.text("mimeType"), data.text("data"));
        return json!({"type": "image_url", "image_url": {"url": url}});
    }
    if let Some(file) = part.get("fileData").filter(|file| file.text("mimeType").starts_with("image/")) {
        return json!({"type": "image_url", "image_url": {"url": file["fileUri"]}});
    }
    debug_assert!(!is_empty(part));
    // Videos, sounds, documents: Gemini's own words pass through.
    part.clone()
}

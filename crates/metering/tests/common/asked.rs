//! Requests of every dialect in the neutral form, as far as counting needs it.

use mainstay_provider_core::ChatRequest;
use serde_json::{Map, Value, json};

/// The model in a path: `/v1beta/models/gemini-2.5-flash:generateContent`, `/model/ID/converse`.
pub(super) fn model_in(path: &str) -> Option<String> {
    let rest = path.split_once("/models/").or_else(|| path.split_once("/model/"))?.1;
    let name = rest.split(['/', '?']).next()?.replace("%3A", ":");
    let name = match name.rsplit_once(':') {
        Some((model, verb)) if !verb.bytes().all(|byte| byte.is_ascii_digit()) => model,
        _ => &name,
    };
    Some(name.to_owned())
}

/// The request, and why it cannot be counted.
pub(super) fn request(api: &str, model: &str, body: &Value) -> (Option<ChatRequest>, Option<&'static str>) {
    if matches!(api, "embeddings" | "rerank" | "count_tokens" | "cached" | "models") {
        return (None, Some("no conversation"));
    }
    let mut read = Reader::default();
    if !body["models"].is_null() {
        read.hidden = Some("another model may answer");
    }
    if api == "chat" {
        read.look_at_openai(body);
        let request = serde_json::from_value(body.clone()).ok();
        return (request, read.hidden);
    }
    read.conversation(body);
    let mut neutral = json!({"model": model, "messages": read.messages});
    if !body["thinking"].is_null() {
        neutral["thinking"] = body["thinking"].clone();
    }
    if !read.tools.is_empty() {
        neutral["tools"] = Value::Array(read.tools);
    }
    if let Some(schema) = read.schema {
        let schema = json!({"name": "answer", "schema": schema});
        neutral["response_format"] = json!({"type": "json_schema", "json_schema": schema});
    }
    (Some(serde_json::from_value(neutral).unwrap()), read.hidden)
}

#[derive(Default)]
struct Reader {
    messages: Vec<Value>,
    tools: Vec<Value>,
    schema: Option<Value>,
    hidden: Option<&'static str>,
}

impl Reader {
    fn look_at_openai(&mut self, body: &Value) {
        let tools = body["tools"].as_array().into_iter().flatten();
        if tools.clone().any(|tool| tool["function"].is_null()) {
            self.hidden = Some("a tool of the provider's own");
        }
        if !body["web_search_options"].is_null() || !body["documents"].is_null() || !body["plugins"].is_null()
        {
            self.hidden = Some("documents of the provider's own");
        }
        let messages = body["messages"].as_array().into_iter().flatten();
        let parts = messages.clone().filter_map(|message| message["content"].as_array()).flatten();
        for part in parts {
            if !matches!(part["type"].as_str(), Some("text" | "image_url" | "thinking")) {
                self.hidden = Some("a document or a recording");
            }
            let url = part["image_url"]["url"].as_str().or_else(|| part["image_url"].as_str());
            if url.is_some_and(|url| !url.starts_with("data:")) {
                self.hidden = Some("an image that is elsewhere");
            }
        }
    }

    fn conversation(&mut self, body: &Value) {
        for name in ["previous_response_id", "cachedContent", "conversation", "documents", "preamble"] {
            if !body[name].is_null() {
                self.hidden = Some("a part of the conversation is at the provider");
            }
        }
        if body["prompt"].is_object() {
            self.hidden = Some("a part of the conversation is at the provider");
        }
        let system = ["system", "systemInstruction", "system_instruction", "instructions"];
        for said in system.iter().map(|name| &body[*name]).filter(|said| !said.is_null()) {
            self.message("system", said.get("parts").unwrap_or(said));
        }
        let turns = ["messages", "contents", "input", "prompt", "message"];
        match turns.iter().map(|name| &body[*name]).find(|turns| !turns.is_null()) {
            Some(Value::Array(turns)) => turns.iter().for_each(|turn| self.turn(turn)),
            Some(said) => self.message("user", said),
            None => self.hidden = Some("no conversation"),
        }
        for image in body["images"].as_array().into_iter().flatten() {
            self.message("user", &json!([{"image": image}]));
        }
        let tools = body["tools"].as_array().or_else(|| body["toolConfig"]["tools"].as_array());
        tools.into_iter().flatten().for_each(|tool| self.tool(tool));
        let schemas = [
            "/text/format/schema",
            "/generationConfig/responseSchema",
            "/generationConfig/responseJsonSchema",
            "/output_config/format/schema",
            "/outputConfig/textFormat/structure/jsonSchema/schema",
            "/response_format/json_schema",
            "/response_format/schema",
            "/format",
        ];
        let schema = schemas.iter().find_map(|place| body.pointer(place)).filter(|schema| *schema != "json");
        self.schema = schema.map(|schema| match schema.as_str() {
            Some(text) => serde_json::from_str(text).unwrap_or_else(|_| schema.clone()),
            None => schema.clone(),
        });
    }

    fn turn(&mut self, turn: &Value) {
        match turn["type"].as_str() {
            Some("function_call") => {
                let call = call(&turn["name"], &turn["arguments"]);
                self.messages.push(json!({"role": "assistant", "tool_calls": [call]}));
            }
            Some("function_call_output") => {
                self.messages.push(json!({"role": "tool", "content": written(&turn["output"])}));
            }
            Some("reasoning") => {
                if turn["encrypted_content"].is_string() {
                    self.hidden = Some("encrypted reasoning");
                }
            }
            Some("message") | None => {
                let role = turn["role"].as_str().unwrap_or("user").to_owned();
                let role = if role == "model" { "assistant".to_owned() } else { role };
                let said = turn.get("content").or_else(|| turn.get("parts")).unwrap_or(turn);
                let images = turn["images"].as_array().cloned().unwrap_or_default();
                self.message(&role, said);
                let last = self.messages.last_mut().expect("a message was pushed");
                for image in images {
                    let parts = json!([{"type": "text", "text": last["content"].clone()}, image_part(image.as_str())]);
                    last["content"] = parts;
                }
                if let Some(calls) = turn["tool_calls"].as_array() {
                    let calls = calls
                        .iter()
                        .map(|made| call(&made["function"]["name"], &made["function"]["arguments"]));
                    last["tool_calls"] = calls.collect();
                }
            }
            Some(_) => self.hidden = Some("a tool of the provider's own"),
        }
    }

    fn message(&mut self, role: &str, said: &Value) {
        let mut message = json!({"role": role});
        let (mut parts, mut calls) = (Vec::new(), Vec::new());
        match said {
            Value::String(text) => parts.push(json!({"type": "text", "text": text})),
            Value::Array(list) => list.iter().for_each(|part| self.part(part, &mut parts, &mut calls)),
            Value::Object(_) => self.part(said, &mut parts, &mut calls),
            _ => {}
        }
        match parts.as_slice() {
            [] => {}
            [only] if only["type"] == "text" => message["content"] = only["text"].clone(),
            _ => message["content"] = Value::Array(parts),
        }
        if !calls.is_empty() {
            message["tool_calls"] = Value::Array(calls);
        }
        self.messages.push(message);
    }

    fn part(&mut self, part: &Value, parts: &mut Vec<Value>, calls: &mut Vec<Value>) {
        let Some(members) = part.as_object() else {
            parts.push(json!({"type": "text", "text": written(part)}));
            return;
        };
        let text = |text: &Value| json!({"type": "text", "text": written(text)});
        if part["thoughtSignature"].is_string() {
            self.hidden = Some("encrypted reasoning");
        }
        match part["type"].as_str() {
            Some("text" | "input_text" | "output_text") => return parts.push(text(&part["text"])),
            Some("tool_use") => return calls.push(call(&part["name"], &part["input"])),
            Some("tool_result") => return self.result(&part["content"], parts, calls),
            Some("thinking" | "reasoning") => return,
            Some("redacted_thinking") => {
                self.hidden = Some("encrypted reasoning");
                return;
            }
            Some("image_url" | "input_image") => {
                let url = part["image_url"].as_str().or_else(|| part["image_url"]["url"].as_str());
                return self.image(url, parts);
            }
            Some("image") => return self.image(part["source"]["data"].as_str(), parts),
            Some(_) => {
                self.hidden = Some("a document or a recording");
                return;
            }
            None => {}
        }
        match members
            .keys()
            .find(|name| !matches!(name.as_str(), "thought" | "thoughtSignature"))
            .map(String::as_str)
        {
            Some("text") if part["thought"] != true => parts.push(text(&part["text"])),
            Some("json") => parts.push(text(&part["json"])),
            Some("functionCall") => {
                calls.push(call(&part["functionCall"]["name"], &part["functionCall"]["args"]))
            }
            Some("functionResponse") => parts.push(text(&part["functionResponse"]["response"])),
            Some("toolUse") => calls.push(call(&part["toolUse"]["name"], &part["toolUse"]["input"])),
            Some("toolResult") => self.result(&part["toolResult"]["content"], parts, calls),
            Some("inlineData" | "inline_data") => {
                let data = part.get("inlineData").unwrap_or(&part["inline_data"]);
                let kind = data.get("mimeType").or_else(|| data.get("mime_type")).and_then(Value::as_str);
                match kind.is_some_and(|kind| kind.starts_with("image/")) {
                    true => self.image(data["data"].as_str(), parts),
                    false => self.hidden = Some("a document or a recording"),
                }
            }
            Some("image") => {
                let image = &part["image"];
                self.image(image.as_str().or_else(|| image["source"]["bytes"].as_str()), parts);
            }
            Some("cachePoint" | "text" | "reasoningContent") | None => {}
            Some(_) => self.hidden = Some("a document or a recording"),
        }
    }

    fn result(&mut self, content: &Value, parts: &mut Vec<Value>, calls: &mut Vec<Value>) {
        match content {
            Value::Array(list) => list.iter().for_each(|part| self.part(part, parts, calls)),
            other => parts.push(json!({"type": "text", "text": written(other)})),
        }
    }

    fn image(&mut self, data: Option<&str>, parts: &mut Vec<Value>) {
        if data.is_none_or(|data| data.starts_with("http")) {
            self.hidden = Some("an image that is elsewhere");
        }
        parts.push(image_part(data));
    }

    fn tool(&mut self, tool: &Value) {
        let declared = tool.get("functionDeclarations").or_else(|| tool.get("function_declarations"));
        if let Some(functions) = declared.and_then(Value::as_array) {
            for function in functions {
                let schema = function.get("parametersJsonSchema").or_else(|| function.get("parameters"));
                self.function(&function["name"], &function["description"], schema.unwrap_or(&Value::Null));
            }
        } else if let Some(spec) = tool.get("toolSpec") {
            self.function(&spec["name"], &spec["description"], &spec["inputSchema"]["json"]);
        } else if let Some(function) = tool.get("function") {
            self.function(&function["name"], &function["description"], &function["parameters"]);
        } else if let Some(schema) = tool.get("input_schema") {
            self.function(&tool["name"], &tool["description"], schema);
        } else if tool["type"] == "function" {
            self.function(&tool["name"], &tool["description"], &tool["parameters"]);
        } else if tool.get("cachePoint").is_none() {
            self.hidden = Some("a tool of the provider's own");
        }
    }

    fn function(&mut self, name: &Value, description: &Value, schema: &Value) {
        let mut function = Map::new();
        function.insert("name".into(), name.clone());
        for (member, value) in [("description", description), ("parameters", schema)] {
            if !value.is_null() {
                function.insert(member.into(), value.clone());
            }
        }
        self.tools.push(json!({"type": "function", "function": function}));
    }
}

fn call(name: &Value, arguments: &Value) -> Value {
    json!({"id": "1", "type": "function", "function": {"name": name, "arguments": written(arguments)}})
}

fn image_part(data: Option<&str>) -> Value {
    let data = data.unwrap_or("https://example.com/image");
    let url = match data.starts_with("data:") || data.starts_with("http") {
        true => data.to_owned(),
        false => format!("data:image/any;base64,{data}"),
    };
    json!({"type": "image_url", "image_url": {"url": url}})
}

fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

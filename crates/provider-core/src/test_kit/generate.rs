//! Random documents of the chat-completions surface, from a seed.

use serde_json::{Map, Value, json};

/// An object with these members; a macro, because the members are made by the same generator.
macro_rules! object {
    ($generator:ident, $members:tt) => {{
        let known = json!($members);
        $generator.object(known)
    }};
}

/// Makes random JSON documents of the chat-completions surface: the same for the same seed.
///
/// They are in normal form (no null where a member may be absent, no empty list of tools), so that parsing and
/// printing gives the same [`Value`]. Unless switched off, every object has members that the contract does not know.
///
/// ```
/// use mainstay_provider_core::{ChatRequest, test_kit::Generator};
///
/// let document = Generator::new(7).request();
/// let request: ChatRequest = serde_json::from_value(document.clone()).unwrap();
/// assert_eq!(serde_json::to_value(&request).unwrap(), document);
/// ```
#[derive(Debug, Clone)]
pub struct Generator {
    state: u64,
    unknown_members: bool,
}

impl Generator {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, unknown_members: true }
    }

    /// The same with or without members that the contract does not know.
    #[must_use]
    pub fn unknown_members(mut self, wanted: bool) -> Self {
        self.unknown_members = wanted;
        self
    }

    /// A chat request.
    pub fn request(&mut self) -> Value {
        let messages: Vec<Value> = (0..=self.below(4)).map(|_| self.message()).collect();
        let mut members = object!(self, {"model": self.word(), "messages": messages});
        for name in ["temperature", "top_p", "presence_penalty", "frequency_penalty"] {
            self.sometimes(&mut members, name, |this| this.fraction().into());
        }
        for name in ["max_tokens", "max_completion_tokens"] {
            self.sometimes(&mut members, name, |this| this.next().into());
        }
        for name in ["n", "top_logprobs"] {
            self.sometimes(&mut members, name, |this| this.below(20).into());
        }
        for name in ["stream", "logprobs", "parallel_tool_calls"] {
            self.sometimes(&mut members, name, |this| this.coin().into());
        }
        for name in ["reasoning_effort", "user"] {
            self.sometimes(&mut members, name, |this| this.text().into());
        }
        self.sometimes(&mut members, "seed", |this| this.integer().into());
        self.sometimes(&mut members, "stop", Self::text_or_texts);
        self.sometimes(&mut members, "stream_options", |this| {
            let mut options = object!(this, {});
            this.sometimes(&mut options, "include_usage", |this| this.coin().into());
            options.into()
        });
        self.sometimes(&mut members, "tools", |this| (0..=this.below(3)).map(|_| this.tool()).collect());
        self.sometimes(&mut members, "tool_choice", Self::tool_choice);
        self.sometimes(&mut members, "response_format", Self::response_format);
        members.into()
    }

    /// A whole answer.
    pub fn response(&mut self) -> Value {
        let choices: Vec<Value> = (0..=self.below(3)).map(|index| self.choice(index)).collect();
        let head = json!({
            "id": self.word(), "object": "chat.completion", "created": self.below(1 << 40), "model": self.word(),
            "choices": choices,
        });
        let mut members = self.object(head);
        self.sometimes(&mut members, "usage", Self::usage);
        members.into()
    }

    /// One event of a streamed answer.
    pub fn chunk(&mut self) -> Value {
        let choices: Vec<Value> = (0..self.below(3)).map(|index| self.chunk_choice(index)).collect();
        let head = json!({
            "id": self.word(), "object": "chat.completion.chunk", "created": self.below(1 << 40),
            "model": self.word(), "choices": choices,
        });
        let mut members = self.object(head);
        self.sometimes(&mut members, "usage", Self::usage);
        members.into()
    }

    /// An embeddings request.
    pub fn embed_request(&mut self) -> Value {
        let input = match self.below(4) {
            0 => self.text().into(),
            1 => (0..self.below(4)).map(|_| self.text()).collect(),
            2 => (0..=self.below(4)).map(|_| self.below(1 << 32)).collect(),
            _ => {
                let lists: Vec<Vec<u64>> = (0..=self.below(3))
                    .map(|_| (0..self.below(4)).map(|_| self.below(1 << 32)).collect())
                    .collect();
                json!(lists)
            }
        };
        let mut members = object!(self, {"model": self.word(), "input": input});
        self.sometimes(&mut members, "dimensions", |this| this.below(4096).into());
        self.sometimes(&mut members, "encoding_format", |this| (*this.pick(&["float", "base64"])).into());
        self.sometimes(&mut members, "user", |this| this.text().into());
        members.into()
    }

    /// Any JSON value, at most `depth` levels deep.
    pub fn value(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => self.coin().into(),
            2 => self.next().into(),
            3 => self.integer().into(),
            4 => self.fraction().into(),
            5 => self.text().into(),
            6 => (0..self.below(3)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                (0..self.below(3)).map(|_| (self.text(), self.value(depth - 1))).collect::<Map<_, _>>().into()
            }
        }
    }

    /// A text: empty, plain, or with what a printer must escape.
    pub fn text(&mut self) -> String {
        let alphabet = [
            "a",
            "mast",
            " ",
            "\n",
            "\"",
            "\\",
            "é",
            "帆",
            "⛵",
            "\u{0}",
            "\u{7f}",
            "\u{2028}",
            "</script>",
            "1",
        ];
        (0..self.below(6)).map(|_| *self.pick(&alphabet)).collect()
    }

    fn message(&mut self) -> Value {
        let role = (*self.pick(&["system", "developer", "user", "assistant", "tool", "function"])).to_owned();
        let mut members = object!(self, {"role": role});
        self.sometimes(&mut members, "content", Self::content);
        self.rest_of_message(&mut members);
        for name in ["name", "tool_call_id"] {
            self.sometimes(&mut members, name, |this| this.text().into());
        }
        members.into()
    }

    fn rest_of_message(&mut self, members: &mut Map<String, Value>) {
        for name in ["refusal", "reasoning_content"] {
            self.sometimes(members, name, |this| this.text().into());
        }
        self.sometimes(members, "tool_calls", |this| (0..=this.below(2)).map(|_| this.tool_call()).collect());
        self.sometimes(members, "annotations", |this| (0..=this.below(2)).map(|_| this.value(2)).collect());
        self.sometimes(members, "thinking_blocks", |this| {
            (0..=this.below(2)).map(|_| this.thinking_block()).collect()
        });
    }

    fn content(&mut self) -> Value {
        if self.coin() {
            return self.text().into();
        }
        (0..self.below(4)).map(|_| self.part()).collect()
    }

    fn part(&mut self) -> Value {
        let mut part = match self.below(6) {
            0 => object!(self, {"type": "text", "text": self.text()}),
            1 => {
                let mut inner = object!(self, {"url": self.text()});
                self.sometimes(&mut inner, "detail", |this| (*this.pick(&["auto", "low", "high"])).into());
                object!(self, {"type": "image_url", "image_url": inner})
            }
            2 => {
                let inner = object!(self, {"data": self.text(), "format": "wav"});
                object!(self, {"type": "input_audio", "input_audio": inner})
            }
            3 => {
                let mut inner = object!(self, {});
                for name in ["file_data", "file_id", "filename"] {
                    self.sometimes(&mut inner, name, |this| this.text().into());
                }
                object!(self, {"type": "file", "file": inner})
            }
            4 => object!(self, {"type": "refusal", "refusal": self.text()}),
            _ => object!(self, {"type": self.word(), "anything": self.value(2)}),
        };
        self.sometimes(&mut part, "cache_control", |_| json!({"type": "ephemeral"}));
        part.into()
    }

    fn tool(&mut self) -> Value {
        let mut tool = object!(self, {"type": self.pick(&["function", "custom", "web_search"])});
        self.sometimes(&mut tool, "function", |this| {
            let mut function = object!(this, {"name": this.word()});
            this.sometimes(&mut function, "description", |this| this.text().into());
            this.sometimes(&mut function, "parameters", |this| this.schema());
            this.sometimes(&mut function, "strict", |this| this.coin().into());
            function.into()
        });
        tool.into()
    }

    fn tool_call(&mut self) -> Value {
        let mut call = object!(self, {"id": self.word(), "type": "function"});
        self.sometimes(&mut call, "function", |this| {
            object!(this, {"name": this.word(), "arguments": this.text()}).into()
        });
        call.into()
    }

    fn thinking_block(&mut self) -> Value {
        let mut block = object!(self, {"type": self.pick(&["thinking", "redacted_thinking"])});
        for name in ["thinking", "signature", "data"] {
            self.sometimes(&mut block, name, |this| this.text().into());
        }
        block.into()
    }

    fn tool_choice(&mut self) -> Value {
        match self.below(3) {
            0 => (*self.pick(&["auto", "none", "required", "other"])).into(),
            1 => json!({"type": "function", "function": {"name": self.word()}}),
            _ => {
                let function = object!(self, {"name": self.word()});
                object!(self, {"type": "function", "function": function}).into()
            }
        }
    }

    fn response_format(&mut self) -> Value {
        match self.below(4) {
            0 => json!({"type": "text"}),
            1 => json!({"type": "json_object"}),
            2 => {
                let mut schema = object!(self, {"name": self.word()});
                self.sometimes(&mut schema, "description", |this| this.text().into());
                self.sometimes(&mut schema, "schema", Self::schema);
                self.sometimes(&mut schema, "strict", |this| this.coin().into());
                json!({"type": "json_schema", "json_schema": schema})
            }
            _ => object!(self, {"type": self.word(), "anything": self.value(2)}).into(),
        }
    }

    fn schema(&mut self) -> Value {
        let property = self.text();
        json!({"type": "object", "properties": {property: {"type": "string", "enum": [self.text()]}}, "x": self.value(3)})
    }

    fn choice(&mut self, index: u64) -> Value {
        let mut message = object!(self, {"role": "assistant", "content": self.text()});
        if self.coin() {
            message.insert("content".into(), Value::Null);
        }
        self.rest_of_message(&mut message);
        let finish_reason = self.finish_reason();
        let mut choice = object!(self, {"index": index, "message": message, "finish_reason": finish_reason});
        self.sometimes(&mut choice, "logprobs", Self::logprobs);
        choice.into()
    }

    fn chunk_choice(&mut self, index: u64) -> Value {
        let mut delta = object!(self, {});
        self.sometimes(&mut delta, "role", |_| "assistant".into());
        self.sometimes(&mut delta, "content", |this| this.text().into());
        self.rest_of_message(&mut delta);
        let mut calls = Vec::new();
        for index in 0..self.below(3) {
            let mut call = object!(self, {"index": index});
            self.sometimes(&mut call, "id", |this| this.word().into());
            self.sometimes(&mut call, "type", |_| "function".into());
            self.sometimes(&mut call, "function", |this| {
                let mut function = object!(this, {});
                this.sometimes(&mut function, "name", |this| this.word().into());
                this.sometimes(&mut function, "arguments", |this| this.text().into());
                function.into()
            });
            calls.push(Value::from(call));
        }
        delta.remove("tool_calls");
        if !calls.is_empty() {
            delta.insert("tool_calls".into(), calls.into());
        }
        let finish_reason = if self.coin() { self.finish_reason() } else { Value::Null };
        let mut choice = object!(self, {"index": index, "delta": delta, "finish_reason": finish_reason});
        self.sometimes(&mut choice, "logprobs", Self::logprobs);
        choice.into()
    }

    fn finish_reason(&mut self) -> Value {
        (*self.pick(&["stop", "length", "tool_calls", "content_filter", "timeout", "another"])).into()
    }

    fn logprobs(&mut self) -> Value {
        let token =
            json!({"token": self.text(), "logprob": -self.fraction(), "bytes": null, "top_logprobs": []});
        object!(self, {"content": [token], "refusal": null}).into()
    }

    fn usage(&mut self) -> Value {
        let (input, output) = (self.below(1 << 30), self.below(1 << 30));
        let mut usage = object!(self, {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        self.sometimes(&mut usage, "prompt_tokens_details", |this| {
            let mut details = object!(this, {});
            this.sometimes(&mut details, "cached_tokens", |this| this.below(1000).into());
            this.sometimes(&mut details, "cache_write_tokens", |this| this.below(1000).into());
            details.into()
        });
        self.sometimes(&mut usage, "completion_tokens_details", |this| {
            let mut details = object!(this, {});
            this.sometimes(&mut details, "reasoning_tokens", |this| this.below(1000).into());
            details.into()
        });
        usage.into()
    }

    fn text_or_texts(&mut self) -> Value {
        if self.coin() { self.text().into() } else { (0..self.below(4)).map(|_| self.text()).collect() }
    }

    /// These members, and some that nobody knows.
    fn object(&mut self, known: Value) -> Map<String, Value> {
        let mut members = match known {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        if self.unknown_members {
            for _ in 0..self.below(3) {
                let name = format!("x_{}", self.text());
                let value = self.value(2);
                members.insert(name, value);
            }
        }
        members
    }

    fn sometimes(
        &mut self,
        members: &mut Map<String, Value>,
        name: &str,
        make: impl FnOnce(&mut Self) -> Value,
    ) {
        if self.below(3) == 0 {
            let value = make(self);
            members.insert(name.into(), value);
        }
    }

    fn word(&mut self) -> String {
        format!("{}-{}", self.pick(&["gpt", "claude", "gemini", "call"]), self.below(1000))
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(items.len() as u64)).unwrap_or(0);
        &items[at]
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn integer(&mut self) -> i64 {
        self.next().cast_signed()
    }

    /// A fraction that a float holds exactly.
    fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.below(4096)).unwrap_or(0)) / 64.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// The next number of the sequence (SplitMix64).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

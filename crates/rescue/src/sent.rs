//! What the caller has of an answer.

use mainstay_provider_core::chat::{ChunkChoice, Content, Delta, ResponseFormat, Role};
use mainstay_provider_core::{Call, ChatChunk, Message, Wire};

/// What the caller has of an answer, as far as a rescue needs it.
pub(crate) struct Sent {
    /// The text.
    pub(crate) text: String,
    /// The tool calls, as far as they have come.
    pub(crate) calls: Vec<SentCall>,
    /// Where the text stood in the last chunk.
    near: usize,
    first: Option<First>,
    /// Whether the role was told after the first chunk.
    role_told: bool,
    finished: bool,
    /// Why the answer cannot be taken up by anybody else.
    bar: Option<&'static str>,
    most: usize,
}

/// A tool call, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct SentCall {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// The first chunk with a choice: whose answer it is. A plain one is only read if it is needed.
enum First {
    Unread(Box<[u8]>),
    Read(Box<Origin>),
}

/// What all chunks of an answer have in common, and whether its role was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) has_role: bool,
}

/// Members of a delta in which providers put reasoning under other names.
pub(crate) const OTHER_REASONING: [&str; 2] = ["reasoning", "reasoning_details"];
/// Members of a delta with content that cannot be held against another answer's.
const OTHER_CONTENT: [&str; 3] = ["audio", "images", "function_call"];

impl Sent {
    /// Nothing yet; at most so many bytes are kept.
    pub(crate) fn nothing(most: usize) -> Self {
        let (text, calls) = (String::new(), Vec::new());
        Self { text, calls, near: 0, first: None, role_told: false, finished: false, bar: None, most }
    }

    /// Notes a chunk that goes to the caller.
    pub(crate) fn see(&mut self, chunk: &Wire<ChatChunk>) {
        if self.first.is_none() {
            self.first = First::of(chunk);
        }
        match chunk.as_plain() {
            Some(plain) if plain.index == 0 => {
                if self.bar.is_none() && plain.has_text {
                    chunk.push_text_near(&mut self.near, &mut self.text);
                    self.bound();
                }
            }
            Some(_) => self.bar(SEVERAL),
            None => chunk.choices.iter().for_each(|choice| self.see_choice(choice)),
        }
    }

    fn see_choice(&mut self, choice: &ChunkChoice) {
        let ChunkChoice { index, delta, logprobs, .. } = choice;
        self.finished |= choice.finished().is_some();
        self.role_told |= delta.role.is_some();
        if *index != 0 {
            self.bar(SEVERAL);
        } else if logprobs.as_ref().is_some_and(|logprobs| !logprobs.is_null()) {
            self.bar("token probabilities were sent");
        } else if delta.refusal.as_ref().is_some_and(|refusal| !refusal.is_empty()) {
            self.bar("it is a refusal");
        } else if !delta.annotations.is_empty() {
            self.bar("citations were sent");
        } else if OTHER_CONTENT.iter().any(|name| delta.extra.get(name).is_some_and(|value| !value.is_null()))
        {
            self.bar("something else than text was sent");
        }
        if self.bar.is_none() {
            self.text.push_str(delta.content.as_deref().unwrap_or_default());
            self.see_calls(delta);
            self.bound();
        }
    }

    fn see_calls(&mut self, delta: &Delta) {
        for piece in &delta.tool_calls {
            let at = self.calls.iter().position(|call| call.index == piece.index).unwrap_or_else(|| {
                self.calls.push(SentCall { index: piece.index, ..SentCall::default() });
                self.calls.len() - 1
            });
            let call = &mut self.calls[at];
            if let Some(function) = &piece.function {
                if call.name.is_empty() {
                    call.name.push_str(function.name.as_deref().unwrap_or_default());
                }
                call.arguments.push_str(function.arguments.as_deref().unwrap_or_default());
            }
        }
    }

    fn bound(&mut self) {
        let arguments: usize = self.calls.iter().map(|call| call.arguments.len()).sum();
        if self.text.len() + arguments > self.most {
            self.bar("it is longer than what is kept of an answer");
        }
    }

    fn bar(&mut self, why: &'static str) {
        self.bar.get_or_insert(why);
        // Nothing of it is needed any more.
        (self.text, self.calls) = (String::new(), Vec::new());
    }

    /// Whether the caller has the end of the answer.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Why the answer cannot be taken up by anybody else, if so.
    pub(crate) fn bars(&self, call: &Call) -> Option<&'static str> {
        if call.request().n.is_some_and(|n| n > 1) { Some(SEVERAL) } else { self.bar }
    }

    /// What all chunks of the answer have in common.
    pub(crate) fn origin(&self) -> Origin {
        let mut origin = self.origin_of_first();
        // A stream that never told it may have been taken over by one that did.
        origin.has_role |= self.role_told;
        origin
    }

    fn origin_of_first(&self) -> Origin {
        match &self.first {
            None => Origin::default(),
            Some(First::Read(origin)) => (**origin).clone(),
            // It passed for plain text, so it can be read.
            Some(First::Unread(raw)) => {
                serde_json::from_slice(raw).map_or_else(|_| Origin::default(), |chunk| Origin::of(&chunk))
            }
        }
    }

    /// The text as a prefill: without white space at its end, which some providers refuse and none minds.
    pub(crate) fn prefill(&self) -> &str {
        self.text.trim_end()
    }

    /// The call that asks somebody to go on where the text stopped, or why there is none.
    pub(crate) fn resumed(&self, call: &Call) -> Result<Call, &'static str> {
        let prefill = self.prefill();
        if !self.calls.is_empty() {
            return Err("a tool call cannot be gone on with");
        }
        if prefill.is_empty() {
            return Err("there is no text to go on from");
        }
        // The grammar that holds the answer to its form begins anew with the new answer.
        if !matches!(call.request().response_format, None | Some(ResponseFormat::Text)) {
            return Err("an answer that is held to a form cannot be gone on with");
        }
        let mut call = call.clone();
        let request = call.request_mut();
        match request.messages.last_mut() {
            // The caller's own prefill; some providers repeat it in the answer.
            Some(last) if last.role == Role::Assistant && last.tool_calls.is_empty() => {
                let own = last.text();
                let repeated = prefill.starts_with(own.trim_end());
                let whole = if repeated { prefill.to_owned() } else { format!("{own}{prefill}") };
                last.content = Some(Content::Text(whole));
            }
            _ => request.messages.push(Message::assistant(prefill)),
        }
        let spent = self.tokens();
        for most in [&mut request.max_tokens, &mut request.max_completion_tokens].into_iter().flatten() {
            *most = most.saturating_sub(spent).max(1);
        }
        call.context_mut().needs.prefill = true;
        Ok(call)
    }

    /// About how many tokens the text is: the rest of the answer may be so much shorter.
    fn tokens(&self) -> u64 {
        const BYTES_PER_TOKEN: usize = 4;
        u64::try_from(self.text.len() / BYTES_PER_TOKEN).unwrap_or(u64::MAX)
    }
}

const SEVERAL: &str = "there are several answers";

impl First {
    fn of(chunk: &Wire<ChatChunk>) -> Option<Self> {
        match (chunk.as_plain(), chunk.raw()) {
            // Copied: the event lies in a buffer of the connection, which would be kept with it.
            (Some(_), Some(raw)) => Some(Self::Unread(Box::from(&raw[..]))),
            _ if chunk.choices.is_empty() => None,
            _ => Some(Self::Read(Box::new(Origin::of(chunk)))),
        }
    }
}

impl Origin {
    fn of(chunk: &ChatChunk) -> Self {
        Self {
            id: chunk.id.clone(),
            created: chunk.created,
            model: chunk.model.clone(),
            has_role: chunk.choices.iter().any(|choice| choice.delta.role.is_some()),
        }
    }
}

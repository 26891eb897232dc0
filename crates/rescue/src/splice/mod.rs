//! A new answer held against what the caller has, until all of that is accounted for.

mod calls;
mod text;

use mainstay_provider_core::chat::Delta;
use mainstay_provider_core::{ChatChunk, FinishReason};

use self::calls::Calls;
use self::text::Text;
use crate::sent::{OTHER_REASONING, Sent};

/// Why a new answer cannot be put behind what the caller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Differs(pub(crate) &'static str);

/// A new answer on its way to the point where the old one stopped.
pub(crate) struct Splice {
    text: Text,
    calls: Calls,
    resumed: bool,
    /// Whether it says anything that is new to the caller.
    has_new: bool,
}

impl Splice {
    /// An answer that goes on from the prefill.
    pub(crate) fn resumed(sent: &Sent) -> Self {
        Self {
            text: Text::resumed(sent.prefill().len()),
            calls: Calls::default(),
            resumed: true,
            has_new: false,
        }
    }

    /// An answer to the same call.
    pub(crate) fn restarted(sent: &Sent) -> Self {
        Self {
            text: Text::restarted(&sent.text),
            calls: Calls::of(&sent.calls),
            resumed: false,
            has_new: false,
        }
    }

    /// Whether all that the caller has is accounted for: everything after is new.
    pub(crate) fn is_done(&self) -> bool {
        self.text.is_new() && self.calls.are_matched()
    }

    /// Takes out of the next chunk what the caller has.
    pub(crate) fn take(&mut self, chunk: &mut ChatChunk, sent: &Sent) -> Result<(), Differs> {
        for choice in &mut chunk.choices {
            if choice.index != 0 {
                return Err(Differs("there are several answers"));
            }
            let finished = choice.finished().cloned();
            self.take_delta(&mut choice.delta, sent)?;
            if let Some(reason) = finished {
                self.finish(&mut choice.delta, &reason, sent)?;
            }
        }
        Ok(())
    }

    fn take_delta(&mut self, delta: &mut Delta, sent: &Sent) -> Result<(), Differs> {
        if let Some(piece) = delta.content.take() {
            let new = self.text.push(&sent.text, piece)?;
            self.hand_out(delta, new);
        }
        if delta.tool_calls.is_empty() {
            return Ok(());
        }
        if self.resumed && !self.text.is_new() {
            // The model has said what it had to say.
            let rest = self.text.finish(&sent.text, false)?;
            self.hand_out(delta, rest);
        }
        let pieces = std::mem::take(&mut delta.tool_calls);
        delta.tool_calls = self.calls.take(pieces, &sent.calls)?;
        self.has_new |= !delta.tool_calls.is_empty();
        Ok(())
    }

    fn finish(&mut self, delta: &mut Delta, reason: &FinishReason, sent: &Sent) -> Result<(), Differs> {
        let cut_off = matches!(reason, FinishReason::Timeout | FinishReason::Length);
        let rest = self.text.finish(&sent.text, cut_off)?;
        self.hand_out(delta, rest);
        if !self.calls.are_matched() {
            return Err(Differs("the new answer lacks a tool call that was begun"));
        }
        // Whoever takes the text so far for a finished turn says nothing more and calls it done.
        if self.resumed && !self.has_new && !self.text.was_repeated() {
            return Err(Differs("nobody went on from the text"));
        }
        Ok(())
    }

    fn hand_out(&mut self, delta: &mut Delta, text: String) {
        if !text.is_empty() {
            self.has_new = true;
            delta.content.get_or_insert_default().push_str(&text);
        }
    }
}

/// Takes the reasoning out of a delta: the caller has another's, or none where text has begun.
pub(crate) fn drop_reasoning(delta: &mut Delta) {
    delta.reasoning_content = None;
    delta.thinking_blocks.clear();
    for name in OTHER_REASONING {
        delta.extra.remove(name);
    }
}

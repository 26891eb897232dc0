//! Tool calls in a stream: which piece belongs to which call.

use mainstay_provider_core::chat::ToolCallDelta;

use crate::translate::new_tool_call_id;

/// The calls of a stream so far.
///
/// A piece belongs to the call of its index. Servers that leave the index out (Gemini's dialect, some of Mistral's models)
/// send whole calls, all at index 0: there a piece with another id, or another name where there are no ids, is another call.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug)]
struct Call {
    choice: u32,
    /// The provider's index.
    given: u32,
    /// Ours: the same, unless another call has it.
    index: u32,
    /// The provider's id; empty when it gave none.
    id: String,
}

impl Calls {
    /// Gives each call an index and an id of its own. Returns whether anything changed.
    pub(super) fn number(&mut self, choice: u32, pieces: &mut [ToolCallDelta]) -> bool {
        let mut changed = false;
        for piece in pieces {
            changed |= self.number_one(choice, piece);
        }
        changed
    }

    /// Whether a choice has called a tool.
    pub(super) fn of(&self, choice: u32) -> bool {
        self.0.iter().any(|call| call.choice == choice)
    }

    fn number_one(&mut self, choice: u32, piece: &mut ToolCallDelta) -> bool {
        let same = |call: &&Call| call.choice == choice && call.given == piece.index;
        if let Some(call) = self.0.iter().rev().find(same)
            && !begins_another(call, piece)
        {
            let changed = call.index != piece.index;
            piece.index = call.index;
            return changed;
        }
        self.begin(choice, piece)
    }

    fn begin(&mut self, choice: u32, piece: &mut ToolCallDelta) -> bool {
        let mut used = self.0.iter().filter(|call| call.choice == choice).map(|call| call.index);
        let taken = used.clone().any(|index| index == piece.index);
        let index =
            if taken { used.by_ref().max().map_or(0, |last| last.saturating_add(1)) } else { piece.index };
        let id = piece.id.clone().unwrap_or_default();
        let mut changed = taken;
        if id.is_empty() {
            piece.id = Some(new_tool_call_id());
            changed = true;
        }
        if piece.kind.as_ref().is_none_or(String::is_empty) {
            piece.kind = Some("function".into());
            changed = true;
        }
        self.0.push(Call { choice, given: piece.index, index, id });
        piece.index = index;
        changed
    }
}

/// Whether a piece at a call's index is of another call. A name tells that a call begins; without one it goes on.
fn begins_another(call: &Call, piece: &ToolCallDelta) -> bool {
    let name = piece.function.as_ref().and_then(|function| function.name.as_deref()).unwrap_or_default();
    let id = piece.id.as_deref().unwrap_or_default();
    !name.is_empty() && (call.id.is_empty() || (!id.is_empty() && call.id != id))
}

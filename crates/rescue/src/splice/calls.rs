//! The tool calls of a new answer held against those that the caller has.

use mainstay_provider_core::chat::ToolCallDelta;

use super::Differs;
use crate::sent::SentCall;

/// How much of each call that the caller has came again.
#[derive(Default)]
pub(crate) struct Calls(Vec<Matched>);

#[derive(Default)]
struct Matched {
    named: bool,
    arguments: usize,
    whole: bool,
}

impl Calls {
    pub(crate) fn of(sent: &[SentCall]) -> Self {
        Self(sent.iter().map(|_| Matched::default()).collect())
    }

    /// Whether all that the caller has came again.
    pub(crate) fn are_matched(&self) -> bool {
        self.0.iter().all(|call| call.whole)
    }

    /// The parts of the next pieces that are new to the caller.
    pub(crate) fn take(
        &mut self,
        pieces: Vec<ToolCallDelta>,
        sent: &[SentCall],
    ) -> Result<Vec<ToolCallDelta>, Differs> {
        let mut new = Vec::new();
        for mut piece in pieces {
            let at = sent.iter().position(|call| call.index == piece.index);
            match at.and_then(|at| Some((&sent[at], self.0.get_mut(at)?))) {
                None => new.push(piece),
                Some((sent, matched)) => {
                    if matched.take(&mut piece, sent)? {
                        new.push(piece);
                    }
                }
            }
        }
        Ok(new)
    }
}

impl Matched {
    /// Leaves in the piece what is new; `false` when nothing is.
    fn take(&mut self, piece: &mut ToolCallDelta, sent: &SentCall) -> Result<bool, Differs> {
        // The caller knows the call by the id that it had first.
        (piece.id, piece.kind) = (None, None);
        let Some(function) = &mut piece.function else { return Ok(false) };
        if let Some(name) = function.name.take()
            && !name.is_empty()
            && !std::mem::replace(&mut self.named, true)
            && name != sent.name
        {
            return Err(Differs("the new answer calls another tool"));
        }
        if let Some(arguments) = function.arguments.take() {
            let rest = &sent.arguments[self.arguments..];
            if let Some(new) = arguments.strip_prefix(rest) {
                self.arguments = sent.arguments.len();
                function.arguments = (!new.is_empty()).then(|| new.to_owned());
            } else if rest.starts_with(&arguments) {
                self.arguments += arguments.len();
            } else {
                return Err(Differs("the new answer calls a tool with other arguments"));
            }
        }
        self.whole = self.named && self.arguments == sent.arguments.len();
        Ok(function.arguments.is_some())
    }
}

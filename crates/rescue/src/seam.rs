//! What comes from another stream, made to look as if it came from the first.

use mainstay_provider_core::{ChatChunk, Usage, Wire};
use serde_json::{Map, Value};

use crate::sent::Origin;
use crate::splice::drop_reasoning;

/// The member of a chunk in which Mainstay tells what it did.
const MEMBER: &str = "mainstay";
/// What it tells there of a rescue.
const RESCUE: &str = "rescue";

/// Puts a later stream behind what came before.
pub(crate) struct Seam {
    /// What the streams before used.
    spent: Usage,
    /// `None`: the caller has nothing of the streams before.
    told: Option<Told>,
}

/// What the caller knows of the answer, and what its end tells.
struct Told {
    origin: Origin,
    report: Value,
    finished: bool,
}

impl Seam {
    /// The chunks of a later stream become those of the first: the same id and model, one role, no second reasoning, the
    /// usage of all streams together, and a report at the end.
    pub(crate) fn seen(origin: Origin, spent: Usage, report: Value) -> Self {
        Self { spent, told: Some(Told { origin, report, finished: false }) }
    }

    /// Only the usage tells of the streams before.
    pub(crate) fn unseen(spent: Usage) -> Self {
        Self { spent, told: None }
    }

    /// The chunk for the caller; `None` when nothing is left of it.
    pub(crate) fn pass(&mut self, mut chunk: Wire<ChatChunk>) -> Option<Wire<ChatChunk>> {
        if chunk.as_plain().is_none()
            && let Some(usage) = chunk.usage()
        {
            chunk.usage = Some((self.spent + usage).into());
        }
        match &mut self.told {
            None => Some(chunk),
            Some(told) => told.pass(chunk.into_inner()),
        }
    }
}

impl Told {
    fn pass(&mut self, mut chunk: ChatChunk) -> Option<Wire<ChatChunk>> {
        let was_empty = chunk.choices.is_empty();
        chunk.id.clone_from(&self.origin.id);
        chunk.model.clone_from(&self.origin.model);
        chunk.created = self.origin.created;
        for choice in &mut chunk.choices {
            drop_reasoning(&mut choice.delta);
            if self.origin.has_role {
                choice.delta.role = None;
            }
            self.origin.has_role |= choice.delta.role.is_some();
            self.finished |= choice.finished().is_some();
        }
        let is_left = was_empty || says_something(&chunk);
        if self.finished {
            self.tell(&mut chunk);
        }
        is_left.then(|| chunk.into())
    }

    fn tell(&self, chunk: &mut ChatChunk) {
        let told = match chunk.extra.get_mut(MEMBER) {
            Some(Value::Object(members)) => members,
            _ => {
                chunk.extra.insert(MEMBER, Map::new());
                let Some(Value::Object(members)) = chunk.extra.get_mut(MEMBER) else { return };
                members
            }
        };
        told.insert(RESCUE.to_owned(), self.report.clone());
    }
}

/// Whether a chunk has anything for the caller in it.
pub(crate) fn says_something(chunk: &ChatChunk) -> bool {
    chunk.usage.is_some()
        || chunk.has_content()
        || chunk.choices.iter().any(|choice| choice.delta.role.is_some() || !choice.extra.is_empty())
}

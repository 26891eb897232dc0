//! What is kept when an answer is complete.

use mainstay_provider_core::{CacheStatus, End, Level, Recording, ReplyHead};

use super::{Asked, ExactCache, Inner};
use crate::flight::Tape;
use crate::store::Entry;

/// Whether a reply is what its call asked for: not another cache's answer, not a lesser rung's, not one to half of the
/// conversation.
pub(super) fn is_the_answer(head: &ReplyHead) -> bool {
    matches!(head.cache, CacheStatus::Bypass | CacheStatus::Miss | CacheStatus::Vetoed { .. })
        && head.level == Level::Primary
        && head.shortened == 0
}

/// Keeps an answer when it is complete.
pub(super) struct Keeper {
    pub(super) cache: ExactCache,
    pub(super) asked: Asked,
    pub(super) head: Box<ReplyHead>,
    pub(super) purges: u64,
}

impl Keeper {
    pub(super) fn record(&self, end: &End) -> Option<Recording> {
        if self.asked.wants.tool_calls { Recording::of_with_tool_calls(end) } else { Recording::of(end) }
    }

    pub(super) fn keep(&self, recording: Option<Recording>, end: &End, tape: &Tape) {
        let Inner { config, memory, second, counters, price_of, purges, .. } = &*self.cache.0;
        let Some(recording) = recording.map(|recording| recording.by(&self.head)) else {
            if end.is_complete() {
                counters.not_stored.one();
            }
            return;
        };
        let worth = counters.worth(&recording, price_of.as_ref());
        // Those who shared the call did not pay for one of their own.
        (0..tape.followers()).for_each(|_| worth.count());
        if recording.bytes() as u64 > config.max_entry_bytes {
            return counters.not_stored.one();
        }
        let kept = purges.unless_since(self.purges, || {
            let entry = Entry::new(recording, self.asked.wants.ttl, config.stale_for);
            memory.keep(&self.asked.key, entry.clone(), worth);
            if let Some(second) = second {
                second.put_behind(self.asked.key.clone(), entry);
            }
        });
        kept.map_or_else(|| counters.not_stored.one(), |()| counters.stored.one());
    }
}

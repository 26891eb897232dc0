//! Which session a call belongs to, and who served it last.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_provider_core::Call;
use mainstay_provider_core::chat::{Content, Message, Role};

/// The key of a call's session: what the caller names, else what providers cache by, the beginning of the prompt.
///
/// In this order: the property `property` of the context, `prompt_cache_key`, `user`, and else the instructions and the
/// first message of the user. Always with the tenant: two of them never share a key but by chance.
pub(crate) fn session_key(call: &Call, property: &str) -> u64 {
    let (request, context) = (call.request(), call.context());
    let mut hasher = DefaultHasher::new();
    context.namespace.as_str().hash(&mut hasher);
    let named = context.properties.get(property).map(String::as_str);
    let named = named.or_else(|| request.extra.get("prompt_cache_key").and_then(|key| key.as_str()));
    match named.or(request.user.as_deref()) {
        Some(name) => name.hash(&mut hasher),
        None => hash_prefix(&request.messages, &mut hasher),
    }
    hasher.finish()
}

/// The instructions up to the first message of the user, and that one.
fn hash_prefix(messages: &[Message], hasher: &mut DefaultHasher) {
    for message in messages {
        let is_user = message.role == Role::User;
        if is_user || message.role.is_instruction() {
            hash_text(message, hasher);
        }
        if is_user {
            return;
        }
    }
}

/// The first KiB of a text and its length: long prompts are not read to their end for this.
fn hash_text(message: &Message, hasher: &mut DefaultHasher) {
    let mut room = MOST_HASHED;
    let mut hash = |text: &str| {
        let read = text.len().min(room);
        room -= read;
        hasher.write(&text.as_bytes()[..read]);
        text.len().hash(hasher);
    };
    match &message.content {
        Some(Content::Text(text)) => hash(text),
        Some(Content::Parts(parts)) => parts.iter().filter_map(|part| part.as_text()).for_each(hash),
        None => {}
    }
}

const MOST_HASHED: usize = 1_024;

pub(crate) fn hash_name(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Spreads the bits of a number.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Who served a session last: 8,192 sessions, of which the ones that were not used for longest are forgotten. Nothing
/// in it takes a lock; two calls at once may lose one entry.
pub(crate) struct Sessions(Box<[AtomicU64]>);

/// An entry: 32 bits of the key, 12 bits of the member, 20 bits of the time in steps of 8 s, which wrap after 97 days.
struct Entry {
    key: u64,
    member: usize,
    at: u64,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self((0..SETS * WAYS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Who served the session, and how many seconds ago.
    pub(crate) fn last(&self, key: u64, seconds: u64) -> Option<(usize, u64)> {
        let entries = self.set(key).iter().filter_map(|slot| Entry::read(slot.load(Ordering::Relaxed)));
        let entry = entries.into_iter().find(|entry| entry.key == key >> 32)?;
        let age = entry.age(seconds);
        (age <= KEPT).then_some((entry.member, age))
    }

    /// `member` served the session.
    pub(crate) fn note(&self, key: u64, member: usize, seconds: u64) {
        if member >= MOST_MEMBERS {
            return;
        }
        let age = |slot: &&AtomicU64| match Entry::read(slot.load(Ordering::Relaxed)) {
            Some(entry) if entry.key == key >> 32 => u64::MAX,
            Some(entry) => entry.age(seconds),
            None => u64::MAX - 1,
        };
        if let Some(slot) = self.set(key).iter().max_by_key(age) {
            let entry = Entry { key: key >> 32, member, at: (seconds / STEP) & TIMES };
            slot.store(entry.write(), Ordering::Relaxed);
        }
    }

    fn set(&self, key: u64) -> &[AtomicU64] {
        // The remainder is below the number of sets.
        let set = (key % SETS as u64) as usize;
        &self.0[set * WAYS..(set + 1) * WAYS]
    }
}

impl Entry {
    fn read(word: u64) -> Option<Self> {
        // The member is stored as one more than it is, so that no entry is zero.
        let member = ((word >> 20) & 0xfff) as usize;
        (member > 0).then(|| Self { key: word >> 32, member: member - 1, at: word & TIMES })
    }

    fn write(&self) -> u64 {
        self.key << 32 | (self.member as u64 + 1) << 20 | self.at
    }

    fn age(&self, seconds: u64) -> u64 {
        ((seconds / STEP).wrapping_sub(self.at) & TIMES) * STEP
    }
}

const SETS: usize = 2_048;
const WAYS: usize = 4;
const MOST_MEMBERS: usize = 4_094;
const TIMES: u64 = (1 << 20) - 1;
/// In seconds.
const STEP: u64 = 8;
/// For how long a session is remembered, in seconds.
const KEPT: u64 = 3_600;

/// How likely a prompt is still cached after a pause of this many seconds. Measured switch-backs found the cache warm in
/// 97.4 % of cases within five minutes, which is how long providers keep it; some keep it up to an hour.
pub(crate) fn warmth(age: u64) -> f32 {
    match age {
        0..=300 => 0.974,
        301..=KEPT => 0.5,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests;

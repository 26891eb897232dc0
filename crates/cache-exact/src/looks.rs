//! Identical calls at the same time look into the second level once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_provider_core::Digest;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::memory::Kept;

/// The looks that are under way, by the digest of their key. It is less than a flight: a hit needs no more, and what is not
/// there is then asked for in a flight.
pub(crate) struct Looks {
    shards: [Mutex<HashMap<Digest, Option<watch::Sender<Seen>>>>; SHARDS],
}

const SHARDS: usize = 16;

/// What a look has come to.
#[derive(Clone)]
pub(crate) enum Seen {
    /// It is not over, or never was: whoever looked has gone.
    Unknown,
    Nothing,
    Kept(Arc<Kept>),
}

/// Whose look it is.
pub(crate) enum Turn<'a> {
    /// This one's.
    Mine(Look<'a>),
    /// Another's, who tells.
    Wait(watch::Receiver<Seen>),
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    pub(crate) fn take(&self, digest: &Digest) -> Turn<'_> {
        match self.shard(digest).entry(*digest) {
            Entry::Vacant(place) => {
                place.insert(None);
                Turn::Mine(Look { looks: Some(self), digest: *digest })
            }
            // Nearly always nobody waits, and nothing is made for that.
            Entry::Occupied(mut place) => {
                let tell = place.get_mut().get_or_insert_with(|| watch::channel(Seen::Unknown).0);
                Turn::Wait(tell.subscribe())
            }
        }
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, HashMap<Digest, Option<watch::Sender<Seen>>>> {
        let shard = usize::from(digest.as_bytes()[31]) % SHARDS;
        // A map of channels: a panic elsewhere leaves it as good as it was.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look that is under way. When it is dropped it is over, and those who wait know that they know nothing.
pub(crate) struct Look<'a> {
    /// None when it is over.
    looks: Option<&'a Looks>,
    digest: Digest,
}

impl Look<'_> {
    /// What it has come to, for those who wait.
    pub(crate) fn tell(mut self, seen: &Seen) {
        if let Some(tell) = self.leave() {
            tell.send_replace(seen.clone());
        }
    }

    fn leave(&mut self) -> Option<watch::Sender<Seen>> {
        self.looks.take()?.shard(&self.digest).remove(&self.digest).flatten()
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

/// What another's look comes to. Nobody waits longer than for a look of their own: whoever looks may not be polled.
pub(crate) async fn wait(mut seen: watch::Receiver<Seen>, longest: Duration) -> Seen {
    match timeout(longest, seen.wait_for(|seen| !matches!(seen, Seen::Unknown))).await {
        Ok(Ok(seen)) => seen.clone(),
        Ok(Err(_gone)) => Seen::Unknown,
        Err(_) => Seen::Nothing,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use mainstay_provider_core::DigestWriter;
    use tokio::time::Instant;

    use super::*;

    const LONGEST: Duration = Duration::from_millis(50);

    fn digest(name: &str) -> Digest {
        let mut writer = DigestWriter::new("test");
        writer.text("name", name);
        writer.finish()
    }

    fn mine<'a>(looks: &'a Looks, name: &str) -> Look<'a> {
        match looks.take(&digest(name)) {
            Turn::Mine(look) => look,
            Turn::Wait(_) => panic!("somebody looks"),
        }
    }

    fn others(looks: &Looks, name: &str) -> watch::Receiver<Seen> {
        match looks.take(&digest(name)) {
            Turn::Mine(_) => panic!("nobody looks"),
            Turn::Wait(seen) => seen,
        }
    }

    fn len(looks: &Looks) -> usize {
        looks.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn one_looks_and_tells_those_who_wait() {
        let looks = Looks::new();
        let look = mine(&looks, "a");
        let (early, late) = (others(&looks, "a"), others(&looks, "a"));
        let other = mine(&looks, "b");
        let waiting = tokio::spawn(wait(early, LONGEST));
        tokio::task::yield_now().await;
        look.tell(&Seen::Nothing);
        assert!(matches!(waiting.await.unwrap(), Seen::Nothing));
        assert!(matches!(wait(late, LONGEST).await, Seen::Nothing), "it is told before it waits");
        let again = mine(&looks, "a");
        drop((again, other));
        assert_eq!(len(&looks), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_goes_leaves_it_to_the_others_at_once() {
        let looks = Looks::new();
        let look = mine(&looks, "a");
        let seen = others(&looks, "a");
        let begun = Instant::now();
        drop(look);
        assert!(matches!(wait(seen, LONGEST).await, Seen::Unknown));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(mine(&looks, "a"));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_for_a_look_of_their_own() {
        let looks = Looks::new();
        let _never_polled = mine(&looks, "a");
        let begun = Instant::now();
        assert!(matches!(wait(others(&looks, "a"), LONGEST).await, Seen::Nothing));
        assert_eq!(begun.elapsed(), LONGEST);
    }
}

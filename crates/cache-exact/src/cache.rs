//! The cache that all clones of a layer share.

mod keeper;

use std::pin::{Pin, pin};
use std::sync::Arc;

use mainstay_provider_core::{CacheStatus, Call, Error, Event, Events, Keep, Namespace, Reply, Severity};

use self::keeper::{Keeper, is_the_answer};
use crate::config::{ExactCacheConfig, Sharing};
use crate::flight::{Flights, Tape};
use crate::key::{Key, Scope};
use crate::looks::{Looks, Seen, Turn, wait};
use crate::memory::{Kept, MemoryStore};
use crate::plan::{Wants, not_in_the_cache};
use crate::policy::CachePolicy;
use crate::purges::Purges;
use crate::second::Second;
use crate::stats::{Counters, PriceOf, Stats};
use crate::store::{ExactStore, StoreError};

/// The cache itself, shared by all clones of a layer and all services that it makes. A clone is another handle of it.
#[derive(Clone)]
pub struct ExactCache(Arc<Inner>);

struct Inner {
    config: ExactCacheConfig,
    sharing: Sharing,
    policy: Arc<dyn CachePolicy>,
    memory: MemoryStore,
    second: Option<Second>,
    looks: Looks,
    flights: Arc<Flights>,
    counters: Counters,
    price_of: Option<PriceOf>,
    /// Whether the service inside is a cache too.
    before_another: bool,
    events: Events,
    purges: Purges,
}

/// What is done with a call.
pub(crate) enum Plan {
    /// The cache has nothing to do with it.
    Leave,
    /// It is answered.
    Answer(Result<Reply, Error>),
    /// Somebody has to be asked: the second level, or the provider.
    Ask(Asked),
}

/// A call that memory cannot answer.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) key: Key,
    pub(crate) wants: Wants,
}

impl ExactCache {
    pub(crate) fn new(
        config: ExactCacheConfig,
        policy: Arc<dyn CachePolicy>,
        second: Option<Arc<dyn ExactStore>>,
        price_of: Option<PriceOf>,
        before_another: bool,
        events: &Events,
    ) -> Self {
        let (timeout, failures) = (config.store_timeout, config.store_failures);
        Self(Arc::new(Inner {
            memory: MemoryStore::new(config.max_bytes),
            second: second.map(|store| Second::new(store, timeout, failures, events.clone())),
            looks: Looks::new(),
            flights: Flights::new(),
            counters: Counters::default(),
            purges: Purges::default(),
            events: events.clone(),
            sharing: config.sharing(),
            config,
            policy,
            price_of,
            before_another,
        }))
    }

    /// What the cache has done, and how full it is.
    pub fn stats(&self) -> Stats {
        let (entries, bytes, evictions) = self.0.memory.size();
        let second = self.0.second.as_ref().map(Second::stats);
        Stats { entries, bytes, evictions, second, ..self.0.counters.read() }
    }

    /// What it was set up with.
    pub fn config(&self) -> &ExactCacheConfig {
        &self.0.config
    }

    /// An answer to this call from memory, fresh or expired: for the degrade ladder, when there is nothing better. It is of
    /// the call's own namespace, and `None` if the call wants no cached answer.
    pub fn stale(&self, call: &Call) -> Option<Reply> {
        if call.context().cache.no_cache {
            return None;
        }
        let kept = self.0.memory.find(&self.key(call))?;
        Some(self.as_last_resort(&kept, call))
    }

    /// As [`ExactCache::stale`], and the second level is asked too.
    ///
    /// # Cancellation
    /// Dropping the future does no harm.
    pub async fn stale_anywhere(&self, call: &Call) -> Option<Reply> {
        if let Some(reply) = self.stale(call) {
            return Some(reply);
        }
        if call.context().cache.no_cache {
            return None;
        }
        let kept = self.ask_second_level(&self.key(call)).await?;
        Some(self.as_last_resort(&kept, call))
    }

    /// Forgets all answers of a namespace, here and in the second level, and keeps none that is under way; says how many
    /// there were where there were more. What other processes have in their memory lives on there until its time is over.
    ///
    /// # Errors
    /// When the second level failed; the memory is empty of it all the same.
    pub async fn purge(&self, namespace: &Namespace) -> Result<u64, StoreError> {
        self.purge_scope(&Scope::Namespace(namespace.clone())).await
    }

    /// As [`ExactCache::purge`], for a scope that tenants share.
    ///
    /// # Errors
    /// As [`ExactCache::purge`].
    pub async fn purge_shared(&self, name: &str) -> Result<u64, StoreError> {
        self.purge_scope(&Scope::Shared(name.into())).await
    }

    /// Forgets the answer to this call.
    ///
    /// # Errors
    /// When the second level failed.
    pub async fn forget(&self, call: &Call) -> Result<(), StoreError> {
        let key = self.key(call);
        self.0.purges.one();
        self.0.memory.forget(&key);
        match &self.0.second {
            Some(second) => second.remove(&key).await,
            None => Ok(()),
        }
    }

    async fn purge_scope(&self, scope: &Scope) -> Result<u64, StoreError> {
        self.0.purges.one();
        let in_memory = self.0.memory.forget_all_of(scope);
        let elsewhere = match &self.0.second {
            Some(second) => second.clear(scope).await,
            None => Ok(0),
        };
        let forgotten = elsewhere.as_ref().map_or(in_memory, |elsewhere| in_memory.max(*elsewhere));
        self.0.events.send(|| {
            let event = Event::new("cache.purged", Severity::Info).with("cache", "exact");
            event.with("scope", scope.name().to_owned()).with("entries", forgotten.to_string())
        });
        elsewhere.map(|_| forgotten)
    }

    fn key(&self, call: &Call) -> Key {
        Key::of(call, &self.0.sharing)
    }

    pub(crate) fn flights(&self) -> &Arc<Flights> {
        &self.0.flights
    }

    pub(crate) fn has_second_level(&self) -> bool {
        self.0.second.is_some()
    }

    pub(crate) fn max_entry_bytes(&self) -> usize {
        usize::try_from(self.0.config.max_entry_bytes).unwrap_or(usize::MAX)
    }

    /// Looks at a call: everything that can be said without waiting.
    pub(crate) fn plan(&self, call: &Call) -> Plan {
        let Inner { config, policy, memory, counters, .. } = &*self.0;
        let directive = call.context().cache;
        if !directive.force
            && let Err(why) = policy.judge(call)
        {
            counters.not_cached(why);
            return if directive.only_if_cached { self.nothing() } else { Plan::Leave };
        }
        let wants = Wants::new(directive, config, policy.keeps_tool_calls());
        if !wants.look {
            counters.bypassed.one();
            if wants.only {
                return self.nothing();
            }
            if !wants.store {
                return Plan::Leave;
            }
        }
        let key = self.key(call);
        if wants.look
            && let Some(kept) = memory.find(&key)
            && let Some(status) = wants.takes(&kept)
        {
            return Plan::Answer(Ok(self.answer(&kept, status, call.is_stream())));
        }
        if wants.only && !self.has_second_level() {
            counters.misses.one();
            return self.nothing();
        }
        Plan::Ask(Asked { key, wants })
    }

    /// A call wants a cached answer only, and there is none here.
    fn nothing(&self) -> Plan {
        if self.0.before_another { Plan::Leave } else { Plan::Answer(Err(not_in_the_cache())) }
    }

    pub(crate) fn is_before_another(&self) -> bool {
        self.0.before_another
    }

    /// The reply of an entry; nothing of the answer is copied.
    pub(crate) fn answer(&self, kept: &Kept, status: CacheStatus, as_stream: bool) -> Reply {
        let counters = &self.0.counters;
        match status {
            CacheStatus::Stale { .. } => counters.stale_hits.one(),
            _ => counters.hits.one(),
        }
        kept.worth.count();
        let mut head = kept.recording.head();
        head.cache = status;
        kept.recording.reply(head, as_stream, self.0.config.replay_pace())
    }

    fn as_last_resort(&self, kept: &Kept, call: &Call) -> Reply {
        let age = kept.age();
        let status = if age < kept.ttl { CacheStatus::Hit { age } } else { CacheStatus::Stale { age } };
        self.answer(kept, status, call.is_stream())
    }

    /// What the second level has for a call; identical calls at the same time look once.
    pub(crate) async fn look_elsewhere(&self, asked: &Asked) -> Seen {
        let Inner { config, looks, .. } = &*self.0;
        if !asked.wants.look {
            return Seen::Nothing;
        }
        let turn = config.single_flight.then(|| looks.take(asked.key.digest()));
        let look = match turn {
            Some(Turn::Wait(seen)) => return Box::pin(wait(seen, config.store_timeout)).await,
            Some(Turn::Mine(look)) => Some(look),
            None => None,
        };
        let seen = self.ask_second_level(&asked.key).await.map_or(Seen::Nothing, Seen::Kept);
        if let Some(look) = look {
            look.tell(&seen);
        }
        seen
    }

    /// An entry that somebody has put there since the call was looked at; or that the second level has, if the call has
    /// `not_yet` looked there.
    pub(crate) async fn look_again(&self, asked: &Asked, not_yet: bool) -> Option<Arc<Kept>> {
        let Asked { key, wants } = asked;
        if !wants.look {
            return None;
        }
        let kept = self.0.memory.find(key).filter(|kept| wants.takes(kept).is_some());
        match kept {
            None if not_yet => self.ask_second_level(key).await.filter(|kept| wants.takes(kept).is_some()),
            kept => kept,
        }
    }

    async fn ask_second_level(&self, key: &Key) -> Option<Arc<Kept>> {
        let Inner { second, memory, purges, .. } = &*self.0;
        let since = purges.count();
        let asking = pin!(second.as_ref()?.get(key));
        let entry = meanwhile(asking, || memory.catch_up()).await?;
        let worth = self.0.counters.worth(&entry.recording, self.0.price_of.as_ref());
        purges.unless_since(since, || memory.keep_later(key, entry, worth))
    }

    pub(crate) fn missed(&self) {
        self.0.counters.misses.one();
    }

    pub(crate) fn shared(&self) {
        self.0.counters.coalesced.one();
    }

    /// Hangs on the end of an answer what keeps it.
    pub(crate) fn keep_at_end(&self, reply: Reply, call: &Call, asked: &Asked, tape: &Arc<Tape>) -> Reply {
        let is_kept =
            asked.wants.store && is_the_answer(&reply.head) && self.0.policy.keeps(call, &reply.head);
        if !is_kept {
            self.0.counters.not_stored.one();
            return reply;
        }
        let keeper = Keeper {
            cache: self.clone(),
            asked: asked.clone(),
            head: reply.head.clone(),
            purges: self.0.purges.count(),
        };
        if reply.is_stream() {
            let tape = tape.clone();
            reply.on_end(move |end| keeper.keep(tape.record(end, keeper.asked.wants.tool_calls), end, &tape))
        } else {
            let tape = tape.clone();
            reply.on_end_keeping(Keep::Answer, move |end| keeper.keep(keeper.record(end), end, &tape))
        }
    }
}

/// Does something useful each time when `future` has to wait. No `async fn`: that would hold the future twice, and one of a
/// kilobyte takes longer to find memory for.
fn meanwhile<T>(mut future: Pin<&mut impl Future<Output = T>>, work: impl Fn()) -> impl Future<Output = T> {
    std::future::poll_fn(move |task| {
        let polled = future.as_mut().poll(task);
        if polled.is_pending() {
            work();
        }
        polled
    })
}

impl std::fmt::Debug for ExactCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExactCache")
            .field("config", &self.0.config)
            .field("memory", &self.0.memory)
            .finish_non_exhaustive()
    }
}

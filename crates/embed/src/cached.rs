//! Vectors that were computed once are kept.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use mainstay_provider_core::{
    BoxFuture, CacheStatus, EmbedCall, EmbedInput, EmbedReply, EmbedRequest, Error, ErrorKind, ReplyHead,
    Timer, Usage,
};
use moka::future::Cache;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use crate::error::{InvalidConfig, within};
use crate::identity::{Identified, Identity};

/// How vectors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheConfig {
    /// The most bytes of all vectors with what keeping them takes; 64 MiB, some 38,000 vectors of 384 dimensions.
    pub bytes: u64,
    /// How long a vector is kept; 24 h. A local model never changes, a provider's may.
    pub ttl: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { bytes: 64 << 20, ttl: Duration::from_secs(24 * 60 * 60) }
    }
}

impl CacheConfig {
    /// Sets [`CacheConfig::bytes`]; 64 MiB when not set.
    #[must_use]
    pub fn bytes(mut self, most: u64) -> Self {
        self.bytes = most;
        self
    }

    /// Sets [`CacheConfig::ttl`]; 24 h when not set.
    #[must_use]
    pub fn ttl(mut self, longest: Duration) -> Self {
        self.ttl = longest;
        self
    }
}

/// An embedder that keeps the vectors it was given, in memory, by namespace and text.
///
/// The same text asked by several callers at once, or several times in one call, is computed once. A failure is told and not kept. A call with tokens
/// instead of texts goes through. A tenant's vectors are that tenant's: how fast an answer comes says nothing about what
/// others asked.
///
/// # Cancellation
/// Dropping the future drops the inner one, unless another caller waits for the same text: then that one goes on by
/// asking again. So does the end of a call's deadline, which is an [`ErrorKind::Timeout`]; who waits for another's vector
/// waits no longer than its own.
#[derive(Debug, Clone)]
pub struct CachedEmbedder<E> {
    inner: E,
    vectors: Cache<Key, Arc<Kept>>,
    ttl: Duration,
    counts: Arc<Counts>,
}

type Key = [u8; 32];

#[derive(Debug)]
struct Kept {
    vector: Vec<f32>,
    provider: Arc<str>,
    model: Arc<str>,
    at: Instant,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What the cache of an embedder did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Texts whose vector was there, or was being computed for another caller.
    pub hits: u64,
    /// Texts that were computed.
    pub misses: u64,
    /// Vectors that are kept now.
    pub entries: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

impl<E: Identified> CachedEmbedder<E> {
    /// Keeps the vectors of `inner`.
    ///
    /// # Errors
    /// No bytes, no time, or a time of more than 30 days.
    pub fn new(inner: E, config: CacheConfig) -> Result<Self, InvalidConfig> {
        within("bytes", config.bytes, u64::MAX)?;
        let ttl = u64::try_from(config.ttl.as_millis()).unwrap_or(u64::MAX);
        within("ttl in ms", ttl, 30 * 24 * 60 * 60 * 1_000)?;
        let weigh = |_: &Key, kept: &Arc<Kept>| {
            u32::try_from(kept.vector.len() * size_of::<f32>() + OVERHEAD).unwrap_or(u32::MAX)
        };
        let vectors =
            Cache::builder().weigher(weigh).max_capacity(config.bytes).time_to_live(config.ttl).build();
        Ok(Self { inner, vectors, ttl: config.ttl, counts: Arc::default() })
    }

    /// What was done so far, by all clones.
    pub async fn stats(&self) -> CacheStats {
        self.vectors.run_pending_tasks().await;
        CacheStats {
            hits: self.counts.hits.load(Ordering::Relaxed),
            misses: self.counts.misses.load(Ordering::Relaxed),
            entries: self.vectors.entry_count(),
            bytes: self.vectors.weighted_size(),
        }
    }

    async fn answer(self, call: EmbedCall) -> Result<EmbedReply, Error> {
        match call.request.input.texts() {
            None | Some([]) => self.inner.embed(call).await,
            Some([text]) => {
                let key = self.key(&call, text);
                self.one(call, key).await
            }
            Some(texts) => {
                let keys = texts.iter().map(|text| self.key(&call, text)).collect();
                self.several(call, keys).await
            }
        }
    }

    async fn one(self, call: EmbedCall, key: Key) -> Result<EmbedReply, Error> {
        if let Some(kept) = self.fresh(&key).await {
            self.counts.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(reply_of(&[kept]));
        }
        let asked = AtomicBool::new(false);
        let told = OnceLock::new();
        let computed = self.vectors.try_get_with(key, async {
            asked.store(true, Ordering::Relaxed);
            let (told_now, mut computed) = taken_apart(self.inner.embed(call.clone()).await?, 1)?;
            told.get_or_init(|| told_now);
            Ok::<_, Error>(Arc::new(computed.next().expect("it was counted")))
        });
        let Some(result) = before(call.context.deadline, computed).await else { return Err(too_late()) };
        match (result, told.into_inner()) {
            (Ok(kept), Some(told)) => {
                self.counts.misses.fetch_add(1, Ordering::Relaxed);
                Ok(told.with(vec![kept.vector.clone()]))
            }
            (Ok(kept), None) => {
                self.counts.hits.fetch_add(1, Ordering::Relaxed);
                let mut reply = reply_of(&[kept]);
                reply.head.cache = CacheStatus::Coalesced;
                Ok(reply)
            }
            (Err(error), _) if asked.into_inner() => Err(Error::clone(&error)),
            // Another caller's failure may be that caller's own, a deadline for instance.
            (Err(_), _) => self.inner.embed(call).await,
        }
    }

    async fn several(self, call: EmbedCall, keys: Vec<Key>) -> Result<EmbedReply, Error> {
        let mut found = Vec::with_capacity(keys.len());
        for key in &keys {
            found.push(self.fresh(key).await);
        }
        let mut asked = HashSet::new();
        let missing: Vec<usize> =
            (0..keys.len()).filter(|index| found[*index].is_none() && asked.insert(keys[*index])).collect();
        self.counts.hits.fetch_add((keys.len() - missing.len()) as u64, Ordering::Relaxed);
        let mut told = None;
        if !missing.is_empty() {
            let reply = self.inner.embed(part_of(&call, &missing)).await?;
            self.counts.misses.fetch_add(missing.len() as u64, Ordering::Relaxed);
            let (told_now, computed) = taken_apart(reply, missing.len())?;
            told = Some(told_now);
            let computed: HashMap<Key, Arc<Kept>> =
                missing.iter().map(|index| keys[*index]).zip(computed.map(Arc::new)).collect();
            for (key, kept) in &computed {
                self.vectors.insert(*key, kept.clone()).await;
            }
            for (place, key) in found.iter_mut().zip(&keys) {
                *place = place.take().or_else(|| computed.get(key).cloned());
            }
        }
        let found: Vec<_> = found.into_iter().flatten().collect();
        Ok(match told {
            Some(told) => told.with(found.iter().map(|kept| kept.vector.clone()).collect()),
            None => reply_of(&found),
        })
    }

    async fn fresh(&self, key: &Key) -> Option<Arc<Kept>> {
        let kept = self.vectors.get(key).await?;
        // moka reads a clock of its own, which tests cannot move.
        if kept.at.elapsed() < self.ttl {
            return Some(kept);
        }
        self.vectors.invalidate(key).await;
        None
    }

    /// 256 bits, so that no two texts share a vector; each part with its length, so that none can pass for another.
    fn key(&self, call: &EmbedCall, text: &str) -> Key {
        let mut digest = Sha256::new();
        let dimensions = call.request.dimensions.unwrap_or(0);
        for part in [call.context.namespace.as_str(), &call.request.model, text] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.update(dimensions.to_le_bytes());
        digest.finalize().into()
    }
}

/// Of the key, the head's names, and moka's own books.
const OVERHEAD: usize = 200;

/// In the time that a call has: who waits for another's vector would else wait by that one's deadline.
async fn before<T>(deadline: Option<Instant>, computed: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, computed).await.ok(),
        None => Some(computed.await),
    }
}

fn too_late() -> Error {
    Error::new(ErrorKind::Timeout(Timer::Total), "the vector did not come before the call's deadline")
}

fn part_of(call: &EmbedCall, wanted: &[usize]) -> EmbedCall {
    let texts = call.request.input.texts().unwrap_or_default();
    let texts = wanted.iter().map(|index| texts[*index].clone()).collect();
    let mut request = EmbedRequest::clone(&call.request);
    request.input = EmbedInput::Texts(texts);
    EmbedCall { request: request.into(), context: call.context.clone() }
}

/// What the inner embedder said beside the vectors.
struct Told {
    head: ReplyHead,
    usage: Option<Usage>,
}

impl Told {
    fn with(mut self, vectors: Vec<Vec<f32>>) -> EmbedReply {
        self.head.cache = CacheStatus::Miss;
        EmbedReply::new(self.head, vectors, self.usage)
    }
}

fn taken_apart(reply: EmbedReply, expected: usize) -> Result<(Told, impl Iterator<Item = Kept>), Error> {
    let EmbedReply { head, vectors, usage, .. } = reply;
    if vectors.len() != expected {
        let message = format!("{} vectors for {expected} texts", vectors.len());
        return Err(Error::new(ErrorKind::MalformedResponse, message).at(head.provider, head.model));
    }
    let (provider, model, at) = (head.provider.clone(), head.model.clone(), Instant::now());
    let kept = vectors.into_iter().map(move |vector| Kept {
        vector,
        provider: provider.clone(),
        model: model.clone(),
        at,
    });
    Ok((Told { head, usage }, kept))
}

/// As a hit of the oldest.
fn reply_of(kept: &[Arc<Kept>]) -> EmbedReply {
    let oldest = kept.iter().min_by_key(|kept| kept.at).expect("a request with texts has a vector");
    let mut head = ReplyHead::new(oldest.provider.clone(), oldest.model.clone());
    head.cache = CacheStatus::Hit { age: oldest.at.elapsed() };
    EmbedReply::new(head, kept.iter().map(|kept| kept.vector.clone()).collect(), Some(Usage::default()))
}

impl<E: Identified> Identified for CachedEmbedder<E> {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }
}

impl<E: Identified> Service<EmbedCall> for CachedEmbedder<E> {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    /// Always ready: only a miss needs the inner embedder, and waits for it.
    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        Box::pin(self.clone().answer(call))
    }
}

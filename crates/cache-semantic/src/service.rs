//! The service: a look into the cache, then the provider.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use mainstay_provider_core::{
    BoxFuture, CacheStatus, Call, End, Error, ErrorKind, Keep, Level, Provider, Recording, Reply, ReplyHead,
};
use tokio::runtime::Handle;
use tower_service::Service;

use crate::cache::{Looked, Shared};
use crate::decision::{By, Decision};

/// A provider behind a semantic cache.
///
/// # Errors
/// Those of the provider. The cache has none of its own: whatever fails in it is a miss. Only a caller that wants a cached
/// answer or none gets [`ErrorKind::Unavailable`] instead of a miss.
///
/// # Cancellation
/// Dropping the future stores nothing. Dropping a stream before its end stores nothing either.
#[derive(Debug, Clone)]
pub struct Semantic<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Semantic<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S: Provider> Service<Call> for Semantic<S> {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    /// Always ready: a hit asks nobody, so it does not wait for a provider whose places are all taken.
    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (inner, shared) = (self.inner.clone(), self.shared.clone());
        match shared.question(&call) {
            Ok(question) => Box::pin(async move {
                let partition = shared.partition(&call);
                let looked = Looked { partition, question, vector: None, nearest: None };
                serve(inner, shared, call, looked).await
            }),
            Err(skip) => {
                shared.decided(&call, &Decision::miss(By::Skip(skip)), None);
                Box::pin(async move {
                    if call.context().cache.only_if_cached {
                        return Err(not_cached(&call));
                    }
                    inner.ask(call).await
                })
            }
        }
    }
}

async fn serve<S: Provider>(
    inner: S,
    shared: Arc<Shared>,
    call: Call,
    mut looked: Looked,
) -> Result<Reply, Error> {
    let directive = call.context().cache;
    // A call that takes no entry of any age asks anew, as with `no_cache`.
    let is_anew = directive.no_cache || directive.max_age == Some(Duration::ZERO);
    let (decision, recording) = if is_anew {
        (Decision::miss(By::Skip(crate::Skip::Directive)), None)
    } else {
        shared.look_up(&call, &mut looked).await
    };
    shared.decided(&call, &decision, recording.as_ref());
    if let Some(recording) = recording {
        let reply = shared.reply(&call, &decision, &recording);
        if shared.is_rechecked(&decision) {
            recheck(inner, shared, call, looked, decision, recording);
        }
        return Ok(reply);
    }
    if directive.only_if_cached {
        return Err(not_cached(&call));
    }
    let (ttl, is_stream, purges) = (shared.ttl(&call), call.is_stream(), shared.purges());
    let mut reply = inner.ask(call).await?;
    if reply.head.cache == CacheStatus::Bypass {
        reply.head.cache = decision.status();
    }
    // A cut conversation has another answer than the one that was asked for, and a spare one is no answer to keep.
    if directive.no_store || !is_primary(&reply.head) {
        return Ok(reply);
    }
    let Ok(runtime) = Handle::try_current() else { return Ok(reply) };
    let head = reply.head.clone();
    let keep = if is_stream { Keep::Chunks } else { Keep::Answer };
    Ok(reply.on_end_keeping(keep, move |end: &End| {
        let Some(recording) = Recording::of(end) else { return };
        let recording = recording.by(&head);
        // A hook must not block, and a store may.
        drop(runtime.spawn(learn_and_keep(shared, looked, recording, ttl, purges)));
    }))
}

async fn learn_and_keep(
    shared: Arc<Shared>,
    mut looked: Looked,
    recording: Recording,
    ttl: Duration,
    purges: u64,
) {
    shared.embed_late(&mut looked).await;
    shared.learn_from_miss(&looked, &recording).await;
    shared.keep(&looked, recording, ttl, purges).await;
}

/// Asks the provider what the cache has answered, in the background, and compares.
fn recheck<S: Provider>(
    inner: S,
    shared: Arc<Shared>,
    mut call: Call,
    looked: Looked,
    decision: Decision,
    kept: Recording,
) {
    let Ok(runtime) = Handle::try_current() else { return };
    let context = call.context_mut();
    // The caller has its answer: this is the cache's own question, and nobody's budget pays for it.
    context.subjects.clear();
    context.deadline = None;
    context.cache.no_cache = true;
    context.cache.no_store = true;
    drop(runtime.spawn(async move {
        let answer = tokio::time::timeout(RECHECK, ask_again(inner, call)).await;
        if let Ok(Some(fresh)) = answer {
            shared.learn_from_hit(&looked, &decision, &kept, &fresh).await;
        }
    }));
}

/// A question that was asked again is given up after this time.
const RECHECK: Duration = Duration::from_secs(120);

async fn ask_again<S: Provider>(inner: S, call: Call) -> Option<Recording> {
    let reply = inner.ask(call).await.ok()?;
    if !is_primary(&reply.head) {
        return None;
    }
    let head = reply.head.clone();
    let whole = reply.collect().await.ok()?;
    let (tell, told) = std::sync::mpsc::channel();
    let _whole = Reply::whole(*head.clone(), whole).on_end_keeping(Keep::Answer, move |end| {
        let _sent = tell.send(Recording::of(end));
    });
    told.try_recv().ok().flatten().map(|recording| recording.by(&head))
}

fn is_primary(head: &ReplyHead) -> bool {
    head.level == Level::Primary
        && head.shortened == 0
        && matches!(
            head.cache,
            CacheStatus::Bypass | CacheStatus::Miss | CacheStatus::Vetoed { .. } | CacheStatus::Coalesced
        )
}

fn not_cached(call: &Call) -> Error {
    let message = "the cache has no answer for this call, and it asked for a cached one only";
    Error::new(ErrorKind::Unavailable, message)
        .with_status(504)
        .with_code("not_in_cache")
        .with_retryable(false)
        .at("cache", call.model().to_owned())
}

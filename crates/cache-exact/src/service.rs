//! The service: answers from the cache, or asks once for all who ask the same.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{BoxFuture, CacheStatus, Call, Error, ErrorKind, Reply, ReplyHead};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use crate::cache::{Asked, ExactCache, Plan};
use crate::flight::{Answered, Begun, Following, Member, Tape, Wanted, timed_out};
use crate::looks::Seen;
use crate::memory::Kept;
use crate::plan::not_in_the_cache;

/// A provider with a cache around it.
///
/// It is always ready: a hit needs nothing of the provider inside, which is waited for when it is asked.
///
/// # Errors
/// Those of the provider; and [`ErrorKind::Unavailable`] with code `not_in_cache` for a call that wants a cached answer only
/// when there is none. The cache itself never makes a call fail.
///
/// # Cancellation
/// Dropping the future or the reply cancels the upstream call, unless others share it: it lives for as long as anybody waits
/// for it, whoever began it.
#[derive(Debug, Clone)]
pub struct ExactCached<S> {
    inner: S,
    cache: ExactCache,
}

impl<S> ExactCached<S> {
    pub(crate) fn new(inner: S, cache: ExactCache) -> Self {
        Self { inner, cache }
    }
}

impl<S> Service<Call> for ExactCached<S>
where
    S: Service<Call, Response = Reply, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static,
{
    type Response = Reply;
    type Error = Error;
    type Future = ExactFuture;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> ExactFuture {
        match self.cache.plan(&call) {
            Plan::Answer(answer) => ExactFuture(State::Ready(Some(answer))),
            Plan::Leave => ExactFuture(State::Asking(Box::pin(ask_inner(self.inner.clone(), call)))),
            Plan::Ask(asked) => {
                let looks = self.cache.has_second_level() || asked.wants.only;
                let asking = Asking { cache: self.cache.clone(), inner: self.inner.clone(), call, asked };
                let asking: BoxFuture<_> =
                    if looks { Box::pin(asking.run()) } else { Box::pin(asking.fly(true)) };
                ExactFuture(State::Asking(asking))
            }
        }
    }
}

/// The answer of [`ExactCached`]. One from memory is there at once, without a box.
#[must_use = "nothing is asked until the future is polled"]
pub struct ExactFuture(State);

enum State {
    Ready(Option<Result<Reply, Error>>),
    Asking(BoxFuture<Result<Reply, Error>>),
}

impl Future for ExactFuture {
    type Output = Result<Reply, Error>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Ready(answer) => Poll::Ready(answer.take().expect("a future is not polled after its end")),
            State::Asking(asking) => asking.as_mut().poll(task),
        }
    }
}

impl std::fmt::Debug for ExactFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if matches!(self.0, State::Ready(_)) { "answered" } else { "asking" };
        f.debug_tuple("ExactFuture").field(&state).finish()
    }
}

/// The handle that becomes ready is the one that is called.
async fn ask_inner<S>(mut inner: S, call: Call) -> Result<Reply, Error>
where
    S: Service<Call, Response = Reply, Error = Error>,
{
    std::future::poll_fn(|task| inner.poll_ready(task)).await?;
    inner.call(call).await
}

/// A call that memory cannot answer.
struct Asking<S> {
    cache: ExactCache,
    inner: S,
    call: Call,
    asked: Asked,
}

impl<S> Asking<S>
where
    S: Service<Call, Response = Reply, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static,
{
    /// A hit in the second level needs no more than this, so what follows a miss has a box of its own: the larger
    /// the future, the longer it takes to find memory for it.
    async fn run(self) -> Result<Reply, Error> {
        if self.asked.wants.only {
            return Box::pin(self.answer_from_cache_only()).await;
        }
        let seen = self.look_first().await;
        if let Seen::Kept(kept) = &seen
            && let Some(reply) = self.hit(kept)
        {
            return Ok(reply);
        }
        let not_yet = matches!(seen, Seen::Unknown);
        drop(seen);
        Box::pin(self.fly(not_yet)).await
    }

    /// Shares the upstream call of those who ask the same, or makes it.
    async fn fly(self, mut not_yet: bool) -> Result<Reply, Error> {
        let mut joins = 2;
        loop {
            let member = self.member(joins > 0, not_yet);
            // Whatever comes of it, the next look is at another time.
            not_yet = true;
            joins -= i32::from(!member.leads());
            let begun = match self.deadline().filter(|_| !member.leads()) {
                None => member.begun().await,
                Some(deadline) => {
                    timeout_at(deadline, member.begun()).await.unwrap_or_else(|_| Begun::Failed(timed_out()))
                }
            };
            if let Some(result) = self.reply(member, begun, joins > 0).await {
                return result;
            }
        }
    }

    /// What the second level has. A hit there needs no flight; and a call that joins one need not look.
    async fn look_first(&self) -> Seen {
        if self.may_join() && self.cache.flights().is_under_way(self.wanted()) {
            return Seen::Unknown;
        }
        self.cache.look_elsewhere(&self.asked).await
    }

    async fn answer_from_cache_only(self) -> Result<Reply, Error> {
        let kept = self.cache.look_again(&self.asked, true).await;
        if let Some(reply) = kept.and_then(|kept| self.hit(&kept)) {
            return Ok(reply);
        }
        self.cache.missed();
        match self.cache.is_before_another() {
            true => ask_inner(self.inner, self.call).await,
            false => Err(not_in_the_cache()),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.call.context().deadline
    }

    fn wanted(&self) -> Wanted {
        let digest = *self.asked.key.digest();
        Wanted { digest, as_stream: self.call.is_stream(), deadline: self.deadline() }
    }

    fn may_join(&self) -> bool {
        self.asked.wants.look && self.cache.config().single_flight
    }

    /// Joins those who ask the same, or begins; alone if the call wants no answer of another, or if its own is not to be kept
    /// or shared.
    fn member(&self, may_join: bool, not_yet: bool) -> Member {
        let flights = self.cache.flights();
        let max_bytes = self.cache.max_entry_bytes();
        let wanted = self.wanted();
        let may_join = may_join && self.may_join();
        if may_join && self.asked.wants.store {
            return flights.join_or_lead(wanted, |tape| Box::pin(self.upstream(tape, not_yet)), max_bytes);
        }
        let joined = if may_join { flights.join(wanted) } else { None };
        joined.unwrap_or_else(|| {
            Member::alone(wanted, |tape| Box::pin(self.upstream(tape, not_yet)), max_bytes)
        })
    }

    /// The upstream call of this and of all who join it. If they have `not_yet` looked into the second level, it begins there.
    fn upstream(
        &self,
        tape: Arc<Tape>,
        not_yet: bool,
    ) -> impl Future<Output = Result<Answered, Error>> + Send + use<S> {
        let (cache, inner, call, asked) =
            (self.cache.clone(), self.inner.clone(), self.call.clone(), self.asked.clone());
        async move {
            if let Some(kept) = cache.look_again(&asked, not_yet).await {
                return Ok(Answered::Kept(kept));
            }
            let reply = ask_inner(inner, call.clone()).await?;
            Ok(Answered::Reply(cache.keep_at_end(reply, &call, &asked, &tape)))
        }
    }

    /// What a flight's beginning means for this call; `None` when it has to ask again.
    async fn reply(&self, member: Member, begun: Begun, may_join: bool) -> Option<Result<Reply, Error>> {
        let leads = member.leads();
        match begun {
            Begun::Kept(kept) => self.hit(&kept).map(Ok),
            Begun::Failed(error) if leads || !self.asks_again(&error, may_join) => {
                if leads {
                    self.cache.missed();
                }
                Some(Err(error))
            }
            Begun::Failed(_) => None,
            Begun::Whole(head, answer) => {
                self.count(leads);
                Some(Ok(Reply::whole(self.head(*head, leads), *answer)))
            }
            Begun::Streaming(head) => {
                let head = self.head(*head, leads);
                let reply = Reply::stream(head, Following::new(member, self.deadline())).await;
                let result = match reply {
                    // Others asked for a stream, this one for the whole.
                    Ok(reply) if !leads && !self.call.is_stream() => whole(reply).await,
                    result => result,
                };
                // It broke, and this one was given nothing of it yet.
                if let Err(error) = &result
                    && !leads
                    && self.asks_again(error, may_join)
                {
                    return None;
                }
                self.count(leads);
                Some(result)
            }
        }
    }

    fn hit(&self, kept: &Kept) -> Option<Reply> {
        let status = self.asked.wants.takes(kept)?;
        Some(self.cache.answer(kept, status, self.call.is_stream()))
    }

    /// Whether a call whose flight failed asks for itself. The failure of another's call is not this one's, unless it says
    /// something of the request, which is the same, or came twice from a provider in trouble.
    fn asks_again(&self, error: &Error, may_join: bool) -> bool {
        let is_over = self.deadline().is_some_and(|deadline| deadline <= Instant::now());
        if is_over {
            return false;
        }
        match error.kind() {
            ErrorKind::InvalidRequest
            | ErrorKind::ContextLengthExceeded
            | ErrorKind::ContentFiltered
            | ErrorKind::ModelNotFound
            | ErrorKind::Configuration => false,
            ErrorKind::LimitReached | ErrorKind::Timeout(_) | ErrorKind::Internal => true,
            _ => may_join,
        }
    }

    fn count(&self, leads: bool) {
        if leads { self.cache.missed() } else { self.cache.shared() }
    }

    fn head(&self, mut head: ReplyHead, leads: bool) -> ReplyHead {
        if leads {
            // A cache beneath may have answered; and of a call that wanted no cached answer there is nothing to say.
            if head.cache == CacheStatus::Bypass && self.asked.wants.look {
                head.cache = CacheStatus::Miss;
            }
        } else {
            // A cache beneath may have answered the one who began; then it answers this one too, and says so.
            if matches!(head.cache, CacheStatus::Bypass | CacheStatus::Miss | CacheStatus::Vetoed { .. }) {
                head.cache = CacheStatus::Coalesced;
            }
            head.attempts = 0;
            // The limits are told once, to the one who used them.
            head.rate_limits = None;
        }
        head
    }
}

async fn whole(reply: Reply) -> Result<Reply, Error> {
    let head = reply.head.clone();
    Ok(Reply::whole(*head, reply.collect().await?))
}

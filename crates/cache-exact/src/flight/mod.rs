//! Identical calls at the same time share one upstream call.

mod baton;
mod following;
mod tape;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream;
use mainstay_provider_core::{BoxFuture, Chunks, Digest, Error, ErrorKind, Reply};
use tokio::time::Instant;

use self::baton::{Baton, Found};
pub(crate) use self::following::{Following, timed_out};
pub(crate) use self::tape::{Begun, Tape};
use crate::memory::Kept;

/// The calls that are under way, by the digest of their key: two namespaces never meet here (I3).
pub(crate) struct Flights {
    shards: [Mutex<HashMap<Digest, Weak<Flight>>>; SHARDS],
}

const SHARDS: usize = 16;

/// One upstream call, and all who wait for it. Nobody but they moves it on, and when the last of them goes, it is dropped.
pub(crate) struct Flight {
    upstream: Baton<Upstream>,
    tape: Arc<Tape>,
    as_stream: bool,
    /// When whoever began it wants no answer any more.
    deadline: Option<Instant>,
    table: Option<(Arc<Flights>, Digest)>,
}

enum Upstream {
    Asking(BoxFuture<Result<Answered, Error>>),
    Streaming(Box<Chunks>),
}

/// What the upstream call comes to.
pub(crate) enum Answered {
    Reply(Reply),
    /// It was not made: the answer is in the cache after all.
    Kept(Arc<Kept>),
}

/// What somebody wants of a flight.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) digest: Digest,
    pub(crate) as_stream: bool,
    pub(crate) deadline: Option<Instant>,
}

impl Flights {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { shards: std::array::from_fn(|_| Mutex::default()) })
    }

    /// Joins the flight that is under way, or begins one.
    pub(crate) fn join_or_lead(
        self: &Arc<Self>,
        wanted: Wanted,
        ask: impl FnOnce(Arc<Tape>) -> BoxFuture<Result<Answered, Error>>,
        max_bytes: usize,
    ) -> Member {
        // A flight that turns out to be over may be the last handle of it, and its drop takes this lock: it goes after.
        let over;
        let mut shard = self.shard(&wanted.digest);
        match join(&shard, wanted) {
            Ok(member) => return member,
            Err(flight) => over = flight,
        }
        let mut flight = Flight::new(wanted, ask, max_bytes);
        flight.table = Some((self.clone(), wanted.digest));
        let member = Member::first(flight);
        shard.insert(wanted.digest, Arc::downgrade(&member.flight));
        drop(shard);
        drop(over);
        member
    }

    /// Joins the flight that is under way, if there is one.
    pub(crate) fn join(&self, wanted: Wanted) -> Option<Member> {
        let joined = join(&self.shard(&wanted.digest), wanted);
        joined.ok()
    }

    /// Whether there is one to join just now.
    pub(crate) fn is_under_way(&self, wanted: Wanted) -> bool {
        // It may turn out to be the last handle of it, and its drop takes the lock.
        let flight = self.shard(&wanted.digest).get(&wanted.digest).and_then(Weak::upgrade);
        flight.is_some_and(|flight| flight.suits(wanted) && flight.tape.is_open())
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, HashMap<Digest, Weak<Flight>>> {
        let shard = usize::from(digest.as_bytes()[31]) % SHARDS;
        // A map of pointers: a panic elsewhere leaves it as good as it was.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(all(test, not(loom)))]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

/// Joins the flight in the table; gives it back when it cannot be joined.
fn join(shard: &HashMap<Digest, Weak<Flight>>, wanted: Wanted) -> Result<Member, Option<Arc<Flight>>> {
    let Some(flight) = shard.get(&wanted.digest).and_then(Weak::upgrade) else { return Err(None) };
    match flight.suits(wanted).then(|| flight.tape.join()).flatten() {
        Some(number) => Ok(Member { flight, number, leads: false }),
        None => Err(Some(flight)),
    }
}

impl Flight {
    fn new(
        wanted: Wanted,
        ask: impl FnOnce(Arc<Tape>) -> BoxFuture<Result<Answered, Error>>,
        max_bytes: usize,
    ) -> Self {
        let tape = Arc::new(Tape::new(max_bytes));
        let upstream = Baton::new(Upstream::Asking(ask(tape.clone())));
        Self { upstream, tape, as_stream: wanted.as_stream, deadline: wanted.deadline, table: None }
    }

    /// Whether a caller who wants this is well served by it. A stream is not made to wait for a whole answer; and a flight
    /// whose own deadline is much sooner would end before its time.
    fn suits(&self, wanted: Wanted) -> bool {
        let in_time = match (self.deadline, wanted.deadline) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => {
                let now = Instant::now();
                let left = |until: Instant| until.saturating_duration_since(now);
                left(ours) >= left(theirs) / 2 && left(ours) > Duration::ZERO
            }
        };
        in_time && (self.as_stream || !wanted.as_stream)
    }

    /// Moves the upstream call on by one step; `Ready` when there is something new.
    fn drive(&self, number: usize, upstream: Upstream) -> Poll<()> {
        let driving = Driving { flight: self, done: false };
        let waker = self.upstream.waker();
        let mut task = TaskContext::from_waker(&waker);
        match upstream {
            Upstream::Asking(mut asking) => match asking.as_mut().poll(&mut task) {
                Poll::Pending => driving.give_back(Upstream::Asking(asking)),
                Poll::Ready(answered) => {
                    drop(asking);
                    match answered {
                        Ok(Answered::Reply(reply)) if reply.is_stream() => {
                            let head = reply.head.clone();
                            let chunks = Box::new(reply.into_stream());
                            self.tape.begin(Begun::Streaming(head));
                            let _moved = driving.give_back(Upstream::Streaming(chunks));
                            self.upstream.tell_others(number);
                        }
                        Ok(Answered::Reply(reply)) => {
                            let head = reply.head.clone();
                            let begun = match reply.answer() {
                                Some(answer) => Begun::Whole(head, Box::new(answer.clone())),
                                None => Begun::Failed(lost()),
                            };
                            driving.done(|tape| tape.begin(begun));
                        }
                        Ok(Answered::Kept(kept)) => driving.done(|tape| tape.begin(Begun::Kept(kept))),
                        Err(error) => driving.done(|tape| tape.begin(Begun::Failed(error))),
                    }
                    Poll::Ready(())
                }
            },
            Upstream::Streaming(mut chunks) => match Pin::new(&mut *chunks).poll_next(&mut task) {
                Poll::Pending => driving.give_back(Upstream::Streaming(chunks)),
                Poll::Ready(Some(Ok(chunk))) => {
                    self.tape.push(chunk);
                    let _moved = driving.give_back(Upstream::Streaming(chunks));
                    self.upstream.tell_others(number);
                    Poll::Ready(())
                }
                Poll::Ready(last) => {
                    drop(chunks);
                    let ended = last.map_or(Ok(()), |failed| failed.map(drop));
                    driving.done(|tape| tape.end(ended));
                    Poll::Ready(())
                }
            },
        }
    }
}

/// It is over: it leaves the table, unless another has taken its place there.
impl Drop for Flight {
    fn drop(&mut self) {
        if let Some((table, digest)) = self.table.take() {
            let this: *const Self = self;
            let mut shard = table.shard(&digest);
            if shard.get(&digest).is_some_and(|flight| std::ptr::eq(flight.as_ptr(), this)) {
                shard.remove(&digest);
            }
        }
    }
}

/// One step of a flight. If it panics, the flight is over, and nobody waits for it in vain.
struct Driving<'a> {
    flight: &'a Flight,
    done: bool,
}

impl Driving<'_> {
    fn give_back(mut self, upstream: Upstream) -> Poll<()> {
        self.done = true;
        self.flight.upstream.give_back(upstream);
        Poll::Pending
    }

    fn done(mut self, tell: impl FnOnce(&Tape)) {
        self.done = true;
        tell(&self.flight.tape);
        self.flight.upstream.done();
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.flight.tape.end(Err(lost()));
            self.flight.upstream.done();
        }
    }
}

/// The others of a flight whose upstream call has panicked in the hands of one of them.
fn lost() -> Error {
    Error::new(ErrorKind::Internal, "the upstream call that this one shared was lost")
}

/// One who waits for a flight.
pub(crate) struct Member {
    flight: Arc<Flight>,
    number: usize,
    leads: bool,
}

impl Member {
    /// The only one: nobody joins this flight.
    pub(crate) fn alone(
        wanted: Wanted,
        ask: impl FnOnce(Arc<Tape>) -> BoxFuture<Result<Answered, Error>>,
        max_bytes: usize,
    ) -> Self {
        Self::first(Flight::new(wanted, ask, max_bytes))
    }

    fn first(flight: Flight) -> Self {
        let number = flight.tape.join().unwrap_or(0);
        Self { flight: Arc::new(flight), number, leads: true }
    }

    /// Whether this is the one whose call it is.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// Waits until the answer has begun.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing; the flight goes on for as long as it has members.
    pub(crate) async fn begun(&self) -> Begun {
        std::future::poll_fn(|task| self.poll_begun(task)).await
    }

    fn poll_begun(&self, task: &mut TaskContext<'_>) -> Poll<Begun> {
        let Flight { upstream, tape, .. } = &*self.flight;
        loop {
            if let Some(begun) = tape.begun() {
                return Poll::Ready(begun);
            }
            match upstream.take(self.number, task.waker()) {
                Found::Mine(upstream) => std::task::ready!(self.flight.drive(self.number, upstream)),
                // It may have begun between the two looks.
                Found::Held if tape.begun().is_none() => return Poll::Pending,
                Found::Held => {}
                Found::Gone if tape.begun().is_none() => return Poll::Ready(Begun::Failed(lost())),
                Found::Gone => {}
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.flight.tape.leave(self.number);
        self.flight.upstream.leave(self.number);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

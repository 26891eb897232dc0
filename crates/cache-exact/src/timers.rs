//! Timers that are used again and again.
//!
//! Nearly every look into the second level is over long before its timer, and a new one is dear: it is nearer than all that
//! the runtime waits for, so the runtime is woken to hear of it, which is a call of the kernel. One that the runtime knows
//! already is only moved on, and nobody is woken.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};

/// Timers that nobody needs just now. A timer belongs to the runtime that it was made in, and ends with it.
#[derive(Default)]
pub(crate) struct Timers(Mutex<Vec<Runtime>>);

struct Runtime {
    id: Id,
    /// Gone when the runtime is: then its number may be another's, and its timers are of no use.
    lives: Weak<()>,
    /// The task that has the other end of `lives`; it ends with this.
    _life: JoinSet<()>,
    idle: Vec<Pin<Box<Sleep>>>,
}

/// More than this many are not kept for later.
const MOST_IDLE: usize = 64;

impl Timers {
    /// What the work comes to; `None` if it takes longer than this.
    pub(crate) async fn bounded<T>(&self, longest: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut timer = None;
        poll_fn(|task| match work.as_mut().poll(task) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => timer.get_or_insert_with(|| self.take(longest)).poll(task).map(|()| None),
        })
        .await
    }

    /// A timer that goes off in so long.
    fn take(&self, after: Duration) -> Timer<'_> {
        let (runtime, deadline) = (Handle::current(), Instant::now() + after);
        let idle = self.lock().of(&runtime).idle.pop();
        let sleep = match idle {
            None => Box::pin(sleep_until(deadline)),
            Some(mut sleep) => {
                sleep.as_mut().reset(deadline);
                sleep
            }
        };
        Timer { timers: self, runtime: runtime.id(), sleep: Some(sleep) }
    }

    fn lock(&self) -> Runtimes<'_> {
        // A list of timers: a panic elsewhere leaves it as good as it was.
        Runtimes(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Runtimes<'a>(MutexGuard<'a, Vec<Runtime>>);

impl Runtimes<'_> {
    fn known(&mut self, id: Id) -> Option<&mut Runtime> {
        self.0.iter_mut().find(|runtime| runtime.id == id && runtime.lives())
    }

    fn of(&mut self, runtime: &Handle) -> &mut Runtime {
        let id = runtime.id();
        let known = self.0.iter().position(|runtime| runtime.id == id && runtime.lives());
        let at = known.unwrap_or_else(|| {
            self.0.retain(Runtime::lives);
            self.0.push(Runtime::of(runtime));
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl Runtime {
    fn of(runtime: &Handle) -> Self {
        let life = Arc::new(());
        let lives = Arc::downgrade(&life);
        let mut task = JoinSet::new();
        task.spawn_on(
            async move {
                pending::<()>().await;
                drop(life);
            },
            runtime,
        );
        Self { id: runtime.id(), lives, _life: task, idle: Vec::new() }
    }

    fn lives(&self) -> bool {
        self.lives.strong_count() > 0
    }
}

/// A timer that is in use. When it is dropped before it went off, the next one uses it.
struct Timer<'a> {
    timers: &'a Timers,
    runtime: Id,
    /// None when it went off.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer<'_> {
    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        let poll = self.sleep.as_mut().map_or(Poll::Ready(()), |sleep| sleep.as_mut().poll(task));
        if poll.is_ready() {
            self.sleep = None;
        }
        poll
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let Some(sleep) = self.sleep.take() else { return };
        let mut runtimes = self.timers.lock();
        if let Some(Runtime { idle, .. }) = runtimes.known(self.runtime)
            && idle.len() < MOST_IDLE
        {
            idle.push(sleep);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

//! Driving futures the hard way: each is polled only when it was woken itself, and a panic is a result.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls futures until all are done; each only when it was woken, so that a lost wake-up shows as a hang.
pub(super) async fn together<'a, T>(futures: Vec<Local<'a, T>>) -> Vec<T> {
    let mut running: Vec<Task<'a, T>> = futures.into_iter().map(Task::new).collect();
    std::future::poll_fn(|task| {
        let mut done = true;
        for one in &mut running {
            done &= one.poll(task.waker());
        }
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|one| one.output).collect()
}

struct Task<'a, T> {
    future: Option<Local<'a, T>>,
    output: Option<T>,
    flag: Arc<Flag>,
    parent: Option<Waker>,
}

/// Says that a task was woken, and wakes the one who drives it.
struct Flag {
    woken: AtomicBool,
    parent: Waker,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.parent.wake_by_ref();
    }
}

impl<'a, T> Task<'a, T> {
    fn new(future: Local<'a, T>) -> Self {
        let flag = Arc::new(Flag { woken: AtomicBool::new(true), parent: Waker::noop().clone() });
        Self { future: Some(future), output: None, flag, parent: None }
    }

    /// Whether it is done.
    fn poll(&mut self, parent: &Waker) -> bool {
        let Some(future) = &mut self.future else { return true };
        if !self.parent.as_ref().is_some_and(|known| known.will_wake(parent)) {
            // Somebody else drives it now: that is a new waker, and a reason to poll.
            self.flag = Arc::new(Flag { woken: AtomicBool::new(true), parent: parent.clone() });
            self.parent = Some(parent.clone());
        }
        if !self.flag.woken.swap(false, Ordering::SeqCst) {
            return false;
        }
        let waker = Waker::from(self.flag.clone());
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.output = Some(output);
            self.future = None;
        }
        self.future.is_none()
    }
}

/// Runs `future` for at most `limit`, and turns a panic or the limit into words.
pub(super) async fn guarded<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = Box::pin(future);
    let caught =
        std::future::poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panicked) => Poll::Ready(Err(words(&*panicked))),
        });
    match tokio::time::timeout(limit, caught).await {
        Ok(result) => result,
        Err(_) => Err(format!("hangs: not done after {} s", limit.as_secs())),
    }
}

fn words(panicked: &(dyn Any + Send)) -> String {
    let text = panicked.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panicked.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panics".to_owned())
}

/// Lets every other task run that is woken.
pub(super) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|task| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

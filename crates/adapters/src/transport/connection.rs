//! One connection, moved forward by whoever waits for an answer on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use mainstay_provider_core::Error;
use tokio::time::Instant;

use super::connect::Io;
use super::silence::Silence;
use super::{broken, silent, unreachable_provider};

/// A connection to a provider.
///
/// It is no task of its own: the caller that waits for the answer polls it. That saves two switches between tasks for
/// each read, and dropping the caller closes the socket. While idle nobody polls it; that the server has closed it shows
/// when it is taken again.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Until it has ended.
    driver: Option<Driver>,
    wakes: Arc<Wakes>,
    waker: Waker,
    silence: Silence,
}

type Driver = Box<http1::Connection<Io, Full<Bytes>>>;

/// Why a request was not answered.
pub(super) enum Unanswered {
    /// Not a byte of it was written: the server had closed an idle connection.
    Unsent(Box<Request<Full<Bytes>>>),
    Failed(Error),
}

impl Connection {
    pub(super) async fn new(io: Io, read_timeout: Duration) -> Result<Self, Error> {
        let (sender, driver) = http1::Builder::new()
            // A head and a prompt are small: one write of both together is quicker than a list of pieces.
            .writev(false)
            .handshake(io)
            .await
            .map_err(unreachable_provider)?;
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let silence = Silence::new(read_timeout);
        let mut connection = Self { sender, driver: Some(Box::new(driver)), wakes, waker, silence };
        match connection.rest() {
            true => Ok(connection),
            false => Err(broken("the provider closed a new connection at once")),
        }
    }

    /// Sends a request and waits for the head of the answer, from `now`. It asks for a connection at rest.
    pub(super) fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        now: Instant,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> + Send {
        self.silence.begin(now);
        // Boxed: it is as large as the request, and would stand once more in every future around it.
        let mut answer = Box::pin(self.sender.try_send_request(request));
        let (driver, wakes, waker) = (&mut self.driver, &*self.wakes, &self.waker);
        let silence = &mut self.silence;
        std::future::poll_fn(move |task| {
            let polled = drive(driver, wakes, waker, task, |context| answer.as_mut().poll(context));
            match polled {
                Poll::Ready(answer) => {
                    Poll::Ready(answer.map_err(|mut failed| match failed.take_message() {
                        Some(unsent) => Unanswered::Unsent(Box::new(unsent)),
                        None => Unanswered::Failed(broken(failed.into_error())),
                    }))
                }
                Poll::Pending => {
                    ready!(silence.poll(task));
                    Poll::Ready(Err(Unanswered::Failed(silent())))
                }
            }
        })
    }

    /// The next part of an answer's body.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let next = |context: &mut Context<'_>| Pin::new(&mut *body).poll_frame(context);
        match drive(&mut self.driver, &self.wakes, &self.waker, task, next) {
            Poll::Ready(frame) => {
                self.silence.broken();
                Poll::Ready(frame.map(|frame| frame.map_err(broken)))
            }
            Poll::Pending => {
                ready!(self.silence.poll(task));
                Poll::Ready(Some(Err(silent())))
            }
        }
    }

    /// Lets it settle after an answer; tells whether it can take a request. Nobody is woken by it until then.
    pub(super) fn rest(&mut self) -> bool {
        if self.sender.is_ready() {
            self.wakes.begin(Waker::noop());
            self.wakes.end();
            return true;
        }
        self.is_open()
    }

    /// Looks whether the server has closed it while it was idle.
    pub(super) fn is_open(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let never = |_: &mut Context<'_>| Poll::<()>::Pending;
        let _ = drive(&mut self.driver, &self.wakes, &self.waker, &mut nobody, never);
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Moves the connection on, then asks `take` for what came of it, until neither has more to do.
///
/// Only the connection wakes the task. What it gives to `take` and what `take` lets it do next happens within one poll,
/// so wakes between the two are kept back.
fn drive<T>(
    driver: &mut Option<Driver>,
    wakes: &Wakes,
    waker: &Waker,
    task: &mut Context<'_>,
    mut take: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    /// More often, and it is the runtime that asks us to let others run.
    const MOST: usize = 4;
    let mut context = Context::from_waker(waker);
    let mut nobody = Context::from_waker(Waker::noop());
    wakes.begin(task.waker());
    for round in 0..=MOST {
        // What it gave before is taken first.
        if round > 0 && driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(&mut context).is_ready()) {
            *driver = None; // whoever waits for an answer on it gets the error
        }
        if let Poll::Ready(taken) = take(&mut nobody) {
            wakes.end();
            return Poll::Ready(taken);
        }
        if round > 0 && wakes.nothing_new() {
            return Poll::Pending;
        }
    }
    wakes.end();
    task.waker().wake_by_ref();
    Poll::Pending
}

/// Passes the connection's wakes to the task that waits for it, except those that come while that task polls it.
struct Wakes {
    task: Mutex<Waker>,
    state: AtomicU8,
}

/// The task polls the connection just now.
const POLLED: u8 = 1;
/// It was woken meanwhile.
const WOKEN: u8 = 2;

impl Default for Wakes {
    fn default() -> Self {
        Self { task: Mutex::new(Waker::noop().clone()), state: AtomicU8::new(0) }
    }
}

impl Wakes {
    fn begin(&self, waker: &Waker) {
        self.task().clone_from(waker); // only if it is another
        self.state.store(POLLED, Ordering::Release);
    }

    /// Ends the polling unless a wake came during it.
    fn nothing_new(&self) -> bool {
        if self.state.compare_exchange(POLLED, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return true;
        }
        // A swap, not a store: what the wake announced must be seen by the poll that follows.
        self.state.swap(POLLED, Ordering::AcqRel);
        false
    }

    /// Ends the polling: whoever got something polls again.
    fn end(&self) {
        self.state.store(0, Ordering::Release);
    }

    fn task(&self) -> MutexGuard<'_, Waker> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) & POLLED == 0 {
            self.task().wake_by_ref();
        }
    }
}

//! Between the layer and the provider: when each attempt was made, which attempt of its call it was, and how it ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_provider_core::{BoxFuture, Call, Error, Reply};
use tokio::time::Instant;
use tower::Service;

/// One attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// Since the experiment began.
    pub(super) at: Duration,
    /// From 1.
    pub(super) number: u32,
    pub(super) answered: bool,
}

/// All attempts of one experiment.
#[derive(Clone)]
pub(super) struct Attempts {
    begin: Instant,
    made: Arc<Mutex<Vec<Attempt>>>,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self { begin: Instant::now(), made: Arc::default() }
    }

    /// In the order in which they were made.
    pub(super) fn made(&self) -> Vec<Attempt> {
        self.lock().clone()
    }

    /// Notes one, which is given up unless what is returned is called.
    fn begin(&self, number: u32) -> impl FnOnce() + Send + use<> {
        let mut made = self.lock();
        let place = made.len();
        made.push(Attempt { at: self.begin.elapsed(), number, answered: false });
        drop(made);
        let all = self.clone();
        move || all.lock()[place].answered = true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A provider whose attempts are recorded.
#[derive(Clone)]
pub(super) struct Recorded<S> {
    pub(super) inner: S,
    pub(super) attempts: Attempts,
}

impl<S> Service<Call> for Recorded<S>
where
    S: Service<Call, Response = Reply, Error = Error, Future: Send + 'static>,
{
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let number = call.context().attempts.begin().number;
        let answered = self.attempts.begin(number);
        let answer = self.inner.call(call);
        Box::pin(async move {
            let result = answer.await;
            if result.is_ok() {
                answered();
            }
            result
        })
    }
}

//! The readiness check finds what is wrong, and nothing else.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use mainstay_provider_core::test_kit::{Scripted, check_readiness, check_readiness_of};
use mainstay_provider_core::{BoxFuture, Call, Error, ErrorKind, Provider, Reply};
use tower::Service;

/// A layer's service made of two functions, so that a test shows only what is right or wrong with it.
#[derive(Clone)]
struct Layered<S> {
    inner: S,
    poll: fn(&mut S, &mut Context<'_>) -> Poll<Result<(), Error>>,
    call: fn(&mut S, Call) -> BoxFuture<Result<Reply, Error>>,
}

impl<S> Service<Call> for Layered<S> {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        (self.poll)(&mut self.inner, task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        (self.call)(&mut self.inner, call)
    }
}

type Poller = fn(&mut Scripted, &mut Context<'_>) -> Poll<Result<(), Error>>;
type Caller = fn(&mut Scripted, Call) -> BoxFuture<Result<Reply, Error>>;

fn layered(poll: Poller, call: Caller) -> impl Fn(Scripted) -> Layered<Scripted> {
    move |inner| Layered { inner, poll, call }
}

fn poll_inner(inner: &mut Scripted, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
    inner.poll_ready(task)
}

fn always_ready(_: &mut Scripted, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
    Poll::Ready(Ok(()))
}

fn call_at_once(inner: &mut Scripted, call: Call) -> BoxFuture<Result<Reply, Error>> {
    inner.call(call)
}

fn swap_and_call(inner: &mut Scripted, call: Call) -> BoxFuture<Result<Reply, Error>> {
    let mut ready = inner.clone();
    std::mem::swap(&mut ready, inner);
    Box::pin(async move { ready.call(call).await })
}

fn clone_and_call(inner: &mut Scripted, call: Call) -> BoxFuture<Result<Reply, Error>> {
    let mut unready = inner.clone();
    Box::pin(async move { unready.call(call).await })
}

#[tokio::test(start_paused = true)]
async fn layers_that_keep_the_promise_pass() {
    check_readiness(tower::layer::util::Identity::new()).await.unwrap();
    check_readiness(tower::limit::ConcurrencyLimitLayer::new(1)).await.unwrap();
    check_readiness_of(layered(poll_inner, call_at_once)).await.unwrap();
    check_readiness_of(layered(poll_inner, swap_and_call)).await.unwrap();
    check_readiness_of(|inner: Scripted| inner.boxed()).await.unwrap();
    // Waiting inside the call is allowed: the handle is then polled there.
    let waits_inside: Caller = |inner, call| Box::pin(inner.ask(call));
    check_readiness_of(layered(always_ready, waits_inside)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_retries_passes_when_it_polls_each_time() {
    let retries: Caller = |inner, call| {
        let inner = inner.clone();
        Box::pin(async move {
            let first = inner.ask(call.clone()).await;
            if first.is_ok() { first } else { inner.ask(call).await }
        })
    };
    check_readiness_of(layered(always_ready, retries)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn calling_a_clone_instead_of_the_polled_handle_is_found() {
    let broken = check_readiness_of(layered(poll_inner, clone_and_call)).await.unwrap_err();
    assert_eq!(broken.pattern(), "one call after another");
    assert!(broken.problem().contains("not polled ready"), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_the_layer_swallows_is_found_all_the_same() {
    let swallows: Caller = |inner, call| {
        let mut unready = inner.clone();
        let running = tokio::spawn(async move { unready.call(call).await });
        Box::pin(async move { running.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, ""))) })
    };
    let broken = check_readiness_of(layered(always_ready, swallows)).await.unwrap_err();
    assert!(broken.problem().contains("not polled ready"), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn calling_without_polling_is_found() {
    let broken = check_readiness_of(layered(always_ready, call_at_once)).await.unwrap_err();
    assert!(broken.problem().contains("not polled ready"), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_on_the_handle_that_was_used_up_is_found() {
    let retries_unready: Caller = |inner, call| {
        let mut ready = inner.clone();
        std::mem::swap(&mut ready, inner);
        Box::pin(async move {
            let first = ready.call(call.clone()).await;
            if first.is_ok() { first } else { ready.call(call).await }
        })
    };
    let broken = check_readiness_of(layered(poll_inner, retries_unready)).await.unwrap_err();
    assert_eq!(broken.pattern(), "calls that fail");
}

#[tokio::test(start_paused = true)]
async fn a_polled_handle_that_is_kept_while_another_is_called_is_found() {
    // The polled handle keeps its place for ever, and the call waits for one.
    let asks_a_clone: Caller = |inner, call| {
        let clone = inner.clone();
        Box::pin(async move { clone.ask(call).await })
    };
    let broken = check_readiness_of(layered(poll_inner, asks_a_clone)).await.unwrap_err();
    assert!(broken.problem().contains("hangs"), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_on_without_its_caller_is_found() {
    let detaches: Caller = |inner, call| {
        let mut ready = inner.clone();
        std::mem::swap(&mut ready, inner);
        let running = tokio::spawn(async move { ready.call(call).await });
        Box::pin(async move {
            running.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the task is gone")))
        })
    };
    let broken = check_readiness_of(layered(poll_inner, detaches)).await.unwrap_err();
    assert!(["called and dropped unpolled", "dropped in mid-call"].contains(&broken.pattern()), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn readiness_that_swallows_the_waker_is_found() {
    let forgets_to_wake: Poller =
        |inner, _task| inner.poll_ready(&mut Context::from_waker(std::task::Waker::noop()));
    let broken = check_readiness_of(layered(forgets_to_wake, call_at_once)).await.unwrap_err();
    assert!(broken.problem().contains("hangs"), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn readiness_kept_where_clones_share_it_is_found() {
    #[derive(Clone)]
    struct Shares(Arc<Mutex<Scripted>>);
    impl Service<Call> for Shares {
        type Response = Reply;
        type Error = Error;
        type Future = BoxFuture<Result<Reply, Error>>;
        fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
            self.0.lock().unwrap().poll_ready(task)
        }
        fn call(&mut self, call: Call) -> Self::Future {
            let answer = self.0.lock().unwrap().call(call);
            Box::pin(answer)
        }
    }
    let broken = check_readiness_of(|inner| Shares(Arc::new(Mutex::new(inner)))).await.unwrap_err();
    assert_eq!(broken.pattern(), "two handles ready, then both called");
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_lets_no_call_through_is_not_checked_and_says_so() {
    let refuses: Caller = |_, _| Box::pin(async { Err(Error::new(ErrorKind::LimitReached, "no")) });
    let broken = check_readiness_of(layered(always_ready, refuses)).await.unwrap_err();
    assert!(broken.to_string().contains("no call reached the inner service"), "{broken}");
}

/// The check is `Send`-agnostic, but must not need a multi-threaded runtime.
#[test]
fn the_check_runs_without_paused_time_too() {
    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }
    run(check_readiness_of(layered(poll_inner, swap_and_call))).unwrap();
}

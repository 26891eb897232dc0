//! Layers that are broken on purpose: a simulation that does not catch them proves nothing.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use mainstay_provider_core::chat::Delta;
use mainstay_provider_core::{
    BoxFuture, BoxProvider, Call, ChatChunk, ChunkResult, Chunks, Error, ErrorKind, FinishReason,
    Provider as _, Reply, Wire,
};
use tower::Service;

#[cfg(test)]
use super::log::Invariant;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sabotage {
    /// A stream that is cut gets a clean end.
    SwallowsTheCut,
    /// Some text comes twice.
    RepeatsText,
    /// What a caller leaves is kept for ever, permit and all.
    HoardsPermits,
    /// Every call that fails is sent once more, without asking the budget.
    AsksTwice,
    /// An error is told as another.
    Mislabels,
    /// A refusal is waited out, however long it takes.
    WaitsForEver,
    /// An attempt goes on when its caller has left.
    Detaches,
    /// A deployment that failed five times is never asked again.
    NeverForgives,
    /// A call is sent to a handle that was not found ready.
    ForgetsReadiness,
}

/// What a broken layer is put around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Provider,
    Deployment,
    Router,
    Retry,
}

impl Sabotage {
    fn place(self) -> Place {
        match self {
            Self::SwallowsTheCut | Self::RepeatsText | Self::ForgetsReadiness => Place::Provider,
            Self::HoardsPermits | Self::Detaches | Self::NeverForgives => Place::Deployment,
            Self::AsksTwice => Place::Router,
            Self::Mislabels | Self::WaitsForEver => Place::Retry,
        }
    }

    /// The invariant that it breaks.
    #[cfg(test)]
    pub(super) fn breaks(self) -> Invariant {
        match self {
            Self::SwallowsTheCut | Self::RepeatsText => Invariant::WholeAnswer,
            Self::HoardsPermits => Invariant::LostPermit,
            Self::AsksTwice => Invariant::Amplification,
            Self::Mislabels => Invariant::ExplainedError,
            Self::WaitsForEver => Invariant::Bounded,
            Self::Detaches => Invariant::OneEnd,
            Self::NeverForgives => Invariant::Liveness,
            Self::ForgetsReadiness => Invariant::Readiness,
        }
    }

    /// The provider with the broken layer, if it stands here.
    pub(super) fn put(sabotage: Option<Self>, place: Place, inner: BoxProvider) -> BoxProvider {
        match sabotage {
            Some(what) if what.place() == place => Broken { what, inner, state: Arc::default() }.boxed(),
            _ => inner,
        }
    }
}

#[derive(Clone)]
struct Broken {
    what: Sabotage,
    inner: BoxProvider,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    hoard: Mutex<Vec<BoxFuture<Result<Reply, Error>>>>,
    failures: AtomicU64,
}

impl Service<Call> for Broken {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.what {
            Sabotage::ForgetsReadiness => Poll::Ready(Ok(())),
            _ => self.inner.poll_ready(task),
        }
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (again, state) = (self.inner.clone(), self.state.clone());
        let answer = match self.what {
            Sabotage::NeverForgives if state.failures.load(Ordering::Relaxed) > 5 => {
                let error = Error::new(ErrorKind::Unavailable, "once and for all");
                return Box::pin(std::future::ready(Err(error)));
            }
            _ => self.inner.call(call.clone()),
        };
        match self.what {
            Sabotage::SwallowsTheCut => {
                Box::pin(
                    async move { Ok(answer.await?.map_stream(|chunks| Sealed { chunks, finished: false })) },
                )
            }
            Sabotage::RepeatsText => Box::pin(async move {
                Ok(answer.await?.map_stream(|chunks| Stuttering { chunks, count: 0, again: None }))
            }),
            Sabotage::HoardsPermits => Box::pin(Hoarding { answer: Some(answer), state }),
            Sabotage::AsksTwice => Box::pin(async move {
                match answer.await {
                    Err(_) => again.ask(call).await,
                    reply => reply,
                }
            }),
            Sabotage::Mislabels => Box::pin(async move {
                answer.await.map_err(|error| match error.kind() {
                    ErrorKind::ServerError => {
                        Error::new(ErrorKind::InvalidRequest, "it must be the caller's fault")
                    }
                    _ => error,
                })
            }),
            Sabotage::WaitsForEver => Box::pin(async move {
                let mut answer = answer.await;
                while let Err(error) = &answer
                    && error.kind() == ErrorKind::Unavailable
                {
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                    answer = again.ask(call.clone()).await;
                }
                answer
            }),
            Sabotage::Detaches => Box::pin(async move {
                let failed = |_| Error::new(ErrorKind::Internal, "the task is gone");
                tokio::spawn(answer).await.map_err(failed)?
            }),
            Sabotage::NeverForgives => Box::pin(async move {
                let answer = answer.await;
                state.failures.fetch_add(u64::from(answer.is_err()), Ordering::Relaxed);
                answer
            }),
            Sabotage::ForgetsReadiness => answer,
        }
    }
}

/// Puts a clean end where there is none.
struct Sealed {
    chunks: Chunks,
    finished: bool,
}

impl Stream for Sealed {
    type Item = ChunkResult;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<ChunkResult>> {
        if self.finished {
            return Poll::Ready(None);
        }
        let next = ready!(Pin::new(&mut self.chunks).poll_next(task));
        if matches!(next, None | Some(Err(_))) {
            self.finished = true;
            let end = ChatChunk::empty("sealed", "simulated")
                .with_delta(Delta::default(), Some(FinishReason::Stop));
            return Poll::Ready(Some(Ok(end.into())));
        }
        Poll::Ready(next)
    }
}

/// Says its fifth piece twice.
struct Stuttering {
    chunks: Chunks,
    count: u32,
    again: Option<Wire<ChatChunk>>,
}

impl Stream for Stuttering {
    type Item = ChunkResult;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<ChunkResult>> {
        if let Some(again) = self.again.take() {
            return Poll::Ready(Some(Ok(again)));
        }
        let next = ready!(Pin::new(&mut self.chunks).poll_next(task));
        self.count += 1;
        if let (5, Some(Ok(chunk))) = (self.count, &next) {
            self.again = Some(chunk.clone());
        }
        Poll::Ready(next)
    }
}

/// Keeps what its caller drops.
struct Hoarding {
    answer: Option<BoxFuture<Result<Reply, Error>>>,
    state: Arc<State>,
}

impl Future for Hoarding {
    type Output = Result<Reply, Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else { return Poll::Pending };
        let answered = ready!(answer.as_mut().poll(task));
        self.answer = None;
        Poll::Ready(answered)
    }
}

impl Drop for Hoarding {
    fn drop(&mut self) {
        self.state.hoard.lock().unwrap_or_else(PoisonError::into_inner).extend(self.answer.take());
    }
}

//! A provider without a server: the model's name says what it does. For trying out, for tests, for demonstrations.

mod script;

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use mainstay_provider_core::chat::replay;
use mainstay_provider_core::{
    BoxChunks, BoxFuture, Call, ChunkResult, EmbedCall, EmbedReply, Error, ErrorKind, Reply, ReplyHead,
    Usage, Wire,
};
use tokio::time::Instant;
use tower_service::Service;

/// Answers without a network. The model chooses what it does:
///
/// | model | answer |
/// |---|---|
/// | `echo` | the last user text |
/// | `slow` | the same; streamed with 50 ms between two words |
/// | `tools` | a call of the first tool on offer, with arguments made from its schema; of all of them when the last user text has "all tools" |
/// | `json` | a JSON value made from the schema of `response_format` |
/// | `error-STATUS` | the failure that a provider would report with this HTTP status: `error-429`, `error-401`, … |
/// | `error-context`, `error-filter`, `error-quota` | context length exceeded, content filtered, credit used up |
/// | `hang` | never answers |
/// | `cut` | streams half of the echo and breaks off |
/// | `embed` | 64-dimensional vectors of the words, equal for equal texts |
///
/// Tokens are counted as a quarter of the bytes, rounded up.
#[derive(Debug, Clone)]
pub struct Sim {
    name: Arc<str>,
}

impl Sim {
    /// The names of its models.
    pub const MODELS: &[&str] = &["echo", "slow", "tools", "json", "hang", "cut", "embed"];

    /// A simulated provider of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into() }
    }
}

impl Default for Sim {
    fn default() -> Self {
        Self::new("sim")
    }
}

impl Service<Call> for Sim {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let name = self.name.clone();
        Box::pin(async move {
            let model = call.shared_model();
            let head = ReplyHead::new(name.clone(), model.clone()).started(Instant::now());
            answer(head, &call).await.map_err(|error| error.at(name, model))
        })
    }
}

async fn answer(head: ReplyHead, call: &Call) -> Result<Reply, Error> {
    let request = call.request();
    let script = script::Script::of(request, call.model())?;
    if script.hangs {
        match call.context().deadline {
            None => std::future::pending().await,
            Some(deadline) => tokio::time::sleep_until(deadline).await,
        }
        let message = "the call's deadline passed before the provider answered";
        return Err(Error::new(ErrorKind::Timeout(mainstay_provider_core::Timer::Total), message));
    }
    if !request.is_stream() {
        return Ok(Reply::whole(head, script.answer));
    }
    let mut chunks: Vec<ChunkResult> =
        script::words(replay(script.answer)).into_iter().map(|c| Ok(Wire::from(c))).collect();
    if script.cut {
        chunks.truncate(chunks.len() / 2);
        chunks.push(Err(Error::new(ErrorKind::Network, "the simulated provider broke off")));
    }
    Reply::stream(head, Paced::stream(chunks, script.gap)).await
}

/// Hands chunks out with a gap before each but the first.
struct Paced {
    chunks: std::vec::IntoIter<ChunkResult>,
    gap: Duration,
    wait: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
}

impl Paced {
    fn stream(chunks: Vec<ChunkResult>, gap: Duration) -> BoxChunks {
        Box::pin(Self { chunks: chunks.into_iter(), gap, wait: None })
    }
}

impl futures_core::Stream for Paced {
    type Item = ChunkResult;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<ChunkResult>> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(task));
        }
        self.wait = (!self.gap.is_zero()).then(|| Box::pin(tokio::time::sleep(self.gap)));
        Poll::Ready(self.chunks.next())
    }
}

impl Service<EmbedCall> for Sim {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        let head = ReplyHead::new(self.name.clone(), call.request.model.as_str()).started(Instant::now());
        let result = embed(head, &call);
        Box::pin(async move { result })
    }
}

fn embed(head: ReplyHead, call: &EmbedCall) -> Result<EmbedReply, Error> {
    if call.request.model.starts_with("error-") {
        return Err(script::failure(&call.request.model));
    }
    let texts = call.request.input.texts().ok_or_else(|| {
        Error::new(ErrorKind::InvalidRequest, "the simulated provider embeds texts, not tokens")
            .with_param("input")
    })?;
    let dimensions = call.request.dimensions.map_or(64, |dimensions| dimensions.clamp(1, 4096) as usize);
    let vectors = texts.iter().map(|text| script::vector(text, dimensions)).collect();
    let tokens = texts.iter().map(|text| script::tokens(text)).sum();
    Ok(EmbedReply::new(head, vectors, Some(Usage::new(tokens, 0))))
}

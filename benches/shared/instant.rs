//! A provider without work or waiting: what a call costs around it is what its surroundings cost.

use mainstay_provider_core::{
    BoxChunks, Call, ChatChunk, ChatResponse, ChunkResult, Error, Reply, ReplyHead, Wire,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// Answers at once: whole, or as a stream of 20 chunks that are all there.
#[derive(Clone)]
pub(crate) struct Instant(Arc<Answers>);

struct Answers {
    head: ReplyHead,
    whole: Wire<ChatResponse>,
    chunks: Vec<Wire<ChatChunk>>,
}

impl Instant {
    /// It says what the load runs' upstream says.
    ///
    /// # Panics
    /// When the answers of [`benches::answers`] are not what the contract reads.
    pub(crate) fn new() -> Self {
        let chunk = |event: &String| {
            let data = event.trim_end().strip_prefix("data: ").filter(|data| *data != "[DONE]")?.to_owned();
            let chunk = serde_json::from_str::<ChatChunk>(&data).expect("an event of ours is a chunk");
            Some(Wire::with_raw(chunk, data.into()))
        };
        let whole =
            serde_json::from_str::<ChatResponse>(&benches::answers::ANSWER).expect("our answer is an answer");
        Self(Arc::new(Answers {
            head: ReplyHead::new("instant", "bench-model"),
            whole: Wire::with_raw(whole, benches::answers::ANSWER.as_bytes().into()),
            chunks: benches::answers::STREAM.iter().filter_map(chunk).collect(),
        }))
    }
}

impl Service<Call> for Instant {
    type Response = Reply;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;

    fn poll_ready(&mut self, _task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let answers = self.0.clone();
        Box::pin(async move {
            let head = answers.head.clone();
            if !call.is_stream() {
                return Ok(Reply::whole(head, answers.whole.clone()));
            }
            let chunks: Vec<ChunkResult> = answers.chunks.iter().cloned().map(Ok).collect();
            let chunks: BoxChunks = Box::pin(futures_util::stream::iter(chunks));
            Reply::stream(head, chunks).await
        })
    }
}

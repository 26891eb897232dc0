//! Embedding calls are bounded by the total.

use std::time::Duration;

use mainstay_provider_core::{BoxFuture, EmbedCall, EmbedReply, EmbedRequest, Error, ErrorKind, Timer};
use mainstay_timeout::TimeoutLayer;
use tokio::time::Instant;
use tower::{Layer, Service as _, service_fn};

// S2.5
#[tokio::test(start_paused = true)]
async fn an_embedding_that_takes_too_long_is_an_error() {
    let silent = service_fn(|_: EmbedCall| -> BoxFuture<Result<EmbedReply, Error>> {
        Box::pin(std::future::pending())
    });
    let mut embedder = TimeoutLayer::default().layer(silent);
    let call = EmbedCall::new(EmbedRequest::new("small", vec!["text".into()]));
    let begin = Instant::now();
    let error = embedder.call(call).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Total));
    assert_eq!(begin.elapsed(), Duration::from_secs(60));
}

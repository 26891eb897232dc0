//! Embedding calls are backed off and retried too.

use mainstay_provider_core::test_kit::{EmbedStep, ScriptedEmbedder};
use mainstay_provider_core::{EmbedCall, EmbedRequest, Embedder, Error, ErrorKind, Next};
use mainstay_retry::RetryLayer;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tower::Layer;

fn call() -> EmbedCall {
    EmbedCall::new(EmbedRequest::new("small", vec!["text".into()]))
}

// S2.1, S2.2
#[tokio::test(start_paused = true)]
async fn what_may_pass_is_asked_again_after_a_wait() {
    let upstream = ScriptedEmbedder::new([
        EmbedStep::fail(
            Error::new(ErrorKind::RateLimited, "slow down").with_retry_after(Duration::from_secs(3)),
        ),
        EmbedStep::fail_with(ErrorKind::ServerError),
    ]);
    let begin = Instant::now();
    let call = call();
    let reply = RetryLayer::default().layer(upstream.clone()).embed(call.clone()).await.unwrap();
    assert_eq!((reply.vectors.len(), reply.head.attempts), (1, 3));
    assert!(begin.elapsed() >= Duration::from_secs(5));
    assert!(upstream.calls().iter().all(|sent| Arc::ptr_eq(&sent.request, &call.request))); // T8
}

#[tokio::test(start_paused = true)]
async fn what_would_fail_again_is_not_sent_again() {
    for kind in [ErrorKind::InvalidRequest, ErrorKind::ContextLengthExceeded, ErrorKind::Authentication] {
        let upstream = ScriptedEmbedder::new([EmbedStep::fail_with(kind)]);
        let error = RetryLayer::standard().layer(upstream.clone()).embed(call()).await.unwrap_err();
        assert_eq!((error.kind(), upstream.counts().calls), (kind, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_router_beneath_is_asked_for_somebody_fresh() {
    let same = Error::new(ErrorKind::Overloaded, "on purpose").with_next(Next::Same { fallback: true });
    let upstream = ScriptedEmbedder::new(vec![EmbedStep::fail(same); 3]);
    RetryLayer::standard().layer(upstream.clone()).embed(call()).await.unwrap();
    let fresh: Vec<bool> = upstream.calls().iter().map(|call| call.context.needs.fresh).collect();
    assert_eq!(fresh, [false, false, false, true]);
}

// T1
#[tokio::test(start_paused = true)]
async fn they_draw_on_the_budget_of_the_layer() {
    let layer = RetryLayer::standard();
    let upstream = ScriptedEmbedder::new(vec![EmbedStep::fail_with(ErrorKind::Overloaded); 200]);
    for _ in 0..50 {
        layer.layer(upstream.clone()).embed(call()).await.unwrap_err();
    }
    assert!(upstream.counts().calls <= 50 + 10 + 5, "{}", upstream.counts().calls);
}

//! What the tests ask, and who answers.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mainstay_cache_exact::{ExactCache, ExactCacheBuilder, ExactCacheLayer, ExactCached};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{CacheStatus, Call, ErrorKind, Namespace, Provider, Reply, Usage};
use tower::Layer;

/// A deterministic call of this tenant.
pub(crate) fn call_of(namespace: &str, question: &str) -> Call {
    let mut call = Call::ask("m", question);
    call.request_mut().temperature = Some(0.0);
    call.context_mut().namespace = Namespace::new(namespace);
    call
}

pub(crate) fn call(question: &str) -> Call {
    call_of("acme", question)
}

pub(crate) fn streaming(mut call: Call) -> Call {
    call.request_mut().stream = Some(true);
    call
}

/// The cache around a provider, and the provider.
pub(crate) struct Lab {
    pub(crate) service: ExactCached<Scripted>,
    pub(crate) cache: ExactCache,
    pub(crate) upstream: Scripted,
}

pub(crate) fn lab(upstream: Scripted) -> Lab {
    lab_with(ExactCacheLayer::builder(), upstream)
}

pub(crate) fn lab_with(builder: ExactCacheBuilder, upstream: Scripted) -> Lab {
    let layer = builder.build().expect("the test's settings are right");
    Lab { service: layer.layer(upstream.clone()), cache: layer.cache().clone(), upstream }
}

/// Answers each call with another text.
pub(crate) fn counting() -> Scripted {
    let count = Arc::new(Mutex::new(0));
    Scripted::by(move |_| {
        let mut count = count.lock().expect("nobody panics with it");
        *count += 1;
        Step::text(format!("answer {count}")).usage(Usage::new(10, 2))
    })
}

impl Lab {
    pub(crate) async fn ask(&self, call: Call) -> Reply {
        self.service.ask(call).await.expect("an answer")
    }

    pub(crate) async fn text(&self, call: Call) -> String {
        self.ask(call).await.collect().await.expect("a whole answer").text().into_owned()
    }

    /// Asks, reads to the end, and says what the cache did.
    pub(crate) async fn status(&self, call: Call) -> &'static str {
        let reply = self.ask(call).await;
        let status = reply.head.cache.as_str();
        reply.collect().await.expect("a whole answer");
        status
    }

    pub(crate) async fn kind(&self, call: Call) -> ErrorKind {
        self.service.ask(call).await.expect_err("no answer").kind()
    }

    pub(crate) fn calls(&self) -> usize {
        self.upstream.counts().calls
    }
}

/// The chunks of a stream as they stand on the wire.
pub(crate) async fn chunks(reply: Reply) -> Vec<Bytes> {
    assert!(reply.is_stream());
    let mut chunks = reply.into_stream();
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next().await {
        all.push(chunk.expect("a chunk").to_json());
    }
    all
}

pub(crate) fn is_hit(reply: &Reply) -> bool {
    matches!(reply.head.cache, CacheStatus::Hit { .. })
}

pub(crate) fn pieces() -> Vec<Piece> {
    vec![
        Piece::Role,
        Piece::text("A "),
        Piece::text("rope that "),
        Piece::text("holds \"the\" mast."),
        Piece::stop(),
        Piece::Usage(Usage::new(12, 7)),
    ]
}

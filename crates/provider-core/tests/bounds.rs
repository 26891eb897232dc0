//! What the types promise to the compiler, and what they cost.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use mainstay_provider_core::test_kit::{Scripted, ScriptedEmbedder};
use mainstay_provider_core::{
    Attempts, BoxEmbedder, BoxProvider, Call, ChatRequest, Chunks, Context, ContextData, Embedder, End,
    Error, Events, Message, Provider, Reply, Subject,
};
use static_assertions::{assert_impl_all, assert_not_impl_any, const_assert};
use tower::Service;

assert_impl_all!(BoxProvider: Provider, Clone, Send, Sync, Service<Call>);
assert_impl_all!(BoxEmbedder: Embedder, Clone, Send, Sync);
assert_impl_all!(Scripted: Provider);
assert_impl_all!(ScriptedEmbedder: Embedder);
assert_impl_all!(Call: Clone, Send, Sync);
assert_impl_all!(Context: Clone, Send, Sync);
assert_impl_all!(Events: Clone, Send, Sync);
assert_impl_all!(Error: std::error::Error, Clone, Send, Sync, Unpin);
assert_impl_all!(End: Clone, Send, Sync);
assert_impl_all!(Reply: Send, Unpin);
assert_impl_all!(Chunks: futures_util::Stream, Send, Unpin);
// A reply is read once, by one reader.
assert_not_impl_any!(Reply: Clone, Sync);

const_assert!(size_of::<Error>() == size_of::<usize>());
const_assert!(size_of::<Call>() == 4 * size_of::<usize>());
// A reply moves through every layer by value.
const_assert!(size_of::<Result<Reply, Error>>() <= 32);

#[test]
fn a_clone_of_a_call_shares_its_request_and_context() {
    let call = Call::ask("m", "hi");
    let clone = call.clone();
    assert!(Arc::ptr_eq(call.shared_request(), clone.shared_request()));
    assert!(std::ptr::eq::<ContextData>(&**call.context(), &**clone.context()));
}

#[test]
fn a_change_is_seen_by_the_changed_clone_only() {
    let call = Call::ask("m", "hi");
    let mut changed = call.clone();
    changed.request_mut().messages.push(Message::user("more"));
    changed.context_mut().subjects.push(Subject::new("user", "alice"));
    assert_eq!((call.request().messages.len(), call.context().subjects.len()), (1, 0));
    assert_eq!((changed.request().messages.len(), changed.context().subjects.len()), (2, 1));
}

#[test]
fn all_clones_of_a_call_share_one_ledger_even_after_a_change() {
    let call = Call::ask("m", "hi");
    let mut retried = call.clone();
    retried.context_mut().id = "1".into();
    assert_eq!(retried.context().attempts.begin().number, 1);
    assert_eq!(call.context().attempts.begin().number, 2);
}

#[test]
fn calls_in_one_context_have_a_ledger_each() {
    let mut context = Context::default();
    context.data_mut().subjects.push(Subject::new("user", "alice"));
    let calls: Vec<Call> = (0..3).map(|_| Call::ask("m", "hi").with_context(context.clone())).collect();
    calls[0].context().attempts.begin();
    assert!(calls[1].context().attempts.is_empty() && context.attempts.is_empty());
    assert!(calls.iter().all(|call| call.context().subjects.len() == 1));
    // And so has a call that is made in the context of one that is over.
    let next = Call::ask("m", "hi").with_context(calls[0].context().clone());
    assert!(next.context().attempts.is_empty());
}

#[test]
fn a_context_of_ones_own_keeps_its_ledger() {
    let ledger = Attempts::default();
    let mut data = ContextData::default();
    data.id = "1".into();
    let call = Call::ask("m", "hi").with_context(data.into());
    assert_eq!(&*call.context().id, "1");
    drop(ledger);
}

#[tokio::test]
async fn asking_borrows_nothing() {
    fn asks(request: ChatRequest) -> impl Future<Output = bool> + Send + 'static {
        let provider = Scripted::new([mainstay_provider_core::test_kit::Step::text("hi")]);
        let asked = provider.ask(request.into());
        async move { asked.await.is_ok() }
    }
    assert!(asks(ChatRequest::new("m", vec![])).await);
}

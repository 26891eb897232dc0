//! The contract suites: who keeps a promise passes, who breaks it is named.
#![allow(clippy::unwrap_used)]

use std::task::{Context, Poll};

use futures_util::{StreamExt, stream};
use mainstay_provider_core::test_kit::contract::{self, Suite, Upstream};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{
    BoxFuture, Call, Chunks, Error, ErrorKind, FinishReason, Provider, Reply, ReplyHead,
};
use tower::Service;

/// A layer made of one function.
#[derive(Clone)]
struct Layered<F>(Scripted, F);

impl<F, R> Service<Call> for Layered<F>
where
    F: Fn(Scripted, Call) -> R,
    R: Future<Output = Result<Reply, Error>> + Send + 'static,
{
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin((self.1)(self.0.clone(), call))
    }
}

/// The promises that a layer made of this function breaks.
async fn broken<F, R>(layer: F) -> Vec<String>
where
    F: Fn(Scripted, Call) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Reply, Error>> + Send + 'static,
{
    let report =
        contract::provider(async |upstream: Upstream| Layered(upstream.scripted(), layer.clone())).await;
    report.broken().map(|(sentence, _)| sentence.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn providers_that_keep_the_contract_pass() {
    contract::provider(async |upstream| upstream.scripted()).await.assert_kept();
    contract::provider(async |upstream| upstream.scripted().boxed()).await.assert_kept();
    contract::provider(async |upstream| tower::limit::ConcurrencyLimit::new(upstream.scripted(), 2))
        .await
        .assert_kept();
}

#[tokio::test(start_paused = true)]
async fn layers_that_change_the_answer_on_its_way_pass() {
    // One that maps the stream, one that reads it whole, one that retries, one that answers from elsewhere.
    assert_eq!(
        broken(async |inner: Scripted, call| Ok(inner.ask(call).await?.map_stream(|chunks| chunks))).await,
        [""; 0]
    );
    let whole = async |inner: Scripted, call| {
        let reply = inner.ask(call).await?;
        let head = reply.head.clone();
        Ok(Reply::whole(*head, reply.collect().await?))
    };
    assert_eq!(broken(whole).await, [""; 0]);
    let retries = async |inner: Scripted, call: Call| match inner.ask(call.clone()).await {
        Err(_) => inner.ask(call).await,
        ok => ok,
    };
    assert_eq!(broken(retries).await, [""; 0]);
    let falls_back = async |inner: Scripted, call: Call| match inner.ask(call.clone()).await {
        Err(_) => Scripted::new([Step::text("something else")]).ask(call).await,
        ok => ok,
    };
    assert_eq!(broken(falls_back).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_hides_an_error_in_the_stream_is_found() {
    let hides = async |inner: Scripted, call| {
        let until_an_error = |chunks: Chunks| {
            let last = mainstay_provider_core::ChatChunk::empty("1", "m")
                .with_delta(Default::default(), Some(FinishReason::Stop));
            let rest = chunks
                .take_while(|next| std::future::ready(next.is_ok()))
                .chain(stream::iter([Ok(last.into())]));
            rest.boxed()
        };
        Ok(inner.ask(call).await?.map_stream(until_an_error))
    };
    let broken = broken(hides).await;
    assert!(
        broken.contains(&"an answer that is cut off is never passed off as whole".to_owned()),
        "{broken:?}"
    );
    assert!(
        broken.contains(&"an error after content ends the stream once, after what had come".to_owned()),
        "{broken:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_goes_on_reading_when_nobody_listens_is_found() {
    let detaches = async |inner: Scripted, call| {
        let reply = inner.ask(call).await?;
        let head = reply.head.clone();
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let mut chunks = reply.into_stream();
        tokio::spawn(async move {
            while let Some(next) = chunks.next().await {
                let _ = sender.send(next);
            }
        });
        let read = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        Reply::stream(*head, read).await
    };
    let broken = broken(detaches).await;
    assert_eq!(broken, ["a stream dropped while it stalls ends once and frees the upstream"]);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_loses_the_usage_or_repeats_the_call_is_found() {
    let loses = async |inner: Scripted, call| {
        let drop_usage = |chunks: Chunks| {
            chunks.filter(|next| std::future::ready(next.as_ref().is_ok_and(|chunk| chunk.usage.is_none())))
        };
        Ok(inner.ask(call).await?.map_stream(drop_usage))
    };
    assert!(
        broken(loses)
            .await
            .contains(&"a streamed answer has the same text, finish reason and usage".to_owned())
    );
    let splices = async |inner: Scripted, call: Call| {
        let again = inner.clone();
        let repeated = call.clone();
        let splice = move |chunks: Chunks| {
            chunks.flat_map(move |next| match next {
                Err(_) => stream::once(again.ask(repeated.clone()))
                    .flat_map(|reply| match reply {
                        Ok(reply) => reply.into_stream().boxed(),
                        Err(error) => stream::iter([Err(error)]).boxed(),
                    })
                    .boxed(),
                ok => stream::iter([ok]).boxed(),
            })
        };
        Ok(inner.ask(call).await?.map_stream(splice))
    };
    let broken = broken(splices).await;
    assert!(broken.iter().any(|sentence| sentence.contains("after content")), "{broken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_makes_an_answer_of_nothing_is_found() {
    let empty = async |inner: Scripted, call: Call| match inner.ask(call).await {
        Err(_) => {
            Ok(Reply::whole(ReplyHead::new("p", "m"), mainstay_provider_core::ChatResponse::empty("m")))
        }
        ok => ok,
    };
    let broken = broken(empty).await;
    assert_eq!(broken.len(), 3, "{broken:?}");
}

// Suites of one's own.

trait Counter: 'static {
    fn add(&self, n: u32) -> u32;
}

#[derive(Default)]
struct Right(std::cell::Cell<u32>);
impl Counter for Right {
    fn add(&self, n: u32) -> u32 {
        self.0.set(self.0.get() + n);
        self.0.get()
    }
}

struct Wrong;
impl Counter for Wrong {
    fn add(&self, n: u32) -> u32 {
        if n > 5 { panic!("too many") } else { n }
    }
}

fn suite<C: Counter>() -> Suite<C> {
    Suite::new("Counter")
        .promise("a new one is at 0", |counter: C| async move { assert_eq!(counter.add(0), 0) })
        .promise("it adds up", |counter: C| async move {
            counter.add(2);
            assert_eq!(counter.add(3), 5, "2 and 3");
        })
        .promise("it takes large numbers", |counter: C| async move { assert_eq!(counter.add(100), 100) })
        .promise("it comes to an end", |counter: C| async move {
            if counter.add(1) == 1 && counter.add(1) == 1 {
                std::future::pending().await
            }
        })
}

#[tokio::test(start_paused = true)]
async fn a_store_that_keeps_its_promises_passes() {
    let report = suite().run(async || Right::default()).await;
    report.assert_kept();
    assert_eq!((report.checked(), report.to_string().as_str()), (4, "Counter: 4 of 4 promises kept"));
}

#[tokio::test(start_paused = true)]
async fn each_broken_promise_is_named_with_what_went_wrong() {
    let report = suite().run(async || Wrong).await;
    let broken: Vec<_> = report.broken().collect();
    assert_eq!(
        broken.iter().map(|(sentence, _)| *sentence).collect::<Vec<_>>(),
        ["it adds up", "it takes large numbers", "it comes to an end"]
    );
    assert!(
        broken[0].1.contains("2 and 3") && broken[1].1 == "too many" && broken[2].1.contains("hangs"),
        "{report}"
    );
    assert!(!report.is_kept());
}

#[tokio::test]
async fn no_promises_are_no_proof() {
    let report = Suite::<()>::new("Nothing").run(async || ()).await;
    assert!(!report.is_kept());
    assert_eq!(ErrorKind::Internal.as_str(), "internal");
}

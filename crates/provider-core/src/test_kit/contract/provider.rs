//! What any provider keeps: an adapter, a layer over one, a stack.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Report, Suite};
use crate::chat::{ChatResponse, FinishReason, Message, ToolCall};
use crate::test_kit::tasks::{together, yield_now};
use crate::test_kit::{Piece, Scripted, Step};
use crate::{Call, ChatChunk, Chunks, End, Error, ErrorKind, Outcome, Provider, Reply, Usage, Wire};

/// What stands behind the provider that is checked.
///
/// A layer puts itself over [`Upstream::scripted`]. An adapter looks at [`Upstream::case`] and answers with a
/// recorded exchange that does the same.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// What it does with each call.
    pub case: UpstreamCase,
    scripted: Scripted,
}

/// What an [`Upstream`] does with each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpstreamCase {
    /// Answers [`Upstream::TEXT`], whole or streamed as it is asked, and reports its usage.
    Text,
    /// Calls two tools, `get_weather {"city": "Paris"}` and `get_time {"city": "Paris"}`, whole or streamed as it is
    /// asked; when streamed, the arguments come in pieces.
    ToolCalls,
    /// Fails before it answers: HTTP 529 or 503, without capacity.
    Fails,
    /// Answers `200 OK`, then sends an error event for want of capacity before any content.
    FailsBeforeContent,
    /// Answers `200 OK`, says who speaks, and ends without content.
    EndsBeforeContent,
    /// Sends the first words of the text, then an error event.
    FailsAfterContent,
    /// Sends the first words of the text, then closes the connection.
    CutAfterContent,
    /// Sends the whole text and its finish reason, then the connection breaks.
    ResetAfterFinish,
    /// Takes the call and never answers.
    Silent,
    /// Sends the first words of the text, then nothing.
    StallsAfterContent,
}

impl Upstream {
    /// The text that is answered.
    pub const TEXT: &str = "A mainstay holds the mast.";

    fn new(case: UpstreamCase) -> Self {
        Self { case, scripted: Scripted::by(move |call| step(case, call)) }
    }

    /// A provider that does what the case says.
    pub fn scripted(&self) -> Scripted {
        self.scripted.clone()
    }
}

fn step(case: UpstreamCase, call: &Call) -> Step {
    let usage = Usage::new(5, 5);
    let overloaded = || Error::new(ErrorKind::Overloaded, "no capacity").with_status(529);
    let begun = |then: &[Piece]| {
        Step::stream(
            [Piece::Role, Piece::text("A "), Piece::text("mainstay ")]
                .into_iter()
                .chain(then.iter().cloned()),
        )
    };
    match case {
        UpstreamCase::Text => Step::text(Upstream::TEXT).usage(usage),
        UpstreamCase::ToolCalls if call.is_stream() => Step::stream([
            Piece::Role,
            Piece::tool_call(0, "call_1", "get_weather"),
            Piece::arguments(0, "{\"city\": "),
            Piece::arguments(0, "\"Paris\"}"),
            Piece::tool_call(1, "call_2", "get_time"),
            Piece::arguments(1, "{\"city\": \"Paris\"}"),
            Piece::Finish(FinishReason::ToolCalls),
            Piece::Usage(usage),
        ]),
        UpstreamCase::ToolCalls => Step::answer(ChatResponse {
            usage: Some(usage.into()),
            ..ChatResponse::new("m", tool_calls(), FinishReason::ToolCalls)
        }),
        UpstreamCase::Fails => Step::fail(overloaded()),
        // Whole answers have no events: whoever did not ask for a stream gets the same as an answer.
        UpstreamCase::FailsBeforeContent | UpstreamCase::FailsAfterContent if !call.is_stream() => {
            Step::fail(overloaded())
        }
        UpstreamCase::EndsBeforeContent | UpstreamCase::CutAfterContent if !call.is_stream() => {
            Step::fail_with(ErrorKind::Network)
        }
        UpstreamCase::StallsAfterContent if !call.is_stream() => Step::hang(),
        UpstreamCase::ResetAfterFinish if !call.is_stream() => Step::text(Upstream::TEXT).usage(usage),
        UpstreamCase::FailsBeforeContent => Step::stream([Piece::Role, Piece::Fail(overloaded())]),
        UpstreamCase::EndsBeforeContent => Step::stream([Piece::Role]),
        UpstreamCase::FailsAfterContent => begun(&[Piece::Fail(overloaded())]),
        UpstreamCase::CutAfterContent => begun(&[Piece::Cut]),
        UpstreamCase::ResetAfterFinish => {
            begun(&[Piece::text("holds the mast."), Piece::stop(), Piece::fail_with(ErrorKind::Network)])
        }
        UpstreamCase::Silent => Step::hang(),
        UpstreamCase::StallsAfterContent => begun(&[Piece::Stall]),
    }
}

fn tool_calls() -> Message {
    let call = |id: &str, name: &str| ToolCall::function(id, name, "{\"city\": \"Paris\"}");
    let calls = vec![call("call_1", "get_weather"), call("call_2", "get_time")];
    Message { tool_calls: calls, ..Message::empty(crate::chat::Role::Assistant) }
}

/// Checks what any [`Provider`] keeps. `make` builds the provider over an upstream; each promise gets its own.
///
/// A provider may refuse, retry, answer from elsewhere or change the head; it may not lose the end of an answer, pass
/// off a part as the whole, or keep the upstream busy when nobody listens.
///
/// Run it with paused time over doubles: `#[tokio::test(start_paused = true)]`.
///
/// ```
/// # use mainstay_provider_core::test_kit::contract;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// contract::provider(async |upstream| upstream.scripted()).await.assert_kept();
/// # }
/// ```
pub async fn provider<P: Provider>(make: impl AsyncFn(Upstream) -> P) -> Report {
    use UpstreamCase as Case;
    let mut report = Report { name: "Provider".into(), results: Vec::new() };
    for (case, suite) in [
        (Case::Text, text::<P>()),
        (Case::ToolCalls, tools()),
        (Case::Fails, fails("an error before the answer is an Err of its kind")),
        (Case::FailsBeforeContent, fails("an error event after 200 OK and before content is an Err")),
        (Case::EndsBeforeContent, fails("a stream that ends without content is an Err")),
        (Case::FailsAfterContent, breaks("an error after content ends the stream once, after what had come")),
        (Case::CutAfterContent, breaks("an answer that is cut off is never passed off as whole")),
        (Case::ResetAfterFinish, complete_after_finish()),
        (Case::Silent, silent()),
        (Case::StallsAfterContent, stalls()),
    ] {
        let upstream = || Upstream::new(case);
        let part = suite.run(async || {
            let upstream = upstream();
            Checked { provider: make(upstream.clone()).await, upstream }
        });
        report.results.extend(part.await.results);
    }
    report
}

struct Checked<P> {
    provider: P,
    upstream: Upstream,
}

impl<P: Provider> Checked<P> {
    async fn ask(&self, stream: bool) -> Result<Reply, Error> {
        let mut call = Call::ask("m", "What is a mainstay?");
        call.request_mut().stream = Some(stream);
        self.provider.ask(call).await
    }

    /// Nothing may run upstream any more; tasks that the provider spawned get a chance to see it.
    async fn assert_upstream_is_free(&self) {
        for _ in 0..100 {
            yield_now().await;
        }
        let counts = self.upstream.scripted.counts();
        assert_eq!(counts.in_flight, 0, "an upstream call still runs that nobody waits for");
        assert_eq!(counts.open_streams, 0, "an upstream stream is still open that nobody reads");
    }
}

/// The ends that a hook saw.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<End>>>);

impl Ends {
    fn watch(&self, reply: Reply) -> Reply {
        let ends = self.0.clone();
        reply.on_end(move |end| ends.lock().unwrap_or_else(PoisonError::into_inner).push(end.clone()))
    }

    fn the_one(&self) -> End {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(ends.len(), 1, "the end of an answer is seen exactly once");
        ends[0].clone()
    }
}

/// A stream read to its end.
struct Read {
    chunks: Vec<Wire<ChatChunk>>,
    error: Option<Error>,
}

impl Read {
    async fn all(mut chunks: Chunks) -> Self {
        let mut read = Self { chunks: Vec::new(), error: None };
        while let Some(next) = chunks.next().await {
            assert!(read.error.is_none(), "something comes after an error");
            match next {
                Ok(chunk) => read.chunks.push(chunk),
                Err(error) => read.error = Some(error),
            }
        }
        assert!(chunks.next().await.is_none(), "something comes after the end");
        read
    }

    fn text(&self) -> String {
        self.chunks.iter().map(|chunk| chunk.text()).collect()
    }

    fn finish_reason(&self) -> Option<&FinishReason> {
        self.chunks.iter().flat_map(|chunk| &chunk.choices).find_map(|choice| choice.finished())
    }
}

fn text<P: Provider>() -> Suite<Checked<P>> {
    Suite::new("text")
        .promise(
            "a whole answer has text, finish reason, usage, provider and model",
            |it: Checked<P>| async move {
                let ends = Ends::default();
                let reply = ends.watch(ok(it.ask(false).await));
                assert!(!reply.head.provider.is_empty() && !reply.head.model.is_empty(), "{:?}", reply.head);
                let answer = collected(reply).await;
                assert_eq!(answer.text(), Upstream::TEXT);
                assert_eq!(answer.finish_reason(), Some(&FinishReason::Stop));
                assert_eq!(answer.usage(), Some(Usage::new(5, 5)));
                assert_complete(&ends.the_one());
            },
        )
        .promise(
            "a streamed answer has the same text, finish reason and usage",
            |it: Checked<P>| async move {
                let ends = Ends::default();
                let reply = ends.watch(ok(it.ask(true).await));
                let read = Read::all(reply.into_stream()).await;
                assert!(read.error.is_none(), "{:?}", read.error);
                assert_eq!(read.text(), Upstream::TEXT);
                assert_eq!(read.finish_reason(), Some(&FinishReason::Stop));
                let end = ends.the_one();
                assert_complete(&end);
                assert_eq!(end.usage, Some(Usage::new(5, 5)), "the usage of a stream reaches its end");
                it.assert_upstream_is_free().await;
            },
        )
        .promise("a streamed answer collects into the whole one", |it: Checked<P>| async move {
            let answer = collected(ok(it.ask(true).await)).await;
            assert_eq!(answer.text(), Upstream::TEXT);
            assert_eq!(answer.finish_reason(), Some(&FinishReason::Stop));
        })
        .promise("a whole answer replays as a stream", |it: Checked<P>| async move {
            let read = Read::all(ok(it.ask(false).await).into_stream()).await;
            assert_eq!((read.text().as_str(), read.error.is_none()), (Upstream::TEXT, true));
            assert_eq!(read.finish_reason(), Some(&FinishReason::Stop));
        })
        .promise(
            "a stream dropped after its first chunk ends once and frees the upstream",
            |it: Checked<P>| async move {
                let ends = Ends::default();
                let mut chunks = ends.watch(ok(it.ask(true).await)).into_stream();
                let _first = chunks.next().await;
                drop(chunks);
                let _end = ends.the_one();
                it.assert_upstream_is_free().await;
            },
        )
        .promise("a reply dropped unread ends once and frees the upstream", |it: Checked<P>| async move {
            let ends = Ends::default();
            drop(ends.watch(ok(it.ask(true).await)));
            let _end = ends.the_one();
            it.assert_upstream_is_free().await;
        })
        .promise("calls at the same time all get their answer", |it: Checked<P>| async move {
            let it = &it;
            let calls = (0..8).map(|number| {
                Box::pin(async move { collected(ok(it.ask(number % 2 == 0).await)).await }) as _
            });
            for answer in together::<Wire<ChatResponse>>(calls.collect()).await {
                assert_eq!(answer.text(), Upstream::TEXT);
            }
        })
}

fn tools<P: Provider>() -> Suite<Checked<P>> {
    let check = |stream: bool| {
        move |it: Checked<P>| async move {
            let answer = collected(ok(it.ask(stream).await)).await;
            let calls = &answer.choices[0].message.tool_calls;
            let seen: Vec<_> = calls.iter().filter_map(|call| call.function.as_ref()).collect();
            assert_eq!(
                seen.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(),
                ["get_weather", "get_time"]
            );
            for call in seen {
                let arguments = call.parse_arguments().unwrap_or_default();
                assert_eq!(arguments, serde_json::json!({"city": "Paris"}), "arguments of {}", call.name);
            }
            assert!(calls.iter().all(|call| !call.id.is_empty()), "each tool call has an id");
            assert_eq!(answer.finish_reason(), Some(&FinishReason::ToolCalls));
        }
    };
    Suite::new("tools")
        .promise("tool calls arrive whole", check(false))
        .promise("tool calls arrive in pieces and fit together", check(true))
}

/// The upstream gives no content: the caller gets an error, or an answer from elsewhere that is whole.
fn fails<P: Provider>(sentence: &'static str) -> Suite<Checked<P>> {
    Suite::new("fails").promise(sentence, |it: Checked<P>| async move {
        for stream in [true, false] {
            match it.ask(stream).await {
                Err(error) => assert_ne!(error.kind(), ErrorKind::Internal, "{error}"),
                Ok(reply) => {
                    let read = Read::all(reply.into_stream()).await;
                    assert!(
                        read.error.is_none() && read.finish_reason().is_some(),
                        "Ok of an answer without content"
                    );
                }
            }
            it.assert_upstream_is_free().await;
        }
    })
}

/// The upstream breaks off after content: the caller gets what came and then one error, never an end.
fn breaks<P: Provider>(sentence: &'static str) -> Suite<Checked<P>> {
    Suite::new("breaks").promise(sentence, |it: Checked<P>| async move {
        let Ok(reply) = it.ask(true).await else { return };
        let ends = Ends::default();
        let read = Read::all(ends.watch(reply).into_stream()).await;
        let end = ends.the_one();
        if read.error.is_some() {
            assert!(!read.chunks.is_empty(), "a stream begins with content");
            assert!(matches!(end.outcome, Outcome::Failed(_)), "{end:?}");
            assert!(Upstream::TEXT.starts_with(&read.text()), "the text goes wrong: {}", read.text());
        } else {
            assert_not_passed_off(&read.text(), read.finish_reason());
        }
        it.assert_upstream_is_free().await;
        if let Ok(reply) = it.ask(true).await {
            match reply.collect().await {
                Err(error) => assert!(
                    error.partial().is_some_and(|partial| Upstream::TEXT.starts_with(&*partial.text())),
                    "the error of a broken answer carries what had come"
                ),
                Ok(answer) => assert_not_passed_off(&answer.text(), answer.finish_reason()),
            }
        }
    })
}

fn complete_after_finish<P: Provider>() -> Suite<Checked<P>> {
    Suite::new("finished").promise(
        "what breaks after the finish reason does not break the answer",
        |it: Checked<P>| async move {
            let ends = Ends::default();
            let read = Read::all(ends.watch(ok(it.ask(true).await)).into_stream()).await;
            assert_eq!((read.text().as_str(), read.error.is_none()), (Upstream::TEXT, true));
            assert_complete(&ends.the_one());
        },
    )
}

fn silent<P: Provider>() -> Suite<Checked<P>> {
    Suite::new("silent").promise(
        "a call dropped while it waits frees the upstream",
        |it: Checked<P>| async move {
            for stream in [true, false] {
                let waited = tokio::time::timeout(Duration::from_millis(50), it.ask(stream)).await;
                drop(waited);
                it.assert_upstream_is_free().await;
            }
        },
    )
}

fn stalls<P: Provider>() -> Suite<Checked<P>> {
    Suite::new("stalls").promise(
        "a stream dropped while it stalls ends once and frees the upstream",
        |it: Checked<P>| async move {
            let asked = tokio::time::timeout(Duration::from_millis(50), it.ask(true)).await;
            if let Ok(Ok(reply)) = asked {
                let ends = Ends::default();
                let read = tokio::time::timeout(
                    Duration::from_millis(50),
                    Read::all(ends.watch(reply).into_stream()),
                );
                drop(read.await);
                let _end = ends.the_one();
            }
            it.assert_upstream_is_free().await;
        },
    )
}

/// A timer may have ended the answer, and then its finish reason says so.
#[track_caller]
fn assert_not_passed_off(text: &str, finish_reason: Option<&FinishReason>) {
    let is_part = Upstream::TEXT.starts_with(text) && text != Upstream::TEXT;
    assert!(finish_reason.is_some(), "an answer without an end is passed off as whole");
    assert!(!is_part || finish_reason != Some(&FinishReason::Stop), "a part is passed off as the whole");
}

#[track_caller]
fn ok(reply: Result<Reply, Error>) -> Reply {
    match reply {
        Ok(reply) => reply,
        Err(error) => panic!("no answer: {error}"),
    }
}

async fn collected(reply: Reply) -> Wire<ChatResponse> {
    match reply.collect().await {
        Ok(answer) => answer,
        Err(error) => panic!("the answer broke off: {error}"),
    }
}

#[track_caller]
fn assert_complete(end: &End) {
    assert!(end.is_complete(), "{end:?}");
    assert_eq!(end.finish_reason, Some(FinishReason::Stop));
}

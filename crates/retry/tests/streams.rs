//! One path for whole and streamed answers, and a stream that has begun is never touched.

mod common;

use common::{Setup, answers, fails, streaming, whole};
use mainstay_provider_core::test_kit::{Piece, Step};
use mainstay_provider_core::{ErrorKind, Provider};

// T7
#[tokio::test(start_paused = true)]
async fn whole_and_streamed_calls_are_retried_alike() {
    for call in [whole(), streaming()] {
        let setup = Setup::standard([fails(ErrorKind::Overloaded), fails(ErrorKind::Network), answers()]);
        let reply = setup.retry.ask(call.clone()).await.unwrap();
        assert_eq!(reply.is_stream(), call.is_stream());
        assert_eq!(reply.head.attempts, 3);
        assert_eq!(reply.collect().await.unwrap().text(), "done");
    }
}

// T6: an error at each event of the stream
#[tokio::test(start_paused = true)]
async fn a_stream_is_retried_until_its_first_content_and_never_after() {
    let pieces = || {
        vec![Piece::Role, Piece::Role, Piece::text("a "), Piece::text("b "), Piece::text("c"), Piece::stop()]
    };
    for (at, retried) in [(0, true), (1, true), (2, true), (3, false), (4, false), (5, false)] {
        let mut broken = pieces();
        broken.truncate(at);
        broken.push(Piece::fail_with(ErrorKind::Overloaded));
        let setup = Setup::standard([Step::stream(broken), Step::stream(pieces())]);
        let mut chunks = setup.retry.ask(streaming()).await.unwrap().into_stream();
        let (mut text, mut roles, mut failure) = (String::new(), 0, None);
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => {
                    text.push_str(chunk.text());
                    roles += chunk.choices.iter().filter(|choice| choice.delta.role.is_some()).count();
                }
                Err(error) => failure = Some(error.kind()),
            }
        }
        assert_eq!(setup.calls(), if retried { 2 } else { 1 }, "error at event {at}");
        assert_eq!(failure, (!retried).then_some(ErrorKind::Overloaded), "error at event {at}");
        // No text twice, and the roles of one stream only.
        assert!("a b c".starts_with(&text) && (!retried || text == "a b c"), "error at event {at}: {text:?}");
        assert_eq!(roles, 2, "error at event {at}");
    }
}

// T6
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_off_ends_with_an_error_and_nobody_is_asked_again() {
    let setup = Setup::standard([Step::stream([Piece::text("half"), Piece::Cut]), answers()]);
    let (result, _) = setup.call(streaming()).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MalformedResponse);
    assert_eq!(error.partial().unwrap().text(), "half");
    assert_eq!(setup.calls(), 1);
}

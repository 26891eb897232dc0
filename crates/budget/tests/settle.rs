//! What was reserved is settled once, with the best that is known of what was used, however a call ends.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{Setup, call_of, streaming, with_spending};
use mainstay_budget::{Limit, LimitBook, Period, RowStatus};
use mainstay_metering::NanoUsd;
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{
    BoxFuture, Call, EmbedCall, EmbedReply, EmbedRequest, Error, ErrorKind, Provider, Reply, ReplyHead, Usage,
};
use tower::{Layer, Service};

fn book(limit: Limit) -> LimitBook {
    let book = LimitBook::default();
    book.set_kind("user", [limit]).unwrap();
    book
}

fn tokens() -> LimitBook {
    book(Limit::tokens(1_000, Period::Day))
}

fn begun(then: impl IntoIterator<Item = Piece>) -> Step {
    Step::stream(
        [Piece::Role, Piece::text("A mainstay "), Piece::text("holds the mast.")].into_iter().chain(then),
    )
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_booked_by_the_providers_usage() {
    let setup = Setup::over(&tokens(), Scripted::repeating(Step::text("hi").usage(Usage::new(10, 5))));
    let (call, spending) = with_spending(call_of(&["user:a"]));
    setup.budgeted.ask(call).await.unwrap();
    assert_eq!(setup.stands("user:a").await, (15, 0));
    let row = setup.the_row().await;
    assert_eq!((row.status, row.estimated, row.requests), (RowStatus::Settled, false, 1));
    assert_eq!((row.usage, row.cost), (Usage::new(10, 5), NanoUsd::from_nanos(20_000)));
    assert_eq!((&*row.asked, row.subjects.len()), ("test-model", 1));
    let spent = spending.spent().unwrap();
    assert_eq!((spent.tokens(), spent.cost, spent.estimated), (15, NanoUsd::from_nanos(20_000), false));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_reserved_until_its_end_and_then_booked() {
    let upstream = Scripted::repeating(begun([Piece::stop(), Piece::Usage(Usage::new(10, 5))]));
    let setup = Setup::over(&tokens(), upstream);
    let (call, spending) = with_spending(streaming(call_of(&["user:a"])));
    let reply = setup.budgeted.ask(call).await.unwrap();
    let (spent, reserved) = setup.stands("user:a").await;
    assert!(spent == 0 && reserved > 100, "{reserved}");
    assert_eq!(spending.spent(), None);
    reply.collect().await.unwrap();
    assert_eq!(setup.stands("user:a").await, (15, 0));
    assert_eq!(spending.spent().unwrap().tokens(), 15);
}

// M5
#[tokio::test(start_paused = true)]
async fn an_answer_without_usage_is_counted_here_and_says_so() {
    let setup = Setup::over(&tokens(), Scripted::repeating(begun([Piece::stop()])));
    let (call, spending) = with_spending(streaming(call_of(&["user:a"])));
    setup.budgeted.ask(call).await.unwrap().collect().await.unwrap();
    let row = setup.the_row().await;
    assert_eq!((row.status, row.estimated), (RowStatus::Settled, true));
    assert!(row.usage.input > 3 && row.usage.output > 3, "{:?}", row.usage);
    assert!(row.cost > NanoUsd::ZERO && spending.spent().unwrap().estimated);
    assert_eq!(setup.stands("user:a").await, (row.usage.total(), 0));
}

// M3
#[tokio::test(start_paused = true)]
async fn a_stream_dropped_midway_is_booked_with_its_input_and_what_was_delivered() {
    let long = begun([Piece::text(" It is a stay that runs from the top of the mainmast."), Piece::Stall]);
    let setup = Setup::over(&tokens(), Scripted::repeating(long));
    let mut used = Vec::new();
    for chunks_read in [0, 2, 4] {
        let reply = setup.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
        let mut chunks = reply.into_stream();
        for _ in 0..chunks_read {
            chunks.next().await.unwrap().unwrap();
        }
        drop(chunks);
        let row = setup.rows().await.pop().unwrap();
        assert_eq!((row.status, row.estimated), (RowStatus::Cancelled, true));
        assert!(row.usage.input > 0);
        used.push(row.usage.output);
    }
    assert!(used[0] == 0 && used[0] < used[1] && used[1] < used[2], "{used:?}");
    let (spent, reserved) = setup.stands("user:a").await;
    let rows: u64 = setup.rows().await.iter().map(|row| row.usage.total()).sum();
    assert_eq!((spent, reserved), (rows, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_dropped_after_its_last_finish_reason_is_complete() {
    let setup = Setup::over(&tokens(), Scripted::repeating(begun([Piece::stop(), Piece::Stall])));
    let mut chunks = setup.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap().into_stream();
    for _ in 0..4 {
        chunks.next().await.unwrap().unwrap();
    }
    drop(chunks);
    let row = setup.the_row().await;
    assert_eq!((row.status, row.estimated), (RowStatus::Settled, true));
    assert!(row.usage.output > 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_is_booked_as_failed_with_what_was_delivered() {
    let setup = Setup::over(&tokens(), Scripted::repeating(begun([Piece::fail_with(ErrorKind::Overloaded)])));
    let error =
        setup.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap().collect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    let row = setup.the_row().await;
    assert_eq!((row.status, row.estimated), (RowStatus::Failed, true));
    assert!(row.usage.output > 3);
    assert_eq!(setup.stands("user:a").await, (row.usage.total(), 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_told_at_the_beginning_is_not_all_of_an_answer_that_broke_off() {
    // Anthropic tells the input, and one token of output, before the first word.
    let told = Piece::Usage(Usage::new(2_000, 1));
    let pieces = [told, Piece::text("A mainstay holds the mast of a ship."), Piece::Stall];
    let setup = Setup::over(&tokens(), Scripted::repeating(Step::stream(pieces)));
    let book = setup.budget.book();
    book.set_kind("user", [Limit::tokens(10_000, Period::Day)]).unwrap();
    let mut chunks = setup.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap().into_stream();
    for _ in 0..2 {
        chunks.next().await.unwrap().unwrap();
    }
    drop(chunks);
    let row = setup.the_row().await;
    assert_eq!((row.usage.input, row.estimated), (2_000, true));
    assert!(row.usage.output > 5, "{:?}", row.usage);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_before_its_answer_gives_everything_back_and_leaves_a_row() {
    let setup = Setup::over(&tokens(), Scripted::repeating(Step::fail_with(ErrorKind::ServerError)));
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap_err();
    assert_eq!(setup.stands("user:a").await, (0, 0));
    let row = setup.the_row().await;
    assert_eq!(
        (row.status, row.usage, row.cost, row.requests),
        (RowStatus::Failed, Usage::default(), NanoUsd::ZERO, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_answer_has_used_its_input() {
    let setup = Setup::over(&tokens(), Scripted::repeating(Step::hang()));
    let call = tokio::spawn(setup.budgeted.ask(call_of(&["user:a"])));
    tokio::task::yield_now().await;
    assert!(setup.stands("user:a").await.1 > 100);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let row = setup.the_row().await;
    assert_eq!((row.status, row.estimated, row.usage.output), (RowStatus::Cancelled, true, 0));
    assert!(row.usage.input > 3);
    assert_eq!(setup.stands("user:a").await, (row.usage.total(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_unpolled_leaves_nothing() {
    let setup = Setup::over(&tokens(), Scripted::repeating(Step::text("hi")));
    let mut handle = setup.budgeted.clone();
    std::future::poll_fn(|task| handle.poll_ready(task)).await.unwrap();
    drop(handle.call(call_of(&["user:a"])));
    assert_eq!(setup.stands("user:a").await, (0, 0));
    assert!(setup.rows().await.is_empty());
}

/// Panics, where it is told to.
#[derive(Clone, Copy)]
enum Panics {
    InCall,
    InFuture,
}

impl Service<Call> for Panics {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Call) -> Self::Future {
        match self {
            Self::InCall => panic!("on purpose"),
            Self::InFuture => Box::pin(async { panic!("on purpose") }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_within_settles_too() {
    for panics in [Panics::InCall, Panics::InFuture] {
        let setup = Setup::over(&tokens(), Scripted::new([]));
        let layer = mainstay_budget::BudgetLayer::builder(
            common::meter(),
            mainstay_budget::MemoryStore::new(),
            tokens(),
        );
        let layer = layer.build().unwrap();
        let budgeted = layer.layer(panics);
        let call = tokio::spawn(async move { budgeted.ask(call_of(&["user:a"])).await.map(drop) });
        assert!(call.await.unwrap_err().is_panic());
        let standing = layer.budget().remaining(&common::subject_of("user:a")).await.unwrap().remove(0);
        assert_eq!(standing.reserved, 0);
        drop(setup);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_read_by_one_who_panics_settles_too() {
    let setup = Setup::over(&tokens(), Scripted::repeating(begun([Piece::Stall])));
    let budgeted = setup.budgeted.clone();
    let reader = tokio::spawn(async move {
        let mut chunks = budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap().into_stream();
        chunks.next().await.unwrap().unwrap();
        panic!("on purpose");
    });
    assert!(reader.await.unwrap_err().is_panic());
    assert_eq!(setup.the_row().await.status, RowStatus::Cancelled);
    assert_eq!(setup.stands("user:a").await.1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_place_for_a_call_at_once_is_given_back_at_the_end_of_the_answer() {
    let setup = Setup::over(&book(Limit::concurrent(1)), Scripted::repeating(begun([Piece::stop()])));
    let reply = setup.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
    let error = setup.budgeted.ask(call_of(&["user:a"])).await.unwrap_err();
    assert_eq!(error.message(), "user:a has 1 calls at once under way and may have 1");
    setup.budgeted.ask(streaming(call_of(&["user:b"]))).await.unwrap();
    reply.collect().await.unwrap();
    setup.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
    assert_eq!(setup.standing("user:a").await.spent, 0);
}

#[tokio::test(start_paused = true)]
async fn money_is_booked_to_the_nano_dollar() {
    let limit = Limit::usd(NanoUsd::from_dollars(1), Period::Month);
    let setup = Setup::over(&book(limit), Scripted::repeating(Step::text("hi").usage(Usage::new(123, 45))));
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    assert_eq!(setup.stands("user:a").await, (123_000 + 90_000, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_cache_within_costs_nothing() {
    let cached = Step::text("hi").head(|head| head.attempts = 0);
    let setup = Setup::over(&tokens(), Scripted::repeating(cached));
    for call in [call_of(&["user:a"]), streaming(call_of(&["user:a"]))] {
        setup.budgeted.ask(call).await.unwrap().collect().await.unwrap();
    }
    assert_eq!(setup.stands("user:a").await, (0, 0));
    assert!(setup.rows().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hostile_usage_neither_panics_nor_turns_into_a_small_amount() {
    let absurd = Usage::new(u64::MAX, u64::MAX);
    let setup = Setup::over(&tokens(), Scripted::repeating(Step::text("hi").usage(absurd)));
    setup.budgeted.ask(call_of(&["user:a"])).await.unwrap();
    let spent = setup.stands("user:a").await.0;
    assert!(spent >= 1_000_000_000_000, "{spent}");
    assert_eq!(spent, setup.the_row().await.usage.total());
    assert!(setup.budgeted.ask(call_of(&["user:a"])).await.is_err());
}

#[derive(Clone)]
struct Vectors;

impl Service<EmbedCall> for Vectors {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        let usage = (call.request.model != "silent").then(|| Usage::new(7, 0));
        let head = ReplyHead::new("openai", call.request.model.clone());
        Box::pin(async move { Ok(EmbedReply::new(head, vec![vec![0.5]], usage)) })
    }
}

// Complaint 4: no kind of call goes past the budget.
#[tokio::test(start_paused = true)]
async fn embeddings_are_paid_for_too() {
    let layer = mainstay_budget::BudgetLayer::builder(
        common::meter(),
        mainstay_budget::MemoryStore::new(),
        book(Limit::tokens(20, Period::Day)),
    );
    let layer = layer.build().unwrap();
    let embedder = layer.layer(Vectors);
    let ask = async |model: &str, text: &str| {
        let mut call = EmbedCall::new(EmbedRequest::new(model, vec![text.to_owned()]));
        call.context.data_mut().subjects = vec![common::subject_of("user:a")];
        let mut embedder = embedder.clone();
        embedder.call(call).await.map(drop)
    };
    let spent = async || layer.budget().remaining(&common::subject_of("user:a")).await.unwrap()[0].spent;
    ask("test-model", "mast").await.unwrap();
    assert_eq!(spent().await, 7);
    ask("silent", "").await.unwrap();
    assert!(spent().await > 7);
    let error = ask("test-model", &"mast ".repeat(50)).await.unwrap_err();
    assert_eq!(error.code(), Some("budget_exceeded"));
}

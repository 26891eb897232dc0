use mainstay_provider_core::chat::{ChatResponse, FinishReason, Message};
use mainstay_provider_core::{DigestWriter, ReplyHead};
use tokio::sync::oneshot;

use super::*;

fn wanted(name: &str) -> Wanted {
    let mut writer = DigestWriter::new("test");
    writer.text("name", name);
    Wanted { digest: writer.finish(), as_stream: false, deadline: None }
}

fn answer() -> Reply {
    let answer = ChatResponse::new("m", Message::assistant("Yes."), FinishReason::Stop);
    Reply::whole(ReplyHead::new("sim", "m"), answer)
}

fn is_answer(begun: &Begun) -> bool {
    matches!(begun, Begun::Whole(_, answer) if answer.text() == "Yes.")
}

/// Never answers.
fn hang(_: Arc<Tape>) -> BoxFuture<Result<Answered, Error>> {
    Box::pin(std::future::pending())
}

#[tokio::test]
async fn the_table_holds_no_flight_that_is_over() {
    let flights = Flights::new();
    let member = flights.join_or_lead(wanted("a"), hang, 1000);
    let joined = flights.join_or_lead(wanted("a"), hang, 1000);
    assert!(member.leads() && !joined.leads());
    assert!(flights.join_or_lead(wanted("b"), hang, 1000).leads());
    assert_eq!(flights.len(), 1, "nobody waits for b any more");
    drop(member);
    assert_eq!(flights.len(), 1);
    drop(joined);
    assert_eq!(flights.len(), 0);
    let member =
        flights.join_or_lead(wanted("a"), |_| Box::pin(async { Ok(Answered::Reply(answer())) }), 1000);
    assert!(is_answer(&member.begun().await));
    assert!(flights.join(wanted("a")).is_none(), "its answer is there: it is over");
    let next = flights.join_or_lead(wanted("a"), hang, 1000);
    assert!(next.leads());
    drop(member);
    assert_eq!(flights.len(), 1, "the old one does not take the new one with it");
}

#[tokio::test]
async fn whoever_is_polled_moves_it_on() {
    let flights = Flights::new();
    let (tell, told) = oneshot::channel();
    let ask = |_: Arc<Tape>| -> BoxFuture<Result<Answered, Error>> {
        Box::pin(async { Ok(Answered::Reply(told.await.unwrap())) })
    };
    let first = flights.join_or_lead(wanted("a"), ask, 1000);
    let second = flights.join_or_lead(wanted("a"), hang, 1000);
    // The first is polled once, and then never again.
    let polled = std::future::poll_fn(|task| Poll::Ready(first.poll_begun(task).is_ready())).await;
    assert!(!polled);
    let waiting = tokio::spawn(async move { is_answer(&second.begun().await) });
    tokio::task::yield_now().await;
    assert!(tell.send(answer()).is_ok());
    assert!(waiting.await.unwrap());
    assert!(is_answer(&first.begun().await));
}

#[tokio::test]
async fn a_panic_ends_it_for_all() {
    let flights = Flights::new();
    let first = flights.join_or_lead(wanted("a"), |_| Box::pin(async { panic!("a defect") }), 1000);
    let second = flights.join_or_lead(wanted("a"), hang, 1000);
    let panicked = tokio::spawn(async move { first.begun().await });
    assert!(panicked.await.is_err());
    assert!(matches!(second.begun().await, Begun::Failed(error) if error.kind() == ErrorKind::Internal));
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_ends_much_sooner_is_not_joined() {
    let flights = Flights::new();
    let within = |seconds: u64| Wanted {
        deadline: Some(Instant::now() + Duration::from_secs(seconds)),
        ..wanted("a")
    };
    let _first = flights.join_or_lead(within(30), hang, 1000);
    assert!(flights.join(within(40)).is_some());
    assert!(flights.join(within(10)).is_some());
    assert!(flights.join(within(61)).is_none());
    assert!(flights.join(wanted("a")).is_none());
    let whole = Wanted { as_stream: true, ..within(30) };
    assert!(flights.join(whole).is_none(), "a stream does not wait for a whole answer");
}

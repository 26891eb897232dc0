//! What the worker does with a receiver of any mood, on paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay::{Event, Severity};
use serde_json::Value;
use tokio::time::Instant;

use super::{Log, alert};
use crate::alerts::letter::Letter;
use crate::alerts::wanted::Wanted;
use crate::alerts::worker::{Failure, Post};
use crate::alerts::{Alerts, LAST};

/// A receiver that answers its attempts, counted from 0, in this way, after a time.
#[derive(Clone)]
struct Script<F> {
    answer: F,
    takes: Duration,
    got: Arc<Mutex<Vec<(Instant, Letter)>>>,
}

impl<F: Fn(usize) -> Result<(), Failure> + Send + Sync + 'static> Post for Script<F> {
    async fn post(&self, letter: &Letter) -> Result<(), Failure> {
        let number = {
            let mut got = self.got.lock().unwrap();
            got.push((Instant::now(), letter.clone()));
            got.len() - 1
        };
        tokio::time::sleep(self.takes).await;
        (self.answer)(number)
    }
}

impl<F> Script<F> {
    fn new(answer: F) -> Self {
        Self { answer, takes: Duration::ZERO, got: Arc::default() }
    }

    fn got(&self) -> Vec<(Instant, Letter)> {
        self.got.lock().unwrap().clone()
    }

    /// Which alert each attempt was for.
    fn numbers(&self) -> Vec<String> {
        let number = |(_, letter): &(Instant, Letter)| {
            let body: Value = serde_json::from_slice(&letter.body).unwrap();
            body["number"].as_str().unwrap().to_owned()
        };
        self.got().iter().map(number).collect()
    }
}

fn passing(wait: Option<u64>) -> Result<(), Failure> {
    Err(Failure { wait: wait.map(Duration::from_secs), ..Failure::passing("it was away".into()) })
}

fn alerts<F>(script: &Script<F>, queue: usize) -> Alerts<Script<F>>
where
    F: Fn(usize) -> Result<(), Failure> + Clone + Send + Sync + 'static,
{
    Alerts::new(Wanted::Usual, queue, 5, script.clone()).unwrap()
}

/// Tells these many alerts, and then does nothing for an hour.
async fn tell<F>(script: &Script<F>, count: usize)
where
    F: Fn(usize) -> Result<(), Failure> + Clone + Send + Sync + 'static,
{
    let alerts = alerts(script, 1000);
    let teller = alerts.teller();
    Alerts::during(Some(alerts), async {
        (0..count).for_each(|number| teller.tell(&alert(number)));
        tokio::time::sleep(Duration::from_secs(3600)).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_is_made_again_with_the_same_id_and_body() {
    let log = Log::begin();
    let script = Script::new(|number| if number < 3 { passing(None) } else { Ok(()) });
    tell(&script, 1).await;
    let got = script.got();
    assert_eq!(got.len(), 4);
    assert!(got.iter().all(|(_, letter)| letter.id == got[0].1.id && letter.body == got[0].1.body));
    for (pair, most) in got.windows(2).zip([1, 4, 16]) {
        assert!(pair[1].0 - pair[0].0 <= Duration::from_secs(most) + Duration::from_millis(1));
    }
    assert!(!log.text().contains("ERROR"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_one_line_tells_it_and_the_next_alert_has_its_turn() {
    let log = Log::begin();
    let script = Script::new(|number| if number < 5 { passing(None) } else { Ok(()) });
    tell(&script, 2).await;
    assert_eq!(script.numbers(), ["0", "0", "0", "0", "0", "1"]);
    let log = log.text();
    let told: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(
        told[0].contains("key.rejected") && told[0].contains("attempts=5") && told[0].contains("it was away")
    );
}

#[tokio::test(start_paused = true)]
async fn a_lasting_failure_is_tried_once_and_told_once() {
    let log = Log::begin();
    let script = Script::new(|_| Err(Failure::lasting("the receiver answered 404 Not Found".into())));
    tell(&script, 1).await;
    assert_eq!(script.got().len(), 1);
    assert_eq!(log.text().matches("ERROR").count(), 1, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_receiver_asks_for_is_kept() {
    let script = Script::new(|number| if number == 0 { passing(Some(30)) } else { Ok(()) });
    tell(&script, 1).await;
    let got = script.got();
    assert!(got[1].0 - got[0].0 >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn telling_never_waits_for_a_receiver_that_hangs() {
    let mut script = Script::new(|_| Ok(()));
    script.takes = Duration::from_secs(1_000_000);
    let alerts = alerts(&script, 100);
    let (teller, queue) = (alerts.teller(), alerts.teller().queue);
    let begun = Instant::now();
    Alerts::during(Some(alerts), async {
        (0..10_000).for_each(|number| teller.tell(&alert(number)));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(queue.len(), 100);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_what_is_wanted_is_sent() {
    let script = Script::new(|_| Ok(()));
    let alerts = alerts(&script, 100);
    let teller = alerts.teller();
    Alerts::during(Some(alerts), async {
        teller.tell(&Event::new("breaker.opened", Severity::Warning));
        teller.tell(&Event::new("budget.soft_limit", Severity::Warning));
        teller.tell(&alert(0));
    })
    .await;
    let names: Vec<_> = script.got().iter().map(|(_, letter)| letter.event).collect();
    assert_eq!(names, ["budget.soft_limit", "key.rejected"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_is_sent_before_the_end() {
    let script = Script::new(|_| Ok(()));
    let alerts = alerts(&script, 1000);
    let teller = alerts.teller();
    Alerts::during(Some(alerts), async { (0..500).for_each(|number| teller.tell(&alert(number))) }).await;
    assert_eq!(script.got().len(), 500);
}

#[tokio::test(start_paused = true)]
async fn the_end_cuts_a_wait_short_and_each_alert_has_one_more_attempt() {
    let log = Log::begin();
    let script = Script::new(|_| passing(Some(200)));
    let alerts = alerts(&script, 1000);
    let teller = alerts.teller();
    let begun = Instant::now();
    Alerts::during(Some(alerts), async {
        (0..3).for_each(|number| teller.tell(&alert(number)));
        tokio::time::sleep(Duration::from_secs(1)).await;
    })
    .await;
    assert_eq!(script.numbers(), ["0", "0", "1", "2"]);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(log.text().matches("ERROR").count(), 3, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_holds_up_the_end_for_five_seconds() {
    let log = Log::begin();
    let mut script = Script::new(|_| Ok(()));
    script.takes = Duration::from_secs(60);
    let alerts = alerts(&script, 1000);
    let teller = alerts.teller();
    let begun = Instant::now();
    Alerts::during(Some(alerts), async {
        (0..3).for_each(|number| teller.tell(&alert(number)));
        tokio::task::yield_now().await;
    })
    .await;
    let took = begun.elapsed();
    assert!((LAST..LAST + Duration::from_millis(5)).contains(&took), "{took:?}");
    assert!(log.text().contains("unsent=3"), "{}", log.text());
}

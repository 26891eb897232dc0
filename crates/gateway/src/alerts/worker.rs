//! Sends one alert after the other, again and again if need be.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use super::letter::{Letter, Letters};
use super::queue::Queue;

/// Makes one attempt to send an alert.
pub(crate) trait Post: Send + Sync + 'static {
    fn post(&self, letter: &Letter) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) why: String,
    /// Whether another attempt may do better.
    pub(super) passes: bool,
    /// What the receiver asked for.
    pub(super) wait: Option<Duration>,
}

impl Failure {
    pub(super) fn passing(why: String) -> Self {
        Self { why, passes: true, wait: None }
    }

    pub(super) fn lasting(why: String) -> Self {
        Self { why, passes: false, wait: None }
    }
}

/// Sends what is in the queue until that is closed and empty.
pub(super) struct Worker<P> {
    pub(super) queue: Arc<Queue>,
    pub(super) letters: Letters,
    pub(super) post: P,
    /// At most so many for one alert.
    pub(super) attempts: u32,
    pub(super) chance: Rng,
    /// From now on nothing is waited for, and nothing is tried twice.
    pub(super) stopping: CancellationToken,
}

/// The most before the second attempt; each time it is four times as much, up to [`LONGEST`]. Five attempts thus outlast a restart of
/// the receiver: the waits between them are 40 s in the mean and 81 s at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// No receiver makes the others' alerts wait for longer.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

impl<P: Post> Worker<P> {
    pub(super) async fn run(mut self) {
        while let Some(alert) = self.queue.next().await {
            let letter = self.letters.write(alert);
            self.deliver(&letter).await;
        }
    }

    async fn deliver(&mut self, letter: &Letter) {
        let mut made = 0;
        loop {
            let sent = self.post.post(letter).await;
            made += 1;
            let Err(failure) = sent else {
                self.queue.delivered.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(event = letter.event, id = ?letter.id, attempts = made, "alert sent");
                return;
            };
            if !failure.passes || made >= self.attempts || self.stopping.is_cancelled() {
                let Failure { why, .. } = failure;
                self.queue.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(event = letter.event, id = ?letter.id, attempts = made, why, "an alert was not delivered");
                return;
            }
            let wait = wait(made, failure.wait, &mut self.chance);
            tracing::debug!(event = letter.event, id = ?letter.id, why = failure.why, ?wait, "alert: trying again");
            let _ = tokio::time::timeout(wait, self.stopping.cancelled()).await;
        }
    }
}

/// Anything from nothing to the back off (full jitter), but not sooner than the receiver asked.
fn wait(failed: u32, asked: Option<Duration>, chance: &mut Rng) -> Duration {
    let most = FIRST.saturating_mul(4u32.saturating_pow(failed - 1)).min(LONGEST);
    let drawn = most.mul_f64(chance.f64());
    drawn.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(failed: u32, asked: Option<u64>) -> Vec<Duration> {
        let mut chance = Rng::with_seed(7);
        (0..1000).map(|_| wait(failed, asked.map(Duration::from_secs), &mut chance)).collect()
    }

    #[test]
    fn waits_are_spread_from_nothing_to_a_back_off_that_grows_to_a_minute() {
        for (failed, most) in [(1, 1), (2, 4), (3, 16), (4, 60), (5, 60), (100, 60)] {
            let (waits, most) = (waits(failed, None), Duration::from_secs(most));
            assert!(waits.iter().all(|wait| *wait < most));
            assert!(
                waits.iter().any(|wait| *wait < most / 10) && waits.iter().any(|wait| *wait > most / 10 * 9)
            );
        }
    }

    #[test]
    fn what_the_receiver_asks_for_is_the_least_within_reason() {
        assert!(waits(1, Some(30)).iter().all(|wait| *wait == Duration::from_secs(30)));
        assert!(waits(4, Some(30)).iter().all(|wait| *wait >= Duration::from_secs(30)));
        assert!(waits(1, Some(86_400)).iter().all(|wait| *wait == LONGEST_ASKED));
    }
}

//! Reports, one after another, as headers give them.

use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 6_000;

struct Story {
    start: Instant,
    reported: Reported,
    sequence: u64,
    total: u64,
}

fn told(remaining: u64, reset: f64) -> RateLimit {
    RateLimit { limit: Some(LIMIT), remaining: Some(remaining), reset: Some(Duration::from_secs_f64(reset)) }
}

fn at(start: Instant, seconds: f64) -> Instant {
    start + Duration::from_secs_f64(seconds)
}

impl Story {
    fn new(first: RateLimit) -> Self {
        let start = Instant::now();
        let source = Source { sent: start, sequence: 1, total: 0, after: 0, open: 0 };
        let reported = Reported::new(&first, &source, start).expect("it tells something");
        Self { start, reported, sequence: 1, total: 0 }
    }

    /// This process spends, at `seconds` from the start. Gives what its report needs to know.
    fn spend(&mut self, amount: u64, seconds: f64) -> Source {
        self.sequence += 1;
        self.total += amount;
        self.reported.advance(at(self.start, seconds));
        self.reported.take(self.sequence, amount);
        let sent = at(self.start, seconds);
        Source { sent, sequence: self.sequence, total: self.total, after: 0, open: 0 }
    }

    /// The report of a call, at `seconds` from the start.
    fn hear(&mut self, call: &Source, told: RateLimit, seconds: f64) {
        let now = at(self.start, seconds);
        let source = Source { after: self.total - call.total, ..*call };
        self.reported.advance(now);
        self.reported.observe(&told, &source, now);
    }

    fn left(&mut self, seconds: f64) -> f64 {
        let now = at(self.start, seconds);
        self.reported.advance(now);
        self.reported.estimate(now)
    }

    /// The bound, without what others may have spent since.
    fn most(&self) -> f64 {
        self.reported.most as f64 / MILLION
    }

    fn wait(&mut self, need: u64, seconds: f64) -> f64 {
        let now = at(self.start, seconds);
        self.reported.advance(now);
        self.reported.wait(need, now).as_secs_f64()
    }
}

/// A window that ends 40 s after the start.
fn window(remaining: u64) -> Story {
    let story = Story::new(told(remaining, 40.0));
    assert_eq!(story.reported.refill, Refill::AtReset);
    story
}

#[test]
fn what_was_sent_after_a_reported_call_is_taken_off_its_report() {
    let mut story = window(6_000);
    let first = story.spend(100, 1.0);
    let _second = story.spend(300, 1.1);
    story.hear(&first, told(4_000, 38.5), 1.5);
    assert_eq!(story.most(), 3_700.0);
}

#[test]
fn a_stale_or_reordered_report_never_raises_the_estimate_within_a_window() {
    let mut story = window(6_000);
    let first = story.spend(100, 1.0);
    let second = story.spend(300, 1.2);
    story.hear(&second, told(2_000, 38.5), 1.5);
    assert_eq!(story.most(), 2_000.0);
    let before = story.left(1.8);
    story.hear(&first, told(5_900, 38.2), 1.8);
    assert_eq!((story.left(1.8), story.most()), (before, 2_000.0));
    // Nor does a newer one that says more than there can be.
    let third = story.spend(100, 2.0);
    story.hear(&third, told(5_000, 37.9), 2.1);
    assert_eq!(story.most(), 1_900.0);
}

#[test]
fn the_report_of_a_call_sent_before_the_reset_says_nothing_of_the_new_window() {
    let mut story = window(1_000);
    let old = story.spend(900, 39.0);
    assert_eq!(story.left(40.5), 6_000.0);
    story.hear(&old, told(50, 1.0), 40.9);
    assert_eq!(story.left(41.0), 6_000.0);
    let new = story.spend(500, 41.0);
    story.hear(&new, told(5_000, 58.9), 41.1);
    assert_eq!(story.left(41.1), 5_000.0);
}

#[test]
fn nothing_comes_back_before_the_end_of_a_window_and_all_does_then() {
    let mut story = window(6_000);
    story.spend(5_900, 1.0);
    assert_eq!(story.left(39.9), 100.0);
    assert_eq!(story.wait(101, 30.0), 10.0);
    assert_eq!(story.wait(6_101, 30.0), 70.0, "what no window holds comes in the one after");
    assert_eq!(story.left(40.0), 6_000.0);
    // Nobody told when the next ends: a minute is the guess.
    story.spend(6_000, 50.0);
    assert_eq!(story.wait(1, 60.0), 40.0);
}

#[test]
fn a_steady_refill_comes_back_bit_by_bit() {
    let mut story = Story::new(told(3_000, 30.0));
    assert_eq!(story.reported.refill, Refill::Steady);
    assert_eq!(story.left(10.0), 4_000.0);
    assert_eq!(story.wait(4_500, 10.0), 5.0);
    assert_eq!(story.left(60.0), 6_000.0);
    assert_eq!(story.reported.reset(at(story.start, 60.0)), Duration::ZERO);
}

#[test]
fn two_reports_tell_a_window_from_a_steady_refill() {
    // The first of each looks like the other.
    let mut steady = Story::new(told(5_000, 40.0));
    assert_eq!(steady.reported.refill, Refill::AtReset);
    let mut window = Story::new(told(3_000, 30.0));
    assert_eq!(window.reported.refill, Refill::Steady);
    for second in 1..=10 {
        let now = f64::from(second);
        let call = steady.spend(90, now);
        // 25 a second come back, 90 are spent.
        let missing = 1_000.0 + now * 65.0;
        steady.hear(&call, told(6_000 - missing as u64, missing / 25.0), now);
        let call = window.spend(90, now);
        window.hear(&call, told(3_000 - 90 * u64::from(second as u32), 30.0 - now), now);
    }
    assert_eq!(steady.reported.refill, Refill::Steady);
    assert!((steady.reported.per_second - 25.0).abs() < 1.0, "{}", steady.reported.per_second);
    assert_eq!(window.reported.refill, Refill::AtReset);
}

// Groq: a day's requests, one of which comes back every six seconds.
#[test]
fn a_limit_by_the_day_is_told_by_its_reset() {
    let mut story = Story::new(RateLimit {
        limit: Some(14_400),
        remaining: Some(14_370),
        reset: Some(Duration::from_secs(180)),
    });
    for second in 1..=60 {
        let now = f64::from(second);
        let call = story.spend(1, now);
        let missing = 30.0 + now * (1.0 - 1.0 / 6.0);
        let told = RateLimit {
            limit: Some(14_400),
            remaining: Some(14_400 - missing as u64),
            reset: Some(Duration::from_secs_f64(6.0 * missing)),
        };
        story.hear(&call, told, now + 0.01);
    }
    assert!(story.left(61.0) < 14_330.0, "it is no minute's limit: {}", story.left(61.0));
}

#[test]
fn what_others_spend_is_learned_and_taken_off_until_the_next_report() {
    let mut story = window(6_000);
    let mut remaining = 6_000;
    for second in 1..=30 {
        let now = f64::from(second);
        let call = story.spend(10, now);
        // Ten of ours, forty of others.
        remaining -= 50;
        story.hear(&call, told(remaining, 40.0 - now), now);
    }
    assert!((story.reported.others - 40.0).abs() < 3.0, "{}", story.reported.others);
    let (at_once, later) = (story.left(30.0), story.left(35.0));
    assert_eq!(at_once, 4_500.0);
    assert!((at_once - later - 200.0).abs() < 15.0, "{later}");
    // Their share is theirs, in what lasts and in what is let through.
    let now = at(story.start, 30.0);
    assert!((story.reported.time_to_exhaustion(10.0, now).unwrap().as_secs_f64() - 90.0).abs() < 5.0);
    let even = 4_500.0 / 10.0;
    assert!((story.reported.pace(10.0, now) - 2.0 * even / 5.0).abs() < 10.0);
}

#[test]
fn old_news_of_others_does_not_stop_a_steady_refill_for_ever() {
    let mut story = Story::new(told(3_000, 30.0));
    story.reported.others = 500.0;
    assert!(story.left(9.0) < 0.0);
    assert!(story.left(60.0) > 400.0);
    assert!(story.wait(6_000, 60.0) < 24.0 * 3_600.0);
}

#[test]
fn what_a_call_did_not_use_comes_back_unless_a_report_has_counted_it() {
    let mut story = window(6_000);
    let first = story.spend(1_000, 1.0);
    let second = story.spend(1_000, 1.1);
    story.hear(&first, told(4_900, 38.5), 1.5);
    assert_eq!(story.most(), 3_900.0);
    story.reported.correct(first.sequence, 1_000, 100);
    assert_eq!(story.most(), 3_900.0, "the report knew");
    story.reported.correct(second.sequence, 1_000, 100);
    assert_eq!(story.most(), 4_800.0);
}

#[test]
fn what_a_call_of_the_window_before_did_not_use_is_not_given_to_the_new_one() {
    let mut story = window(6_000);
    let old = story.spend(1_000, 39.0);
    story.spend(2_000, 41.0);
    story.reported.correct(old.sequence, 1_000, 100);
    assert_eq!(story.most(), 4_000.0);
}

#[test]
fn a_window_that_ended_sooner_than_it_should_is_a_new_one() {
    let mut story = window(6_000);
    story.spend(6_000, 1.0);
    let call = story.spend(10, 20.0);
    story.hear(&call, told(5_990, 59.9), 20.1);
    assert_eq!(story.left(20.1), 5_990.0);
}

#[test]
fn hostile_figures_do_no_harm() {
    let wild = [0, 1, u64::MAX / 2, u64::MAX];
    let resets = [None, Some(Duration::ZERO), Some(Duration::MAX), Some(Duration::from_nanos(1))];
    for limit in wild {
        for remaining in wild {
            for reset in resets {
                let first = RateLimit { limit: Some(limit), remaining: Some(remaining), reset };
                let mut story = Story::new(first);
                for second in 0..4 {
                    let now = f64::from(second) * 100.0;
                    let call = story.spend(7, now);
                    let told = RateLimit { limit: Some(remaining), remaining: Some(limit), reset };
                    story.hear(&call, told, now);
                    let wait = story.wait(u64::MAX, now);
                    assert!(wait.is_finite() && wait >= 0.0);
                    let moment = at(story.start, now);
                    assert!(story.reported.pace(1.0, moment).is_finite());
                    let _lasts = story.reported.time_to_exhaustion(1.0, moment);
                    let _reset = story.reported.reset(moment);
                }
            }
        }
    }
}

#[test]
fn a_provider_that_fell_silent_is_forgotten() {
    let story = window(100);
    assert!(!story.reported.is_forgotten(at(story.start, 599.0)));
    assert!(story.reported.is_forgotten(at(story.start, 601.0)));
}

proptest! {
    // Whatever the order in which reports arrive, and however late: none raises the bound within a window, and the bound is
    // never above what is in truth left.
    #[test]
    fn no_report_raises_the_bound_and_the_bound_is_never_above_the_truth(
        // What each spends, what others spend before it, and how long its report is on its way.
        calls in proptest::collection::vec((0..200_u64, 0..100_u64, 0.0..8.0_f64), 1..60),
    ) {
        let mut story = window(6_000);
        let (mut truth, mut reports): (u64, Vec<(f64, Source, u64)>) = (6_000, Vec::new());
        for (number, (ours, others, late)) in calls.iter().copied().enumerate() {
            let sent = 1.0 + 0.5 * number as f64;
            let call = story.spend(ours, sent);
            truth = truth.saturating_sub(others + ours);
            reports.push((sent + late, call, truth));
        }
        reports.sort_by(|a, b| a.0.total_cmp(&b.0));
        let last = 1.0 + 0.5 * calls.len() as f64;
        for (arrives, call, remaining) in reports.into_iter().filter(|report| report.0 < 39.0) {
            let before = story.reported.most;
            story.hear(&call, told(remaining, 40.0 - arrives), arrives.max(last));
            prop_assert!(story.reported.most <= before);
            let sent_since = story.total - call.total;
            prop_assert!(story.most() <= remaining as f64 - sent_since as f64);
            prop_assert!(story.reported.estimate(at(story.start, last)) <= story.most());
        }
    }
}

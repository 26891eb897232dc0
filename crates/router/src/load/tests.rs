use super::*;

fn at(load: &Load, ms: u64) -> Tick {
    load.tick(load.clock.born + Duration::from_millis(ms))
}

fn load() -> Load {
    Load::new(Clock::new(), Duration::from_secs(10))
}

fn ms(load: &Load, at: Tick) -> f32 {
    load.first_token(Lane::Stream, at).seconds.map_or(-1.0, |seconds| seconds * 1_000.0)
}

#[test]
fn a_peak_counts_at_once_and_decays_in_ten_seconds_to_a_third() {
    let load = load();
    load.observe(Lane::Stream, Duration::from_millis(30), at(&load, 0));
    load.observe(Lane::Stream, Duration::from_millis(300), at(&load, 100));
    assert!((ms(&load, at(&load, 100)) - 300.0).abs() < 0.1);
    assert!((ms(&load, at(&load, 10_100)) - 110.4).abs() < 1.0);
    assert!((ms(&load, at(&load, 20_100)) - 40.6).abs() < 1.0);
}

#[test]
fn quick_answers_pull_the_estimate_down_as_the_peak_decays() {
    let load = load();
    load.observe(Lane::Stream, Duration::from_millis(300), at(&load, 0));
    for step in 1..=3_000 {
        load.observe(Lane::Stream, Duration::from_millis(30), at(&load, step * 10));
    }
    let settled = ms(&load, at(&load, 30_000));
    assert!((29.0..46.0).contains(&settled), "{settled}");
}

#[test]
fn each_kind_of_answer_has_its_own_time() {
    let load = load();
    load.observe(Lane::Whole, Duration::from_secs(9), at(&load, 0));
    assert_eq!(load.first_token(Lane::Stream, at(&load, 0)).seconds, None);
    assert!(load.first_token(Lane::Whole, at(&load, 0)).seconds.is_some());
}

#[test]
fn failures_weigh_at_once_and_are_forgotten() {
    let load = load();
    (0..5).for_each(|_| load.fail(at(&load, 0)));
    assert!(load.failing(at(&load, 0)) > 0.8);
    (0..5).for_each(|_| load.succeed(at(&load, 0)));
    assert!(load.failing(at(&load, 0)) < 0.2);
    load.fail(at(&load, 0));
    assert!(load.failing(at(&load, 50_000)) < 0.01);
}

#[test]
fn a_lower_bound_is_news_only_above_what_is_known() {
    let load = load();
    load.observe(Lane::Stream, Duration::from_millis(100), at(&load, 0));
    load.observe_at_least(Lane::Stream, Duration::from_millis(50), at(&load, 8));
    assert!((ms(&load, at(&load, 8)) - 100.0).abs() < 0.2);
    load.observe_at_least(Lane::Stream, Duration::from_millis(500), at(&load, 8));
    assert!((ms(&load, at(&load, 8)) - 500.0).abs() < 0.2);
}

#[test]
fn of_many_callers_one_a_second_takes_the_trial() {
    let load = load();
    let taken = |ms| (0..100).filter(|_| load.take_trial(at(&load, ms))).count();
    assert_eq!([taken(0), taken(999), taken(1_000), taken(1_500)], [1, 0, 1, 0]);
}

#[test]
fn the_clock_wraps_without_harm() {
    let (before, after) = (Tick(u32::MAX - 10), Tick(15));
    assert!((after.since(before) - 26.0 * 0.004).abs() < 1e-6);
    assert_eq!(before.since(after), 0.0);
    assert!(after.is_from(before) && !before.is_from(after));
}

#[test]
fn threads_lose_no_call() {
    let load = load();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    load.begin(Lane::Stream, Tick(1));
                    load.count_recent(Tick(1));
                    load.stop_waiting(Lane::Stream);
                    load.end();
                }
            });
        }
    });
    assert_eq!((load.in_flight(), load.counts().sent), (0, 80_000));
    assert!((load.recent(Tick(1)) - 80_000.0).abs() < 1.0);
}

#[test]
fn one_that_is_silent_while_somebody_waits_is_at_least_that_slow() {
    let load = load();
    load.observe(Lane::Stream, Duration::from_millis(30), at(&load, 0));
    load.begin(Lane::Stream, at(&load, 100));
    load.begin(Lane::Stream, at(&load, 1_000));
    assert!((ms(&load, at(&load, 2_100)) - 2_000.0).abs() < 5.0);
    // Another token shows that it lives.
    load.stop_waiting(Lane::Stream);
    load.hear(Lane::Stream, at(&load, 2_100));
    assert!((ms(&load, at(&load, 2_600)) - 500.0).abs() < 5.0);
    load.stop_waiting(Lane::Stream);
    assert!(ms(&load, at(&load, 2_600)) < 30.0);
}

#[test]
fn an_estimate_is_relied_on_after_a_second_of_answers_and_for_ten_seconds_without() {
    let load = load();
    let is_fresh = |ms| load.first_token(Lane::Stream, at(&load, ms)).is_fresh;
    load.observe(Lane::Stream, Duration::from_millis(30), at(&load, 0));
    load.observe(Lane::Stream, Duration::from_millis(30), at(&load, 900));
    assert_eq!(
        [is_fresh(900), is_fresh(1_000), is_fresh(10_800), is_fresh(11_000)],
        [false, true, true, false]
    );
    // After a pause it has to prove itself again.
    load.observe(Lane::Stream, Duration::from_millis(30), at(&load, 20_000));
    assert_eq!([is_fresh(20_500), is_fresh(21_000)], [false, true]);
}

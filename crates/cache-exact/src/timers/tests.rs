//! Timers that are used again.
#![allow(clippy::unwrap_used)]

use std::future::ready;

use futures_util::future::join_all;
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::*;

const LONGEST: Duration = Duration::from_millis(50);
const LESS: Duration = Duration::from_millis(20);

fn idle(timers: &Timers) -> usize {
    timers.0.lock().unwrap().iter().map(|runtime| runtime.idle.len()).sum()
}

// S1: a timer that is used again does not go off when it would have the first time.
#[tokio::test(start_paused = true)]
async fn one_timer_after_the_other_goes_off_at_its_own_time() {
    let timers = Timers::default();
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(timers.bounded(LONGEST, sleep(LESS)).await, Some(()));
        assert_eq!(idle(&timers), 1, "all use the same");
    }
    assert_eq!(begun.elapsed(), LESS * 10);
    let begun = Instant::now();
    assert_eq!(timers.bounded(LONGEST, pending::<()>()).await, None);
    assert_eq!(begun.elapsed(), LONGEST);
    assert_eq!(idle(&timers), 0, "it went off");
    assert_eq!(timers.bounded(LONGEST, sleep(LESS)).await, Some(()));
    // One that lay there until its time was over, and then some.
    sleep(LONGEST * 3).await;
    let begun = Instant::now();
    assert_eq!(timers.bounded(LONGEST, pending::<()>()).await, None);
    assert_eq!(begun.elapsed(), LONGEST);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_at_once_needs_none_and_what_is_given_up_gives_it_back() {
    let timers = Timers::default();
    assert_eq!(timers.bounded(LONGEST, ready(1)).await, Some(1));
    assert!(timers.0.lock().unwrap().is_empty());
    let given_up = tokio::time::timeout(LESS, timers.bounded(LONGEST, pending::<()>())).await;
    assert!(given_up.is_err());
    assert_eq!(idle(&timers), 1);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_leaves_no_more_than_some() {
    let timers = Timers::default();
    let all = join_all((0..1_000).map(|_| timers.bounded(LONGEST, sleep(LESS)))).await;
    assert!(all.iter().all(Option::is_some));
    assert_eq!(idle(&timers), MOST_IDLE);
}

// S1: one cache may serve several runtimes, at once and one after the other.
#[test]
fn each_runtime_has_its_own_and_they_end_with_it() {
    let timers = Timers::default();
    let runtime = || Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let use_once = async || {
        assert_eq!(timers.bounded(LONGEST, sleep(LESS)).await, Some(()));
        let begun = Instant::now();
        assert_eq!(timers.bounded(LONGEST, pending::<()>()).await, None);
        assert_eq!(begun.elapsed(), LONGEST);
        assert_eq!(timers.bounded(LONGEST, sleep(LESS)).await, Some(()));
    };
    let (one, other) = (runtime(), runtime());
    one.block_on(use_once());
    other.block_on(use_once());
    assert_eq!((idle(&timers), timers.0.lock().unwrap().len()), (2, 2));
    drop(one);
    for _ in 0..10 {
        runtime().block_on(use_once());
    }
    assert_eq!(timers.0.lock().unwrap().len(), 2, "those that ended are forgotten");
    other.block_on(use_once());
}

/// The runtime's task that says that it lives does not outlive the cache.
#[tokio::test]
async fn nothing_is_left_in_the_runtime() {
    let before = Handle::current().metrics().num_alive_tasks();
    let timers = Timers::default();
    timers.bounded(LONGEST, tokio::task::yield_now()).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before + 1);
    drop(timers);
    tokio::task::yield_now().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
}

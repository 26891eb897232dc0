//! Half-open admits exactly as many probes as were wanted, and none is lost.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Act, RECOVERY, Setup, Step, pass, seconds, streaming};
use futures_util::future::join_all;
use mainstay_breaker::{BreakerLayer, State};
use mainstay_provider_core::{ErrorKind, Provider};
use tokio::sync::{Barrier, Semaphore};

// B1
#[tokio::test(start_paused = true)]
async fn of_a_thousand_calls_at_the_flip_exactly_as_many_are_probes_as_were_wanted() {
    for wanted in [1, 3] {
        let setup = Setup::new(BreakerLayer::builder().probes(wanted));
        setup.trip().await;
        pass(RECOVERY).await;
        let before = setup.calls();
        setup.set(Act::AnswerAfter(seconds(1)));
        let answers = join_all((0..1_000).map(|_| setup.breaker.ask(streaming()))).await;
        assert_eq!(setup.calls() - before, wanted);
        let (served, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((served.len(), refused.len()), (wanted as usize, 1_000 - wanted as usize));
        assert!(refused.iter().all(|answer| answer.as_ref().unwrap_err().kind() == ErrorKind::Unavailable));
        assert_eq!(setup.handle.state(), State::Closed);
    }
}

// B1, on real threads and the real clock
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn real_threads_that_race_at_the_flip_get_exactly_the_probes_too() {
    const CALLERS: usize = 1_000;
    for wanted in [1, 4] {
        let builder = BreakerLayer::builder().probes(wanted).recovery(Duration::from_millis(20));
        let setup = Arc::new(Setup::new(builder));
        setup.trip().await;
        let answers = Arc::new(Semaphore::new(0));
        setup.set(Act::AnswerWhen(answers.clone()));
        let before = setup.calls();
        let (start, refused) = (Arc::new(Barrier::new(CALLERS)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (setup, start, refused) = (setup.clone(), start.clone(), refused.clone());
                tokio::spawn(async move {
                    start.wait().await;
                    loop {
                        let all_are_out = setup.calls() - before >= wanted;
                        if setup.breaker.ask(streaming()).await.is_ok() {
                            return true;
                        }
                        if all_are_out {
                            refused.fetch_add(1, Ordering::SeqCst);
                            return false;
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        // No probe ends before everybody else was refused.
        while refused.load(Ordering::SeqCst) + ((setup.calls() - before) as usize) < CALLERS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        answers.add_permits(CALLERS);
        let served = join_all(tasks).await.into_iter().filter(|served| *served.as_ref().unwrap()).count();
        assert_eq!(served, wanted as usize);
        assert_eq!(setup.calls() - before, wanted);
        assert_eq!(setup.handle.stats().probes, u64::from(wanted));
    }
}

#[tokio::test(start_paused = true)]
async fn it_closes_when_all_probes_succeeded_and_opens_when_one_fails() {
    let setup = Setup::new(BreakerLayer::builder().probes(3));
    setup.trip().await;
    pass(RECOVERY).await;
    setup.call(Act::Answer).await.unwrap();
    setup.call(Act::Answer).await.unwrap();
    assert_eq!(setup.handle.state(), State::HalfOpen);
    setup.fail(1).await;
    assert!(matches!(setup.handle.state(), State::Open { .. }));
    pass(RECOVERY).await;
    for _ in 0..3 {
        setup.call(Act::Answer).await.unwrap();
    }
    assert_eq!(setup.handle.state(), State::Closed);
}

// B2: cancelled at every await point
#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_gives_its_place_back_and_says_nothing() {
    let acts = [
        (Act::Hang, 0),
        (Act::Stream(vec![Step::Hang]), 0),
        (Act::Stream(vec![Step::Text, Step::Hang]), 0),
        (Act::Stream(vec![Step::Text, Step::Text, Step::Hang]), 1),
        (Act::Stream(vec![Step::Text, Step::Text, Step::Finish]), 2),
    ];
    for (act, chunks_read) in acts {
        let setup = Setup::default();
        setup.trip().await;
        pass(RECOVERY).await;
        setup.set(act.clone());
        let probe = async {
            let mut chunks = setup.breaker.ask(streaming()).await.unwrap().into_stream();
            for _ in 0..chunks_read {
                chunks.next().await.unwrap().unwrap();
            }
        };
        let _gone = tokio::time::timeout(seconds(1), probe).await;
        assert_eq!(setup.handle.state(), State::HalfOpen, "{act:?}");
        assert_eq!(setup.handle.stats().in_flight, 0, "{act:?}");
        setup.call(Act::Answer).await.unwrap();
        assert_eq!(setup.handle.state(), State::Closed, "{act:?}");
    }
}

// B2: not even polled
#[tokio::test(start_paused = true)]
async fn a_probe_that_is_never_polled_gives_its_place_back() {
    let setup = Setup::default();
    setup.trip().await;
    pass(RECOVERY).await;
    let unpolled = setup.send(Act::Answer).await;
    assert!(setup.is_refusing().await);
    drop(unpolled);
    setup.call(Act::Answer).await.unwrap();
}

// B2
#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_gives_its_place_back_and_says_nothing() {
    for act in [Act::Panic, Act::Stream(vec![Step::Text, Step::Panic])] {
        let setup = Setup::default();
        setup.trip().await;
        pass(RECOVERY).await;
        setup.set(act);
        let breaker = setup.breaker.clone();
        let probe = tokio::spawn(async move { breaker.ask(streaming()).await.unwrap().collect().await });
        assert!(probe.await.unwrap_err().is_panic());
        assert_eq!(setup.handle.state(), State::HalfOpen);
        setup.call(Act::Answer).await.unwrap();
        assert_eq!(setup.handle.state(), State::Closed);
    }
}

// B3
#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_loses_its_place_when_its_lease_ends() {
    let setup = Setup::default();
    setup.trip().await;
    pass(RECOVERY).await;
    let hanging = tokio::spawn(setup.send(Act::Hang).await);
    pass(seconds(59)).await;
    assert!(setup.is_refusing().await);
    pass(seconds(1)).await;
    setup.call(Act::Answer).await.unwrap();
    assert_eq!(setup.handle.state(), State::Closed);
    assert_eq!(setup.handle.stats().leases_expired, 1);
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    assert_eq!(setup.handle.state(), State::Closed, "its late end changes nothing");
}

// B3: the lease is the probe's own deadline
#[tokio::test(start_paused = true)]
async fn a_lease_ends_with_its_probes_deadline() {
    let setup = Setup::default();
    setup.trip().await;
    pass(RECOVERY).await;
    setup.set(Act::Hang);
    let mut call = streaming();
    call.context_mut().deadline = Some(tokio::time::Instant::now() + seconds(7));
    let breaker = setup.breaker.clone();
    let _hanging = tokio::spawn(async move { breaker.ask(call).await });
    tokio::task::yield_now().await;
    pass(seconds(6)).await;
    assert!(setup.is_refusing().await);
    pass(seconds(1)).await;
    setup.call(Act::Answer).await.unwrap();
}

// B1 and B3
#[tokio::test(start_paused = true)]
async fn callers_whose_deadline_has_passed_do_not_hand_the_place_on_among_themselves() {
    let setup = Setup::default();
    setup.trip().await;
    pass(RECOVERY).await;
    let before = setup.calls();
    setup.set(Act::Hang);
    let mut call = streaming();
    call.context_mut().deadline = Some(tokio::time::Instant::now());
    let calls = join_all((0..1_000).map(|_| setup.breaker.ask(call.clone())));
    assert!(tokio::time::timeout(Duration::from_millis(500), calls).await.is_err());
    assert_eq!(setup.calls() - before, 1);
}

// B3
#[tokio::test(start_paused = true)]
async fn a_refusal_while_a_probe_is_out_says_to_come_again_soon() {
    let setup = Setup::default();
    setup.trip().await;
    pass(RECOVERY).await;
    let _hanging = setup.send(Act::Hang).await;
    assert_eq!(setup.ask(Act::Answer).await.unwrap_err().retry_after(), Some(seconds(1)));
}

// B4
#[tokio::test(start_paused = true)]
async fn an_outcome_from_before_the_trip_changes_nothing_whenever_it_comes() {
    for arrives in [seconds(30), seconds(61)] {
        let setup = Setup::default();
        let slow = tokio::spawn(setup.send(Act::AnswerAfter(arrives)).await);
        tokio::task::yield_now().await;
        let mut _probe = None;
        setup.fail(5).await;
        if arrives > RECOVERY {
            pass(RECOVERY).await;
            // A probe is out when the old success comes.
            _probe = Some(setup.send(Act::Hang).await);
        }
        slow.await.unwrap().unwrap();
        let state = setup.handle.state();
        assert!(matches!(state, State::Open { .. } | State::HalfOpen), "{state:?}");
        assert_eq!(setup.handle.stats().late, 1);
        assert!(setup.is_refusing().await);
    }
}

// B4
#[tokio::test(start_paused = true)]
async fn a_failure_from_before_the_trip_does_not_fail_a_later_probe() {
    let setup = Setup::default();
    let slow = tokio::spawn(setup.send(Act::FailAfter(seconds(61), ErrorKind::Network)).await);
    tokio::task::yield_now().await;
    setup.fail(5).await;
    pass(RECOVERY).await;
    let probe = tokio::spawn(setup.send(Act::AnswerAfter(seconds(5))).await);
    slow.await.unwrap().unwrap_err();
    assert_eq!(setup.handle.state(), State::HalfOpen);
    probe.await.unwrap().unwrap();
    assert_eq!(setup.handle.state(), State::Closed);
}

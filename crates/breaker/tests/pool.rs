//! Not all deployments of a pool are cut off at once.

mod common;

use common::{Act, RECOVERY, Setup, pass};
use mainstay_breaker::{BreakerLayer, BreakerPool, State};
use mainstay_provider_core::{Availability, ErrorKind, ReportAvailability};
use tokio::time::Instant;

fn pool_of(size: usize, pool: &BreakerPool) -> Vec<Setup> {
    (0..size).map(|_| Setup::new(BreakerLayer::builder().pool(pool.clone()))).collect()
}

fn open(deployments: &[Setup]) -> usize {
    deployments.iter().filter(|one| one.handle.state() != State::Closed).count()
}

// B11
#[tokio::test(start_paused = true)]
async fn of_a_failing_pool_a_tenth_is_cut_off_and_at_least_one() {
    for (size, expected) in [(1, 1), (2, 1), (9, 1), (20, 2), (35, 3)] {
        let pool = BreakerPool::default();
        let deployments = pool_of(size, &pool);
        for deployment in &deployments {
            for _ in 0..8 {
                let _any = deployment.call(Act::Fail(ErrorKind::ServerError)).await;
            }
        }
        assert_eq!((open(&deployments), pool.open(), pool.members()), (expected, expected, size));
        let held: u64 = deployments.iter().map(|one| one.handle.stats().held_closed).sum();
        assert_eq!(held > 0, size > expected);
    }
}

// B11
#[tokio::test(start_paused = true)]
async fn a_recovered_deployment_makes_room_for_the_next() {
    let pool = BreakerPool::default();
    let deployments = pool_of(2, &pool);
    deployments[0].fail(5).await;
    deployments[1].fail(5).await;
    assert_eq!(deployments[1].handle.state(), State::Closed);
    pass(RECOVERY).await;
    deployments[0].call(Act::Answer).await.unwrap();
    deployments[1].fail(1).await;
    assert_eq!(open(&deployments[..1]), 0);
    assert!(matches!(deployments[1].handle.state(), State::Open { .. }));
}

// B11: as configured, all may open; then each tells when it is half-open, and the soonest is the caller's wait
#[tokio::test(start_paused = true)]
async fn when_all_are_open_each_refusal_tells_its_next_half_open() {
    let pool = BreakerPool::new(1.0);
    let deployments = pool_of(3, &pool);
    let mut waits = Vec::new();
    for deployment in &deployments {
        deployment.trip().await;
        pass(RECOVERY / 6).await;
    }
    for deployment in &deployments {
        let refusal = deployment.ask(Act::Answer).await.unwrap_err();
        let Availability::Unavailable { until: Some(until) } = deployment.handle.availability(Instant::now())
        else {
            panic!("it is open")
        };
        assert_eq!(refusal.retry_after(), Some(until - Instant::now()));
        waits.push(refusal.retry_after().unwrap());
    }
    assert_eq!(waits.iter().min(), Some(&(RECOVERY / 2)));
}

// B11
#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_taken_out_makes_room_too() {
    let pool = BreakerPool::default();
    let mut deployments = pool_of(2, &pool);
    deployments[0].trip().await;
    drop(deployments.remove(0));
    assert_eq!((pool.members(), pool.open()), (1, 0));
    deployments[0].trip().await;
}

// B11 and B6: a rejected key is of no use, however many there are
#[tokio::test(start_paused = true)]
async fn a_parked_deployment_is_parked_whatever_the_share() {
    let pool = BreakerPool::default();
    let deployments = pool_of(3, &pool);
    for deployment in &deployments {
        deployment.call(Act::Fail(ErrorKind::Authentication)).await.unwrap_err();
    }
    assert_eq!(open(&deployments), 3);
    deployments.iter().for_each(|deployment| deployment.handle.unpark());
    assert_eq!((open(&deployments), pool.open()), (0, 0));
}

//! A decision allocates nothing for up to 64 deployments.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::alloc::System;

use common::{BuildOf as _, answering, failing, model, seeded};
use mainstay_provider_core::{Call, ErrorKind, Provider};
use mainstay_router::{Candidate, Chance, Choice, Model, Router, strategy};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What the router allocates for one call beyond what the call allocates without it.
fn router_of(count: usize, name: &str) -> Router {
    let deployments = (0..count).map(|at| answering(&format!("deployment-{at:02}")).0.model("main"));
    let main: Model = model("main", deployments);
    seeded().shared_strategy(strategy::named(name).unwrap()).build_of([main])
}

// One test, so that no other thread allocates meanwhile.
#[test]
fn a_decision_allocates_nothing_for_up_to_64_deployments() {
    for name in strategy::NAMES {
        let of_one = allocations(&router_of(1, name));
        for count in [2, 8, 9, 63, 64] {
            let of_many = allocations(&router_of(count, name));
            // With several a call may go to another one, so its request is kept.
            assert_eq!(of_many, of_one, "{name}, {count} deployments");
        }
    }
    strategies_alone();
    after_failures();
}

/// Allocations of one call, the deployment's own included: they are the same whichever it is.
fn allocations(router: &Router) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut call = Call::ask("main", "What is a mainstay?");
        call.request_mut().user = Some("alice".into());
        // What is made once is made by now.
        for _ in 0..200 {
            router.ask(call.clone()).await.unwrap();
        }
        let counted = (0..20).map(|_| {
            let call = call.clone();
            async {
                let region = Region::new(COUNTING);
                let reply = router.ask(call).await.unwrap();
                let allocations = region.change().allocations;
                drop(reply);
                allocations
            }
        });
        let mut least = usize::MAX;
        for one in counted {
            // The double's records grow now and then.
            least = least.min(one.await);
        }
        least
    })
}

fn strategies_alone() {
    let candidates = [Candidate::new("deployment"); 64];
    let mut chance = Chance::seeded(1);
    for name in strategy::NAMES {
        let strategy = strategy::named(name).unwrap();
        let mut choice = Choice::of(&candidates);
        choice.session = Some(mainstay_router::Session::new(7));
        let region = Region::new(COUNTING);
        for _ in 0..100 {
            strategy.choose(&choice, &mut chance);
        }
        assert_eq!(region.change().allocations, 0, "{name}");
    }
}

/// A call that has failed before reads its ledger where it is: that costs nothing either.
fn after_failures() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let of = |count: usize| {
        let failing = failing("failing", ErrorKind::ServerError).0.order(1);
        let others = (1..count).map(|at| answering(&format!("deployment-{at:02}")).0.model("main").order(2));
        let router = seeded().build_of([model("main", std::iter::once(failing).chain(others))]);
        runtime.block_on(async {
            let mut least = usize::MAX;
            for _ in 0..200 {
                let call = Call::ask("main", "What is a mainstay?");
                router.ask(call.clone()).await.unwrap_err();
                let region = Region::new(COUNTING);
                router.ask(call).await.unwrap();
                least = least.min(region.change().allocations);
            }
            least
        })
    };
    assert_eq!(of(64), of(2));
}

//! In its place, around retry and router: who is asked next when a stream breaks off.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Prefill, Says, TEXT, model, read, says, streaming};
use mainstay_provider_core::test_kit::Scripted;
use mainstay_provider_core::{ErrorKind, Provider, Timer};
use mainstay_rescue::RescueLayer;
use mainstay_retry::RetryLayer;
use mainstay_router::{Deployment, Model, Router};
use mainstay_timeout::TimeoutLayer;
use tower::{Layer, ServiceBuilder};

/// Deployments of one model, and one of its fallback.
struct Fleet {
    own: Vec<(Scripted, bool)>,
    fallback: Option<(Scripted, bool)>,
}

fn deployment(name: String, upstream: &Scripted, prefill: bool) -> Deployment {
    let timed = TimeoutLayer::default().layer(upstream.clone().named("sim", name.as_str()));
    Deployment::new(name, timed).prefill(prefill)
}

impl Fleet {
    fn stack(&self) -> impl Provider {
        let own = self.own.iter().enumerate().map(|(number, (upstream, prefill))| {
            deployment(format!("own-{number}"), upstream, *prefill).order(number as u32 + 1)
        });
        let mut main = own.fold(Model::new("gpt-9"), Model::deployment);
        let mut router = Router::builder().seed(1);
        if let Some((upstream, prefill)) = &self.fallback {
            main = main.fallbacks(["backup"]);
            let backup = Model::new("backup").deployment(deployment("fallback".into(), upstream, *prefill));
            router = router.model(backup);
        }
        let router = router.model(main).build().unwrap();
        ServiceBuilder::new().layer(RescueLayer::standard()).layer(RetryLayer::standard()).service(router)
    }

    fn asked(&self) -> Vec<usize> {
        self.own.iter().chain(&self.fallback).map(|(upstream, _)| upstream.counts().calls).collect()
    }
}

fn cuts() -> Scripted {
    cuts_with(None)
}

fn cuts_with(error: Option<ErrorKind>) -> Scripted {
    model((0..9).map(|_| Says { error, ..says(TEXT).cut(5) }))
}

fn whole(prefill: Prefill) -> Scripted {
    model((0..9).map(|_| says(TEXT).prefill(prefill)))
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_a_prefill_goes_on() {
    let own = vec![(cuts(), true), (whole(Prefill::Refuses), false), (whole(Prefill::GoesOn), true)];
    let fleet = Fleet { own, fallback: None };
    let got = read(&fleet.stack(), streaming()).await;
    got.assert_whole();
    assert_eq!(fleet.asked(), [1, 0, 1], "nobody is asked who does not go on");
    assert_eq!(got.report()["legs"][1]["by"], "resume");
}

#[tokio::test(start_paused = true)]
async fn where_no_peer_does_one_is_asked_anew() {
    let fleet = Fleet { own: vec![(cuts(), false), (whole(Prefill::Refuses), false)], fallback: None };
    read(&fleet.stack(), streaming()).await.assert_whole();
    assert_eq!(fleet.asked(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_takes_over_and_whatever_it_says_of_a_prefill_stays_inside() {
    for (prefill, believed, calls) in [
        (Prefill::GoesOn, true, 1),
        (Prefill::Refuses, false, 1),
        (Prefill::Refuses, true, 2),
        (Prefill::Repeats, true, 1),
    ] {
        let fleet = Fleet { own: vec![(cuts(), false)], fallback: Some((whole(prefill), believed)) };
        read(&fleet.stack(), streaming()).await.assert_whole();
        assert_eq!(fleet.asked(), [1, calls], "{prefill:?}");
    }
}

// One deployment and no other: what it failed with may pass, and then it is asked again.
#[tokio::test(start_paused = true)]
async fn the_only_deployment_is_asked_again_where_that_can_help() {
    for (prefill, by) in [(true, "resume"), (false, "restart")] {
        let once = model([says(TEXT).cut(5).with(ErrorKind::Network), says(TEXT)]);
        let fleet = Fleet { own: vec![(once, prefill)], fallback: None };
        let got = read(&fleet.stack(), streaming()).await;
        got.assert_whole();
        assert_eq!(got.report()["legs"][1]["by"], by);
    }
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_of_all_the_caller_gets_a_clear_error() {
    for error in [None, Some(ErrorKind::Network), Some(ErrorKind::Overloaded)] {
        let own = vec![(cuts_with(error), true), (cuts_with(error), true)];
        let fleet = Fleet { own, fallback: Some((cuts_with(error), true)) };
        let got = read(&fleet.stack(), streaming()).await;
        got.assert_sound();
        assert!(got.error.is_some());
        let asked: usize = fleet.asked().iter().sum();
        assert!(asked <= 5, "{:?}", fleet.asked());
    }
}

// A router leaves out for the rest of the call who stalled or ended early; with nobody else there is nobody left.
#[tokio::test(start_paused = true)]
async fn the_only_deployment_that_stalled_or_ended_early_is_not_asked_again() {
    for error in [None, Some(ErrorKind::Timeout(Timer::Idle))] {
        let once = model([Says { error, ..says(TEXT).cut(5) }, says(TEXT)]);
        let fleet = Fleet { own: vec![(once, true)], fallback: None };
        let got = read(&fleet.stack(), streaming()).await;
        got.assert_sound();
        assert!(got.error.unwrap().message().contains("nobody took it up"));
        assert_eq!(fleet.asked(), [1]);
    }
}

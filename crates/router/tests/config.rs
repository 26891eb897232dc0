//! Settings are checked where they enter.

mod common;

use common::{answering, model};
use mainstay_router::{Hedging, InvalidConfig, Model, Router, RouterBuilder};
use std::time::Duration;

fn wrong(builder: RouterBuilder) -> InvalidConfig {
    builder.build().expect_err("it is wrong")
}

fn with(main: Model) -> RouterBuilder {
    Router::builder().model(main)
}

#[test]
fn a_router_without_models_is_refused() {
    assert_eq!(wrong(Router::builder()), InvalidConfig::NoModels);
    assert_eq!(wrong(with(Model::new("main"))), InvalidConfig::NoDeployments("main".into()));
}

#[test]
fn names_are_unique_where_they_must_be() {
    let main = || model("main", [answering("a").0]);
    assert_eq!(wrong(with(main()).model(main())), InvalidConfig::TwoModels("main".into()));
    let twice = model("main", [answering("a").0, answering("a").0]);
    let expected = InvalidConfig::TwoDeployments { model: "main".into(), deployment: "a".into() };
    assert_eq!(wrong(with(twice)), expected);
    // In two models it is one deployment.
    with(main()).model(model("other", [answering("a").0])).build().unwrap();
}

#[test]
fn figures_that_make_no_sense_are_refused() {
    let a = || answering("a").0;
    for deployment in [
        a().weight(0),
        a().weight(-1),
        a().weight(f64::NAN),
        a().context_window(0),
        a().price(-1.0, 0.0),
        a().price(0.0, f64::INFINITY),
        answering("").0,
    ] {
        let error = wrong(with(model("main", [deployment])));
        assert!(matches!(error, InvalidConfig::Deployment { .. }), "{error}");
    }
    with(model("main", [a().price(0.0, 0.0).weight(0.5)])).build().unwrap();
}

#[test]
fn a_model_is_not_its_own_fallback() {
    let main = || model("main", [answering("a").0]);
    for main in [
        main().fallbacks(["main"]),
        main().context_window_fallbacks(["main"]),
        main().content_policy_fallbacks(["main"]),
    ] {
        assert_eq!(wrong(with(main)), InvalidConfig::FallbackToItself("main".into()));
    }
    // Two may stand in for each other.
    let other = model("other", [answering("b").0]).fallbacks(["main"]);
    with(main().fallbacks(["other"])).model(other).build().unwrap();
}

#[test]
fn hedging_keeps_its_bounds() {
    let hedged = |hedging| with(model("main", [answering("a").0]).hedging(hedging));
    for hedging in [
        Hedging::new().extra(0.0),
        Hedging::new().extra(0.6),
        Hedging::new().extra(f64::NAN),
        Hedging::new().samples(99),
        Hedging::new().samples(1_001),
    ] {
        assert!(matches!(wrong(hedged(hedging.clone())), InvalidConfig::Hedging(_)));
        let for_all = with(model("main", [answering("a").0])).hedging(hedging);
        assert!(matches!(wrong(for_all), InvalidConfig::Hedging(_)));
    }
    hedged(Hedging::new()).build().unwrap();
}

#[test]
fn the_decay_is_a_time() {
    let main = || with(model("main", [answering("a").0]));
    for decay in [Duration::ZERO, Duration::from_secs(90_000)] {
        assert_eq!(wrong(main().decay(decay)), InvalidConfig::Decay(decay));
    }
}

//! Every decision can be explained, and explaining changes nothing.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{FIRST_TOKEN, Told, answering, call, failing, model, router, seconds};
use mainstay_provider_core::{Availability, Provider};
use mainstay_router::{Explanation, Relation, Router, Standing};

fn standing<'a>(explanation: &'a Explanation, name: &str) -> &'a Standing {
    let mut all = explanation.tiers.iter().flat_map(|tier| &tier.deployments);
    &all.find(|one| one.deployment == name).unwrap().standing
}

fn reason<'a>(explanation: &'a Explanation, name: &str) -> &'a str {
    match standing(explanation, name) {
        Standing::LeftOut(reason) => reason,
        other => panic!("{other:?}"),
    }
}

/// Two that are ready, one that is down, one half-open, one in reserve, and a fallback.
fn lively() -> (Router, Told) {
    let (down, half) = (Told::ready(), Told::ready());
    down.down_for(seconds(42));
    half.set(Availability::HalfOpen);
    let deployments = [
        answering("a").0,
        answering("b").0,
        down.of(answering("down").0),
        half.of(answering("half").0),
        answering("reserve").0.order(2),
    ];
    let models = [model("main", deployments).fallbacks(["backup"]), model("backup", [answering("z").0])];
    (router(models), half)
}

#[tokio::test(start_paused = true)]
async fn it_says_who_takes_the_call_and_why_each_other_does_not() {
    let (router, half) = lively();
    let explanation = router.explain(&call()).unwrap();
    // It is due for a trial, and this call would be it.
    assert_eq!(explanation.chosen.as_deref(), Some("half"));
    assert_eq!(*standing(&explanation, "a"), Standing::Candidate);
    assert_eq!(*standing(&explanation, "reserve"), Standing::InReserve);
    assert_eq!(*standing(&explanation, "z"), Standing::InReserve);
    assert_eq!(reason(&explanation, "down"), "takes no calls for 42.0 s");
    assert_eq!(explanation.then, ["a", "b", "reserve", "z"]);
    assert_eq!(explanation.tiers[2].relation, Relation::Fallback);

    half.set(Availability::Ready);
    assert!(["a", "b", "half"].contains(&router.explain(&call()).unwrap().chosen.as_deref().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn explaining_sends_nothing_and_takes_nothing() {
    let (router, _) = lively();
    for _ in 0..3 {
        assert_eq!(router.explain(&call()).unwrap(), router.explain(&call()).unwrap());
        assert_eq!(router.explain(&call()).unwrap().chosen.as_deref(), Some("half"));
    }
    assert!(router.stats().iter().all(|one| one.sent == 0));
    assert_eq!(common::who(&router, call()).await, "half");
}

#[tokio::test(start_paused = true)]
async fn it_knows_what_the_call_has_behind_it() {
    let models = [
        model("main", [failing("a", FIRST_TOKEN).0]).fallbacks(["backup"]),
        model("backup", [answering("z").0]),
    ];
    let router = router(models);
    let call = call();
    router.ask(call.clone()).await.unwrap_err();
    let explanation = router.explain(&call).unwrap();
    assert_eq!(explanation.chosen.as_deref(), Some("z"));
    assert_eq!(reason(&explanation, "a"), "failed in this call");
}

#[tokio::test(start_paused = true)]
async fn it_says_why_nobody_takes_the_call() {
    let down = Told::ready();
    down.down_for(seconds(5));
    let explanation = router([model("main", [down.of(answering("a").0)])]).explain(&call()).unwrap();
    assert_eq!(explanation.chosen, None);
    assert_eq!(
        explanation.refusal.unwrap(),
        "no deployment of \"main\" takes calls just now; try again in 5.0s"
    );
}

#[tokio::test(start_paused = true)]
async fn it_reads_well_on_a_terminal() {
    let (router, half) = lively();
    half.set(Availability::Unavailable { until: None });
    let text = router.explain(&call()).unwrap().to_string();
    let expected = "\
main → b

main (tier 1, asked for, p2c)
  a     score 0.0300    first token      – ms  in flight   0
> b     score 0.0300    first token      – ms  in flight   0
- down                  first token      – ms  in flight   0  takes no calls for 42.0 s
- half                  first token      – ms  in flight   0  takes no calls until somebody acts

main (tier 2, asked for, p2c)
  reserve                  first token      – ms  in flight   0

backup (tier 1, fallback, p2c)
  z                  first token      – ms  in flight   0

then: a, reserve, z
";
    assert_eq!(text, expected, "\n{text}");
}

#[cfg(feature = "serde")]
#[tokio::test(start_paused = true)]
async fn it_can_be_written_as_json() {
    let (router, _) = lively();
    let json = serde_json::to_value(router.explain(&call()).unwrap()).unwrap();
    assert_eq!(json["tiers"][0]["relation"], "asked");
    assert_eq!(json["tiers"][0]["deployments"][2]["standing"]["left_out"], "takes no calls for 42.0 s");
    assert!(serde_json::to_value(router.stats()).unwrap()[0]["in_flight"].is_number());
}

#[tokio::test]
async fn a_model_that_is_not_there_cannot_be_explained() {
    let (router, _) = lively();
    router.explain(&mainstay_provider_core::Call::ask("mian", "hello")).unwrap_err();
}

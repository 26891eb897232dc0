//! Model strings that are no model's name.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{BuildOf as _, answering, model, name, seeded};
use mainstay_provider_core::{Call, ErrorKind, ModelId, Provider};
use mainstay_router::{Deployment, InvalidConfig, ResolveModel, Router};

/// Knows every model of `openai`.
#[derive(Clone, Default)]
struct OpenAi(Arc<AtomicU32>);

impl ResolveModel for OpenAi {
    fn resolve(&self, model: &str) -> Option<Deployment> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let id = ModelId::parse(model, |name| name == "openai" || name == "acme");
        let (_, upstream) = answering("on the fly");
        (id.provider == "openai").then(|| Deployment::new(id.to_string(), upstream))
    }

    fn hint(&self) -> String {
        "write provider/model with one of these providers: openai".into()
    }
}

fn ask(router: &Router, model: &str) -> impl Future<Output = Result<String, ErrorKind>> + use<> {
    let asked = router.ask(Call::ask(model, "hello"));
    async { asked.await.map(|reply| name(&reply)).map_err(|error| error.kind()) }
}

#[tokio::test]
async fn a_deployment_is_made_on_the_fly_once() {
    let resolver = OpenAi::default();
    let router = seeded().resolver(resolver.clone()).build_of([model("main", [answering("a").0])]);
    for _ in 0..3 {
        assert_eq!(ask(&router, "openai/gpt-4o-mini").await.unwrap(), "openai/gpt-4o-mini");
    }
    assert_eq!(resolver.0.load(Ordering::SeqCst), 1);
    assert_eq!(ask(&router, "main").await.unwrap(), "a");
}

#[tokio::test]
async fn what_nobody_knows_is_told_with_what_may_be_written() {
    let router = seeded().resolver(OpenAi::default()).build_of([model("main", [answering("a").0])]);
    let error = router.ask(Call::ask("acme/huge", "hello")).await.unwrap_err();
    assert_eq!(
        error.message(),
        "no model \"acme/huge\"; there are: main; or write provider/model with one of these providers: openai"
    );
    let alone = seeded().resolver(OpenAi::default()).build_of([]);
    let error = alone.ask(Call::ask("acme/huge", "hello")).await.unwrap_err();
    assert_eq!(
        error.message(),
        "no model \"acme/huge\"; write provider/model with one of these providers: openai"
    );
}

#[tokio::test]
async fn callers_cannot_fill_the_memory_with_model_names() {
    let resolver = OpenAi::default();
    let router = seeded().resolver(resolver.clone()).build_of([]);
    for number in 0..1_100 {
        ask(&router, &format!("openai/model-{number}")).await.unwrap();
    }
    ask(&router, "openai/model-1099").await.unwrap();
    assert_eq!(resolver.0.load(Ordering::SeqCst), 1_100);
    ask(&router, "openai/model-0").await.unwrap();
    assert_eq!(resolver.0.load(Ordering::SeqCst), 1_101, "the oldest was forgotten");
}

#[tokio::test]
async fn a_configured_deployment_asked_for_by_its_name_is_that_deployment() {
    let (_, upstream) = answering("x");
    let deployment = Deployment::new("openai/gpt-4o", upstream.clone());
    let router = seeded().resolver(OpenAi::default()).build_of([model("main", [deployment])]);
    ask(&router, "openai/gpt-4o").await.unwrap();
    assert_eq!(upstream.counts().calls, 1);
    assert_eq!(router.stats()[0].sent, 1);
}

#[tokio::test]
async fn a_fallback_may_be_what_the_resolver_knows() {
    let (a, _) = common::failing("a", common::FIRST_TOKEN);
    let main = model("main", [a]).fallbacks(["openai/gpt-4o"]);
    let router = seeded().resolver(OpenAi::default()).build_of([main]);
    let call = Call::ask("main", "hello");
    router.ask(call.clone()).await.unwrap_err();
    assert_eq!(name(&router.ask(call).await.unwrap()), "openai/gpt-4o");
    assert_eq!(router.models(), ["main"]);
}

#[test]
fn a_fallback_that_nobody_knows_is_refused() {
    let main = model("main", [answering("a").0]).fallbacks(["backup"]);
    let error = seeded().model(main).build().unwrap_err();
    assert_eq!(error, InvalidConfig::UnknownFallback { model: "main".into(), fallback: "backup".into() });
}

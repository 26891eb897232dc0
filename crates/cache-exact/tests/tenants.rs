//! Nobody is given what another tenant has asked.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::{call_of, counting, lab, lab_with, streaming};
use futures_util::future::join_all;
use mainstay_cache_exact::{ExactCacheLayer, MemoryStore, Sharing};
use mainstay_provider_core::chat::{ChatRequest, Message, Role};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{Call, Namespace, Provider, Subject};
use proptest::prelude::*;

/// Says whose call it answers.
fn telling() -> Scripted {
    Scripted::by(|call| {
        let context = call.context();
        Step::text(format!("<{}> {}", context.namespace.as_str(), call.request().messages.len()))
    })
}

// Security test 14
#[tokio::test]
async fn what_one_has_asked_is_a_miss_for_another() {
    let lab = lab(telling());
    lab.text(call_of("acme", "Who is our largest customer?")).await;
    let mut others: Vec<Call> =
        ["", "other", "Acme", "acme ", "acme\0", "acm", "acme2", "*", "acme/../acme", "шacme"]
            .map(|name| call_of(name, "Who is our largest customer?"))
            .into();
    // Whatever else the call says of itself: a subject, a property, an id, an end user with the tenant's name.
    let mut dressed = call_of("other", "Who is our largest customer?");
    dressed.context_mut().subjects.push(Subject::new("org", "acme"));
    dressed.context_mut().properties.insert("namespace".into(), "acme".into());
    dressed.context_mut().id = "acme".into();
    others.push(dressed.clone());
    dressed.request_mut().user = Some("acme".into());
    dressed.request_mut().extra.insert("namespace", "acme");
    others.push(dressed);
    // Whatever it allows.
    let mut eager = call_of("other", "Who is our largest customer?");
    eager.context_mut().cache.force = true;
    eager.context_mut().cache.max_stale = Some(Duration::from_secs(1_000_000));
    others.push(eager);
    for other in others {
        let whole = lab.text(other.clone()).await;
        assert_eq!(whole, format!("<{}> 1", other.context().namespace.as_str()));
        let streamed = lab.text(streaming(other.clone())).await;
        assert_eq!(streamed.trim_end(), whole);
    }
    let mut last_resort = call_of("third", "Who is our largest customer?");
    assert!(lab.cache.stale(&last_resort).is_none());
    assert!(lab.cache.stale_anywhere(&last_resort).await.is_none());
    last_resort.context_mut().cache.only_if_cached = true;
    assert!(lab.service.ask(last_resort).await.is_err());
}

// Security test 14: a question that holds another's, in every place of the request.
#[tokio::test]
async fn a_crafted_request_is_nobody_elses() {
    let lab = lab(telling());
    let secret = "Who is our largest customer?";
    lab.text(call_of("acme", secret)).await;
    let crafted = [
        format!("{secret}\",\"namespace\":\"acme"),
        format!("acme{secret}"),
        format!("namespace\0\u{1}acme\0{secret}"),
        format!("{secret}\u{0}"),
        format!(" {secret}"),
    ];
    for question in crafted {
        for name in ["acme", "other", ""] {
            assert_eq!(lab.status(call_of(name, &question)).await, "miss", "{name} {question:?}");
        }
    }
    let mut model = call_of("other", secret);
    model.request_mut().model = "acme\0m".into();
    let mut role = call_of("acme", secret);
    role.request_mut().messages = vec![Message::new(Role::Other("user".into()), secret)];
    role.request_mut().messages.push(Message::user(""));
    for call in [model, role] {
        assert_eq!(lab.status(call).await, "miss");
    }
}

#[tokio::test]
async fn sharing_is_a_choice_with_a_name() {
    let builder = ExactCacheLayer::builder().sharing(Sharing::Across("docs".into()));
    let lab = lab_with(builder, counting());
    assert_eq!(lab.text(call_of("acme", "a")).await, "answer 1");
    assert_eq!(lab.text(call_of("other", "a")).await, "answer 1");
    assert_eq!(lab.cache.purge(&Namespace::new("acme")).await.unwrap(), 0);
    assert_eq!(
        lab.cache.purge(&Namespace::new("docs")).await.unwrap(),
        0,
        "a tenant of the name of the scope"
    );
    assert_eq!(lab.cache.purge_shared("docs").await.unwrap(), 1);
    assert_eq!(lab.text(call_of("other", "a")).await, "answer 2");
}

#[tokio::test]
async fn one_store_behind_two_caches_keeps_their_scopes_apart() {
    let store = MemoryStore::new(1 << 20);
    let own = lab_with(ExactCacheLayer::builder().second_level(store.clone()), counting());
    let shared = ExactCacheLayer::builder().second_level(store).sharing(Sharing::Across("acme".into()));
    let shared = lab_with(shared, counting());
    own.text(call_of("acme", "a")).await;
    tokio::task::yield_now().await;
    assert_eq!(shared.status(call_of("acme", "a")).await, "miss");
    assert_eq!(shared.status(call_of("other", "a")).await, "hit");
}

/// What somebody does to the cache.
#[derive(Debug, Clone)]
enum Act {
    Ask { tenant: u8, question: u8, streamed: bool },
    Together { tenants: Vec<u8>, question: u8 },
    Stale { tenant: u8, question: u8 },
    Purge { tenant: u8 },
    Wait,
}

fn act() -> impl Strategy<Value = Act> {
    let (tenant, question) = (0..4u8, 0..3u8);
    prop_oneof![
        6 => (tenant.clone(), question.clone(), any::<bool>())
            .prop_map(|(tenant, question, streamed)| Act::Ask { tenant, question, streamed }),
        2 => (proptest::collection::vec(tenant.clone(), 1..6), question.clone())
            .prop_map(|(tenants, question)| Act::Together { tenants, question }),
        2 => (tenant.clone(), question).prop_map(|(tenant, question)| Act::Stale { tenant, question }),
        1 => tenant.prop_map(|tenant| Act::Purge { tenant }),
        1 => Just(Act::Wait),
    ]
}

const NAMES: [&str; 4] = ["", "acme", "acme2", "Acme"];

fn ask(tenant: u8, question: u8) -> Call {
    call_of(NAMES[usize::from(tenant)], &format!("question {question}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // Security test 14: whatever is done, there is no read without the writer's namespace.
    #[test]
    fn nobody_is_ever_given_anothers(acts in proptest::collection::vec(act(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let count = std::sync::atomic::AtomicU64::new(0);
            let upstream = Scripted::by(move |call| {
                let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let question = call.request().messages[0].text().into_owned();
                let text = format!("<{}> {question} #{number}", call.context().namespace.as_str());
                Step::text(text).after(Duration::from_millis(10))
            });
            let store = MemoryStore::new(1 << 20);
            let builder = ExactCacheLayer::builder().ttl(Duration::from_secs(60)).second_level(store);
            let lab = lab_with(builder, upstream);
            let is_own = |call: &Call, text: &str| {
                let name = call.context().namespace.as_str();
                let question = call.request().messages[0].text().into_owned();
                text.starts_with(&format!("<{name}> {question} #"))
            };
            let mut last: HashMap<(u8, u8), String> = HashMap::new();
            for act in acts {
                match act {
                    Act::Ask { tenant, question, streamed } => {
                        let call = if streamed { streaming(ask(tenant, question)) } else { ask(tenant, question) };
                        let reply = lab.ask(call.clone()).await;
                        let was_hit = common::is_hit(&reply);
                        let text = reply.collect().await.unwrap().text().trim_end().to_owned();
                        assert!(is_own(&call, &text), "{call:?} was given {text}");
                        if was_hit {
                            assert_eq!(last.get(&(tenant, question)), Some(&text));
                        }
                        last.insert((tenant, question), text);
                    }
                    Act::Together { tenants, question } => {
                        let calls: Vec<Call> = tenants.iter().map(|tenant| ask(*tenant, question)).collect();
                        let replies = join_all(calls.iter().map(|call| lab.ask(call.clone()))).await;
                        for ((call, tenant), reply) in calls.iter().zip(&tenants).zip(replies) {
                            let text = reply.collect().await.unwrap().text().trim_end().to_owned();
                            assert!(is_own(call, &text), "{call:?} was given {text}");
                            last.insert((*tenant, question), text);
                        }
                    }
                    Act::Stale { tenant, question } => {
                        let call = ask(tenant, question);
                        if let Some(reply) = lab.cache.stale_anywhere(&call).await {
                            let text = reply.collect().await.unwrap();
                            assert!(is_own(&call, text.text().trim_end()));
                        }
                    }
                    Act::Purge { tenant } => {
                        lab.cache.purge(&Namespace::new(NAMES[usize::from(tenant)])).await.unwrap();
                        for question in 0..3 {
                            assert!(lab.cache.stale_anywhere(&ask(tenant, question)).await.is_none());
                        }
                    }
                    Act::Wait => tokio::time::sleep(Duration::from_secs(45)).await,
                }
            }
        });
    }
}

#[test]
fn a_request_without_a_tenant_is_a_tenant_of_its_own() {
    let request = ChatRequest::new("m", vec![Message::user("a")]);
    assert_eq!(Call::new(request).context().namespace, Namespace::new(""));
}

//! No key gives more than those have that have made it (security test 19).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{BEGIN, Lab, as_key, of_role, patterns, settings};
use mainstay_provider_core::Subject;
use mainstay_virtual_keys::{Actor, KeySettings, KeyStore as _, ManageError, MemoryStore, Refusal, Role};

/// A manager who may give something, but not all.
fn bounded() -> KeySettings {
    let mut manager = of_role(Role::Manager);
    manager.expires_ms = Some(BEGIN + 86_400_000);
    let grants = &mut manager.grants;
    grants.models = Some(patterns(&["main", "openai/gpt-4o*"]));
    grants.limits = vec!["100 requests/minute".parse().unwrap()];
    grants.subjects = vec!["org:acme".into()];
    grants.caller_subjects = patterns(&["user:acme-*"]);
    grants.namespace = Some("acme".into());
    grants.caller_namespaces = patterns(&["acme-*"]);
    manager
}

/// A key that the bounded manager may make.
fn within() -> KeySettings {
    let mut child = settings("child");
    let grants = &mut child.grants;
    grants.models = Some(patterns(&["main", "openai/gpt-4o-mini", "openai/gpt-4o-*"]));
    grants.limits = vec!["100 requests/minute".parse().unwrap(), "7 tokens/day".parse().unwrap()];
    grants.subjects = vec!["org:acme".into(), "user:acme-ann".into()];
    grants.caller_subjects = patterns(&["user:acme-b*"]);
    grants.namespace = Some("acme".into());
    grants.caller_namespaces = patterns(&["acme-x"]);
    child
}

type Widen = fn(&mut KeySettings);

/// Each way to give more than [`bounded`] has.
const WIDER: [(&str, Widen); 11] = [
    ("role", |child| child.role = Role::Admin),
    ("expires", |child| child.expires_ms = Some(BEGIN + 86_400_001)),
    ("models", |child| child.grants.models = None),
    ("models", |child| child.grants.models = Some(patterns(&["*"]))),
    ("models", |child| child.grants.models = Some(patterns(&["main", "openai/*"]))),
    ("limits", |child| child.grants.limits = vec!["101 requests/minute".parse().unwrap()]),
    ("subjects", |child| child.grants.subjects = vec!["org:other".into()]),
    ("caller_subjects", |child| child.grants.caller_subjects = patterns(&["user:*"])),
    ("namespace", |child| child.grants.namespace = Some("other".into())),
    ("caller_namespaces", |child| child.grants.caller_namespaces = patterns(&["*"])),
    ("caller_namespaces", |child| child.grants.caller_namespaces = patterns(&["acme*"])),
];

#[tokio::test(start_paused = true)]
async fn a_manager_gives_what_it_has_and_nothing_more() {
    let lab = Lab::new().await;
    let (manager, _) = lab.key(bounded()).await;
    let actor = as_key(&manager.id);
    let (child, _) = lab.key_of(&actor, within()).await;
    assert_eq!(child.maker, Some(manager.id));
    // It ends with its maker, though nothing was said.
    assert_eq!(child.settings.expires_ms, Some(BEGIN + 86_400_000));
    for (what, widen) in WIDER {
        let mut wide = within();
        widen(&mut wide);
        let made = lab.manager.create(&actor, wide).await.unwrap_err();
        assert!(matches!(&made, ManageError::Wider(wider) if wider.what == what), "{what}: {made}");
        let changed = lab.manager.update(&actor, &child.id, widen).await.unwrap_err();
        assert!(matches!(&changed, ManageError::Wider(wider) if wider.what == what), "{what}: {changed}");
    }
}

// Nor does an administrator whose own key is bounded; but every team's names are its affair.
#[tokio::test(start_paused = true)]
async fn an_admin_is_bounded_by_its_models_limits_and_end() {
    let lab = Lab::new().await;
    let mut admin = bounded();
    admin.role = Role::Admin;
    let (admin, _) = lab.key(admin).await;
    let (open, _) = lab.key(settings("open")).await;
    let actor = as_key(&admin.id);
    for (what, widen) in WIDER {
        let mut wide = within();
        widen(&mut wide);
        let is_allowed = lab.manager.create(&actor, wide).await.is_ok();
        let names = ["role", "subjects", "caller_subjects", "namespace", "caller_namespaces"];
        assert_eq!(is_allowed, names.contains(&what), "{what}");
    }
    // It may change a key that has more than itself, but neither add to it nor learn its secret.
    lab.manager.update(&actor, &open.id, |open| open.name = "renamed".into()).await.unwrap();
    lab.manager.disable(&actor, &open.id).await.unwrap();
    let rotated = lab.manager.rotate(&actor, &open.id, Duration::ZERO).await;
    assert!(matches!(rotated, Err(ManageError::Wider(_))));
    // And it does not give itself more.
    let itself = lab.manager.update(&actor, &admin.id, |admin| admin.grants.models = None).await;
    assert!(matches!(itself, Err(ManageError::Wider(_))));
    let itself = lab.manager.update(&actor, &admin.id, |admin| admin.expires_ms = None).await;
    assert!(matches!(itself, Err(ManageError::Wider(_))));
}

// Ids of another team: as if they were not there.
#[tokio::test(start_paused = true)]
async fn what_a_manager_has_not_made_does_not_exist_for_it() {
    let lab = Lab::new().await;
    let (one, _) = lab.key(of_role(Role::Manager)).await;
    let (other, _) = lab.key(of_role(Role::Manager)).await;
    let (theirs, _) = lab.key_of(&as_key(&other.id), settings("theirs")).await;
    let (mine, _) = lab.key_of(&as_key(&one.id), of_role(Role::Manager)).await;
    let (grandchild, _) = lab.key_of(&as_key(&mine.id), settings("grandchild")).await;
    let actor = as_key(&one.id);
    for id in [&theirs.id, &other.id] {
        let manager = &lab.manager;
        let results = [
            manager.get(&actor, id).await.map(drop),
            manager.update(&actor, id, |_| ()).await.map(drop),
            manager.rotate(&actor, id, Duration::ZERO).await.map(drop),
            manager.disable(&actor, id).await.map(drop),
            manager.enable(&actor, id).await.map(drop),
            manager.delete(&actor, id).await.map(drop),
        ];
        for result in results {
            assert!(matches!(result, Err(ManageError::NotFound)), "{result:?}");
        }
    }
    let listed: Vec<_> = lab.manager.list(&actor).await.unwrap().iter().map(|key| key.id().clone()).collect();
    let mut expected = vec![one.id.clone(), mine.id, grandchild.id.clone()];
    expected.sort();
    let mut sorted = listed;
    sorted.sort();
    assert_eq!(sorted, expected);
    lab.manager.delete(&actor, &grandchild.id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_member_manages_nothing_and_a_manager_not_itself() {
    let lab = Lab::new().await;
    let (member, _) = lab.key(settings("member")).await;
    let actor = as_key(&member.id);
    assert!(matches!(lab.manager.list(&actor).await, Err(ManageError::Forbidden(_))));
    assert!(matches!(lab.manager.get(&actor, &member.id).await, Err(ManageError::Forbidden(_))));
    assert!(matches!(lab.manager.create(&actor, settings("x")).await, Err(ManageError::Forbidden(_))));
    let (manager, _) = lab.key(of_role(Role::Manager)).await;
    let actor = as_key(&manager.id);
    let changed = lab.manager.update(&actor, &manager.id, |own| own.name = "x".into()).await;
    assert!(matches!(changed, Err(ManageError::Forbidden(_))));
    assert!(matches!(lab.manager.delete(&actor, &manager.id).await, Err(ManageError::Forbidden(_))));
    lab.manager.rotate(&actor, &manager.id, Duration::ZERO).await.unwrap();
    lab.manager.disable(&actor, &manager.id).await.unwrap();
    // Disabled, it can do nothing any more, though its holder is still connected.
    assert!(matches!(lab.manager.enable(&actor, &manager.id).await, Err(ManageError::Forbidden(_))));
    assert!(matches!(lab.manager.list(&actor).await, Err(ManageError::Forbidden(_))));
    assert!(matches!(lab.manager.create(&actor, settings("x")).await, Err(ManageError::Forbidden(_))));
}

#[tokio::test(start_paused = true)]
async fn a_key_stops_when_its_maker_does_and_loses_what_its_maker_loses() {
    let lab = Lab::new().await;
    let (manager, _) = lab.key(of_role(Role::Manager)).await;
    let (_, secret) = lab.key_of(&as_key(&manager.id), settings("child")).await;
    assert!(lab.check(&secret).unwrap().allows_model("other"));
    let narrow = |own: &mut KeySettings| own.grants.models = Some(patterns(&["main"]));
    lab.manager.update(&Actor::Operator, &manager.id, narrow).await.unwrap();
    let access = lab.check_soon(&secret).await.unwrap();
    assert!(access.allows_model("main") && !access.allows_model("other"));
    lab.manager.disable(&Actor::Operator, &manager.id).await.unwrap();
    assert_eq!(lab.check_soon(&secret).await.unwrap_err(), Refusal::Disabled);
    let deleted = lab.manager.delete(&Actor::Operator, &manager.id).await;
    assert!(matches!(deleted, Err(ManageError::HasMade(1))));
    lab.manager.enable(&Actor::Operator, &manager.id).await.unwrap();
    let end = |own: &mut KeySettings| own.expires_ms = Some(BEGIN + 10_000);
    lab.manager.update(&Actor::Operator, &manager.id, end).await.unwrap();
    assert!(lab.check_soon(&secret).await.is_ok());
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(lab.check(&secret).unwrap_err(), Refusal::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_call_pays_with_the_makers_subjects_too() {
    let lab = Lab::new().await;
    let (manager, _) = lab.key(bounded()).await;
    let (child, secret) = lab.key_of(&as_key(&manager.id), within()).await;
    let access = lab.check(&secret).unwrap();
    let subjects: Vec<_> = access.subjects().iter().map(Subject::to_string).collect();
    let (own, makers) = (format!("key:{}", child.id), format!("key:{}", manager.id));
    assert_eq!(subjects, [own.as_str(), "org:acme", "user:acme-ann", &makers]);
}

// Security test 14
#[tokio::test(start_paused = true)]
async fn a_call_names_what_its_key_allows_and_nothing_else() {
    let lab = Lab::new().await;
    let (manager, _) = lab.key(bounded()).await;
    let (_, secret) = lab.key_of(&as_key(&manager.id), within()).await;
    let access = lab.check(&secret).unwrap();
    assert_eq!(access.namespace().as_str(), "acme");
    for (name, is_allowed) in
        [("acme", true), ("acme-x", true), ("acme-y", false), ("", false), ("other", false)]
    {
        assert_eq!(access.namespace_named(name).is_ok(), is_allowed, "{name}");
    }
    let subject = |text: &str| Subject::parse(text).unwrap();
    for (name, is_allowed) in
        [("org:acme", true), ("user:acme-bob", true), ("user:acme-ann", true), ("user:acme-c", false)]
    {
        assert_eq!(access.may_name_subject(&subject(name)), is_allowed, "{name}");
    }
    // Two keys that say nothing share nothing, and nobody names what is another key's.
    let mut free = settings("free");
    free.grants.caller_namespaces = patterns(&["*"]);
    free.grants.caller_subjects = patterns(&["*"]);
    let ((a, a_secret), (b, _)) = (lab.key(free).await, lab.key(settings("b")).await);
    let access = lab.check(&a_secret).unwrap();
    assert_eq!(access.namespace().as_str(), format!("key:{}", a.id));
    assert!(access.namespace_named("anything").is_ok());
    assert!(access.namespace_named(&format!("key:{}", b.id)).is_err());
    assert!(!access.may_name_subject(&subject(&format!("key:{}", b.id))));
}

#[tokio::test(start_paused = true)]
async fn keys_make_keys_only_so_deep() {
    let lab = Lab::new().await;
    let (mut last, _) = lab.key(of_role(Role::Manager)).await;
    for _ in 0..8 {
        last = lab.key_of(&as_key(&last.id), of_role(Role::Manager)).await.0;
    }
    let deeper = lab.manager.create(&as_key(&last.id), settings("deeper")).await;
    assert!(matches!(deeper, Err(ManageError::Forbidden(_))));
}

// What is bounded is bounded by all of them, as they are now.
#[tokio::test(start_paused = true)]
async fn what_a_makers_maker_loses_nobody_beneath_it_has_or_gives() {
    let lab = Lab::new().await;
    let (first, _) = lab.key(bounded()).await;
    let (second, _) = lab.key_of(&as_key(&first.id), bounded()).await;
    let (_, secret) = lab.key_of(&as_key(&second.id), within()).await;
    let subject = Subject::parse("user:acme-bob").unwrap();
    let access = lab.check(&secret).unwrap();
    assert!(access.namespace_named("acme-x").is_ok() && access.may_name_subject(&subject));
    let narrow = |first: &mut KeySettings| {
        first.grants.models = Some(patterns(&["main"]));
        first.grants.caller_namespaces.clear();
        first.grants.caller_subjects.clear();
    };
    lab.manager.update(&Actor::Operator, &first.id, narrow).await.unwrap();
    let access = lab.check_soon(&secret).await.unwrap();
    assert!(access.namespace_named("acme-x").is_err() && !access.may_name_subject(&subject));
    assert!(access.namespace_named("acme").is_ok());
    let mut child = settings("child");
    child.grants.models = Some(patterns(&["openai/gpt-4o-mini"]));
    let made = lab.manager.create(&as_key(&second.id), child).await;
    assert!(matches!(made, Err(ManageError::Wider(wider)) if wider.what == "models"));
}

// Nor does the operator give by mistake what would have no effect.
#[tokio::test(start_paused = true)]
async fn a_key_is_not_widened_beyond_its_maker_by_anybody() {
    let lab = Lab::new().await;
    let (manager, _) = lab.key(bounded()).await;
    let (child, _) = lab.key_of(&as_key(&manager.id), within()).await;
    let widen = |child: &mut KeySettings| child.grants.models = None;
    let widened = lab.manager.update(&Actor::Operator, &child.id, widen).await;
    assert!(matches!(widened, Err(ManageError::Wider(wider)) if wider.what == "models"));
}

// Records that somebody else has written: a circle, or a longer line than any that can be made.
#[tokio::test(start_paused = true)]
async fn a_key_whose_makers_cannot_all_be_found_is_refused() {
    let store = MemoryStore::new();
    let lab = Lab::over(Arc::new(store.clone())).await;
    let mut keys = Vec::new();
    for _ in 0..10 {
        keys.push(lab.key(settings("link")).await);
    }
    let ids: Vec<_> = keys.iter().map(|(key, _)| key.id.clone()).collect();
    for (at, (key, _)) in keys.iter_mut().enumerate().skip(1) {
        key.maker = Some(ids[at - 1].clone());
        *key = store.write(key.clone()).await.unwrap();
    }
    lab.ring.refresh().await.unwrap();
    assert!(lab.check(&keys[8].1).is_ok());
    assert_eq!(lab.check(&keys[9].1).unwrap_err(), Refusal::Disabled);
    let mut first = keys[0].0.clone();
    first.maker = Some(ids[1].clone());
    let first = store.write(first).await.unwrap();
    lab.ring.refresh().await.unwrap();
    assert_eq!(lab.check(&keys[1].1).unwrap_err(), Refusal::Disabled);
    store.delete(&first.id, first.revision).await.unwrap();
    lab.ring.refresh().await.unwrap();
    assert_eq!(lab.check(&keys[1].1).unwrap_err(), Refusal::Disabled);
}

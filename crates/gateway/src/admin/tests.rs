//! Every route, for every role (security test 19): made from the table, so that a new route is asked too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt as _;
use mainstay::budget::{Budget, BudgetLayer, LimitBook, MemoryStore as BudgetStore};
use mainstay::metering::Meter;
use mainstay::virtual_keys::{
    Clock, KeyHasher, KeyId, KeySecret, KeySettings, KeyStore, MemoryStore, RingConfig, Snapshot, StoreError,
    StoreFuture, VirtualKey,
};
use serde_json::{Value, json};

use super::routes::{ROUTES, Route};
use super::*;

const TOKEN: &str = "the operator's token, which is long enough";

async fn admin() -> Admin {
    admin_over(Arc::new(MemoryStore::new())).await
}

async fn admin_over(store: Arc<dyn KeyStore>) -> Admin {
    let hasher = KeyHasher::new(&[7; 32]).unwrap();
    let ring = KeyRing::start(store.clone(), hasher.clone(), RingConfig::default()).await;
    Admin::new(Shared {
        manager: KeyManager::new(store, hasher, Clock::default()),
        ring,
        budget: Some(budget()),
        token: SecretToken::new(TOKEN).unwrap().unwrap(),
        grace: Duration::from_secs(60),
        body_timeout: Duration::from_secs(60),
    })
}

fn budget() -> Budget {
    let layer = BudgetLayer::builder(Meter::default(), BudgetStore::new(), LimitBook::default()).build();
    layer.unwrap().budget().clone()
}

async fn key(admin: &Admin, by: &Actor, role: Role) -> (KeyId, KeySecret) {
    let mut settings = KeySettings::named("k");
    settings.role = role;
    let (key, secret) = admin.manager.create(by, settings).await.unwrap();
    admin.ring.refresh().await.unwrap();
    (key.id, secret)
}

fn request(method: &Method, path: &str, secret: Option<&str>, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(secret) = secret {
        request = request.header("authorization", format!("Bearer {secret}"));
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

async fn ask(admin: &Admin, method: &Method, path: &str, secret: Option<&str>, body: &str) -> (u16, Value) {
    let response = admin.answer(request(method, path, secret, body)).await;
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// What `route` answers about this key.
async fn status(admin: &Admin, route: &Route, id: &KeyId, secret: Option<&str>) -> u16 {
    let path = route.path.replace("{id}", id.as_str());
    let body =
        if route.method == Method::POST && route.path == "/admin/keys" { r#"{"name":"new"}"# } else { "" };
    ask(admin, &route.method, &path, secret, body).await.0
}

#[tokio::test]
async fn every_route_is_closed_to_nobody_and_to_members() {
    let admin = admin().await;
    let (target, _) = key(&admin, &Actor::Operator, Role::Member).await;
    let (_, member) = key(&admin, &Actor::Operator, Role::Member).await;
    let unknown = KeySecret::generate().unwrap();
    for route in &ROUTES {
        for shown in [None, Some(""), Some("' OR pg_sleep(8)--"), Some(unknown.expose()), Some(&TOKEN[1..])] {
            assert_eq!(status(&admin, route, &target, shown).await, 401, "{} {}", route.method, route.path);
        }
        let refused = status(&admin, route, &target, Some(member.expose())).await;
        assert_eq!(refused, 403, "{} {}", route.method, route.path);
    }
    assert!(admin.ring.get(&target).is_some_and(|key| key.status(0) == "active"));
}

#[tokio::test]
async fn a_manager_reaches_its_own_keys_and_no_others() {
    let admin = admin().await;
    let (manager, secret) = key(&admin, &Actor::Operator, Role::Manager).await;
    let (theirs, _) = key(&admin, &Actor::Operator, Role::Member).await;
    for route in &ROUTES {
        let (own, _) = key(&admin, &Actor::Key(manager.clone()), Role::Member).await;
        let (on_own, on_theirs) = (
            status(&admin, route, &own, Some(secret.expose())).await,
            status(&admin, route, &theirs, Some(secret.expose())).await,
        );
        match (route.least, route.path.contains("{id}")) {
            (Role::Admin, _) => assert_eq!((on_own, on_theirs), (403, 403), "{}", route.path),
            (_, true) => assert_eq!((on_own, on_theirs), (200, 404), "{} {}", route.method, route.path),
            (_, false) => assert!(on_own < 300 && on_theirs < 300, "{}", route.path),
        }
    }
    let (_, listed) = ask(&admin, &Method::GET, "/admin/keys", Some(secret.expose()), "").await;
    assert!(!listed.to_string().contains(theirs.as_str()), "{listed}");
    admin.manager.disable(&Actor::Operator, &manager).await.unwrap();
    admin.ring.refresh().await.unwrap();
    for route in &ROUTES {
        assert_eq!(status(&admin, route, &theirs, Some(secret.expose())).await, 401);
    }
}

#[tokio::test]
async fn an_administrator_and_the_operator_reach_everything() {
    let admin = admin().await;
    let (_, secret) = key(&admin, &Actor::Operator, Role::Admin).await;
    for shown in [TOKEN, secret.expose()] {
        for route in &ROUTES {
            let (target, _) = key(&admin, &Actor::Operator, Role::Member).await;
            let answered = status(&admin, route, &target, Some(shown)).await;
            assert!(answered < 300, "{} {}: {answered}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn what_is_not_in_the_table_is_not_there() {
    let admin = admin().await;
    for path in ["/", "/admin", "/admin/keys/", "/admin/keys/x/y", "/admin/keys//rotate", "/v1/models"] {
        assert_eq!(ask(&admin, &Method::GET, path, Some(TOKEN), "").await.0, 404, "{path}");
        // Who does not belong here is not told what is there.
        assert_eq!(ask(&admin, &Method::GET, path, None, "").await.0, 401, "{path}");
    }
    assert_eq!(ask(&admin, &Method::PUT, "/admin/keys", Some(TOKEN), "").await.0, 405);
    assert_eq!(ask(&admin, &Method::GET, "/admin/keys/'OR'1=1--", Some(TOKEN), "").await.0, 404);
}

#[tokio::test]
async fn a_key_is_made_shown_changed_rotated_and_forgotten() {
    let admin = admin().await;
    let post = async |path: &str, body: &str| ask(&admin, &Method::POST, path, Some(TOKEN), body).await;
    let new = json!({
        "name": "search", "models": ["main"], "limits": ["60 requests/minute", "12.50 usd/month"],
        "subjects": ["org:acme"], "expires_at": "2099-01-31T12:00:00Z", "metadata": {"owner": "ann"},
    });
    let (code, made) = post("/admin/keys", &new.to_string()).await;
    assert_eq!(code, 201, "{made}");
    let (path, secret) =
        (format!("/admin/keys/{}", made["id"].as_str().unwrap()), made["secret"].as_str().unwrap());
    assert!(
        admin.ring.check(secret).is_ok() && made["limits"] == json!(["60 requests/minute", "12.5 usd/month"])
    );
    assert_eq!(made["expires_at"], "2099-01-31T12:00:00Z");

    let (_, changed) =
        ask(&admin, &Method::PATCH, &path, Some(TOKEN), r#"{"models":null,"limits":[]}"#).await;
    assert!(changed["models"].is_null() && changed["subjects"] == json!(["org:acme"]), "{changed}");
    let (_, rotated) = post(&format!("{path}/rotate"), r#"{"grace":"0s"}"#).await;
    assert!(
        admin.ring.check(secret).is_err() && admin.ring.check(rotated["secret"].as_str().unwrap()).is_ok()
    );
    assert_eq!(post(&format!("{path}/disable"), "").await.1["status"], "disabled");
    assert!(admin.ring.check(rotated["secret"].as_str().unwrap()).is_err());
    assert_eq!(post(&format!("{path}/enable"), "").await.1["status"], "active");
    assert_eq!(ask(&admin, &Method::DELETE, &path, Some(TOKEN), "").await.1["deleted"], true);
    assert_eq!(ask(&admin, &Method::GET, &path, Some(TOKEN), "").await.0, 404);
}

#[tokio::test]
async fn what_is_wrong_is_named_with_the_cure() {
    let admin = admin().await;
    for (body, told) in [
        ("{}", "name"),
        ("not json", "not the JSON"),
        (r#"{"name":"k","limits":["60 rpm"]}"#, "requests/minute"),
        (r#"{"name":"k","subjects":["acme"]}"#, "org:acme"),
        (r#"{"name":"a\nb"}"#, "control character"),
        (r#"{"name":"k","digest":"00"}"#, "unknown field"),
        (r#"{"name":"k","expires_at":"soon"}"#, "2027-01-31T12:00:00Z"),
    ] {
        let (code, answer) = ask(&admin, &Method::POST, "/admin/keys", Some(TOKEN), body).await;
        assert!(code == 400 && answer.to_string().contains(told), "{body}: {code} {answer}");
    }
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(MAX_BODY));
    assert_eq!(ask(&admin, &Method::POST, "/admin/keys", Some(TOKEN), &long).await.0, 413);
}

// Security test 18: the header alone would do; a page of another site is told so before anything is looked at.
#[tokio::test]
async fn a_page_of_another_site_is_refused() {
    let admin = admin().await;
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let mut asked = request(&Method::POST, "/admin/keys", Some(TOKEN), r#"{"name":"k"}"#);
        asked.headers_mut().insert(name, HeaderValue::from_static(value));
        assert_eq!(admin.answer(asked).await.status(), StatusCode::FORBIDDEN, "{name}");
    }
    assert_eq!(admin.ring.stats().keys, 0);
}

// Security test 2
#[tokio::test]
async fn no_answer_holds_a_secret_twice_nor_a_digest() {
    let admin = admin().await;
    let (id, secret) = key(&admin, &Actor::Operator, Role::Member).await;
    for route in ROUTES.iter().filter(|route| route.method == Method::GET) {
        let path = route.path.replace("{id}", id.as_str());
        let (code, answer) = ask(&admin, &Method::GET, &path, Some(TOKEN), "").await;
        let text = answer.to_string();
        assert!(code == 200 && !text.contains("digest") && !text.contains("\"secret\""), "{text}");
        assert!(!text.contains(&secret.expose()[6..14]) && !text.contains(&secret.expose()[40..]), "{text}");
    }
}

/// A store that goes away with the first change in it.
#[derive(Default)]
struct GoneAfterAWrite {
    store: MemoryStore,
    is_gone: AtomicBool,
}

impl KeyStore for GoneAfterAWrite {
    fn read(&self, known: Option<u64>) -> StoreFuture<'_, Option<Snapshot>> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(StoreError::TimedOut)));
        }
        self.store.read(known)
    }

    fn write(&self, key: VirtualKey) -> StoreFuture<'_, VirtualKey> {
        self.is_gone.store(true, Ordering::Relaxed);
        self.store.write(key)
    }

    fn delete<'a>(&'a self, id: &'a KeyId, revision: u64) -> StoreFuture<'a, ()> {
        self.store.delete(id, revision)
    }
}

// A secret is shown once: who made it has it, or nobody ever will.
#[tokio::test]
async fn a_new_secret_is_shown_though_the_store_is_gone_by_then() {
    let store = Arc::new(GoneAfterAWrite::default());
    let admin = admin_over(store.clone()).await;
    let (status, made) = ask(&admin, &Method::POST, "/admin/keys", Some(TOKEN), r#"{"name":"a"}"#).await;
    assert!(status == 201 && made["secret"].is_string(), "{status} {made}");
    let id = made["id"].as_str().unwrap();
    store.is_gone.store(false, Ordering::Relaxed);
    let rotate = format!("/admin/keys/{id}/rotate");
    let (status, rotated) = ask(&admin, &Method::POST, &rotate, Some(TOKEN), "").await;
    assert!(status == 200 && rotated["secret"].is_string(), "{status} {rotated}");
    store.is_gone.store(false, Ordering::Relaxed);
    admin.ring.refresh().await.unwrap();
    assert!(admin.ring.check(rotated["secret"].as_str().unwrap()).is_ok());
}

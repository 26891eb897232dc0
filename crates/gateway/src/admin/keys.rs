//! What the routes of the admin API do.

use axum::http::StatusCode;
use axum::response::Response;
use mainstay::config::Span;
use mainstay::virtual_keys::{Actor, Clock, KeyId, KeySecret, KeySettings, ManageError, StoreError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::routes::Asked;
use super::{Admin, json as read, respond, usage};
use crate::auth::forbidden;
use crate::error::ApiError;
use crate::keys::view::{KeyInput, KeyView};

pub(super) async fn list(admin: Admin, asked: Asked) -> Result<Response, ApiError> {
    let keys = admin.manager.list(&asked.actor).await.map_err(told)?;
    let now = Clock::default().now_ms();
    let data: Vec<_> = keys.iter().map(|key| KeyView::of(key, now)).collect();
    respond(StatusCode::OK, &json!({"object": "list", "data": data}))
}

pub(super) async fn create(admin: Admin, asked: Asked) -> Result<Response, ApiError> {
    let mut settings = KeySettings::default();
    read::<KeyInput>(&asked.body)?.apply(&mut settings);
    let (key, secret) = admin.manager.create(&asked.actor, settings).await.map_err(told)?;
    tracing::info!(key = %key.id, by = by(&asked.actor), "key made");
    respond(StatusCode::CREATED, &given(&admin, &asked.actor, &key.id, &secret).await)
}

pub(super) async fn show(admin: Admin, asked: Asked) -> Result<Response, ApiError> {
    let id = asked.id()?;
    respond(StatusCode::OK, &shown(&admin, &asked.actor, &id).await?)
}

pub(super) async fn update(admin: Admin, asked: Asked) -> Result<Response, ApiError> {
    let (id, input) = (asked.id()?, read::<KeyInput>(&asked.body)?);
    admin.manager.update(&asked.actor, &id, |settings| input.apply(settings)).await.map_err(told)?;
    tracing::info!(key = %id, by = by(&asked.actor), "key changed");
    respond(StatusCode::OK, &shown(&admin, &asked.actor, &id).await?)
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    /// How long the old secret goes on.
    grace: Option<Span>,
}

pub(super) async fn rotate(admin: Admin, asked: Asked) -> Result<Response, ApiError> {
    let (id, rotation) = (asked.id()?, read::<Rotation>(&asked.body)?);
    let grace = rotation.grace.map_or(admin.grace, Span::duration);
    let (_, secret) = admin.manager.rotate(&asked.actor, &id, grace).await.map_err(told)?;
    tracing::info!(key = %id, by = by(&asked.actor), "key rotated");
    respond(StatusCode::OK, &given(&admin, &asked.actor, &id, &secret).await)
}

pub(super) async fn disable(admin: Admin, asked: Asked) -> Result<Response, ApiError> {
    let id = asked.id()?;
    admin.manager.disable(&asked.actor, &id).await.map_err(told)?;
    tracing::info!(key = %id, by = by(&asked.actor), "key disabled");
    refresh(&admin).await;
    // Whoever has disabled its own key may not see it any more.
    respond(StatusCode::OK, &json!({"id": id, "object": "key", "status": "disabled"}))
}

pub(super) async fn enable(admin: Admin, asked: Asked) -> Result<Response, ApiError> {
    let id = asked.id()?;
    admin.manager.enable(&asked.actor, &id).await.map_err(told)?;
    tracing::info!(key = %id, by = by(&asked.actor), "key enabled");
    respond(StatusCode::OK, &shown(&admin, &asked.actor, &id).await?)
}

pub(super) async fn delete(admin: Admin, asked: Asked) -> Result<Response, ApiError> {
    let id = asked.id()?;
    admin.manager.delete(&asked.actor, &id).await.map_err(told)?;
    tracing::info!(key = %id, by = by(&asked.actor), "key deleted");
    refresh(&admin).await;
    respond(StatusCode::OK, &json!({"id": id, "object": "key", "deleted": true}))
}

pub(super) async fn status(admin: Admin, _: Asked) -> Result<Response, ApiError> {
    let stats = admin.ring.stats();
    let keys = json!({
        "count": stats.keys,
        "revision": stats.revision,
        "damaged": stats.damaged,
        "stale": stats.is_stale,
        "age_ms": stats.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        "refused": stats.refused,
    });
    let budget = admin.budget.as_ref().map(|budget| usage::figures(&budget.stats()));
    respond(StatusCode::OK, &json!({ "keys": keys, "budget": budget }))
}

impl Asked {
    fn id(&self) -> Result<KeyId, ApiError> {
        self.id.clone().ok_or_else(not_found)
    }
}

/// The key as it is now.
async fn shown(admin: &Admin, actor: &Actor, id: &KeyId) -> Result<Value, ApiError> {
    refresh(admin).await;
    let access = admin.manager.get(actor, id).await.map_err(told)?;
    let view = KeyView::of(&access, Clock::default().now_ms());
    serde_json::to_value(view)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The key as it is now, with its new secret. That is shown here or never: also when the store is gone by now, and the rest cannot
/// be read.
async fn given(admin: &Admin, actor: &Actor, id: &KeyId, secret: &KeySecret) -> Value {
    let shown = shown(admin, actor, id).await;
    let mut given = shown.unwrap_or_else(|_| json!({"id": id, "object": "key"}));
    given["secret"] = secret.expose().into();
    given
}

/// A change is known here at once, and elsewhere within 250 ms. If the store is gone, the ring says so itself.
async fn refresh(admin: &Admin) {
    let _read = admin.ring.refresh().await;
}

fn by(actor: &Actor) -> &str {
    match actor {
        Actor::Operator => "operator",
        Actor::Key(id) => id.as_str(),
    }
}

fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is no such key").code("key_not_found")
}

fn told(error: ManageError) -> ApiError {
    match error {
        ManageError::NotFound => not_found(),
        ManageError::Forbidden(why) => forbidden(why),
        ManageError::Wider(wider) => {
            let what = wider.what;
            forbidden(wider.to_string()).code("more_than_its_maker").param(what)
        }
        ManageError::Invalid(invalid) => ApiError::bad_request(invalid.to_string()).param(invalid.what),
        ManageError::HasMade(_) | ManageError::Store(StoreError::Conflict) => {
            ApiError::new(StatusCode::CONFLICT, error.to_string()).code("conflict")
        }
        error => {
            // The address of a store may be in what lies beneath: that is for the log.
            tracing::warn!(error = %crate::command::whole(&error), "keys");
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).code("keys_unavailable")
        }
    }
}

//! `GET /v1/models`.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use mainstay::Config;
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;

/// A model that the gateway offers by name.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    object: &'static str,
    created: u64,
    owned_by: String,
}

/// The logical models, and the simulated provider's, which has no other list.
pub(crate) fn listed(config: &Config) -> Vec<Listed> {
    let logical = config.models.iter().map(|(name, model)| {
        let owner = model.deployments.first().and_then(|deployment| deployment.model.split_once('/'));
        (name.clone(), owner.map_or("openai", |(provider, _)| provider).to_owned())
    });
    let simulated =
        config.providers.iter().filter(|(name, provider)| provider.kind.as_ref().unwrap_or(name) == "sim");
    let simulated = simulated.flat_map(|(name, _)| {
        let model = move |model: &&str| (format!("{name}/{model}"), name.clone());
        mainstay::adapters::Sim::MODELS.iter().map(model)
    });
    let listed = |(id, owned_by)| Listed { id, object: "model", created: 0, owned_by };
    logical.chain(simulated).map(listed).collect()
}

/// Those that the caller may ask for.
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Json<Value> {
    let allowed: Vec<_> = app.models.iter().filter(|model| caller.may_ask(&model.id)).collect();
    Json(json!({"object": "list", "data": allowed}))
}

pub(crate) async fn one(
    State(app): State<App>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    let Ok(Path(name)) = name else {
        return ApiError::bad_request("the model's name in the address is not UTF-8 text")
            .param("model")
            .into_response();
    };
    match app.models.iter().find(|model| model.id == name && caller.may_ask(&model.id)) {
        Some(model) => Json(model).into_response(),
        None => {
            let message = format!("no model {name:?}; GET /v1/models lists those that have a name here");
            ApiError::new(StatusCode::NOT_FOUND, message)
                .code("model_not_found")
                .param("model")
                .into_response()
        }
    }
}

//! `GET /health/live` and `/health/ready`: no secret, no address, no configuration.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::app::App;

/// The process runs.
pub(crate) async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// New requests are welcome; not so from SIGTERM on.
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    if app.shutdown.has_begun() {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "draining"})))
    } else {
        (StatusCode::OK, Json(json!({"status": "ready"})))
    }
}

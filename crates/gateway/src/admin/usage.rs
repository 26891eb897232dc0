//! What was used, and what remains.

use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use mainstay::Subject;
use mainstay::budget::{Budget, Standing, Stats, StoreError, Unit};
use mainstay::metering::NanoUsd;
use serde_json::{Value, json};

use super::routes::Asked;
use super::{Admin, respond};
use crate::error::ApiError;
use crate::usage;

/// `GET /admin/usage?from=DAY&to=DAY&by=day,model,subject&subject=user:ann&kind=user`.
pub(super) async fn totals(admin: Admin, asked: Asked) -> Result<Response, ApiError> {
    let named = asked.pairs();
    let get = |name: &str| named.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if let Some((unknown, _)) =
        named.iter().find(|(name, _)| !["from", "to", "by", "subject", "kind"].contains(&name.as_str()))
    {
        let message = format!("{unknown:?} is none of from, to, by, subject, kind");
        return Err(ApiError::bad_request(message).param(unknown.as_str()));
    }
    let asked = usage::Asked {
        from: get("from"),
        to: get("to"),
        by: get("by"),
        subject: get("subject"),
        kind: get("kind"),
    };
    let query = asked.query().map_err(ApiError::bad_request)?;
    let totals = budget(&admin)?.usage(&query).await.map_err(|error| away(&error))?;
    respond(StatusCode::OK, &usage::as_json(&usage::report(&totals)))
}

/// `GET /admin/budgets?subject=user:ann`: how the subject stands with its limits; without a subject, the subjects that have
/// limits of their own.
pub(super) async fn standings(admin: Admin, asked: Asked) -> Result<Response, ApiError> {
    let budget = budget(&admin)?;
    let named = asked.pairs();
    let Some((_, name)) = named.iter().find(|(name, _)| name == "subject") else {
        let data: Vec<String> = budget.book().subjects().iter().map(ToString::to_string).collect();
        return respond(StatusCode::OK, &json!({"object": "list", "data": data}));
    };
    let wrong = || {
        let message = format!("{name:?} is no subject; write kind:id, such as user:ann");
        ApiError::bad_request(message).param("subject")
    };
    let subject = Subject::parse(name).ok_or_else(wrong)?;
    let standings = budget.remaining(&subject).await.map_err(|error| away(&error))?;
    let data: Vec<Value> = standings.iter().map(shown).collect();
    respond(StatusCode::OK, &json!({"object": "list", "subject": subject.as_str(), "data": data}))
}

/// The figures of the budget since the gateway began.
pub(super) fn figures(stats: &Stats) -> Value {
    let store = stats.store.map(|store| {
        json!({
            "away": store.is_away,
            "failures": store.failures,
            "timeouts": store.timeouts,
            "leases": store.leases,
            "leased": store.leased,
            "opened": store.opened,
            "closed": store.closed,
        })
    });
    json!({
        "admitted": stats.admitted,
        "refused": stats.refused,
        "settled": stats.settled,
        "late": stats.late,
        "lost": stats.lost,
        "estimated": stats.estimated,
        "owed": stats.owed,
        "dropped": stats.dropped,
        "store": store,
    })
}

fn shown(standing: &Standing) -> Value {
    // Money as a decimal number in a text: no float holds every amount.
    let amount = |amount: u64| match standing.limit.unit {
        Unit::Usd => NanoUsd::from_nanos(amount).to_string().trim_start_matches('$').into(),
        _ => Value::from(amount),
    };
    let time = |at_ms: Option<u64>| {
        let at = Timestamp::from_millisecond(i64::try_from(at_ms?).ok()?).ok()?;
        Some(at.to_string())
    };
    json!({
        "unit": standing.limit.unit.as_str(),
        "period": standing.limit.period.to_string(),
        "limit": amount(standing.limit.amount),
        "spent": amount(standing.spent),
        "reserved": amount(standing.reserved),
        "remaining": amount(standing.remaining()),
        "resets_at": time(standing.resets_at_ms),
        "exhausted_at": time(standing.exhausted_at_ms),
    })
}

fn budget(admin: &Admin) -> Result<&Budget, ApiError> {
    admin.budget.as_ref().ok_or_else(|| {
        let message = "this gateway counts nothing: its configuration has no [budget]";
        ApiError::new(StatusCode::NOT_FOUND, message)
    })
}

fn away(error: &StoreError) -> ApiError {
    let message = format!("the store of the budgets does not answer: {error}");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).code("budgets_unavailable")
}

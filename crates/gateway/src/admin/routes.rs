//! The table of routes. What stands here is served and nothing else; a route cannot stand here without saying whom it is for.

use std::pin::Pin;

use axum::http::Method;
use axum::response::Response;
use bytes::Bytes;
use mainstay::virtual_keys::{Actor, KeyId, Role};

use super::{Admin, keys, usage};
use crate::error::ApiError;

/// What is asked, by whom.
pub(super) struct Asked {
    pub(super) actor: Actor,
    /// The id in the path; what is no id names no key.
    pub(super) id: Option<KeyId>,
    /// What stands after the `?`.
    pub(super) query: String,
    pub(super) body: Bytes,
}

impl Asked {
    /// The names and values after the `?`.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }
}

pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;

pub(super) struct Route {
    pub(super) method: Method,
    /// `{id}` stands for one part.
    pub(super) path: &'static str,
    /// The least role that may ask. What it may ask about is decided by what it has made.
    pub(super) least: Role,
    pub(super) run: fn(Admin, Asked) -> Answer,
}

pub(super) static ROUTES: [Route; 11] = [
    route(Method::GET, "/admin/keys", Role::Manager, |admin, asked| Box::pin(keys::list(admin, asked))),
    route(Method::POST, "/admin/keys", Role::Manager, |admin, asked| Box::pin(keys::create(admin, asked))),
    route(Method::GET, "/admin/keys/{id}", Role::Manager, |admin, asked| Box::pin(keys::show(admin, asked))),
    route(Method::PATCH, "/admin/keys/{id}", Role::Manager, |admin, asked| {
        Box::pin(keys::update(admin, asked))
    }),
    route(Method::DELETE, "/admin/keys/{id}", Role::Manager, |admin, asked| {
        Box::pin(keys::delete(admin, asked))
    }),
    route(Method::POST, "/admin/keys/{id}/rotate", Role::Manager, |admin, asked| {
        Box::pin(keys::rotate(admin, asked))
    }),
    route(Method::POST, "/admin/keys/{id}/disable", Role::Manager, |admin, asked| {
        Box::pin(keys::disable(admin, asked))
    }),
    route(Method::POST, "/admin/keys/{id}/enable", Role::Manager, |admin, asked| {
        Box::pin(keys::enable(admin, asked))
    }),
    route(Method::GET, "/admin/usage", Role::Admin, |admin, asked| Box::pin(usage::totals(admin, asked))),
    route(Method::GET, "/admin/budgets", Role::Admin, |admin, asked| {
        Box::pin(usage::standings(admin, asked))
    }),
    route(Method::GET, "/admin/status", Role::Admin, |admin, asked| Box::pin(keys::status(admin, asked))),
];

const fn route(method: Method, path: &'static str, least: Role, run: fn(Admin, Asked) -> Answer) -> Route {
    Route { method, path, least, run }
}

pub(super) enum Found {
    Route(&'static Route, Option<KeyId>),
    OtherMethod,
    Nothing,
}

pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut is_there = false;
    for route in &ROUTES {
        let Some(id) = matched(route.path, path) else { continue };
        if route.method == *method {
            return Found::Route(route, id.and_then(|id| KeyId::parse(id).ok()));
        }
        is_there = true;
    }
    if is_there { Found::OtherMethod } else { Found::Nothing }
}

/// `Some` when the path is of this form, with what stands in the place of `{id}`.
fn matched<'a>(form: &str, path: &'a str) -> Option<Option<&'a str>> {
    let (mut form, mut path, mut id) = (form.split('/'), path.split('/'), None);
    loop {
        match (form.next(), path.next()) {
            (None, None) => return Some(id),
            (Some("{id}"), Some(part)) if !part.is_empty() => id = Some(part),
            (Some(form), Some(part)) if form == part => {}
            _ => return None,
        }
    }
}

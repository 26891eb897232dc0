//! What the server asks first.

use std::convert::Infallible;
use std::pin::Pin;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request};
use axum::response::Response;
use hyper::body::Incoming;
use tower::ServiceExt as _;

use crate::app::App;
use crate::chat;

/// Sends chat completions straight to their handler and everything else through the routes, whose table, layers and
/// boxes are a twentieth of the work of a call that is passed on.
#[derive(Clone)]
pub(crate) struct Front {
    app: App,
    routes: Router,
}

impl Front {
    pub(crate) fn new(app: App) -> Self {
        Self { routes: app.clone().router(), app }
    }
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.method() == Method::POST && request.uri().path() == chat::PATH {
            let app = self.app.clone();
            return Box::pin(async move { Ok(chat::completions(State(app), request.map(Body::new)).await) });
        }
        Box::pin(self.routes.clone().oneshot(request))
    }
}

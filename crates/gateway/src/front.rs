//! What the server asks first: who calls, then what.

use std::convert::Infallible;
use std::pin::Pin;

use axum::Router;
use axum::http::{Method, Request};
use axum::response::Response;
use hyper::body::Incoming;
use tower::ServiceExt as _;

use crate::app::App;
use crate::{answer_headers, auth, chat, headers};

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

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let caller = match self.app.door.admit(request.uri().path(), request.headers()) {
            Ok(caller) => caller,
            Err(error) => {
                let refusal = auth::turned_away(request.headers(), error);
                return Box::pin(std::future::ready(refusal));
            }
        };
        if request.method() == Method::POST && request.uri().path() == chat::PATH {
            return Box::pin(chat::completions(self.app.clone(), caller, request));
        }
        let id = headers::Told::by(request.headers()).id();
        caller.put_into(&mut request);
        let (app, routes) = (self.app.clone(), self.routes.clone());
        Box::pin(async move {
            let mut response = routes.oneshot(request).await?;
            answer_headers::identify_other(response.headers_mut(), &id);
            app.mark(&mut response);
            Ok(response)
        })
    }
}

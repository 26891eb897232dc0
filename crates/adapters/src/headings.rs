//! The headers that every request of an adapter has, made once.

use http::{HeaderMap, HeaderValue, header};
use mainstay_provider_core::Error;
use secrecy::SecretString;

use crate::auth::Auth;
use crate::dialect::Outgoing;
use crate::transport::Route;

/// The headers of requests with one key. To make them anew for each request, by name, was a twentieth of a call's work.
pub(crate) struct Headings {
    configured: HeaderMap,
    whole: HeaderMap,
    stream: HeaderMap,
}

impl Headings {
    pub(crate) fn new(
        configured: &HeaderMap,
        auth: &Auth,
        key: Option<&SecretString>,
        route: &Route,
    ) -> Result<Self, Error> {
        let mut configured = configured.clone();
        configured.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let with = |accept| -> Result<HeaderMap, Error> {
            let mut headers = configured.clone();
            headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static(accept));
            if let Some(key) = key {
                auth.prove(&mut headers, key)?;
            }
            route.complete(&mut headers);
            Ok(headers)
        };
        Ok(Self { whole: with("application/json")?, stream: with("text/event-stream")?, configured })
    }

    /// The headers of one request, to which a signature may have to be added.
    pub(crate) fn of(&self, outgoing: &Outgoing, stream: bool) -> HeaderMap {
        let mut headers = if stream { self.stream.clone() } else { self.whole.clone() };
        for (name, value) in &outgoing.headers {
            // A configured header (`anthropic-beta`) goes before the dialect's own.
            if !self.configured.contains_key(name) {
                headers.insert(name, value.clone());
            }
        }
        headers
    }
}

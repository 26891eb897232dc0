//! Where a provider is: the address up to the dialect's paths.

use std::sync::OnceLock;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Uri, header};
use mainstay_provider_core::{Error, ErrorKind};

/// The address up to the dialect's paths, taken apart once.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    scheme: Scheme,
    authority: Authority,
    path: String,
    host: HeaderValue,
    /// The path that is asked for first, which mostly is the only one, with its target.
    target: OnceLock<(String, Uri)>,
}

impl Base {
    /// Reads a `base_url`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        if url.contains('@') {
            // The address itself is not shown: it may hold a password.
            let message = "base_url must not hold a user name or password; put the key into api_key";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let wrong = |why: &str| Error::new(ErrorKind::Configuration, format!("base_url {url:?} {why}"));
        let address: Uri = url.parse().map_err(|_| wrong("is no address; write it like https://host/v1"))?;
        let parts = address.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(wrong("must begin with http:// or https://"));
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(wrong("must begin with http:// or https://"));
        }
        if parts.path_and_query.as_ref().is_some_and(|path| path.query().is_some()) {
            return Err(wrong("must not hold a query; headers and api_version have settings of their own"));
        }
        let path =
            parts.path_and_query.map_or(String::new(), |path| path.path().trim_end_matches('/').to_owned());
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("has no host"))?;
        Ok(Self { scheme, authority, path, host, target: OnceLock::new() })
    }

    /// The whole address of a path.
    #[cfg(any(feature = "bedrock", feature = "reqwest", test))]
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{}{path}", self.scheme, self.authority, self.path)
    }

    /// Where connections go.
    pub(super) fn origin(&self) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query("/")
            .build()
    }

    /// A request's target: path and query alone, as HTTP/1.1 sends it to an origin server.
    pub(super) fn target(&self, path: &str) -> Result<Uri, Error> {
        match self.target.get() {
            Some((known, target)) if known == path => Ok(target.clone()),
            _ => {
                let target = self.parse_target(path)?;
                let _ = self.target.set((path.to_owned(), target.clone())); // another call may have been first
                Ok(target)
            }
        }
    }

    fn parse_target(&self, path: &str) -> Result<Uri, Error> {
        let mut whole = String::with_capacity(self.path.len() + path.len());
        whole.push_str(&self.path);
        whole.push_str(path);
        PathAndQuery::from_maybe_shared(whole).map(Uri::from).map_err(|error| {
            let message = "the model's name cannot be part of an address; check it for odd characters";
            Error::new(ErrorKind::InvalidRequest, message).with_param("model").with_source(error)
        })
    }

    /// Adds the headers that every request has.
    pub(super) fn complete(&self, headers: &mut HeaderMap) {
        headers.insert(header::HOST, self.host.clone());
        let agent = HeaderValue::from_static(concat!("mainstay/", env!("CARGO_PKG_VERSION")));
        headers.entry(header::USER_AGENT).or_insert(agent);
        Self::measure(headers, 0);
    }

    /// Tells the length of the body.
    pub(super) fn measure(headers: &mut HeaderMap, length: usize) {
        let length = HeaderValue::from(length);
        // A map that is full grows before it looks whether the name is there.
        match headers.get_mut(header::CONTENT_LENGTH) {
            Some(known) => *known = length,
            None => _ = headers.insert(header::CONTENT_LENGTH, length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_base_url_is_told_with_the_cure_and_without_a_password() {
        for (url, told) in [
            ("localhost:8000/v1", "is no address"),
            ("ftp://host/v1", "must begin with http"),
            ("http://host /v1", "is no address"),
            ("https://host/v1?key=x", "must not hold a query"),
        ] {
            let error = Base::parse(url).unwrap_err();
            assert!(error.message().contains(told), "{url}: {}", error.message());
        }
        let error = Base::parse("https://user:hunter2@host/v1").unwrap_err();
        assert!(error.message().contains("api_key") && !error.message().contains("hunter2"));
    }

    #[test]
    fn paths_are_joined_under_the_base() {
        let base = Base::parse("https://host:8443/v1/").unwrap();
        assert_eq!(base.url("/chat"), "https://host:8443/v1/chat");
        assert_eq!(base.target("/chat?a=b").unwrap(), "/v1/chat?a=b");
        assert_eq!(Base::parse("http://host").unwrap().url("/chat"), "http://host/chat");
    }
}

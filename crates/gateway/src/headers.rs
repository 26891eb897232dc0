//! What a request's headers say about its call.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use mainstay::core::{Subject, TraceParent};
use mainstay::{CacheDirective, Context, Namespace};
use tokio::time::Instant;

use crate::auth::{self, Caller};
use crate::error::ApiError;

/// How long the client waits for the whole answer, from now.
const TIMEOUT: &str = "x-mainstay-timeout-ms";
/// The calls of one session go to the same deployment.
const SESSION: &str = "x-mainstay-session";
/// Whose data the call is: answers are never shared across namespaces.
const NAMESPACE: &str = "x-mainstay-namespace";
/// Who pays besides the caller's key: names like `user:ann`, with commas between.
const SUBJECTS: &str = "x-mainstay-subjects";
/// What the caches may do for the call.
const CACHE_WORDS: &str = "x-mainstay-cache";

/// What a request's headers say about its call.
///
/// One pass over the headers that there are: to look up each name that might be there would cost more.
#[derive(Default)]
pub(crate) struct Told<'a> {
    id: Option<&'a str>,
    trace_parent: Option<&'a str>,
    timeout: Option<&'a str>,
    session: Option<&'a str>,
    namespace: Option<&'a str>,
    subjects: Option<&'a str>,
    cache_control: Option<&'a str>,
    cache: Option<&'a str>,
    stainless_retries: Option<&'a str>,
    envoy_attempts: Option<&'a str>,
}

impl<'a> Told<'a> {
    pub(crate) fn by(headers: &'a HeaderMap) -> Self {
        let mut told = Self::default();
        for (name, value) in headers {
            let place = match name.as_str() {
                "x-request-id" => &mut told.id,
                "traceparent" => &mut told.trace_parent,
                TIMEOUT => &mut told.timeout,
                SESSION => &mut told.session,
                NAMESPACE => &mut told.namespace,
                SUBJECTS => &mut told.subjects,
                "cache-control" => &mut told.cache_control,
                CACHE_WORDS => &mut told.cache,
                "x-stainless-retry-count" => &mut told.stainless_retries,
                "x-envoy-attempt-count" => &mut told.envoy_attempts,
                _ => continue,
            };
            if place.is_none() {
                *place = Some(value.to_str().unwrap_or_default());
            }
        }
        told
    }

    /// The id of the call: the client's own if it is short and plain, or a new one.
    pub(crate) fn id(&self) -> Arc<str> {
        const LONGEST: usize = 128;
        let plain = |id: &&str| {
            !id.is_empty() && id.len() <= LONGEST && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        self.id.filter(plain).map_or_else(new_id, Into::into)
    }

    /// The context of the call.
    ///
    /// # Errors
    /// A header that is ours and cannot be read, or that names what the caller's key may not name. What others mean by theirs
    /// is taken where it can be.
    pub(crate) fn context(&self, id: Arc<str>, caller: &Caller) -> Result<Context, ApiError> {
        let mut context = Context::default();
        let data = context.data_mut();
        data.id = id;
        data.trace_parent = self.trace_parent.and_then(TraceParent::parse);
        data.prior_attempts = self.prior_attempts();
        if let Some(timeout) = self.timeout {
            let milliseconds = number(timeout).ok_or_else(|| {
                let message = format!("the header {TIMEOUT} must be a number of milliseconds");
                ApiError::bad_request(message).param(TIMEOUT)
            })?;
            data.deadline = Instant::now().checked_add(Duration::from_millis(milliseconds));
        }
        if let Some(access) = caller.access() {
            data.namespace = access.namespace().clone();
            data.subjects = access.subjects().to_vec();
        }
        if let Some(namespace) = self.namespace {
            // Taken for no namespace, it would share what the calls without one have.
            if namespace.is_empty() {
                let message = format!("the header {NAMESPACE} must be a name in plain ASCII, or left out");
                return Err(ApiError::bad_request(message).param(NAMESPACE));
            }
            data.namespace = named(caller, namespace)?;
        }
        if let Some(subjects) = self.subjects {
            add_subjects(&mut data.subjects, subjects, caller)?;
        }
        if let Some(words) = self.cache_control {
            data.cache = cache_directive(words).0;
        }
        if let Some(words) = self.cache {
            let (directive, unknown) = cache_directive(words);
            if let Some(word) = unknown {
                let message = format!(
                    "the header {CACHE_WORDS} says {word:?}; it knows no-cache, no-store, max-age=SECONDS, max-stale, \
                     max-stale=SECONDS, only-if-cached and force, with commas between"
                );
                return Err(ApiError::bad_request(message).param(CACHE_WORDS));
            }
            data.cache = directive;
        }
        if let Some(session) = self.session.filter(|session| !session.is_empty()) {
            data.properties.insert("session".to_owned(), session.to_owned());
        }
        Ok(context)
    }

    /// How often the client, or a proxy before us, has sent this call already (T3): OpenAI's SDKs count their retries,
    /// Envoy counts attempts.
    fn prior_attempts(&self) -> u32 {
        let retries = self.stainless_retries.and_then(number).unwrap_or(0);
        let attempts = self.envoy_attempts.and_then(number).unwrap_or(1);
        u32::try_from(retries.max(attempts.saturating_sub(1))).unwrap_or(u32::MAX)
    }
}

/// The namespace of this name, if the caller may name it.
fn named(caller: &Caller, name: &str) -> Result<Namespace, ApiError> {
    let Some(access) = caller.access() else { return Ok(Namespace::new(name)) };
    access.namespace_named(name).map_err(|_| {
        let message = format!("this key may not name the namespace {name:?}");
        auth::forbidden(message).code("namespace_not_allowed").param(NAMESPACE)
    })
}

/// Adds those who pay besides the key, if the caller may name them.
fn add_subjects(subjects: &mut Vec<Subject>, names: &str, caller: &Caller) -> Result<(), ApiError> {
    const MOST: usize = 8;
    const LONGEST: usize = 128;
    if names.split(',').count() > MOST {
        let message = format!("the header {SUBJECTS} names more than {MOST} subjects");
        return Err(ApiError::bad_request(message).param(SUBJECTS));
    }
    for name in names.split(',').map(str::trim) {
        let subject = Subject::parse(name).filter(|_| name.len() <= LONGEST).ok_or_else(|| {
            let message =
                format!("the header {SUBJECTS} must name subjects like user:ann, with commas between");
            ApiError::bad_request(message).param(SUBJECTS)
        })?;
        if caller.access().is_some_and(|access| !access.may_name_subject(&subject)) {
            let message = format!("this key may not name the subject {name:?}");
            return Err(auth::forbidden(message).code("subject_not_allowed").param(SUBJECTS));
        }
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    Ok(())
}

/// The words of RFC 9111, and `force`: cache what the policy would not. With them the first word that is not understood.
fn cache_directive(words: &str) -> (CacheDirective, Option<&str>) {
    let mut directive = CacheDirective::default();
    let mut unknown = None;
    for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (name, seconds) = word.split_once('=').unwrap_or((word, ""));
        let span = number(seconds.trim_matches('"')).map(Duration::from_secs);
        match (name.trim().to_ascii_lowercase().as_str(), span) {
            ("no-cache", _) => directive.no_cache = true,
            ("no-store", _) => directive.no_store = true,
            ("only-if-cached", _) => directive.only_if_cached = true,
            ("force", _) => directive.force = true,
            ("max-age", Some(span)) => directive.max_age = Some(span),
            ("max-stale", Some(span)) => directive.max_stale = Some(span),
            ("max-stale", None) if seconds.is_empty() => directive.max_stale = Some(Duration::MAX),
            _ => unknown = unknown.or(Some(word)),
        }
    }
    (directive, unknown)
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `req_` and 64 random bits.
fn new_id() -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut id = *b"req_0123456789abcdef";
    let mut bits = fastrand::u64(..);
    for place in &mut id[4..] {
        *place = DIGITS[(bits >> 60) as usize];
        bits <<= 4;
    }
    std::str::from_utf8(&id).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn context(headers: &[(&'static str, &[u8])]) -> Result<Context, ApiError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let told = Told::by(&map);
        told.context(told.id(), &Caller::anybody())
    }

    // I3, test 14: a tenant whose name cannot be read must not land among those without one.
    #[test]
    fn a_namespace_that_cannot_be_read_is_refused() {
        assert_eq!(context(&[(NAMESPACE, b"acme")]).unwrap().namespace, Namespace::new("acme"));
        assert_eq!(context(&[]).unwrap().namespace, Namespace::default());
        for name in [&b""[..], "caf\u{e9}".as_bytes(), b"\xff"] {
            assert!(context(&[(NAMESPACE, name)]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn subjects_are_named_with_commas_between() {
        let told = context(&[(SUBJECTS, b"user:ann, feature:search,user:ann")]).unwrap();
        let subjects: Vec<_> = told.subjects.iter().map(Subject::as_str).collect();
        assert_eq!(subjects, ["user:ann", "feature:search"]);
        let (many, long) = (b"a:b,".repeat(9), [&b"user:"[..], &[b'x'; 124]].concat());
        for wrong in [&b""[..], b"ann", b"user:", b",", b"user:ann,", b"\xff", &many, &long] {
            assert!(context(&[(SUBJECTS, wrong)]).is_err(), "{wrong:?}");
        }
    }

    // S4.3: overridable per call.
    #[test]
    fn cache_words_are_read_in_both_headers_and_ours_must_be_understood() {
        let told = context(&[("cache-control", b"no-transform, max-age=60, no-store")]).unwrap();
        assert!(told.cache.no_store && told.cache.max_age == Some(Duration::from_secs(60)));
        let told = context(&[("cache-control", b"no-cache"), (CACHE_WORDS, b"force, max-stale")]).unwrap();
        assert!(told.cache.force && !told.cache.no_cache && told.cache.max_stale.is_some());
        assert!(context(&[(CACHE_WORDS, b"only-if-cached")]).unwrap().cache.only_if_cached);
        assert!(context(&[(CACHE_WORDS, b"no-transform")]).is_err());
        assert!(context(&[(CACHE_WORDS, b"max-age=soon")]).is_err());
    }
}

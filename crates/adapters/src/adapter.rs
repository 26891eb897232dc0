//! One provider as a service: a dialect, an address, keys, and the way out.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use http::header;
use mainstay_provider_core::{
    BoxFuture, Call, ChatRequest, EmbedCall, EmbedReply, Error, ErrorKind, Events, Reply, ReplyHead, Timer,
};
use tokio::time::Instant;
use tower_service::Service;

use crate::auth::{Auth, Unsigned};
use crate::clock::{unix_seconds, wall_clock};
use crate::config::AdapterConfig;
use crate::dialect::{Dialect, Outgoing};
use crate::driver::Driver;
use crate::failure;
use crate::framing::Frames;
use crate::headings::Headings;
use crate::keys::{Key, KeyRing};
use crate::prefill::Prefill;
use crate::registry;
use crate::transport::{Base, Incoming, Route, Transport};

/// The largest whole answer that is read: 64 MiB, room for images and audio in base64.
const LARGEST_ANSWER: usize = 64 << 20;
/// The largest error answer that is read: 1 MiB.
const LARGEST_ERROR: usize = 1 << 20;
/// The longest that the body of an error answer is waited for: its head has told nearly all.
const LONGEST_ERROR: Duration = Duration::from_secs(2);

/// One provider: a [`Provider`](mainstay_provider_core::Provider) for chat and an
/// [`Embedder`](mainstay_provider_core::Embedder). Cloning copies a pointer.
///
/// The call's model is the provider's own name of it; a prefix (`openai/`) is taken off by whoever chose the adapter.
///
/// # Errors
/// Every failure comes with its [`ErrorKind`], provider, model, status, request id and wait where the provider gave them.
/// A key that the provider rejects is replaced by the next one within the call, each key once.
///
/// # Cancellation
/// Dropping the future or the reply closes the connection to the provider.
#[derive(Clone)]
pub struct Adapter(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    dialect: Box<dyn Dialect>,
    auth: Auth,
    /// One for each key; the first where there is none.
    headings: Vec<Headings>,
    needs_key: bool,
    key_env: &'static str,
    keys: KeyRing,
    events: Events,
    prefill: Prefill,
    route: Route,
}

impl Adapter {
    /// The adapter for the provider that `config.kind` names.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the kind is unknown or not compiled in, or a setting that it needs is missing.
    pub fn new(config: AdapterConfig, transport: &Transport) -> Result<Self, Error> {
        let row = registry::row(&config.kind)?;
        let base = registry::base_url(row, &config)?;
        let route = transport.to(Base::parse(&base)?);
        let auth = (row.auth)(&config)?;
        let with = |key| Headings::new(&config.headers, &auth, key, &route);
        let headings = match config.keys.as_slice() {
            [] => vec![with(None)?],
            keys => keys.iter().map(|key| with(Some(key))).collect::<Result<_, _>>()?,
        };
        Ok(Self(Arc::new(Shared {
            dialect: (row.dialect)(&config)?,
            auth,
            headings,
            prefill: Prefill::new(&config),
            needs_key: row.info.needs_key && config.base_url.is_none(),
            key_env: row.info.key_env,
            keys: KeyRing::new(config.keys),
            events: config.events,
            name: config.name,
            route,
        })))
    }

    /// The provider's name in replies, errors and metrics.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Whether `model` goes on with an assistant message that stands last: as
    /// [`accepts_prefill`](crate::accepts_prefill), unless [`AdapterConfig::prefill`] says otherwise. A call that
    /// [needs](mainstay_provider_core::Needs::prefill) it is refused where it does not.
    pub fn accepts_prefill(&self, model: &str) -> bool {
        self.0.prefill.accepts(model)
    }
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Service<Call> for Adapter {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let model = call.shared_model();
            let result = match call.context().deadline {
                None => shared.chat(&call, &model).await,
                Some(deadline) => until(deadline, Box::pin(shared.chat(&call, &model))).await,
            };
            result.map_err(|error| shared.named(error, &model))
        })
    }
}

impl Service<EmbedCall> for Adapter {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let model: Arc<str> = call.request.model.as_str().into();
            let result = match call.context.deadline {
                None => shared.embed(&call, &model).await,
                Some(deadline) => until(deadline, Box::pin(shared.embed(&call, &model))).await,
            };
            result.map_err(|error| shared.named(error, &model))
        })
    }
}

/// Runs `answer` until the caller's deadline (S2.5).
///
/// What is rare (a deadline here, a failure, a stream's beginning, a new connection) is boxed: a future is as large as
/// its largest part, and each call moves and touches all of it.
async fn until<T>(deadline: Instant, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout_at(deadline, answer).await {
        Ok(result) => result,
        Err(_) => {
            let message = "the call's deadline passed before the provider answered";
            Err(Error::new(ErrorKind::Timeout(Timer::Total), message))
        }
    }
}

impl Shared {
    async fn chat(&self, call: &Call, model: &Arc<str>) -> Result<Reply, Error> {
        let started = Instant::now();
        let going_on = call.context().needs.prefill;
        let prefilled = going_on.then(|| self.prefill.request(call.request(), model)).transpose()?;
        let chat = prefilled.as_deref().unwrap_or(call.request());
        let mut outgoing = self.dialect.encode_chat(chat, model)?;
        if going_on {
            outgoing.path = self.prefill.path(outgoing.path);
        }
        let incoming = self.send(outgoing, chat.is_stream(), started).await?;
        let head = self.head(&incoming, model, started);
        if !chat.is_stream() || self.is_whole(&incoming) {
            let body = incoming.body(LARGEST_ANSWER).await?;
            let mut answer = self.dialect.decode_chat(body, model)?;
            if answer.raw().is_none() && answer.created == 0 {
                answer.created = unix_seconds();
            }
            return Ok(Reply::whole(head, answer));
        }
        self.streamed(chat, model, head, incoming).await
    }

    fn streamed(
        &self,
        chat: &ChatRequest,
        model: &Arc<str>,
        head: ReplyHead,
        incoming: Incoming,
    ) -> BoxFuture<Result<Reply, Error>> {
        let name = {
            let (provider, model, id) = (self.name.clone(), model.clone(), head.request_id.clone());
            move |error: Error| named(error, &provider, &model, id.as_deref())
        };
        let reader = self.dialect.chat_stream(chat, model);
        let driver = Driver::new(incoming.into_reads(), self.dialect.frames(), reader, unix_seconds(), name);
        Box::pin(Reply::stream(head, driver))
    }

    /// Some servers answer whole though a stream was asked for, and their media type says so.
    fn is_whole(&self, incoming: &Incoming) -> bool {
        let media_type = incoming.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/json") && matches!(self.dialect.frames(), Frames::Sse(_))
    }

    async fn embed(&self, call: &EmbedCall, model: &Arc<str>) -> Result<EmbedReply, Error> {
        let started = Instant::now();
        if call.request.input.is_empty() {
            return Err(Error::new(ErrorKind::InvalidRequest, "input is empty; send at least one text")
                .with_param("input"));
        }
        let outgoing = self.dialect.encode_embed(&call.request, model)?;
        let incoming = self.send(outgoing, false, started).await?;
        let mut head = self.head(&incoming, model, started);
        let (vectors, usage) = self.dialect.decode_embed(incoming.body(LARGEST_ANSWER).await?)?;
        if vectors.len() != call.request.input.len() {
            let message =
                format!("the provider sent {} vectors for {} texts", vectors.len(), call.request.input.len());
            return Err(Error::new(ErrorKind::MalformedResponse, message));
        }
        head.first_token = Some(started.elapsed());
        Ok(EmbedReply::new(head, vectors, usage))
    }

    /// Sends the request with the key in use; a rejected key gives way to the next (S2.1). `Ok` is a success answer.
    async fn send(&self, outgoing: Outgoing, stream: bool, now: Instant) -> Result<Incoming, Error> {
        if self.needs_key && self.keys.current().is_none() {
            let message =
                format!("no key for {}: set api_key in its configuration, or {}", self.name, self.key_env);
            return Err(Error::new(ErrorKind::Authentication, message));
        }
        let (mut tries, mut now) = (self.keys.tries(), now);
        loop {
            let key = self.keys.current();
            let error = match self.send_once(&outgoing, stream, key, now).await {
                Ok(incoming) => return Ok(incoming),
                Err(error) => error,
            };
            tries -= 1;
            let another = self.keys.rejected(key, &error, &self.name, &self.events);
            if !another || tries == 0 {
                return Err(error);
            }
            now = Instant::now();
        }
    }

    async fn send_once(
        &self,
        outgoing: &Outgoing,
        stream: bool,
        key: Option<Key<'_>>,
        now: Instant,
    ) -> Result<Incoming, Error> {
        let headings = &self.headings[key.map_or(0, |key| key.place)];
        let mut headers = headings.of(outgoing, stream);
        if let Some(key) = key {
            let unsigned = Unsigned { route: &self.route, path: &outgoing.path, body: &outgoing.body };
            self.auth.sign(&mut headers, key.secret, &unsigned)?;
        }
        let incoming = self.route.send(&outgoing.path, headers, outgoing.body.clone(), now).await?;
        if incoming.status().is_success() {
            return Ok(incoming);
        }
        Err(Box::pin(self.failure(incoming)).await)
    }

    async fn failure(&self, incoming: Incoming) -> Error {
        let status = incoming.status().as_u16();
        let headers = incoming.headers().clone();
        // A body that cannot be read, or does not come, still leaves the status and the headers to judge by. Waited for until a
        // timer of the call fires, a rate limit and its wait would be lost in that timeout.
        let body = tokio::time::timeout(LONGEST_ERROR, incoming.body(LARGEST_ERROR)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        self.dialect.classify(status, &headers, &body, wall_clock())
    }

    fn head(&self, incoming: &Incoming, model: &Arc<str>, started: Instant) -> ReplyHead {
        let mut head = ReplyHead::new(self.name.clone(), model.clone()).started(started);
        head.request_id = failure::request_id(incoming.headers());
        let limits = failure::rate_limits(incoming.headers(), wall_clock);
        head.rate_limits = (!limits.is_empty()).then_some(limits);
        head
    }

    fn named(&self, error: Error, model: &Arc<str>) -> Error {
        named(error, &self.name, model, None)
    }
}

fn named(error: Error, provider: &Arc<str>, model: &Arc<str>, request_id: Option<&str>) -> Error {
    let error = if error.provider().is_none() { error.at(provider.clone(), model.clone()) } else { error };
    match request_id {
        Some(id) if error.request_id().is_none() => error.with_request_id(id),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call's future is moved and touched as a whole: at 9 KiB it cost more than the rest of the call's work
    /// when 256 calls were in flight.
    #[cfg(feature = "openai")]
    #[tokio::test]
    async fn a_calls_future_is_small() {
        let transport = Transport::new(&crate::TransportConfig::default()).unwrap();
        let adapter =
            Adapter::new(AdapterConfig::new("openai").base_url("http://127.0.0.1:9"), &transport).unwrap();
        let (call, model) = (Call::ask("m", "hello"), "m".into());
        let size = size_of_val(&adapter.0.chat(&call, &model));
        assert!(size <= 1024, "{size} bytes");
    }
}

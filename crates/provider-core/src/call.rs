//! What is asked: the request, and what is about the call and not in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

use crate::attempts::Attempts;
use crate::chat::{ChatRequest, Message};
use crate::next::Needs;
use crate::trace::TraceParent;

/// One call: a request and its [`Context`]. Cloning copies pointers, so retry, fallback and hedging cost nothing.
#[derive(Clone)]
pub struct Call {
    request: Arc<ChatRequest>,
    /// The model that is asked instead of the request's.
    model: Option<Arc<str>>,
    context: Context,
}

impl Call {
    /// A call with an empty context.
    pub fn new(request: impl Into<Arc<ChatRequest>>) -> Self {
        Self { request: request.into(), model: None, context: Context::default() }
    }

    /// A call in this context. A context that other calls use too gives everything but its ledger of [`Attempts`]: what
    /// failed for one call says nothing of another.
    pub fn in_context(request: impl Into<Arc<ChatRequest>>, context: Context) -> Self {
        Self { request: request.into(), model: None, context: context.of_one_call() }
    }

    /// A call that asks `model` one question.
    pub fn ask(model: impl Into<String>, question: impl Into<String>) -> Self {
        Self::new(ChatRequest::new(model, vec![Message::user(question.into())]))
    }

    /// The same call in another context, as [`in_context`](Self::in_context).
    #[must_use]
    pub fn with_context(mut self, context: Context) -> Self {
        self.context = context.of_one_call();
        self
    }

    /// What is asked.
    pub fn request(&self) -> &ChatRequest {
        &self.request
    }

    /// What is asked, shared.
    pub fn shared_request(&self) -> &Arc<ChatRequest> {
        &self.request
    }

    /// What is asked, to change it; other clones of the call keep theirs.
    pub fn request_mut(&mut self) -> &mut ChatRequest {
        Arc::make_mut(&mut self.request)
    }

    /// What is about the call and not in it.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The same, to change it; other clones of the call keep theirs.
    pub fn context_mut(&mut self) -> &mut ContextData {
        self.context.data_mut()
    }

    /// The model asked for: the request's, or the one that a router put in its place.
    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or(&self.request.model)
    }

    /// The same, shared.
    pub fn shared_model(&self) -> Arc<str> {
        self.model.clone().unwrap_or_else(|| self.request.model.as_str().into())
    }

    /// Asks this model instead of the request's. The request itself stays shared with all other clones: a router names a
    /// deployment's model without a copy of the conversation.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Whether the caller wants the answer streamed.
    pub fn is_stream(&self) -> bool {
        self.request.is_stream()
    }
}

impl From<ChatRequest> for Call {
    fn from(request: ChatRequest) -> Self {
        Self::new(request)
    }
}

/// The conversation is the caller's data: only its length is shown.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("model", &self.model())
            .field("messages", &self.request.messages.len())
            .field("stream", &self.is_stream())
            .field("context", &self.context)
            .finish()
    }
}

/// What is about a call and not in it. Cloning copies a pointer; a change is seen by the changed clone only,
/// but the [`Attempts`] ledger is one for all clones of a call.
#[derive(Clone, Default)]
pub struct Context(Arc<ContextData>);

/// The members of a [`Context`].
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ContextData {
    /// The id of the call, in logs and reply headers; empty when nobody gave one.
    pub id: Arc<str>,
    /// Who pays: every subject's budget is asked.
    pub subjects: Vec<Subject>,
    /// Whose data it is: nothing is ever shared across namespaces (tenants).
    pub namespace: Namespace,
    /// Custom properties, for the request log.
    pub properties: BTreeMap<String, String>,
    /// When the caller no longer wants the answer.
    pub deadline: Option<Instant>,
    /// What the caches may do.
    pub cache: CacheDirective,
    /// The documents that the application retrieved for the prompt, for the record of the call.
    pub retrieved: Vec<RetrievedChunk>,
    /// The trace that the call belongs to.
    pub trace_parent: Option<TraceParent>,
    /// The attempts made for this call, shared by all its clones.
    pub attempts: Attempts,
    /// How many attempts others made for this call before it came here (an inbound attempt-count header): they lower
    /// our own (T3).
    pub prior_attempts: u32,
    /// What the call needs of the deployment that is asked.
    pub needs: Needs,
    /// Anything else, by type.
    pub extensions: Extensions,
}

impl Context {
    /// The members, to change them; other clones keep theirs.
    pub fn data_mut(&mut self) -> &mut ContextData {
        Arc::make_mut(&mut self.0)
    }

    /// With a ledger of its own, unless nobody else holds this context or its ledger, and no attempt is in it.
    fn of_one_call(mut self) -> Self {
        let is_unused = Arc::strong_count(&self.0) == 1 && self.attempts.is_unused();
        if !is_unused {
            self.data_mut().attempts = Attempts::default();
        }
        self
    }

    /// The time left until the deadline; `None` when there is none, zero when it has passed.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

impl From<ContextData> for Context {
    fn from(data: ContextData) -> Self {
        Self(Arc::new(data))
    }
}

impl std::ops::Deref for Context {
    type Target = ContextData;

    fn deref(&self) -> &ContextData {
        &self.0
    }
}

/// Property values and retrieved texts are the caller's data: only their names and number are shown.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id)
            .field("subjects", &self.subjects)
            .field("namespace", &self.namespace)
            .field("properties", &self.properties.keys())
            .field("deadline", &self.deadline)
            .field("cache", &self.cache)
            .field("retrieved", &self.retrieved.len())
            .field("attempts", &self.attempts.len())
            .finish_non_exhaustive()
    }
}

/// Who pays for a call: `user:alice`, `org:acme`, `feature:search`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(Arc<str>);

impl Subject {
    /// The subject of this kind and id.
    pub fn new(kind: &str, id: &str) -> Self {
        Self(format!("{kind}:{id}").into())
    }

    /// Reads `kind:id`; `None` when either part is missing.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(':')?;
        (!kind.is_empty() && !id.is_empty()).then(|| Self(text.into()))
    }

    /// `kind:id`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind of subject it is.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or("", |(kind, _)| kind)
    }

    /// Which one it is.
    pub fn id(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, id)| id)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose data a call is (a tenant). Calls of different namespaces never share a cache entry or an upstream call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// The namespace of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name; empty for the one that calls without a tenant share.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the caches may do for one call. The default leaves it to each cache's policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheDirective {
    /// Do not answer from a cache.
    pub no_cache: bool,
    /// Do not put the answer into a cache.
    pub no_store: bool,
    /// Answer from a cache even if the policy would not look there for such a call, and store the answer.
    pub force: bool,
    /// Answer from a cache or not at all.
    pub only_if_cached: bool,
    /// Do not take an entry older than this; also how long the answer is kept.
    pub max_age: Option<Duration>,
    /// Take an entry that expired up to this long ago.
    pub max_stale: Option<Duration>,
}

/// A document that the application retrieved for the prompt.
#[derive(Clone, PartialEq, Default)]
pub struct RetrievedChunk {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
    /// How well it fits, in the retriever's own measure.
    pub score: Option<f64>,
}

/// The text is the caller's data: only its length is shown.
impl fmt::Debug for RetrievedChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetrievedChunk")
            .field("id", &self.id)
            .field("text_bytes", &self.text.len())
            .field("score", &self.score)
            .finish()
    }
}

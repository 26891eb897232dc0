//! Embeddings: the same contract for vectors.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tower_service::Service;

use crate::call::Context;
use crate::error::Error;
use crate::lossless::{Extra, lossless};
use crate::provider::BoxFuture;
use crate::reply::ReplyHead;
use crate::usage::Usage;

lossless! {
    /// An embeddings request, in OpenAI's shape.
    pub struct EmbedRequest {
        /// The model, as in a chat request.
        need model: String,
        /// The texts.
        need input: EmbedInput,
        /// The length of the vectors, where the model lets it be chosen.
        may dimensions: u32,
        /// `float` or `base64`: how vectors are written in the gateway's answer.
        may encoding_format: String,
        /// The end user.
        may user: String,
    }
}

impl EmbedRequest {
    /// A request for one vector per text.
    pub fn new(model: impl Into<String>, texts: Vec<String>) -> Self {
        Self {
            model: model.into(),
            input: EmbedInput::Texts(texts),
            dimensions: None,
            encoding_format: None,
            user: None,
            extra: Extra::default(),
        }
    }
}

/// What is embedded.
#[derive(Debug, Clone, PartialEq)]
pub enum EmbedInput {
    /// One text.
    Text(String),
    /// Several texts, one vector each.
    Texts(Vec<String>),
    /// One text as the model's own tokens.
    Tokens(Vec<u32>),
    /// Several texts as tokens.
    TokenLists(Vec<Vec<u32>>),
}

impl EmbedInput {
    /// The texts, if they are texts and not tokens.
    pub fn texts(&self) -> Option<&[String]> {
        match self {
            Self::Text(text) => Some(std::slice::from_ref(text)),
            Self::Texts(texts) => Some(texts),
            Self::Tokens(_) | Self::TokenLists(_) => None,
        }
    }

    /// How many vectors are asked for.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(_) | Self::Tokens(_) => 1,
            Self::Texts(texts) => texts.len(),
            Self::TokenLists(lists) => lists.len(),
        }
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Serialize for EmbedInput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Texts(texts) => texts.serialize(serializer),
            Self::Tokens(tokens) => tokens.serialize(serializer),
            Self::TokenLists(lists) => lists.serialize(serializer),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Text(String),
    Token(u32),
    Tokens(Vec<u32>),
}

impl<'de> Deserialize<'de> for EmbedInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList;
        impl<'de> Visitor<'de> for TextOrList {
            type Value = EmbedInput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a list of texts, or token lists")
            }

            fn visit_str<E>(self, text: &str) -> Result<EmbedInput, E> {
                Ok(EmbedInput::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<EmbedInput, A::Error> {
                let items = Vec::<Item>::deserialize(SeqAccessDeserializer::new(seq))?;
                from_items(items)
                    .ok_or_else(|| A::Error::custom("a list must hold only texts or only tokens"))
            }
        }
        deserializer.deserialize_any(TextOrList)
    }
}

fn from_items(items: Vec<Item>) -> Option<EmbedInput> {
    match items.first() {
        None | Some(Item::Text(_)) => items
            .into_iter()
            .map(|item| if let Item::Text(text) = item { Some(text) } else { None })
            .collect::<Option<_>>()
            .map(EmbedInput::Texts),
        Some(Item::Token(_)) => items
            .into_iter()
            .map(|item| if let Item::Token(token) = item { Some(token) } else { None })
            .collect::<Option<_>>()
            .map(EmbedInput::Tokens),
        Some(Item::Tokens(_)) => items
            .into_iter()
            .map(|item| if let Item::Tokens(tokens) = item { Some(tokens) } else { None })
            .collect::<Option<_>>()
            .map(EmbedInput::TokenLists),
    }
}

/// One call for embeddings. Cloning copies two pointers.
#[derive(Clone)]
pub struct EmbedCall {
    /// What is asked.
    pub request: Arc<EmbedRequest>,
    /// What is about the call and not in it.
    pub context: Context,
}

impl EmbedCall {
    /// A call with an empty context.
    pub fn new(request: impl Into<Arc<EmbedRequest>>) -> Self {
        Self { request: request.into(), context: Context::default() }
    }
}

impl From<EmbedRequest> for EmbedCall {
    fn from(request: EmbedRequest) -> Self {
        Self::new(request)
    }
}

/// The texts are the caller's data: only their number is shown.
impl fmt::Debug for EmbedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbedCall")
            .field("model", &self.request.model)
            .field("inputs", &self.request.input.len())
            .field("context", &self.context)
            .finish()
    }
}

/// The vectors.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EmbedReply {
    /// Who answered.
    pub head: ReplyHead,
    /// One vector per text, in the order of the request.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens used, if the provider says so.
    pub usage: Option<Usage>,
}

impl EmbedReply {
    /// An answer.
    pub fn new(head: ReplyHead, vectors: Vec<Vec<f32>>, usage: Option<Usage>) -> Self {
        Self { head, vectors, usage }
    }
}

/// Anything that embeds: an adapter, a local model, a cache around one.
///
/// It is a `tower::Service<EmbedCall, Response = EmbedReply, Error = Error>` that can be cloned and shared; every
/// such service is an `Embedder` by itself.
pub trait Embedder:
    Service<EmbedCall, Response = EmbedReply, Error = Error, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
    /// This embedder behind one type.
    fn boxed_embedder(self) -> BoxEmbedder {
        BoxEmbedder(Box::new(self))
    }

    /// Waits until this embedder is ready, then asks it.
    ///
    /// # Cancellation
    /// Dropping the future cancels the call.
    fn embed(&self, call: EmbedCall) -> impl Future<Output = Result<EmbedReply, Error>> + Send + use<Self> {
        let mut ready = self.clone();
        async move {
            std::future::poll_fn(|task| ready.poll_ready(task)).await?;
            ready.call(call).await
        }
    }
}

impl<E> Embedder for E where
    E: Service<EmbedCall, Response = EmbedReply, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Any embedder behind one type.
pub struct BoxEmbedder(Box<dyn AnyEmbedder>);

trait AnyEmbedder: Send + Sync {
    fn any_poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>>;
    fn any_call(&mut self, call: EmbedCall) -> BoxFuture<Result<EmbedReply, Error>>;
    fn any_clone(&self) -> Box<dyn AnyEmbedder>;
}

impl<E: Embedder> AnyEmbedder for E {
    fn any_poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.poll_ready(task)
    }

    fn any_call(&mut self, call: EmbedCall) -> BoxFuture<Result<EmbedReply, Error>> {
        Box::pin(self.call(call))
    }

    fn any_clone(&self) -> Box<dyn AnyEmbedder> {
        Box::new(self.clone())
    }
}

impl Clone for BoxEmbedder {
    fn clone(&self) -> Self {
        Self(self.0.any_clone())
    }
}

impl fmt::Debug for BoxEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxEmbedder")
    }
}

impl Service<EmbedCall> for BoxEmbedder {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.0.any_poll_ready(task)
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        self.0.any_call(call)
    }
}

//! An embedder that does what a script says.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tower_service::Service;

use super::places::Place;
use super::script::{Gate, scripted_error};
use super::stage::{Counts, Stage};
use crate::{BoxFuture, EmbedCall, EmbedInput, EmbedReply, Error, ErrorKind, ReplyHead, Usage};

/// What a [`ScriptedEmbedder`] does with one call.
#[derive(Debug, Clone)]
pub struct EmbedStep {
    delay: Option<Duration>,
    gate: Option<Gate>,
    then: Then,
}

#[derive(Debug, Clone)]
enum Then {
    Vectors(Vec<Vec<f32>>),
    ByText,
    Fail(Error),
    Hang,
}

impl EmbedStep {
    /// Answers with these vectors, whatever the texts.
    pub fn vectors(vectors: Vec<Vec<f32>>) -> Self {
        Self::new(Then::Vectors(vectors))
    }

    /// Answers with the vectors of the texts, as the embedder was told to make them.
    pub fn by_text() -> Self {
        Self::new(Then::ByText)
    }

    /// Fails.
    pub fn fail(error: Error) -> Self {
        Self::new(Then::Fail(error))
    }

    /// Fails with an error of this kind.
    pub fn fail_with(kind: ErrorKind) -> Self {
        Self::fail(scripted_error(kind))
    }

    /// Never answers.
    pub fn hang() -> Self {
        Self::new(Then::Hang)
    }

    /// The same after a delay.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// The same when the gate is open.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    fn new(then: Then) -> Self {
        Self { delay: None, gate: None, then }
    }
}

type Embed = Arc<dyn Fn(&str) -> Vec<f32> + Send + Sync>;

/// [`Scripted`](super::Scripted) for embeddings: takes its steps, then embeds by text.
pub struct ScriptedEmbedder {
    stage: Arc<Stage<EmbedCall>>,
    steps: Arc<Mutex<VecDeque<EmbedStep>>>,
    embed: Embed,
    place: Option<Place>,
}

impl ScriptedEmbedder {
    /// An embedder that takes these steps, one per call, and then gives each text a unit vector of its own in 8
    /// dimensions: the same for the same text, far from that of any other.
    pub fn new(steps: impl IntoIterator<Item = EmbedStep>) -> Self {
        Self {
            stage: Stage::new(),
            steps: Arc::new(Mutex::new(steps.into_iter().collect())),
            embed: Arc::new(|text| vector_of(text, 8)),
            place: None,
        }
    }

    /// An embedder that gives each text the vector that `embed` says.
    pub fn by(embed: impl Fn(&str) -> Vec<f32> + Send + Sync + 'static) -> Self {
        Self { embed: Arc::new(embed), ..Self::new([]) }
    }

    /// Adds a step, after those that are left.
    pub fn push(&self, step: EmbedStep) {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push_back(step);
    }

    /// How many handles may be ready or in flight at once, from now on; 0 withholds readiness from all.
    pub fn set_places(&self, places: usize) {
        self.stage.places.set_limit(places);
    }

    /// The calls, oldest first.
    pub fn calls(&self) -> Vec<EmbedCall> {
        self.stage.calls()
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.stage.counts()
    }

    /// Waits until the counts are so.
    pub async fn when(&self, is_so: impl FnMut(&Counts) -> bool) -> Counts {
        self.stage.when(is_so).await
    }
}

/// A clone starts unready.
impl Clone for ScriptedEmbedder {
    fn clone(&self) -> Self {
        Self { stage: self.stage.clone(), steps: self.steps.clone(), embed: self.embed.clone(), place: None }
    }
}

impl std::fmt::Debug for ScriptedEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedEmbedder").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Service<EmbedCall> for ScriptedEmbedder {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.stage.poll_ready(&mut self.place, task).map(Ok)
    }

    /// # Panics
    /// When this handle was not polled ready.
    fn call(&mut self, call: EmbedCall) -> Self::Future {
        let (_, in_flight) = self.stage.begin(&call, &mut self.place);
        let step = self.steps.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let step = step.unwrap_or_else(EmbedStep::by_text);
        let embed = self.embed.clone();
        Box::pin(async move {
            if let Some(delay) = step.delay {
                tokio::time::sleep(delay).await;
            }
            if let Some(gate) = step.gate {
                gate.passed().await;
            }
            let head = ReplyHead::new("scripted", call.request.model.as_str());
            let reply = match step.then {
                Then::Hang => std::future::pending().await,
                Then::Fail(error) if error.provider().is_some() => Err(error),
                Then::Fail(error) => Err(error.at(head.provider, head.model)),
                Then::Vectors(vectors) => {
                    Ok(EmbedReply::new(head, vectors, Some(usage(&call.request.input))))
                }
                Then::ByText => {
                    let vectors = texts(&call.request.input).iter().map(|text| embed(text)).collect();
                    Ok(EmbedReply::new(head, vectors, Some(usage(&call.request.input))))
                }
            };
            in_flight.resolved();
            reply
        })
    }
}

/// The texts; tokens are written as numbers.
fn texts(input: &EmbedInput) -> Vec<String> {
    let written = |tokens: &Vec<u32>| tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    match input {
        EmbedInput::Text(text) => vec![text.clone()],
        EmbedInput::Texts(texts) => texts.clone(),
        EmbedInput::Tokens(tokens) => vec![written(tokens)],
        EmbedInput::TokenLists(lists) => lists.iter().map(written).collect(),
    }
}

fn usage(input: &EmbedInput) -> Usage {
    Usage::new(texts(input).iter().map(|text| text.split_whitespace().count() as u64).sum(), 0)
}

fn vector_of(text: &str, dimensions: u32) -> Vec<f32> {
    let component = |dimension: u32| {
        let mut hasher = std::hash::DefaultHasher::new();
        (text, dimension).hash(&mut hasher);
        f32::from(u16::try_from(hasher.finish() >> 48).unwrap_or(0)) / 32_768.0 - 1.0
    };
    let vector: Vec<f32> = (0..dimensions).map(component).collect();
    let length =
        vector.iter().map(|component| component * component).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.into_iter().map(|component| component / length).collect()
}

//! A provider that does what a script says.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::Instant;
use tower_service::Service;

use super::places::Place;
use super::script::{Piece, Step, Then};
use super::stage::{Counts, OpenStream, Stage};
use crate::chat::{ChatChunk, ChatRequest, ChatResponse, FinishReason, Message, replay};
use crate::{BoxFuture, Call, ChunkResult, Error, ErrorKind, Reply, ReplyHead, Usage};

/// A provider that does what a script says, one [`Step`] per call, and records what is done to it.
///
/// Clones share script and records. It is strict about readiness: a call on a handle that was not polled ready panics,
/// a clone starts unready, and the number of handles that are ready or in flight at once can be limited
/// ([`Scripted::set_places`]). After the last step, calls fail with [`ErrorKind::Internal`].
pub struct Scripted {
    stage: Arc<Stage<Call>>,
    script: Arc<Mutex<Script>>,
    provider: Arc<str>,
    model: Option<Arc<str>>,
    place: Option<Place>,
}

struct Script {
    steps: VecDeque<Step>,
    then: Arc<dyn Fn(&Call) -> Step + Send + Sync>,
}

impl Scripted {
    /// A provider that takes these steps, one per call.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let over = "the script is over: there were more calls than steps";
        Self::with_script(steps, move |_| Step::fail(Error::new(ErrorKind::Internal, over)))
    }

    /// A provider that does the same with every call.
    pub fn repeating(step: Step) -> Self {
        Self::with_script([], move |_| step.clone())
    }

    /// A provider that does with each call what `choose` says.
    pub fn by(choose: impl Fn(&Call) -> Step + Send + Sync + 'static) -> Self {
        Self::with_script([], choose)
    }

    fn with_script(
        steps: impl IntoIterator<Item = Step>,
        then: impl Fn(&Call) -> Step + Send + Sync + 'static,
    ) -> Self {
        Self {
            stage: Stage::new(),
            script: Arc::new(Mutex::new(Script { steps: steps.into_iter().collect(), then: Arc::new(then) })),
            provider: "scripted".into(),
            model: None,
            place: None,
        }
    }

    /// The same under the name of a provider and a model. Default: `scripted`, and the model of the call.
    #[must_use]
    pub fn named(mut self, provider: impl Into<Arc<str>>, model: impl Into<Arc<str>>) -> Self {
        self.provider = provider.into();
        self.model = Some(model.into());
        self
    }

    /// Adds a step, after those that are left.
    pub fn push(&self, step: Step) {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).steps.push_back(step);
    }

    /// How many handles may be ready or in flight at once, from now on; 0 withholds readiness from all.
    pub fn set_places(&self, places: usize) {
        self.stage.places.set_limit(places);
    }

    /// How many handles are ready or in flight.
    pub fn places_taken(&self) -> usize {
        self.stage.places.taken()
    }

    /// The calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.stage.calls()
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.stage.counts()
    }

    /// Waits until the counts are so: `upstream.when(|counts| counts.in_flight == 3).await`.
    pub async fn when(&self, is_so: impl FnMut(&Counts) -> bool) -> Counts {
        self.stage.when(is_so).await
    }

    fn next_step(&self, call: &Call) -> Step {
        let then = {
            let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(step) = script.steps.pop_front() {
                return step;
            }
            script.then.clone()
        };
        then(call)
    }
}

/// A clone starts unready.
impl Clone for Scripted {
    fn clone(&self) -> Self {
        Self {
            stage: self.stage.clone(),
            script: self.script.clone(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            place: None,
        }
    }
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Service<Call> for Scripted {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.stage.poll_ready(&mut self.place, task).map(Ok)
    }

    /// # Panics
    /// When this handle was not polled ready.
    fn call(&mut self, call: Call) -> Self::Future {
        let (number, in_flight) = self.stage.begin(&call, &mut self.place);
        let step = self.next_step(&call);
        let stage = self.stage.clone();
        let model = self.model.clone().unwrap_or_else(|| call.model().into());
        let mut head = ReplyHead::new(self.provider.clone(), model).started(Instant::now());
        step.heads.iter().for_each(|change| change(&mut head));
        Box::pin(async move {
            if let Some(delay) = step.delay {
                tokio::time::sleep(delay).await;
            }
            if let Some(gate) = step.gate {
                gate.passed().await;
            }
            let reply = act(step.then, step.usage, &call, number, head, &stage).await;
            in_flight.resolved();
            reply
        })
    }
}

async fn act(
    then: Then,
    usage: Option<Usage>,
    call: &Call,
    number: usize,
    head: ReplyHead,
    stage: &Arc<Stage<Call>>,
) -> Result<Reply, Error> {
    let pieces = match then {
        Then::Hang => std::future::pending().await,
        Then::Fail(error) => return Err(placed(error, &head)),
        Then::Stream(pieces) => pieces,
        Then::Text(text) => {
            let usage = usage.unwrap_or_else(|| words(call.request(), &text));
            if !call.is_stream() {
                return Ok(Reply::whole(head.clone(), whole(text, usage, number, &head)));
            }
            let mut pieces = vec![Piece::Role];
            pieces.extend(text.split_inclusive(' ').map(Piece::text));
            pieces.extend([Piece::stop(), Piece::Usage(usage)]);
            pieces
        }
        Then::Answer(answer) if call.is_stream() => replay(*answer).into_iter().map(Piece::chunk).collect(),
        Then::Answer(answer) => return Ok(Reply::whole(head, *answer)),
    };
    let stream = ScriptedStream {
        pieces: pieces.into(),
        pause: None,
        number,
        head: head.clone(),
        open: stage.open_stream(),
    };
    Reply::stream(head, stream).await
}

fn whole(text: String, usage: Usage, number: usize, head: &ReplyHead) -> ChatResponse {
    ChatResponse {
        id: id(number),
        created: CREATED,
        usage: Some(usage.into()),
        ..ChatResponse::new(&*head.model, Message::assistant(text), FinishReason::Stop)
    }
}

/// A moment in 2023.
const CREATED: u64 = 1_700_000_000;

fn id(number: usize) -> String {
    format!("scripted-{number}")
}

fn words(request: &ChatRequest, answer: &str) -> Usage {
    let count = |text: &str| text.split_whitespace().count() as u64;
    Usage::new(request.messages.iter().map(|message| count(&message.text())).sum(), count(answer))
}

/// A script's errors name the scripted provider, unless they name another.
fn placed(error: Error, head: &ReplyHead) -> Error {
    if error.provider().is_some() { error } else { error.at(head.provider.clone(), head.model.clone()) }
}

struct ScriptedStream {
    pieces: VecDeque<Piece>,
    pause: Option<BoxFuture<()>>,
    number: usize,
    head: ReplyHead,
    open: OpenStream<Call>,
}

impl ScriptedStream {
    fn end(&mut self) {
        self.pieces.clear();
        self.open.ended();
    }
}

impl Stream for ScriptedStream {
    type Item = ChunkResult;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<ChunkResult>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = &mut this.pause {
                std::task::ready!(pause.as_mut().poll(task));
                this.pause = None;
            }
            let Some(piece) = this.pieces.pop_front() else {
                this.end();
                return Poll::Ready(None);
            };
            let empty =
                || ChatChunk { created: CREATED, ..ChatChunk::empty(id(this.number), &*this.head.model) };
            match piece.into_chunk(empty) {
                Ok(chunk) => return Poll::Ready(Some(Ok(chunk.into()))),
                Err(Piece::Fail(error)) => {
                    this.end();
                    return Poll::Ready(Some(Err(placed(error, &this.head))));
                }
                Err(Piece::Wait(time)) => this.pause = Some(pause(time)),
                Err(Piece::Gate(gate)) => this.pause = Some(Box::pin(gate.passed())),
                Err(Piece::Stall) => this.pause = Some(Box::pin(std::future::pending())),
                // What is left is `Cut`.
                Err(_) => this.pieces.clear(),
            }
        }
    }
}

/// The sleep is made when it begins, so that time spent before does not count.
fn pause(time: Duration) -> BoxFuture<()> {
    Box::pin(tokio::time::sleep(time))
}

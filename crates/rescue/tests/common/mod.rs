//! A model that says one text, in whatever way a test wants, and a caller that looks at what it gets.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; a test may panic")]

use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use mainstay_provider_core::chat::{FinishReason, Role};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{
    BoxProvider, Call, ChatChunk, Chunks, End, Error, ErrorKind, Provider, Reply, Usage, Wire,
};
use mainstay_rescue::{RescueConfig, RescueLayer, RescuePolicy};
use tower::Layer;

pub(crate) const TEXT: &str = "The mainstay is the rope that holds the mast from in front of it.";

/// What a model does with one call.
#[derive(Debug, Clone)]
pub(crate) struct Says {
    pub(crate) text: String,
    pub(crate) prefill: Prefill,
    /// How many pieces come before it breaks off; `None`: all, and the end.
    pub(crate) breaks_after: Option<usize>,
    /// What breaks it off; `None`: the connection closes.
    pub(crate) error: Option<ErrorKind>,
    pub(crate) usage: Option<Usage>,
    /// How many characters a piece has.
    pub(crate) size: usize,
}

/// What a model makes of an assistant message that stands last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefill {
    /// It goes on from it.
    GoesOn,
    /// It says it again and goes on.
    Repeats,
    /// It takes it for a finished turn.
    IsDone,
    /// It refuses the request.
    Refuses,
}

pub(crate) fn says(text: &str) -> Says {
    Says {
        text: text.into(),
        prefill: Prefill::GoesOn,
        breaks_after: None,
        error: None,
        usage: None,
        size: 4,
    }
}

impl Says {
    /// Breaks off after so many pieces.
    pub(crate) fn cut(mut self, after: usize) -> Self {
        self.breaks_after = Some(after);
        self
    }

    pub(crate) fn with(mut self, error: ErrorKind) -> Self {
        self.error = Some(error);
        self
    }

    pub(crate) fn prefill(mut self, prefill: Prefill) -> Self {
        self.prefill = prefill;
        self
    }

    pub(crate) fn using(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    pub(crate) fn step(&self, call: &Call) -> Step {
        let last = call.request().messages.last();
        let prefill = last.filter(|last| last.role == Role::Assistant).map(|last| last.text().into_owned());
        let text = match (prefill, self.prefill) {
            (None, _) | (_, Prefill::Repeats) => &*self.text,
            (_, Prefill::Refuses) => {
                return Step::fail(Error::new(ErrorKind::InvalidRequest, "no prefill").with_status(400));
            }
            (_, Prefill::IsDone) => "",
            (Some(prefill), Prefill::GoesOn) => {
                self.text.strip_prefix(&*prefill).expect("it is its own text")
            }
        };
        let characters: Vec<char> = text.chars().collect();
        let texts = characters.chunks(self.size).map(|piece| Piece::text(piece.iter().collect::<String>()));
        let mut pieces: Vec<_> = [Piece::Role].into_iter().chain(texts).collect();
        match self.breaks_after {
            Some(after) if after + 1 < pieces.len() => {
                pieces.truncate(after + 1);
                pieces.extend(self.usage.map(Piece::Usage));
                pieces.push(self.error.map_or(Piece::Cut, Piece::fail_with));
            }
            _ => {
                pieces.push(Piece::stop());
                pieces.extend(self.usage.map(Piece::Usage));
            }
        }
        Step::stream(pieces)
    }
}

/// A model that says these, one per call.
pub(crate) fn model(says: impl IntoIterator<Item = Says>) -> Scripted {
    let says: Mutex<Vec<Says>> = Mutex::new(says.into_iter().collect());
    Scripted::by(move |call| {
        let mut says = says.lock().unwrap();
        if says.is_empty() {
            return Step::fail(Error::new(ErrorKind::Internal, "more calls than the test has answers for"));
        }
        says.remove(0).step(call)
    })
}

pub(crate) fn policies(policies: impl IntoIterator<Item = RescuePolicy>) -> RescueLayer {
    RescueConfig::builder().policies(policies).build().unwrap()
}

pub(crate) fn over(layer: &RescueLayer, upstream: &Scripted) -> BoxProvider {
    layer.layer(upstream.clone()).boxed()
}

/// As [`over`], with the chunks in the form in which they come from a connection: unread bytes.
pub(crate) fn over_wire(layer: &RescueLayer, upstream: &Scripted) -> BoxProvider {
    let upstream = upstream.clone();
    let unread = tower::service_fn(move |call: Call| {
        let asked = upstream.ask(call);
        async move {
            let unread = |chunk: Wire<ChatChunk>| {
                let raw = chunk.to_json();
                Wire::<ChatChunk>::plain(raw.clone())
                    .unwrap_or_else(|| Wire::with_raw(chunk.into_inner(), raw))
            };
            asked.await.map(|reply| reply.map_stream(|chunks| chunks.map(move |next| next.map(unread))))
        }
    });
    layer.layer(unread).boxed()
}

pub(crate) fn streaming() -> Call {
    let mut call = Call::ask("gpt-9", "What is a mainstay?");
    call.request_mut().stream = Some(true);
    call
}

/// What a caller got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) chunks: Vec<Wire<ChatChunk>>,
    pub(crate) error: Option<Error>,
    pub(crate) end: End,
}

impl Got {
    pub(crate) fn text(&self) -> String {
        self.chunks.iter().map(|chunk| chunk.text()).collect()
    }

    pub(crate) fn reasoning(&self) -> String {
        let deltas = self.chunks.iter().flat_map(|chunk| &chunk.choices).map(|choice| &choice.delta);
        deltas.filter_map(|delta| delta.reasoning_content.as_deref()).collect()
    }

    pub(crate) fn roles(&self) -> usize {
        let deltas = self.chunks.iter().flat_map(|chunk| &chunk.choices).map(|choice| &choice.delta);
        deltas.filter(|delta| delta.role.is_some()).count()
    }

    pub(crate) fn finish_reasons(&self) -> Vec<FinishReason> {
        let choices = self.chunks.iter().flat_map(|chunk| &chunk.choices);
        choices.filter_map(|choice| choice.finished().cloned()).collect()
    }

    /// What the last chunk tells of the rescue.
    pub(crate) fn report(&self) -> serde_json::Value {
        let told = self.chunks.iter().rev().find_map(|chunk| chunk.extra.get("mainstay"));
        told.map_or(serde_json::Value::Null, |told| told["rescue"].clone())
    }

    /// What must be so whatever happened.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        assert_eq!(self.roles(), 1, "exactly one role: {:?}", self.chunks);
        let mut ids: Vec<_> =
            self.chunks.iter().map(|chunk| (&chunk.id, &chunk.model, chunk.created)).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "one id and model: {ids:?}");
        let finished = self.finish_reasons().len();
        assert_eq!((finished, self.error.is_some()), if finished == 1 { (1, false) } else { (0, true) });
        assert_eq!(self.end.is_complete(), self.error.is_none());
    }

    /// The answer is all there, and nobody can tell that it came in parts.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        assert!(self.error.is_none(), "{:?} {}", self.error, self.error.as_ref().unwrap().message());
        self.assert_sound();
        assert_eq!(self.text(), TEXT);
        assert_eq!(self.finish_reasons(), [FinishReason::Stop]);
    }
}

/// Asks and reads to the end.
pub(crate) async fn read(provider: &impl Provider, call: Call) -> Got {
    let reply = provider.ask(call).await.unwrap();
    read_reply(reply).await
}

pub(crate) async fn read_reply(reply: Reply) -> Got {
    let end = Arc::new(Mutex::new(Vec::new()));
    let ends = end.clone();
    let mut stream: Chunks = reply.on_end(move |end| ends.lock().unwrap().push(end.clone())).into_stream();
    let (mut chunks, mut error) = (Vec::new(), None);
    while let Some(next) = stream.next().await {
        assert!(error.is_none(), "something comes after an error");
        match next {
            Ok(chunk) => chunks.push(chunk),
            Err(failed) => error = Some(failed),
        }
    }
    assert!(stream.next().await.is_none(), "something comes after the end");
    let mut ends = end.lock().unwrap();
    assert_eq!(ends.len(), 1, "the end is seen once");
    Got { chunks, error, end: ends.remove(0) }
}

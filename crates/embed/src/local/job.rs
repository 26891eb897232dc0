//! A call in passes: short texts together, a long one alone, so that no call keeps a thread for long.

use std::sync::Arc;

use mainstay_provider_core::{EmbedRequest, Error, ErrorKind};

use super::Model;
use crate::batch::Batch;

/// The texts of one call, and how far they are.
pub(super) struct Job {
    request: Arc<EmbedRequest>,
    next: usize,
    /// The next text, when it was read and did not fit into the pass.
    read: Option<Vec<u32>>,
    vectors: Vec<Vec<f32>>,
    tokens: u64,
}

impl Job {
    pub(super) fn new(request: Arc<EmbedRequest>) -> Self {
        let vectors = Vec::with_capacity(request.input.len());
        Self { request, next: 0, read: None, vectors, tokens: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.vectors.len() >= self.texts().len()
    }

    /// Computes as many texts as fit into one pass, at least one.
    pub(super) fn pass(&mut self, model: &Model) -> Result<(), Error> {
        let mut batch = Batch::default();
        while let Some(tokens) = self.next_text(model)? {
            if batch.len() > 0 && batch.tokens() + tokens.len() > TOKENS_PER_PASS {
                self.read = Some(tokens);
                break;
            }
            batch.push(&tokens);
        }
        if batch.len() > 0 {
            self.vectors.extend(model.vectors(&batch)?);
            self.tokens += batch.tokens() as u64;
        }
        Ok(())
    }

    /// The vectors, and how many tokens they took.
    pub(super) fn into_vectors(self) -> (Vec<Vec<f32>>, u64) {
        (self.vectors, self.tokens)
    }

    fn next_text(&mut self, model: &Model) -> Result<Option<Vec<u32>>, Error> {
        if let Some(tokens) = self.read.take() {
            return Ok(Some(tokens));
        }
        let Some(text) = self.request.input.texts().and_then(|texts| texts.get(self.next)) else {
            return Ok(None);
        };
        let tokens = model.tokens.of(text).map_err(|error| {
            model.error(ErrorKind::InvalidRequest, "the tokenizer refused a text").with_source(error)
        })?;
        self.next += 1;
        Ok(Some(tokens))
    }

    fn texts(&self) -> &[String] {
        self.request.input.texts().unwrap_or_default()
    }
}

/// Enough rows that the weights are read once for many of them, few enough that a short query of another call does not
/// wait long.
const TOKENS_PER_PASS: usize = 128;

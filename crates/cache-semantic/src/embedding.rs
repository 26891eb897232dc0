//! Questions to vectors.

use std::sync::Arc;

use mainstay_provider_core::{BoxEmbedder, EmbedCall, EmbedRequest, Embedder, Error, ErrorKind, Namespace};

/// What makes vectors of questions, with the name that their partition bears.
#[derive(Debug, Clone)]
pub struct Embedding {
    embedder: BoxEmbedder,
    model: Arc<str>,
    identity: Arc<str>,
}

impl Embedding {
    /// Vectors by this embedder. `identity` names the model as exactly as can be: its revision, dimensions, quantisation and
    /// pooling. Vectors of two identities are never compared.
    pub fn new(embedder: impl Embedder, identity: impl Into<Arc<str>>) -> Self {
        Self { embedder: embedder.boxed_embedder(), model: Arc::default(), identity: identity.into() }
    }

    /// The same, for an embedder that has several models: this one is asked. Without it no model is named.
    #[must_use]
    pub fn model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.model = model.into();
        self
    }

    /// What names its vectors.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The vector of a text, of length 1.
    ///
    /// # Errors
    /// Those of the embedder, and one for an answer that is no vector.
    ///
    /// # Cancellation
    /// Dropping the future cancels the call.
    pub async fn embed(&self, text: &str) -> Result<Arc<[f32]>, Error> {
        self.embed_for(&Namespace::default(), text).await
    }

    /// The same for a tenant: an embedder that keeps vectors, or computes the same text once for all who wait for it, does
    /// so within the namespace.
    ///
    /// # Errors
    /// As [`Embedding::embed`].
    ///
    /// # Cancellation
    /// As [`Embedding::embed`].
    pub async fn embed_for(&self, namespace: &Namespace, text: &str) -> Result<Arc<[f32]>, Error> {
        self.ask(namespace, vec![text.to_owned()]).await?.pop().ok_or_else(no_vector)
    }

    /// The vectors of many texts, in their order, asked for 32 at a time.
    ///
    /// # Errors
    /// As [`Embedding::embed`]; the first ends it.
    pub async fn embed_all<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Arc<[f32]>>, Error> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(32) {
            let asked = batch.iter().map(|text| text.as_ref().to_owned()).collect();
            let answered = self.ask(&Namespace::default(), asked).await?;
            if answered.len() != batch.len() {
                return Err(no_vector());
            }
            vectors.extend(answered);
        }
        Ok(vectors)
    }

    async fn ask(&self, namespace: &Namespace, texts: Vec<String>) -> Result<Vec<Arc<[f32]>>, Error> {
        let mut call = EmbedCall::new(EmbedRequest::new(&*self.model, texts));
        call.context.data_mut().namespace = namespace.clone();
        let reply = self.embedder.embed(call).await?;
        reply.vectors.into_iter().map(|vector| unit(vector).ok_or_else(no_vector)).collect()
    }
}

/// The vector at length 1; `None` when it has no direction.
fn unit(mut vector: Vec<f32>) -> Option<Arc<[f32]>> {
    let length = vector.iter().map(|part| part * part).sum::<f32>().sqrt();
    // A vector of nothing but zeros, or one with an infinite part, would be near to everything or to nothing.
    if !length.is_finite() || length < 1e-6 {
        return None;
    }
    // Already of that length but for rounding: dividing again would only change the last digits.
    if (length - 1.0).abs() > 1e-6 {
        vector.iter_mut().for_each(|part| *part /= length);
    }
    Some(vector.into())
}

fn no_vector() -> Error {
    Error::new(ErrorKind::MalformedResponse, "the embedder gave no vector that could be compared")
}

/// How near two vectors of length 1 are.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    // Sixteen sums at once are what the compiler can keep in its wide registers.
    const LANES: usize = 16;
    if a.len() != b.len() {
        return -1.0;
    }
    let mut sums = [0.0_f32; LANES];
    let (a_wide, b_wide) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_wide.remainder().iter().zip(b_wide.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_wide.zip(b_wide) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_without_direction_is_none() {
        assert_eq!(unit(vec![0.0; 8]), None);
        assert_eq!(unit(vec![f32::NAN, 1.0]), None);
        assert_eq!(unit(vec![f32::INFINITY, 1.0]), None);
        assert_eq!(unit(vec![3.0, 4.0]).as_deref(), Some(&[0.6, 0.8][..]));
    }

    #[test]
    fn vectors_of_other_lengths_are_far() {
        assert_eq!(cosine(&[1.0], &[1.0, 0.0]), -1.0);
        let vector: Vec<f32> = (0..37_u8).map(f32::from).collect();
        let length = vector.iter().map(|part| part * part).sum::<f32>();
        assert!((cosine(&vector, &vector) / length - 1.0).abs() < 1e-5);
    }
}

//! A second opinion on whether two questions are the same.

use mainstay_provider_core::BoxFuture;

/// Says whether the answer to one question does for another: a cross-encoder, a cheap model, rules of your own.
///
/// It is asked only when a candidate has survived all guards and lies less than
/// [`unsure`](crate::SemanticConfig::unsure) above the threshold. It may only deny: an error, or no word in time, is a miss.
pub trait Verifier: Send + Sync + 'static {
    /// Whether `stored`'s answer does for `asked`; `None` when it cannot say.
    fn is_same(&self, asked: &str, stored: &str) -> BoxFuture<Option<bool>>;
}

/// Any function from two questions to a future.
impl<F, T> Verifier for F
where
    F: Fn(&str, &str) -> T + Send + Sync + 'static,
    T: Future<Output = Option<bool>> + Send + 'static,
{
    fn is_same(&self, asked: &str, stored: &str) -> BoxFuture<Option<bool>> {
        Box::pin(self(asked, stored))
    }
}

/// Says whether two answers say the same: what labels a pair of questions, after the fact.
pub trait Judge: Send + Sync + 'static {
    /// Whether both answers say the same to `question`; `None` when it cannot say.
    fn is_same(&self, question: &str, one: &str, other: &str) -> BoxFuture<Option<bool>>;
}

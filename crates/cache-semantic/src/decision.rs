//! What was decided, and by what.

use std::fmt;
use std::time::Duration;

use mainstay_provider_core::{CacheStatus, Decided};

use crate::eligible::Skip;
use crate::guard::{Asked, Difference};
use crate::store::{EntryId, Neighbour};

/// What the cache decided for one call, for records and logs. Carries no text.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Decision {
    /// Whether the cache answers.
    pub is_hit: bool,
    /// What decided.
    pub by: By,
    /// How near the question was that decided it: cosine similarity.
    pub score: Option<f32>,
    /// How much of that the guards took off.
    pub doubt: f32,
    /// How near it had to be.
    pub threshold: Option<f32>,
    /// How old the entry is.
    pub age: Option<Duration>,
    /// The entry.
    pub entry: Option<EntryId>,
}

/// What decided a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// Hit: the very text was asked before.
    ExactText,
    /// Hit: nearer than the threshold, and nothing against it.
    Nearness,
    /// Hit: the same, with the threshold that evidence allows for the wanted share of wrong hits.
    Calibrated,
    /// Hit: the verifier said that it is the same question.
    Verifier,
    /// Not looked at.
    Skip(Skip),
    /// Miss: only exact texts of such a question are looked for.
    NotEmbedded,
    /// Miss: no threshold is safe, so only exact texts are served.
    ExactOnly,
    /// Miss: nothing is near.
    Threshold,
    /// Miss: a guard's veto.
    Guard(Difference),
    /// Miss: near enough, but not for this difference.
    Doubt(Difference),
    /// Miss: near enough, but not for this entry, which was wrong once.
    Tightened,
    /// Miss: the verifier said no.
    Denied,
    /// Miss: the verifier said nothing in time, or failed.
    Unverified,
    /// Miss: the embedder said nothing in time, or failed.
    Embedder,
    /// Miss: the store said nothing in time, failed, or had lost the answer.
    Store,
}

impl By {
    /// Whether the cache answers.
    pub fn is_hit(self) -> bool {
        matches!(self, Self::ExactText | Self::Nearness | Self::Calibrated | Self::Verifier)
    }

    /// Its name in records, events and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExactText => "exact_text",
            Self::Nearness => "nearness",
            Self::Calibrated => "calibrated",
            Self::Verifier => "verifier",
            Self::Skip(skip) => skip.as_str(),
            Self::NotEmbedded => "not_embedded",
            Self::ExactOnly => "exact_only",
            Self::Threshold => "threshold",
            Self::Guard(difference) | Self::Doubt(difference) => difference.as_str(),
            Self::Tightened => "tightened",
            Self::Denied => "denied",
            Self::Unverified => "unverified",
            Self::Embedder => "embedder",
            Self::Store => "store",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guard(difference) => write!(f, "guard:{difference}"),
            Self::Doubt(difference) => write!(f, "doubt:{difference}"),
            Self::Skip(skip) => write!(f, "skip:{skip}"),
            by => f.write_str(by.as_str()),
        }
    }
}

impl Decision {
    pub(crate) fn miss(by: By) -> Self {
        Self { is_hit: false, by, score: None, doubt: 0.0, threshold: None, age: None, entry: None }
    }

    pub(crate) fn exact(neighbour: &Neighbour) -> Self {
        Self {
            is_hit: true,
            by: By::ExactText,
            score: Some(1.0),
            doubt: 0.0,
            threshold: None,
            age: Some(neighbour.age),
            entry: Some(neighbour.id),
        }
    }

    /// Nearness less doubt: what is compared with the threshold.
    pub fn worth(&self) -> Option<f32> {
        self.score.map(|score| score - self.doubt)
    }

    /// What a reply says of it.
    pub(crate) fn status(&self) -> CacheStatus {
        let score = self.score.unwrap_or(1.0).min(1.0);
        let hit = |decided| CacheStatus::SemanticHit { age: self.age.unwrap_or_default(), score, decided };
        match self.by {
            By::ExactText => hit(Decided::ExactText),
            By::Nearness => hit(Decided::Threshold),
            By::Calibrated => hit(Decided::Calibrated),
            By::Verifier => hit(Decided::Verifier),
            By::Guard(_) | By::Doubt(_) | By::Tightened | By::Denied | By::Unverified => {
                CacheStatus::Vetoed { score, by: self.by.as_str() }
            }
            _ => CacheStatus::Miss,
        }
    }

    #[must_use]
    pub(crate) fn but(mut self, by: By) -> Self {
        self.is_hit = by.is_hit();
        self.by = by;
        self
    }
}

/// Decides among the nearest questions, nearest first: the first that nothing speaks against. Where there is none, the
/// nearest one says why.
pub(crate) fn choose(asked: &Asked, neighbours: &[Neighbour], threshold: f32) -> Decision {
    let mut nearest = None;
    for neighbour in neighbours {
        let decision = judge(asked, neighbour, threshold);
        if decision.is_hit {
            return decision;
        }
        nearest.get_or_insert(decision);
        // None of those behind it is nearer.
        if neighbour.score < threshold {
            break;
        }
    }
    nearest.unwrap_or(Decision { threshold: Some(threshold), ..Decision::miss(By::Threshold) })
}

fn judge(asked: &Asked, neighbour: &Neighbour, threshold: f32) -> Decision {
    let decision = Decision {
        is_hit: false,
        by: By::Threshold,
        score: Some(neighbour.score),
        doubt: 0.0,
        threshold: Some(threshold),
        age: Some(neighbour.age),
        entry: Some(neighbour.id),
    };
    // A vector that is not of length 1, or not a number, is no evidence.
    if neighbour.score.is_nan() || neighbour.score < threshold || neighbour.score > 1.001 {
        return decision;
    }
    let verdict = asked.compare(&neighbour.text);
    if let Some(difference) = verdict.veto {
        return decision.but(By::Guard(difference));
    }
    let decision = Decision { doubt: verdict.doubt, ..decision };
    let worth = neighbour.score - verdict.doubt;
    if worth < threshold {
        return decision.but(verdict.because.map_or(By::Threshold, By::Doubt));
    }
    // A sum of products may come out a little above 1: that is no nearer than 1, which an entry for its own text only has.
    if neighbour.tightened.is_some_and(|above| neighbour.score.min(1.0) <= above) {
        return decision.but(By::Tightened);
    }
    decision.but(By::Nearness)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Guards;

    // S11.3
    #[test]
    fn an_entry_for_its_own_text_only_is_given_to_no_other_text_however_near() {
        let asked = Asked::new("How do I reset my password?", Guards::Standard);
        for score in [1.0, 1.0 + f32::EPSILON, 1.000_5] {
            let mut neighbour = Neighbour {
                id: EntryId(1),
                score,
                text: "How can I reset my password?".into(),
                age: Duration::ZERO,
                tightened: None,
            };
            assert_eq!(choose(&asked, std::slice::from_ref(&neighbour), 0.95).by, By::Nearness);
            neighbour.tightened = Some(1.0);
            assert_eq!(choose(&asked, &[neighbour], 0.95).by, By::Tightened, "{score}");
        }
    }
}

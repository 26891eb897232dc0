//! What the answers of the provider teach: whether the nearest entry would have done, whether a hit was right.

use std::sync::atomic::Ordering;

use mainstay_provider_core::{Event, Recording, Severity};

use crate::cache::{Looked, Shared};
use crate::decision::Decision;
use crate::guard::Asked;
use crate::labels::{Change, Entry, Label};
use crate::partition::Partition;

impl Shared {
    /// Learns from a miss: whether the nearest entry's answer would have done.
    pub(crate) async fn learn_from_miss(&self, looked: &Looked, fresh: &Recording) {
        let (Some(_), Some(nearest)) = (&self.labels, &looked.nearest) else { return };
        if nearest.text == looked.question.text {
            return;
        }
        let verdict = Asked::new(&looked.question.text, self.config.guards).compare(&nearest.text);
        let worth = nearest.score - verdict.doubt;
        // What a guard vetoes is not served at any threshold, and what is far teaches nothing.
        if verdict.veto.is_some() || worth < 0.70 {
            return;
        }
        let Some(kept) = self.store.ask(|store| store.fetch(&looked.partition, nearest.id)).await.flatten()
        else {
            return;
        };
        let is_same = self.judge.is_same(&looked.question.text, &text_of(&kept), &text_of(fresh)).await;
        let Some(is_same) = is_same else { return };
        // Served but for the fall back to exact texts: the evidence that leads out of it.
        let was_hit = worth >= self.config.threshold;
        self.learn(&looked.partition, Label { entry: nearest.id, worth, is_same, was_hit }, None).await;
    }

    /// Learns from a hit that was asked again.
    pub(crate) async fn learn_from_hit(
        &self,
        looked: &Looked,
        decision: &Decision,
        kept: &Recording,
        fresh: &Recording,
    ) {
        let (Some(entry), Some(worth), Some(score)) = (decision.entry, decision.worth(), decision.score)
        else {
            return;
        };
        let is_same = self.judge.is_same(&looked.question.text, &text_of(kept), &text_of(fresh)).await;
        let Some(is_same) = is_same else { return };
        self.counters.rechecked.fetch_add(1, Ordering::Relaxed);
        self.learn(&looked.partition, Label { entry, worth, is_same, was_hit: true }, Some(score)).await;
    }

    async fn learn(&self, partition: &Partition, label: Label, served_at: Option<f32>) {
        let (change, fate) = match &self.labels {
            Some(labels) => labels.add(&partition.digest, label),
            None if label.is_same => (Change::None, Entry::Keep),
            None => (Change::None, Entry::Tighten),
        };
        if let Some(score) = served_at
            && !label.is_same
        {
            self.counters.confirmed_wrong.fetch_add(1, Ordering::Relaxed);
            let above = if fate == Entry::ExactOnly { 1.0 } else { score };
            self.store.ask(|store| store.tighten(partition, label.entry, above)).await;
            self.events.send(|| {
                Event::new("semantic.wrong_hit", Severity::Warning)
                    .with("namespace", partition.namespace.as_str().to_owned())
                    .with("score", format!("{score:.4}"))
            });
        }
        match change {
            Change::None => {}
            Change::Threshold(threshold) => self.events.send(|| {
                Event::new("semantic.threshold", Severity::Info)
                    .with("namespace", partition.namespace.as_str().to_owned())
                    .with("threshold", format!("{threshold:.2}"))
            }),
            Change::ExactOnly => self.events.send(|| {
                Event::new("semantic.exact_only", Severity::Alert)
                    .with("namespace", partition.namespace.as_str().to_owned())
                    .with("reason", "no safe threshold: exact only")
            }),
        }
    }
}

fn text_of(recording: &Recording) -> String {
    recording.whole().text().into_owned()
}

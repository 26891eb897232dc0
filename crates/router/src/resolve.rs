//! Model strings that are no model's name.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::config::Deployment;
use crate::group::Group;

/// Knows deployments for model strings that no configured model has: `openai/gpt-4o-mini`, or a model of a default
/// provider.
///
/// A function is one, without a [hint](ResolveModel::hint).
pub trait ResolveModel: Send + Sync {
    /// A deployment for `model`, made on the fly; `None` when it is not known. It is asked once for each model string,
    /// and again when the string was forgotten: 1,024 are kept.
    fn resolve(&self, model: &str) -> Option<Deployment>;

    /// What a caller may write besides the names of models, for the error about an unknown one:
    /// `write provider/model with one of these providers: openai`. Nothing when not implemented.
    fn hint(&self) -> String {
        String::new()
    }
}

impl<F: Fn(&str) -> Option<Deployment> + Send + Sync> ResolveModel for F {
    fn resolve(&self, model: &str) -> Option<Deployment> {
        self(model)
    }
}

/// What was resolved, by model string. Strings come from callers, so their number is bounded.
pub(crate) struct Resolved {
    resolver: Arc<dyn ResolveModel>,
    groups: RwLock<HashMap<String, Known>>,
    uses: AtomicU64,
}

struct Known {
    group: Arc<Group>,
    last_use: AtomicU64,
}

impl Resolved {
    pub(crate) fn new(resolver: Arc<dyn ResolveModel>) -> Self {
        Self { resolver, groups: RwLock::default(), uses: AtomicU64::new(0) }
    }

    /// The group of a model string; `make` makes it of what the resolver knows.
    pub(crate) fn find(
        &self,
        model: &str,
        make: impl FnOnce(&dyn ResolveModel) -> Option<Group>,
    ) -> Option<Arc<Group>> {
        let now = self.uses.fetch_add(1, Ordering::Relaxed);
        if let Some(known) = self.groups.read().unwrap_or_else(PoisonError::into_inner).get(model) {
            known.last_use.store(now, Ordering::Relaxed);
            return Some(known.group.clone());
        }
        let group = Arc::new(make(&*self.resolver)?);
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= MOST {
            let oldest = groups.iter().min_by_key(|(_, known)| known.last_use.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(model, _)| model.clone()) {
                groups.remove(&oldest);
            }
        }
        // Another call may have been quicker: then its group is the one.
        let known = groups.entry(model.to_owned());
        let known = known.or_insert_with(|| Known { group, last_use: AtomicU64::new(now) });
        Some(known.group.clone())
    }

    pub(crate) fn hint(&self) -> String {
        self.resolver.hint()
    }
}

const MOST: usize = 1_024;

//! The models that a call may go to, the one asked for first.

use std::sync::Arc;

use crate::group::{Group, Member};
use crate::past::Past;

/// The groups that a call may go to, in their order.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    /// The model asked for; `None` when it is out, because a filter refused.
    asked: Option<&'a Arc<Group>>,
    others: &'a [usize],
    groups: &'a [Arc<Group>],
    pub(crate) kind: Kind,
}

/// Why the route is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Usual,
    /// The prompt is too long: only larger windows help. `beyond` is the largest that was too small, if it is known.
    Longer {
        beyond: Option<u64>,
    },
    /// The prompt was shortened to fit into `least`, if that is known: what is smaller would find it too long again.
    Shortened {
        least: Option<u64>,
    },
    /// A filter refused: only models that are named for that are asked.
    OtherPolicy,
}

impl<'a> Route<'a> {
    pub(crate) fn new(asked: &'a Arc<Group>, groups: &'a [Arc<Group>], past: Past<'_>) -> Self {
        if past.is_empty() {
            return Self { asked: Some(asked), others: &asked.fallbacks, groups, kind: Kind::Usual };
        }
        if past.is_filtered() {
            let others = not_refused(asked, groups, past);
            return Self { asked: None, others, groups, kind: Kind::OtherPolicy };
        }
        let usual = Self { asked: Some(asked), others: &asked.fallbacks, groups, kind: Kind::Usual };
        let all = Self { others: &asked.longer_and_usual, ..usual };
        let window = |name: &str| {
            let mut members = all.groups().flat_map(|(_, group)| &group.members);
            members.find(|member| *member.name == *name).and_then(|member| member.context_window)
        };
        if let Some(beyond) = past.too_short().map(window).reduce(Option::max) {
            return Self { others: &asked.longer, kind: Kind::Longer { beyond }, ..usual };
        }
        match past.shortened_for() {
            Some(name) => Self { kind: Kind::Shortened { least: window(name) }, ..all },
            None => usual,
        }
    }

    /// The deployments of one model and no others.
    pub(crate) fn only(asked: &'a Arc<Group>) -> Self {
        Self { asked: Some(asked), others: &[], groups: &[], kind: Kind::Usual }
    }

    /// The groups, each with its place.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (usize, &'a Arc<Group>)> + use<'a> {
        let groups = self.groups;
        let others = self.others.iter().map(move |at| &groups[*at]);
        let first = usize::from(self.asked.is_none());
        self.asked.into_iter().chain(others).enumerate().map(move |(place, group)| (place + first, group))
    }

    /// The place of a group; 0 is the model asked for.
    pub(crate) fn place(&self, group: &Arc<Group>) -> usize {
        self.groups().find(|(_, other)| Arc::ptr_eq(other, group)).map_or(0, |(place, _)| place)
    }

    /// Whether the window of a member is large enough, as far as is known.
    pub(crate) fn has_room(&self, place: usize, member: &Member) -> bool {
        match (self.kind, member.context_window) {
            (Kind::Longer { beyond: Some(beyond) }, Some(window)) => window > beyond,
            // A model that is named for long prompts is believed; a peer has to be known to be larger.
            (Kind::Longer { .. }, _) => place > 0,
            (Kind::Shortened { least: Some(least) }, Some(window)) => window >= least,
            _ => true,
        }
    }
}

/// The models named for what a filter refuses, from after the last whose own filter refused: the peers of a deployment are
/// not asked what it refused.
fn not_refused<'a>(asked: &'a Group, groups: &[Arc<Group>], past: Past<'_>) -> &'a [usize] {
    let refused = |member: &Member| {
        let is_of_asked = || asked.members.iter().any(|other| other.name == member.name);
        past.has_filtered(&member.name) && !is_of_asked()
    };
    let last = asked.other_policy.iter().rposition(|at| groups[*at].members.iter().any(refused));
    &asked.other_policy[last.map_or(0, |last| last + 1)..]
}

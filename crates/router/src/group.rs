//! A logical model as the router holds it.

use std::ops::Range;
use std::sync::Arc;

use mainstay_provider_core::{
    Availability, BoxEmbedder, BoxProvider, ErrorKind, ReportAvailability, ReportHeadroom,
};
use tokio::time::Instant;

use crate::candidate::Candidate;
use crate::config::{Deployment, Price};
use crate::hedge::Pace;
use crate::load::{Estimate, Lane, Load, Tick};
use crate::session::{Sessions, hash_name};
use crate::strategy::Strategy;

/// The deployments of a model, and where its calls go when they fail.
pub(crate) struct Group {
    pub(crate) name: Arc<str>,
    /// In the order of their tiers.
    pub(crate) members: Vec<Member>,
    pub(crate) tiers: Vec<Range<usize>>,
    pub(crate) strategy: Arc<dyn Strategy>,
    /// Who served which session, if the strategy wants to know.
    pub(crate) sessions: Option<Sessions>,
    /// When a call is hedged, if ever.
    pub(crate) pace: Option<Pace>,
    /// Indices of other groups.
    pub(crate) fallbacks: Vec<usize>,
    /// Those for prompts that are too long.
    pub(crate) longer: Vec<usize>,
    /// Those for prompts that are too long, and then the usual ones.
    pub(crate) longer_and_usual: Vec<usize>,
    /// Those for what a filter refuses.
    pub(crate) other_policy: Vec<usize>,
    /// Whether this group or one of its fallbacks looks at sessions.
    pub(crate) needs_session: bool,
    /// The most members that this group or one of its fallbacks has.
    pub(crate) widest: usize,
}

/// A deployment in its place.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    /// What requests are sent with.
    pub(crate) model: Arc<str>,
    pub(crate) provider: Option<BoxProvider>,
    pub(crate) embedder: Option<BoxEmbedder>,
    pub(crate) weight: f32,
    pub(crate) order: u32,
    availability: Option<Arc<dyn ReportAvailability>>,
    headroom: Option<Arc<dyn ReportHeadroom>>,
    pub(crate) prefill: bool,
    pub(crate) context_window: Option<u64>,
    pub(crate) price: Option<Price>,
    pub(crate) load: Arc<Load>,
    name_hash: u64,
}

impl Group {
    pub(crate) fn new(name: Arc<str>, mut members: Vec<Member>, strategy: Arc<dyn Strategy>) -> Self {
        // Stable: within a tier they stay as they were configured.
        members.sort_by_key(|member| member.order);
        let mut tiers: Vec<Range<usize>> = Vec::new();
        for (index, member) in members.iter().enumerate() {
            match tiers.last_mut() {
                Some(tier) if members[tier.start].order == member.order => tier.end = index + 1,
                _ => tiers.push(index..index + 1),
            }
        }
        let widest = members.len();
        Self {
            name,
            members,
            tiers,
            strategy,
            sessions: None,
            pace: None,
            fallbacks: Vec::new(),
            longer: Vec::new(),
            longer_and_usual: Vec::new(),
            other_policy: Vec::new(),
            needs_session: false,
            widest,
        }
    }
}

impl Member {
    pub(crate) fn new(deployment: Deployment, load: Arc<Load>) -> Self {
        let name_hash = hash_name(&deployment.name);
        let model = deployment.model.unwrap_or_else(|| {
            deployment.name.split_once('/').map_or(&*deployment.name, |(_, model)| model).into()
        });
        Self {
            name: deployment.name,
            model,
            provider: deployment.provider,
            embedder: deployment.embedder,
            // A weight beyond 32 bits of precision says nothing more.
            weight: (deployment.weight as f32).clamp(f32::MIN_POSITIVE, f32::MAX),
            order: deployment.order,
            availability: deployment.availability,
            headroom: deployment.headroom,
            prefill: deployment.prefill,
            context_window: deployment.context_window,
            price: deployment.price,
            load,
            name_hash,
        }
    }

    pub(crate) fn takes(&self, lane: Lane) -> bool {
        match lane {
            Lane::Stream | Lane::Whole => self.provider.is_some(),
            Lane::Embed => self.embedder.is_some(),
        }
    }

    pub(crate) fn availability(&self, now: Instant) -> Availability {
        self.availability.as_ref().map_or(Availability::Ready, |report| report.availability(now))
    }

    pub(crate) fn account_error(&self) -> Option<ErrorKind> {
        self.availability.as_ref().and_then(|report| report.account_error())
    }

    pub(crate) fn reports_availability(&self) -> bool {
        self.availability.is_some()
    }

    pub(crate) fn headroom(&self, now: Instant) -> f32 {
        let left = self.headroom.as_ref().map_or(1.0, |report| report.headroom(now));
        if left.is_nan() { 1.0 } else { left.clamp(0.0, 1.0) }
    }

    /// As a strategy sees it, but for what depends on the others.
    pub(crate) fn candidate(
        &self,
        index: usize,
        lane: Lane,
        first_token: Estimate,
        headroom: f32,
        now: Tick,
    ) -> Candidate<'_> {
        Candidate {
            deployment: &self.name,
            weight: self.weight,
            in_flight: self.load.in_flight(),
            waiting: self.load.waiting(lane),
            first_token: first_token.seconds.unwrap_or(f32::NAN),
            failing: self.load.failing(now),
            headroom,
            recent: 0.0,
            price: self.price,
            context_window: self.context_window,
            index,
            name_hash: self.name_hash,
            is_fresh: first_token.is_fresh,
        }
    }
}

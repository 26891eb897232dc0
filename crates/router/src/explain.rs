//! Why a call would go where it would go.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use mainstay_provider_core::{Availability, Call, Error};
use tokio::time::Instant;

use crate::candidate::{Candidate, Chance, Choice};
use crate::group::{Group, Member};
use crate::hedge::is_well;
use crate::past::{Past, Standing as InCall};
use crate::route::{Kind, Route};
use crate::service::{Router, with_room};
use crate::survey::{LeftOut, Survey, Wanted};

/// Why a call would go where it would go, at this moment. Nothing is sent for it and nothing is changed.
///
/// `Display` is for a terminal; with the feature `serde` it is `Serialize`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// The model asked for.
    pub model: String,
    /// The deployment that would take the call. With a strategy that leaves something to chance, one that could.
    pub chosen: Option<String>,
    /// Where the call would go if each deployment failed, in this order.
    pub then: Vec<String>,
    /// The models and their tiers, the one asked for first.
    pub tiers: Vec<Tier>,
    /// Why it would be refused, if nobody takes it.
    pub refusal: Option<String>,
    /// After how many milliseconds without a first token a second deployment would be asked.
    pub hedged_after_ms: Option<u64>,
}

/// Deployments that stand in for each other.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Tier {
    /// The model.
    pub model: String,
    /// What it is to the model asked for.
    pub relation: Relation,
    /// The tier within the model.
    pub order: u32,
    /// The strategy that chooses.
    pub strategy: String,
    /// The deployments.
    pub deployments: Vec<Considered>,
}

/// What a model is to the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Relation {
    /// It is the one.
    Asked,
    /// One of its fallbacks.
    Fallback,
    /// One of those for prompts that are too long.
    ContextWindowFallback,
    /// One of those for what a filter refuses.
    ContentPolicyFallback,
}

/// A deployment in an [`Explanation`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Considered {
    /// Its name.
    pub deployment: String,
    /// What becomes of it.
    pub standing: Standing,
    /// How good the strategy finds it: lower is better. Only where it has a choice.
    pub score: Option<f64>,
    /// Its share of the traffic.
    pub weight: f32,
    /// Calls under way.
    pub in_flight: u32,
    /// The expected time to the first token, in milliseconds; `None` before the first answer.
    pub first_token_ms: Option<f32>,
    /// The share of its last calls that failed, 0 to 1.
    pub failing: f32,
    /// What is left of its rate limits, 0 to 1.
    pub headroom: f32,
}

/// What becomes of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Standing {
    /// It takes the call.
    Chosen,
    /// It could have been chosen.
    Candidate,
    /// It is asked only when those before it are not.
    InReserve,
    /// It is left out, for this reason.
    LeftOut(String),
}

impl Router {
    /// Why `call` would go where it would go.
    ///
    /// # Errors
    /// [`ErrorKind::ModelNotFound`](mainstay_provider_core::ErrorKind::ModelNotFound), as for the call itself.
    pub fn explain(&self, call: &Call) -> Result<Explanation, Error> {
        let shared = &self.0;
        let trip = shared.trip(shared.find(call.model())?, call);
        let errors = call.context().attempts.errors();
        let survey = shared.survey(&trip, Past::new(&errors), true, Instant::now());
        Ok(with_room(trip.asked.widest, |room| explain(&survey, &trip.asked, room)))
    }
}

fn explain<'a>(survey: &Survey<'a>, asked: &Arc<Group>, room: &mut [Candidate<'a>]) -> Explanation {
    // The same chance each time: two explanations of the same state are the same.
    let chance = || Chance::seeded(0);
    let seat = survey.pick(room, &mut chance());
    let chosen = seat.map(|seat| seat.group.members[seat.index].name.clone());
    let tiers = survey
        .route
        .groups()
        .flat_map(|(place, group)| {
            group.tiers.iter().map(move |tier| (place, group, tier.clone())).collect::<Vec<_>>()
        })
        .map(|(place, group, tier)| {
            let deployments = &group.members[tier.clone()];
            let scored = scores(survey, place, group, tier);
            let is_the_tier =
                deployments.iter().any(|member| chosen.as_ref().is_some_and(|name| *name == member.name));
            Tier {
                model: group.name.to_string(),
                relation: relation(place, &survey.route, asked),
                order: deployments.first().map_or(1, |member| member.order),
                strategy: group.strategy.name().to_owned(),
                deployments: deployments
                    .iter()
                    .zip(scored)
                    .map(|(member, score)| {
                        let standing = standing(survey, place, member, chosen.as_deref(), is_the_tier);
                        considered(survey, member, standing, score.filter(|_| is_the_tier))
                    })
                    .collect(),
            }
        })
        .collect();
    let refusal =
        chosen.is_none().then(|| crate::failure::nobody(survey, &asked.name, &[]).message().to_owned());
    Explanation {
        model: asked.name.to_string(),
        then: then(survey, chosen.as_deref()),
        chosen: chosen.map(|name| name.to_string()),
        tiers,
        refusal,
        hedged_after_ms: hedged_after(survey, asked),
    }
}

/// What the strategy thinks of the members of one tier; `None` for one that it is not given.
fn scores(survey: &Survey<'_>, place: usize, group: &Group, tier: Range<usize>) -> Vec<Option<f64>> {
    let mut room = vec![Candidate::EMPTY; tier.len()];
    let able = tier.clone().filter(|index| reason(survey, place, &group.members[*index]).is_none());
    let count = survey.line_up(group, able, &mut room);
    let candidates = &room[..count];
    let choice = Choice { candidates, session: survey.session_among(group, candidates) };
    let score = |index| {
        let candidate = candidates.iter().find(|candidate| candidate.index == index)?;
        Some(group.strategy.score(candidate, &choice))
    };
    tier.map(score).collect()
}

fn considered(survey: &Survey<'_>, member: &Member, standing: Standing, score: Option<f64>) -> Considered {
    let estimate = member.load.first_token(survey.lane, survey.tick);
    Considered {
        deployment: member.name.to_string(),
        standing,
        score,
        weight: member.weight,
        in_flight: member.load.in_flight(),
        first_token_ms: estimate.seconds.map(|seconds| seconds * 1_000.0),
        failing: member.load.failing(survey.tick),
        headroom: member.headroom(survey.now),
    }
}

fn standing(
    survey: &Survey<'_>,
    place: usize,
    member: &Member,
    chosen: Option<&str>,
    is_the_tier: bool,
) -> Standing {
    if chosen == Some(&*member.name) {
        return Standing::Chosen;
    }
    match reason(survey, place, member) {
        Some(reason) => Standing::LeftOut(reason),
        None if is_the_tier => Standing::Candidate,
        None => Standing::InReserve,
    }
}

/// Why a deployment would not be asked just now.
fn reason(survey: &Survey<'_>, place: usize, member: &Member) -> Option<String> {
    if let Some(left_out) = survey.left_out(place, member, Wanted::Untried) {
        return Some(left_out.to_string());
    }
    match member.availability(survey.now) {
        Availability::Ready => {
            (member.headroom(survey.now) <= 0.0).then(|| "its rate limits are used up".to_owned())
        }
        Availability::HalfOpen => Some("half-open: it gets one trial call a second".to_owned()),
        Availability::Unavailable { until: Some(until) } => {
            let wait = until.saturating_duration_since(survey.now);
            Some(format!("takes no calls for {:.1} s", wait.as_secs_f64()))
        }
        _ => Some("takes no calls until somebody acts".to_owned()),
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherCalls => "does not chat",
            Self::NoPrefill => "does not go on with a begun answer",
            Self::WindowTooSmall => "its window is not known to be larger",
            Self::Standing(InCall::AfterWait) => "failed in this call; may be asked after a wait",
            Self::Standing(InCall::Refused) => "refused in this call; may be asked after a wait",
            Self::Standing(_) => "failed in this call",
        })
    }
}

/// Everybody else who would be asked at once, in this order.
fn then(survey: &Survey<'_>, chosen: Option<&str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (place, group) in survey.route.groups() {
        for tier in &group.tiers {
            let scores = scores(survey, place, group, tier.clone());
            let mut able: Vec<_> =
                tier.clone().zip(scores).filter_map(|(at, score)| Some((at, score?))).collect();
            able.sort_by(|(_, one), (_, other)| one.total_cmp(other));
            for (index, _) in able {
                let name = &*group.members[index].name;
                if chosen != Some(name) && !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
        }
    }
    names
}

fn relation(place: usize, route: &Route<'_>, asked: &Group) -> Relation {
    match (place, route.kind) {
        (0, _) => Relation::Asked,
        (_, Kind::Usual) => Relation::Fallback,
        (_, Kind::Longer { .. }) => Relation::ContextWindowFallback,
        (place, Kind::Shortened { .. }) if place <= asked.longer.len() => Relation::ContextWindowFallback,
        (_, Kind::Shortened { .. }) => Relation::Fallback,
        (_, Kind::OtherPolicy) => Relation::ContentPolicyFallback,
    }
}

fn hedged_after(survey: &Survey<'_>, asked: &Group) -> Option<u64> {
    let delay = asked.pace.as_ref()?.delay()?;
    let is_hedged = survey.lane == crate::load::Lane::Stream && is_well(asked, survey.now);
    is_hedged.then(|| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.chosen, &self.refusal) {
            (Some(chosen), _) => writeln!(f, "{} → {chosen}", self.model)?,
            (None, refusal) => writeln!(f, "{} → {}", self.model, refusal.as_deref().unwrap_or("nobody"))?,
        }
        for tier in &self.tiers {
            writeln!(f, "\n{} (tier {}, {}, {})", tier.model, tier.order, tier.relation, tier.strategy)?;
            let widest = tier.deployments.iter().map(|one| one.deployment.chars().count()).max().unwrap_or(0);
            for one in &tier.deployments {
                one.write_line(f, widest)?;
            }
        }
        if !self.then.is_empty() {
            writeln!(f, "\nthen: {}", self.then.join(", "))?;
        }
        if let Some(ms) = self.hedged_after_ms {
            writeln!(f, "a second deployment is asked after {ms} ms without a first token")?;
        }
        Ok(())
    }
}

impl Considered {
    fn write_line(&self, f: &mut fmt::Formatter<'_>, widest: usize) -> fmt::Result {
        let mark = match self.standing {
            Standing::Chosen => '>',
            Standing::LeftOut(_) => '-',
            Standing::Candidate | Standing::InReserve => ' ',
        };
        write!(f, "{mark} {:widest$}", self.deployment)?;
        match self.score {
            Some(score) => write!(f, "  score {score:<8.4}")?,
            None => write!(f, "  {:14}", "")?,
        }
        match self.first_token_ms {
            Some(ms) => write!(f, "  first token {ms:>6.0} ms")?,
            None => write!(f, "  first token      – ms")?,
        }
        write!(f, "  in flight {:>3}", self.in_flight)?;
        if self.failing >= 0.01 {
            write!(f, "  failing {:.0} %", self.failing * 100.0)?;
        }
        if self.headroom < 1.0 {
            write!(f, "  headroom {:.0} %", self.headroom * 100.0)?;
        }
        if let Standing::LeftOut(reason) = &self.standing {
            write!(f, "  {reason}")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked for",
            Self::Fallback => "fallback",
            Self::ContextWindowFallback => "context-window fallback",
            Self::ContentPolicyFallback => "content-policy fallback",
        })
    }
}

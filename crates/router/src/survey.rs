//! Who may take a call, and where it could go when it fails: a plain look at the deployments at one moment.

use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::{Availability, Error, ErrorKind, Needs, Next, Remedy};
use tokio::time::Instant;

use crate::candidate::{Candidate, Chance, Choice, START, Session};
use crate::group::{Group, Member};
use crate::load::{Lane, Tick};
use crate::past::{Past, Standing, is_refusal};
use crate::route::{Kind, Route};
use crate::session::warmth;

/// One look at all deployments that a call may go to.
#[derive(Clone, Copy)]
pub(crate) struct Survey<'a> {
    pub(crate) route: Route<'a>,
    pub(crate) past: Past<'a>,
    pub(crate) needs: Needs,
    pub(crate) lane: Lane,
    pub(crate) now: Instant,
    pub(crate) tick: Tick,
    pub(crate) session: Option<u64>,
    /// Nobody is sent: a trial call stays due.
    pub(crate) only_looks: bool,
}

/// The deployment that takes a call.
#[derive(Clone, Copy)]
pub(crate) struct Seat<'a> {
    pub(crate) group: &'a Arc<Group>,
    pub(crate) index: usize,
    /// Why it, beyond the strategy's choice.
    pub(crate) why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Chosen,
    /// It is half-open, and somebody has to try it.
    Trial,
    /// Another one is late.
    Hedge,
}

/// Which deployments are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Among {
    standing: Wanted,
    half_open: HalfOpen,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those that may be asked at once.
    Untried,
    /// Those that failed and may be asked after a wait.
    Tried,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HalfOpen {
    /// One that is due for a trial takes the call; else they are left alone.
    Trial,
    /// They count as ready: nobody else is left.
    Ready,
}

/// Why a deployment cannot take a call, even if it is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// It does not chat, or does not embed.
    OtherCalls,
    NoPrefill,
    WindowTooSmall,
    Standing(Standing),
}

enum Gathered {
    Nobody,
    /// This one is half-open, and the call is its trial.
    Trial(usize),
    /// There is nobody else in its tier, so nothing is to be chosen.
    One(usize),
    /// So many, at the beginning of the room.
    Candidates(usize),
}

/// Candidates as they are gathered.
struct Gathering<'r, 'a> {
    room: &'r mut [Candidate<'a>],
    count: usize,
    /// The lowest time to a first token that was seen of late.
    least: f32,
    all_are_fresh: bool,
}

impl<'r, 'a> Gathering<'r, 'a> {
    fn new(room: &'r mut [Candidate<'a>]) -> Self {
        Self { room, count: 0, least: f32::INFINITY, all_are_fresh: true }
    }

    fn add(&mut self, candidate: Candidate<'a>) {
        if candidate.is_fresh {
            self.least = self.least.min(candidate.first_token);
        }
        self.all_are_fresh &= candidate.is_fresh;
        if let Some(place) = self.room.get_mut(self.count) {
            *place = candidate;
            self.count += 1;
        }
    }

    /// How many there are. What is not known of one is taken from the others: a cold deployment, or one whose last
    /// answer was so long ago that its time has decayed to nothing, would draw all traffic at once.
    fn finish(self) -> usize {
        let candidates = &mut self.room[..self.count];
        if !self.all_are_fresh {
            let usual = Usual::of(candidates, self.least);
            candidates.iter_mut().filter(|candidate| !candidate.is_fresh).for_each(|one| usual.fill_in(one));
        }
        self.count
    }
}

/// What is usual among those that have answered of late, without the slow: those above twice the best.
struct Usual {
    first_token: Option<f32>,
    waiting: u32,
}

impl Usual {
    fn of(candidates: &[Candidate<'_>], least: f32) -> Self {
        let (mut count, mut seconds, mut waiting) = (0, 0.0, 0);
        for candidate in candidates.iter().filter(|one| one.is_fresh && one.first_token <= 2.0 * least) {
            count += 1;
            seconds += candidate.first_token;
            waiting += candidate.waiting;
        }
        // No more than there are candidates: the conversion is exact.
        Self {
            first_token: (count > 0).then(|| seconds / count as f32),
            waiting: waiting.checked_div(count).unwrap_or(0),
        }
    }

    fn fill_in(&self, candidate: &mut Candidate<'_>) {
        let known = candidate.first_token;
        candidate.first_token = match self.first_token {
            _ if known.is_nan() => self.first_token.unwrap_or(START),
            Some(usual) => known.max(usual),
            None => known,
        };
        candidate.waiting = candidate.waiting.max(self.waiting);
    }
}

/// Where a call could go next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) next: Option<Next>,
    /// How long to wait at least, where that is not what the error says.
    pub(crate) wait: Option<Duration>,
}

impl<'a> Survey<'a> {
    /// The deployment that takes the call. `room` holds the candidates: as many as the largest group has members.
    pub(crate) fn pick(&self, room: &mut [Candidate<'a>], chance: &mut Chance) -> Option<Seat<'a>> {
        let at_once = Among { standing: Wanted::Untried, half_open: HalfOpen::Trial };
        let anyhow = Among { half_open: HalfOpen::Ready, ..at_once };
        let again = Among { standing: Wanted::Tried, half_open: HalfOpen::Ready };
        let told = self.past.told();
        let may_repeat = self.may_repeat();

        // A fallback costs nothing, so nobody of a model that was asked before may take its place (T1).
        let mut seat = match told {
            Some(Next::Fallback) => {
                self.pick_from(self.beyond_the_last()..=usize::MAX, at_once, room, chance)
            }
            _ => None,
        };
        seat = seat.or_else(|| self.pick_from(0..=0, at_once, room, chance));
        if seat.is_none() && may_repeat && matches!(told, Some(Next::Same { .. })) {
            seat = self.pick_from(0..=usize::MAX, again, room, chance);
        }
        seat = seat.or_else(|| self.pick_from(1..=usize::MAX, at_once, room, chance));
        // A half-open deployment that has its trial call already may refuse, which costs nothing (B11).
        seat = seat.or_else(|| self.pick_from(0..=usize::MAX, anyhow, room, chance));
        if seat.is_none() && may_repeat && told.is_none() {
            seat = self.pick_from(0..=usize::MAX, again, room, chance);
        }
        seat
    }

    /// The place of the model after that of the deployment which failed last.
    fn beyond_the_last(&self) -> usize {
        let last = self.past.last().and_then(Error::deployment);
        let place = self.members(0..=usize::MAX).find(|(_, member)| Some(&*member.name) == last);
        place.map_or(1, |(place, _)| place + 1)
    }

    fn pick_from(
        &self,
        places: std::ops::RangeInclusive<usize>,
        among: Among,
        room: &mut [Candidate<'a>],
        chance: &mut Chance,
    ) -> Option<Seat<'a>> {
        let groups = self.route.groups().filter(|(place, _)| places.contains(place));
        groups.into_iter().find_map(|(place, group)| self.pick_of(place, group, among, room, chance))
    }

    fn pick_of(
        &self,
        place: usize,
        group: &'a Arc<Group>,
        among: Among,
        room: &mut [Candidate<'a>],
        chance: &mut Chance,
    ) -> Option<Seat<'a>> {
        match self.gather(place, group, among, room) {
            Gathered::Nobody => None,
            Gathered::Trial(index) => Some(Seat { group, index, why: Why::Trial }),
            Gathered::One(index) => Some(Seat { group, index, why: Why::Chosen }),
            Gathered::Candidates(count) => {
                let index = self.choose(group, &room[..count], chance);
                Some(Seat { group, index, why: Why::Chosen })
            }
        }
    }

    /// The strategy's choice, as the index of a member.
    fn choose(&self, group: &Group, candidates: &[Candidate<'a>], chance: &mut Chance) -> usize {
        let choice = Choice { candidates, session: self.session_among(group, candidates) };
        let chosen = group.strategy.choose(&choice, chance);
        candidates.get(chosen).or(candidates.first()).map_or(0, |candidate| candidate.index)
    }

    pub(crate) fn session_among(&self, group: &Group, candidates: &[Candidate<'_>]) -> Option<Session> {
        let (sessions, key) = (group.sessions.as_ref()?, self.session?);
        let mut session = Session::new(key);
        if let Some((member, age)) = sessions.last(key, self.tick.seconds()) {
            session.last = candidates.iter().position(|candidate| candidate.index == member);
            session.warm = warmth(age);
        }
        Some(session)
    }

    /// The candidates of the first tier that has any. One whose rate limits are used up counts only when there is no
    /// other in any tier.
    fn gather(&self, place: usize, group: &'a Group, among: Among, room: &mut [Candidate<'a>]) -> Gathered {
        let mut some_are_used_up = false;
        for with_used_up in [false, true] {
            for tier in &group.tiers {
                let is_only_one = tier.len() == 1;
                let mut tier_room = Gathering::new(room);
                for index in tier.clone() {
                    let member = &group.members[index];
                    if self.left_out(place, member, among.standing).is_some() {
                        continue;
                    }
                    match member.availability(self.now) {
                        Availability::Ready => {}
                        Availability::HalfOpen if among.half_open == HalfOpen::Ready => {}
                        Availability::HalfOpen if self.takes_trial(member) => return Gathered::Trial(index),
                        _ => continue,
                    }
                    let headroom = member.headroom(self.now);
                    if headroom <= 0.0 && !with_used_up {
                        some_are_used_up = true;
                        continue;
                    }
                    if is_only_one {
                        return Gathered::One(index);
                    }
                    self.enter(group, index, headroom, &mut tier_room);
                }
                let count = tier_room.finish();
                if count > 0 {
                    return Gathered::Candidates(count);
                }
            }
            if !some_are_used_up {
                break;
            }
        }
        Gathered::Nobody
    }

    fn takes_trial(&self, member: &Member) -> bool {
        if self.only_looks { member.load.is_trial_due(self.tick) } else { member.load.take_trial(self.tick) }
    }

    fn enter(&self, group: &'a Group, index: usize, headroom: f32, gathering: &mut Gathering<'_, 'a>) {
        let member = &group.members[index];
        let estimate = member.load.first_token(self.lane, self.tick);
        let mut candidate = member.candidate(index, self.lane, estimate, headroom, self.tick);
        if group.sessions.is_some() {
            candidate.recent = member.load.recent(self.tick);
        }
        gathering.add(candidate);
    }

    /// These members as a strategy would see them, at the beginning of the room.
    pub(crate) fn line_up(
        &self,
        group: &'a Group,
        members: impl Iterator<Item = usize>,
        room: &mut [Candidate<'a>],
    ) -> usize {
        let mut gathering = Gathering::new(room);
        for index in members {
            self.enter(group, index, group.members[index].headroom(self.now), &mut gathering);
        }
        gathering.finish()
    }

    /// Why a member cannot take the call, whether it is available or not.
    pub(crate) fn left_out(&self, place: usize, member: &Member, wanted: Wanted) -> Option<LeftOut> {
        if !member.takes(self.lane) {
            return Some(LeftOut::OtherCalls);
        }
        if self.needs.prefill && !member.prefill {
            return Some(LeftOut::NoPrefill);
        }
        if !self.route.has_room(place, member) {
            return Some(LeftOut::WindowTooSmall);
        }
        let standing = self.past.standing(&member.name);
        let is_wanted = match wanted {
            Wanted::Untried if self.needs.fresh => standing == Standing::Fresh,
            Wanted::Untried => matches!(standing, Standing::Fresh | Standing::Blameless),
            Wanted::Tried => matches!(standing, Standing::AfterWait | Standing::Refused),
        };
        (!is_wanted).then_some(LeftOut::Standing(standing))
    }

    /// Candidates for a second leg beside `taken`: deployments of the same model and tier or any other tier of it.
    pub(crate) fn pick_beside(
        &self,
        group: &'a Arc<Group>,
        taken: usize,
        fits: impl Fn(&Member) -> bool,
        room: &mut [Candidate<'a>],
        chance: &mut Chance,
    ) -> Option<usize> {
        let place = self.route.place(group);
        for tier in &group.tiers {
            let mut tier_room = Gathering::new(room);
            for index in tier.clone() {
                let member = &group.members[index];
                let is_able = index != taken && self.left_out(place, member, Wanted::Untried).is_none();
                if is_able && fits(member) && member.availability(self.now) == Availability::Ready {
                    let headroom = member.headroom(self.now);
                    self.enter(group, index, headroom, &mut tier_room);
                }
            }
            let count = tier_room.finish();
            if count > 0 {
                return Some(self.choose(group, &room[..count], chance));
            }
        }
        None
    }

    /// Where the call could go after `error`, which came from a deployment of `group`. The survey's past holds the error.
    pub(crate) fn next(&self, error: &Error, group: &Arc<Group>) -> Verdict {
        let plain = |next| Verdict { next, wait: None };
        let for_good = error.remedy() == Remedy::GiveUp && error.kind() != ErrorKind::Configuration;
        if for_good && !is_refusal(error) {
            return plain(Some(Next::Nowhere));
        }
        let here = self.route.place(group);
        if self.is_anybody(0..=here) {
            return plain(Some(Next::Peer));
        }
        let fallback = here < usize::MAX && self.is_anybody(here + 1..=usize::MAX);
        // What a filter refused is sent to nobody twice.
        if self.route.kind == Kind::OtherPolicy {
            return plain(Some(if fallback { Next::Fallback } else { Next::Nowhere }));
        }
        if error.remedy() == Remedy::Shorten {
            return plain(fallback.then_some(Next::Fallback));
        }
        let wait = if self.needs.fresh { None } else { self.wait(0..=here) };
        match wait {
            // Its rate limits are used up, by a 429 just now for instance: waiting while another could serve is wrong.
            Some(Duration::ZERO) if fallback && self.are_used_up(0..=here) => plain(Some(Next::Fallback)),
            Some(Duration::ZERO) => {
                let next = Some(Next::Same { fallback });
                Verdict { next, wait: self.has_other(error, here).then_some(Duration::ZERO) }
            }
            // Waiting for one that takes no calls while another could serve is wrong.
            _ if fallback => plain(Some(Next::Fallback)),
            Some(wait) => {
                let wait = Some(error.retry_after().unwrap_or_default().max(wait));
                Verdict { next: Some(Next::Same { fallback: false }), wait }
            }
            None => plain(Some(Next::Nowhere)),
        }
    }

    /// Whether those that failed may be asked again after a wait.
    fn may_repeat(&self) -> bool {
        !self.needs.fresh && self.route.kind != Kind::OtherPolicy
    }

    /// Whether another deployment than the one that failed last may be asked again and did not ask for a pause: then the
    /// pause that this one asked for is no reason to wait.
    fn has_other(&self, error: &Error, here: usize) -> bool {
        error.retry_after().is_some()
            && self.members(0..=here).any(|(place, member)| {
                error.deployment() != Some(&*member.name)
                    && self.left_out(place, member, Wanted::Tried).is_none()
                    && self.past.last_of(&member.name).is_some_and(|last| last.retry_after().is_none())
                    && self.wait_for(member) == Some(Duration::ZERO)
            })
    }

    /// Whether somebody who was not asked in this call takes calls.
    fn is_anybody(&self, places: std::ops::RangeInclusive<usize>) -> bool {
        self.members(places).any(|(place, member)| {
            self.left_out(place, member, Wanted::Untried).is_none()
                && self.past.standing(&member.name) == Standing::Fresh
                && !member.availability(self.now).is_unavailable()
        })
    }

    /// Whether nothing is left of the rate limits of all who could be asked again.
    fn are_used_up(&self, places: std::ops::RangeInclusive<usize>) -> bool {
        self.members(places).all(|(place, member)| {
            self.left_out(place, member, Wanted::Tried).is_some() || member.headroom(self.now) <= 0.0
        })
    }

    /// How long it takes until somebody who could be asked takes calls, as far as is known.
    pub(crate) fn wait(&self, places: std::ops::RangeInclusive<usize>) -> Option<Duration> {
        let waits = self.members(places).filter_map(|(place, member)| {
            let untried = self.left_out(place, member, Wanted::Untried).is_none();
            let tried = self.may_repeat() && self.left_out(place, member, Wanted::Tried).is_none();
            if untried || tried { self.wait_for(member) } else { None }
        });
        waits.min()
    }

    /// How long a member takes no calls; `None` when nobody knows.
    fn wait_for(&self, member: &Member) -> Option<Duration> {
        let refusal = self.past.last_of(&member.name).filter(|error| error.kind() == ErrorKind::Unavailable);
        let said = refusal.and_then(Error::retry_after);
        if refusal.is_some() && !member.reports_availability() {
            return said;
        }
        match member.availability(self.now) {
            Availability::Unavailable { until } => {
                let until = until.map(|until| until.saturating_duration_since(self.now));
                said.into_iter().chain(until).min()
            }
            _ => Some(Duration::ZERO),
        }
    }

    pub(crate) fn members(
        &self,
        places: std::ops::RangeInclusive<usize>,
    ) -> impl Iterator<Item = (usize, &'a Member)> + use<'a> {
        let groups = self.route.groups().filter(move |(place, _)| places.contains(place));
        groups.flat_map(|(place, group)| group.members.iter().map(move |member| (place, member)))
    }
}

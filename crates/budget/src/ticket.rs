//! One call's hold, from its reservation to its settlement.
//!
//! Whatever happens to the call, its ticket is settled once: by who knows how it ended, or when it is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_metering::{Basis, Meter, NanoUsd, PriceVersion, Reserve, Tokens};
use mainstay_provider_core::{ChatRequest, EmbedRequest, Namespace, Subject, Usage};

use crate::further::Cover;
use crate::guard::Way;
use crate::plan::{Amounts, LostHold, Plan};
use crate::row::{RowStatus, UsageRow};
use crate::shared::Core;
use crate::spending::{Leg, LegEnd, Spending, Spent};
use crate::store::{HoldId, Reservation};
use crate::told::Told;

/// What is asked.
#[derive(Clone)]
pub(crate) enum Asked {
    Chat(Arc<ChatRequest>),
    Embed(Arc<EmbedRequest>),
}

impl Asked {
    /// About how many input tokens it has.
    pub(crate) fn input(&self, meter: &Meter, provider: &str, model: &str) -> u64 {
        match self {
            Self::Chat(request) => meter.count(provider, model, request).tokens(),
            Self::Embed(request) => embed_input(meter, provider, model, request),
        }
    }
}

pub(crate) fn embed_input(meter: &Meter, provider: &str, model: &str, request: &EmbedRequest) -> u64 {
    use mainstay_provider_core::EmbedInput;
    match &request.input {
        EmbedInput::Tokens(tokens) => tokens.len() as u64,
        EmbedInput::TokenLists(lists) => lists.iter().map(|list| list.len() as u64).sum(),
        input => {
            let texts = input.texts().unwrap_or_default();
            texts.iter().map(|text| meter.count_text(provider, model, text).at_most()).sum()
        }
    }
}

/// One call's hold.
pub(crate) struct Ticket {
    core: Arc<Core>,
    pub(crate) hold: HoldId,
    pub(crate) at_ms: u64,
    pub(crate) plan: Plan,
    /// The row if nobody ever tells how the call ended; the others are made after it.
    pub(crate) if_lost: Arc<UsageRow>,
    reserve: Reserve,
    asked: Asked,
    spending: Spending,
    /// How far it has come.
    stage: Stage,
    /// Whether it is counted among the holds that are open.
    is_held: bool,
    /// Where the reservation was made.
    pub(crate) way: Way,
    /// Whether it is for a further attempt of a call: the call itself has another.
    pub(crate) is_further: bool,
    /// When it reserves.
    now_ms: u64,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was reserved, or all is settled: there is nothing to do.
    Over,
    /// The reservation is under way or made; nobody was asked yet.
    Reserving,
    /// The provider was asked.
    Sent,
}

/// What is known of an answer at its end.
pub(crate) struct Answered {
    pub(crate) provider: Arc<str>,
    pub(crate) model: Arc<str>,
    pub(crate) deployment: Option<Arc<str>>,
    pub(crate) status: RowStatus,
    pub(crate) told: Told,
}

/// How a call ended.
pub(crate) enum Ending {
    /// Before anybody was asked, or a cache within answered: nothing was used and nothing is written.
    Unused,
    /// Without an answer.
    Failed,
    /// The caller left before there was an answer.
    Cancelled,
    /// With an answer, in part or in whole.
    Answered(Box<Answered>),
}

/// What a new ticket is made of.
pub(crate) struct Opening<'a> {
    pub(crate) asked: Asked,
    pub(crate) model: Arc<str>,
    pub(crate) subjects: &'a [Subject],
    pub(crate) namespace: &'a Namespace,
    pub(crate) spending: Spending,
    pub(crate) candidate: Option<(Arc<str>, Arc<str>)>,
    pub(crate) reserve: Reserve,
    pub(crate) plan: Plan,
    pub(crate) now_ms: u64,
}

impl Ticket {
    pub(crate) fn new(core: Arc<Core>, opening: Opening<'_>) -> Box<Self> {
        let Opening { asked, model, subjects, namespace, spending, candidate, reserve, mut plan, now_ms } =
            opening;
        let hold = HoldId::by_chance(now_ms);
        let amounts = Amounts::of(&reserve);
        plan.charge(amounts, core.lost, now_ms);
        let mut row = UsageRow::new(hold, now_ms);
        row.subjects = subjects.into();
        row.namespace = namespace.clone();
        row.asked = model.clone();
        (row.provider, row.model) = candidate.unwrap_or_else(|| ("".into(), model));
        row.price_version = core.meter.table().version().clone();
        row.status = RowStatus::Lost;
        row.estimated = true;
        if core.lost == LostHold::Settle {
            row.usage = Usage::new(reserve.input, reserve.output);
            row.cost = reserve.cost;
            row.requests = amounts.requests;
        }
        let (if_lost, stage, way) = (Arc::new(row), Stage::Over, Way::Store);
        Box::new(Self {
            core,
            hold,
            at_ms: now_ms,
            plan,
            if_lost,
            reserve,
            asked,
            spending,
            stage,
            is_held: false,
            way,
            is_further: false,
            now_ms,
        })
    }

    /// One for a further attempt of a call. It is booked nowhere: if nobody tells how the call ended, the attempt is taken to have
    /// used all of it, as the first one.
    pub(crate) fn further(core: Arc<Core>, asked: Asked, reserve: Reserve, of: &UsageRow) -> Box<Self> {
        let (at_ms, now_ms) = (of.at_ms, core.clock.now_ms());
        // In the periods of the call: its attempts are booked there.
        let hold = HoldId::by_chance(at_ms);
        let mut plan = Plan::of_usage(&core.book, &of.subjects);
        plan.charge(Amounts::of(&reserve), core.lost, at_ms);
        let if_lost = Arc::new(UsageRow { hold, requests: 0, ..of.clone() });
        Box::new(Self {
            core,
            hold,
            at_ms,
            plan,
            if_lost,
            reserve,
            asked,
            spending: Spending::new(),
            stage: Stage::Over,
            is_held: false,
            way: Way::Store,
            is_further: true,
            now_ms,
        })
    }

    /// Notes in the ledger of its attempts how further ones are covered.
    pub(crate) fn cover(&self) {
        if self.plan.needs_estimate() {
            let (core, asked) = (self.core.clone(), self.asked.clone());
            self.spending.cover(Cover::new(core, asked, self.reserve, self.if_lost.clone()));
        }
    }

    /// The budget that it is of.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// What the store is asked. From now on the store may have taken it.
    pub(crate) fn reserving(&mut self) {
        self.stage = Stage::Reserving;
    }

    pub(crate) fn reservation(&self) -> Reservation<'_> {
        Reservation {
            hold: self.hold,
            lease: self.core.lease,
            charges: &self.plan.charges,
            if_lost: &self.if_lost,
            now_ms: self.now_ms,
        }
    }

    /// What it asked for is reserved.
    pub(crate) fn holds(&mut self) {
        self.is_held = true;
        self.core.counts.held.fetch_add(1, Ordering::Relaxed);
    }

    /// It was refused: nothing is held.
    pub(crate) fn refused(&mut self) {
        self.stage = Stage::Over;
    }

    /// The provider is asked now.
    pub(crate) fn sent(&mut self) {
        self.stage = Stage::Sent;
    }

    /// Whether attempts are noted by who makes them.
    pub(crate) fn has_legs(&self) -> bool {
        self.spending.has_legs()
    }

    /// Settles it.
    pub(crate) fn settle(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.stage, Stage::Over) == Stage::Over {
            return;
        }
        if std::mem::take(&mut self.is_held) {
            self.core.counts.held.fetch_sub(1, Ordering::Relaxed);
        }
        let legs = if matches!(ending, Ending::Unused) { Vec::new() } else { self.legs(ending) };
        let rows = self.rows(&legs);
        let mut spent = Spent::default();
        let mut amounts = Amounts::default();
        for row in &rows {
            spent.usage += row.usage;
            spent.cost += row.cost;
            spent.estimated |= row.estimated;
            amounts.tokens = amounts.tokens.saturating_add(row.usage.total());
            amounts.nanos = amounts.nanos.saturating_add(row.cost.as_nanos());
            amounts.requests += row.requests;
        }
        self.spending.tell(spent);
        let rows = rows.into_iter().map(Arc::new).collect();
        let way = std::mem::replace(&mut self.way, Way::Store);
        let plan = std::mem::take(&mut self.plan);
        self.core.settle(self.hold, plan, amounts, rows, way, self.is_further);
        // After that: until it is booked, it is covered.
        drop(self.spending.uncover());
    }

    /// The attempts: as they were noted, or one for the call as a whole.
    fn legs(&self, ending: Ending) -> Vec<(u32, Leg, LegEnd)> {
        let noted = self.spending.legs();
        if noted.is_empty() {
            return vec![self.only_leg(ending)];
        }
        let number = |(place, leg): (usize, Leg)| {
            // One that still runs is one that nobody will hear of any more.
            let end =
                leg.end.unwrap_or_else(|| self.input_only(RowStatus::Cancelled, &leg.provider, &leg.model));
            (u32::try_from(place + 1).unwrap_or(u32::MAX), leg, end)
        };
        noted.into_iter().enumerate().map(number).collect()
    }

    fn only_leg(&self, ending: Ending) -> (u32, Leg, LegEnd) {
        let (provider, model) = (self.if_lost.provider.clone(), self.if_lost.model.clone());
        let nothing = |status| LegEnd { status, tokens: Tokens::default(), estimated: false };
        let (leg, end) = match ending {
            Ending::Answered(answered) => {
                let Answered { provider, model, deployment, status, told } = *answered;
                let end = self.counted(status, &provider, &model, &told);
                (Leg { provider, model, deployment, end: None }, end)
            }
            ending => {
                let end = match ending {
                    Ending::Cancelled => self.input_only(RowStatus::Cancelled, &provider, &model),
                    _ => nothing(RowStatus::Failed),
                };
                (Leg { provider, model, deployment: None, end: None }, end)
            }
        };
        (0, leg, end)
    }

    fn input_only(&self, status: RowStatus, provider: &str, model: &str) -> LegEnd {
        self.counted(status, provider, model, &Told::default())
    }

    fn counted(&self, status: RowStatus, provider: &str, model: &str, told: &Told) -> LegEnd {
        // It may run while something else panics, and must come to its end all the same.
        let count = AssertUnwindSafe(|| told.end(&self.core.meter, &self.asked, status, provider, model));
        catch_unwind(count).unwrap_or_else(|_| {
            let output = if told.text.is_some() { self.reserve.output } else { 0 };
            let usage = Usage::new(self.reserve.input, output);
            LegEnd { status, tokens: usage.into(), estimated: true }
        })
    }

    fn rows(&self, legs: &[(u32, Leg, LegEnd)]) -> Vec<UsageRow> {
        let mut rows: Vec<_> = legs.iter().map(|(number, leg, end)| self.row(*number, leg, end)).collect();
        let used = rows.iter().any(|row| row.usage.total() > 0 || row.status == RowStatus::Settled);
        if let Some(last) = rows.last_mut() {
            last.requests = u64::from(used);
        }
        rows
    }

    fn row(&self, number: u32, leg: &Leg, end: &LegEnd) -> UsageRow {
        let tokens = bounded(end.tokens);
        let mut row = UsageRow::clone(&self.if_lost);
        row.attempt = number;
        row.deployment.clone_from(&leg.deployment);
        (row.provider, row.model) = (leg.provider.clone(), leg.model.clone());
        (row.status, row.estimated) = (end.status, end.estimated);
        row.usage = tokens.usage;
        (row.cost, row.basis, row.price_version) = self.cost(leg, tokens);
        row.requests = 0;
        row
    }

    fn cost(&self, leg: &Leg, tokens: Tokens) -> (NanoUsd, Basis, PriceVersion) {
        let most = NanoUsd::from_nanos(MOST_COST);
        match self.core.meter.cost(&leg.provider, &leg.model, tokens) {
            Ok(cost) => (cost.total().min(most), cost.basis(), cost.version().clone()),
            // A model without a price answered though none was let through: never for nothing (M5). Of a call that nothing limits
            // no estimate was made: its row says that its price is not known.
            Err(_) if tokens.usage.total() > 0 && self.reserve.cost > NanoUsd::ZERO => {
                (self.reserve.cost.min(most), Basis::Assumed, self.if_lost.price_version.clone())
            }
            Err(_) => (NanoUsd::ZERO, Basis::Unpriced, self.if_lost.price_version.clone()),
        }
    }
}

/// A hostile provider's figures must fit into what every store can count: a million million tokens, a million dollars.
const MOST_TOKENS: u64 = 1_000_000_000_000;
const MOST_COST: u64 = 1_000_000_000_000_000;

fn bounded(mut tokens: Tokens) -> Tokens {
    let usage = &mut tokens.usage;
    for part in [
        &mut usage.input,
        &mut usage.output,
        &mut usage.cache_read,
        &mut usage.cache_write,
        &mut usage.cache_write_long,
        &mut usage.reasoning,
    ] {
        *part = (*part).min(MOST_TOKENS);
    }
    tokens
}

/// A call that nobody told the end of: its future or its reply was dropped, or something panicked.
impl Drop for Ticket {
    fn drop(&mut self) {
        let ending = if self.stage == Stage::Sent { Ending::Cancelled } else { Ending::Unused };
        self.settle(ending);
    }
}

//! What all handles of one budget share: reserves for calls, and books what they used.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mainstay_metering::{Meter, Reserve, UnknownPrice};
use mainstay_provider_core::{ChatRequest, Context, EmbedRequest, Error, ErrorKind, Usage};
use tokio::runtime::Handle;

use crate::book::LimitBook;
use crate::clock::Clock;
use crate::config::Candidates;
use crate::guard::{Guard, Verdict, Way};
use crate::outbox::{Outbox, Owed};
use crate::plan::{Amounts, LostHold, Plan};
use crate::refusal;
use crate::row::UsageRow;
use crate::spending::Spending;
use crate::store::{BudgetStore, HoldId, Reserved, Settled, StoreError};
use crate::teller::Teller;
use crate::ticket::{Asked, Opening, Ticket, embed_input};

/// What all handles of one budget share.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn BudgetStore>,
    /// Around a store that is not in this process.
    pub(crate) guard: Option<Guard>,
    pub(crate) book: LimitBook,
    pub(crate) meter: Meter,
    pub(crate) candidates: Candidates,
    pub(crate) clock: Clock,
    pub(crate) lost: LostHold,
    /// How long a hold lives without being renewed.
    pub(crate) lease: Duration,
    pub(crate) teller: Teller,
    pub(crate) outbox: Outbox,
    pub(crate) counts: Counts,
    /// Where tasks run: the runtime of the first call.
    pub(crate) runtime: OnceLock<Handle>,
    /// Whether somebody keeps house.
    pub(crate) is_kept: AtomicBool,
    /// Held by who keeps house: one at a time.
    pub(crate) keeping: tokio::sync::Mutex<()>,
}

/// Figures since the beginning.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) admitted: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Holds that are open now.
    pub(crate) held: AtomicU64,
    pub(crate) settled: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) estimated: AtomicU64,
    /// What calls have cost, in nano-dollars.
    pub(crate) spent: AtomicU64,
}

pub(crate) fn one(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl Core {
    /// A ticket for a call; nothing is reserved yet. And the ledger of its attempts, to be put into its context, if there was
    /// none.
    pub(crate) fn open(
        self: &Arc<Self>,
        asked: Asked,
        model: Arc<str>,
        context: &Context,
    ) -> Result<(Box<Ticket>, Option<Spending>), Error> {
        self.keep();
        let candidates = self.candidates.of(&model);
        let plan = Plan::of(&self.book, &context.subjects);
        let reserve = match &asked {
            Asked::Chat(request) => self.reserve_for(request, &candidates, plan.needs_estimate()),
            Asked::Embed(request) if plan.needs_estimate() => {
                self.reserve_for_embedding(request, &candidates)
            }
            Asked::Embed(_) => Ok(Reserve::default()),
        };
        let reserve = reserve.map_err(refusal::unknown_price)?;
        let (spending, is_new) = self.spending(context);
        let ledger = is_new.then(|| spending.clone());
        let (subjects, namespace) = (context.subjects.as_slice(), &context.namespace);
        let (candidate, now_ms) = (candidates.first().cloned(), self.clock.now_ms());
        let opening =
            Opening { asked, model, subjects, namespace, spending, candidate, reserve, plan, now_ms };
        let ticket = Ticket::new(self.clone(), opening);
        ticket.cover();
        Ok((ticket, ledger))
    }

    fn reserve_for(
        &self,
        request: &ChatRequest,
        candidates: &[(Arc<str>, Arc<str>)],
        is_needed: bool,
    ) -> Result<Reserve, UnknownPrice> {
        if is_needed {
            return self
                .meter
                .reserve(request, candidates.iter().map(|(provider, model)| (&**provider, &**model)));
        }
        // Nothing limits what it may cost, so nothing is refused (S6.2).
        Ok(Reserve::default())
    }

    fn reserve_for_embedding(
        &self,
        request: &EmbedRequest,
        candidates: &[(Arc<str>, Arc<str>)],
    ) -> Result<Reserve, UnknownPrice> {
        let mut most = Reserve::default();
        for (provider, model) in candidates {
            let input = embed_input(&self.meter, provider, model, request);
            most.input = most.input.max(input);
            most.cost = most.cost.max(self.meter.cost(provider, model, Usage::new(input, 0))?.total());
        }
        Ok(most)
    }

    /// The ledger of the call: the caller's own if it is fresh, or else a new one.
    fn spending(&self, context: &Context) -> (Spending, bool) {
        if let Some(given) = context.extensions.get::<Spending>()
            && given.claim(&self.meter)
        {
            return (given.clone(), false);
        }
        let own = Spending::new();
        own.claim(&self.meter);
        (own, true)
    }

    /// Reserves without waiting, if the store is in this process and answers at once.
    pub(crate) fn reserve_now(&self, ticket: Box<Ticket>) -> Result<Result<Box<Ticket>, Error>, Box<Ticket>> {
        let mut ticket = ticket;
        ticket.reserving();
        if ticket.plan.charges.is_empty() {
            self.admits(&ticket);
            return Ok(Ok(ticket));
        }
        if self.guard.is_some() {
            return Err(ticket);
        }
        match self.store.reserve(ticket.reservation()).now() {
            Some(answer) => Ok(self.judged(ticket, answer)),
            None => Err(ticket),
        }
    }

    /// Reserves.
    ///
    /// # Cancellation
    /// Whatever was reserved until then is given back.
    pub(crate) async fn reserve(self: &Arc<Self>, mut ticket: Box<Ticket>) -> Result<Box<Ticket>, Error> {
        ticket.reserving();
        if ticket.plan.charges.is_empty() {
            self.admits(&ticket);
            return Ok(ticket);
        }
        let Some(guard) = &self.guard else {
            let answer = self.store.reserve(ticket.reservation()).await;
            return self.judged(ticket, answer);
        };
        match guard.reserve(&ticket, self.clock.now_ms()).await {
            Verdict::Asked(answer) => self.judged(ticket, Ok(answer)),
            Verdict::Away(drafts) => {
                ticket.way = Way::Away(drafts);
                ticket.holds();
                self.admits(&ticket);
                Ok(ticket)
            }
            Verdict::Closed { index, is_asked } => {
                self.refuses(&ticket);
                let error = refusal::store_away(ticket.plan.accounts.get(index).map(|account| &**account));
                // What a store that was asked made of it nobody knows: the ticket, dropped, gives back what may have been taken.
                // One that was left alone has nothing, and an outage would otherwise leave something behind for each refusal.
                if !is_asked {
                    ticket.refused();
                }
                Err(error)
            }
        }
    }

    fn judged(
        &self,
        mut ticket: Box<Ticket>,
        answer: Result<Reserved, StoreError>,
    ) -> Result<Box<Ticket>, Error> {
        match answer {
            Ok(Reserved::Granted(_)) => {
                ticket.holds();
                self.admits(&ticket);
                Ok(ticket)
            }
            Ok(Reserved::Denied { index, balance, first }) => {
                let (account, charge) = (&ticket.plan.accounts[index], &ticket.plan.charges[index]);
                self.teller.refused(account, charge, balance, first, ticket.at_ms);
                let error = refusal::exceeded(account, charge, balance, ticket.at_ms);
                ticket.refused();
                self.refuses(&ticket);
                Err(error)
            }
            Ok(Reserved::Ended) => {
                ticket.refused();
                Err(Error::new(ErrorKind::Internal, "a call's hold had ended before it began"))
            }
            // What came of it nobody knows: the ticket, dropped, gives back what may have been taken.
            Err(error) => {
                self.refuses(&ticket);
                Err(refusal::store_away(None).with_source(error))
            }
        }
    }

    /// A further attempt is none of the calls that are counted.
    fn admits(&self, ticket: &Ticket) {
        if !ticket.is_further {
            one(&self.counts.admitted);
        }
    }

    fn refuses(&self, ticket: &Ticket) {
        if !ticket.is_further {
            one(&self.counts.refused);
        }
    }

    /// Books what a call used, now or as soon as it can be.
    pub(crate) fn settle(
        self: &Arc<Self>,
        hold: HoldId,
        mut plan: Plan,
        amounts: Amounts,
        rows: Vec<Arc<UsageRow>>,
        way: Way,
        is_further: bool,
    ) {
        if plan.charges.is_empty() && rows.is_empty() {
            return;
        }
        if rows.iter().any(|row| row.estimated) {
            one(&self.counts.estimated);
        }
        if amounts.nanos > 0 {
            self.counts.spent.fetch_add(amounts.nanos, Ordering::Relaxed);
        }
        let actual = plan.booked(amounts);
        if let Some(guard) = &self.guard {
            guard.ended(hold, &mut plan, &actual, way);
            return self.owe(Owed::new(hold, plan, actual, rows).further(is_further));
        }
        let mut owed = Owed::new(hold, plan, actual, rows).further(is_further);
        let answer = self.store.settle(owed.settlement(self.clock.now_ms())).now();
        match answer {
            Some(Ok(settled)) => self.booked(&owed, &settled),
            Some(Err(_)) => {
                owed.is_tried = true;
                self.owe(owed);
            }
            None => self.owe(owed),
        }
    }

    /// Books a settlement in the store.
    pub(crate) async fn book(&self, owed: &Owed) -> Result<(), StoreError> {
        let settling = self.store.settle(owed.settlement(self.clock.now_ms()));
        let settled = match &self.guard {
            Some(guard) => guard.bounded(settling).await?,
            None => settling.await?,
        };
        self.booked(owed, &settled);
        if settled == Settled::Again && owed.is_tried {
            self.settles(owed, &self.counts.settled);
            self.tell_booked_unheard(owed).await;
        }
        Ok(())
    }

    /// It was booked before, and the answer did not come: that it passed a line nobody has told.
    async fn tell_booked_unheard(&self, owed: &Owed) {
        let now_ms = self.clock.now_ms();
        let charges = owed.plan.accounts.iter().zip(&owed.plan.charges).zip(&owed.actual);
        let used: Vec<_> = charges.filter(|(_, actual)| **actual > 0).map(|(charge, _)| charge).collect();
        let asked: Vec<_> = used.iter().map(|(_, charge)| (charge.account.clone(), charge.window)).collect();
        let balances = self.store.balances(&asked, now_ms);
        let balances = match &self.guard {
            Some(guard) => guard.bounded(balances).await,
            None => balances.await,
        };
        // Where the store is gone again, a later booking is the next to tell something.
        for ((account, charge), balance) in used.iter().zip(balances.unwrap_or_default()) {
            // Others may have booked since, so all that stands there is taken for new: better told twice than never.
            self.teller.booked(account, &charge.window, balance.spent, balance, now_ms);
        }
    }

    fn settles(&self, owed: &Owed, count: &AtomicU64) {
        if !owed.is_further {
            one(count);
        }
    }

    fn booked(&self, owed: &Owed, settled: &Settled) {
        let (after, late) = match settled {
            Settled::Now(after) => (after, false),
            Settled::Late(after) => (after, true),
            Settled::Again => return,
        };
        self.settles(owed, if late { &self.counts.late } else { &self.counts.settled });
        if after.is_empty() {
            return;
        }
        let now_ms = self.clock.now_ms();
        let charges = owed.plan.accounts.iter().zip(&owed.plan.charges);
        for (((account, charge), actual), after) in charges.zip(&owed.actual).zip(after) {
            self.teller.booked(account, &charge.window, *actual, *after, now_ms);
        }
    }

    /// Where tasks run.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        Handle::try_current().ok().or_else(|| self.runtime.get().cloned())
    }
}

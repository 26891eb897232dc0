//! The settings of a budget, and how it is built.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use mainstay_metering::{Meter, PriceTable};
use mainstay_provider_core::{Events, ModelId};

use crate::book::LimitBook;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::guard::Guard;
use crate::layer::BudgetLayer;
use crate::outbox::Outbox;
use crate::plan::LostHold;
use crate::shared::{Core, Counts};
use crate::store::BudgetStore;
use crate::teller::Teller;

/// The providers that may answer a call, each with its name of the model.
pub type CandidateList = Arc<[(Arc<str>, Arc<str>)]>;

/// Tells which providers may answer a call to a model.
#[derive(Clone)]
pub(crate) struct Candidates(Arc<dyn Fn(&str) -> CandidateList + Send + Sync>);

impl Candidates {
    pub(crate) fn of(&self, model: &str) -> CandidateList {
        (self.0)(model)
    }

    /// The model by its own name: `anthropic/claude-sonnet-4-5`, or OpenAI's.
    fn by_name(table: PriceTable) -> Self {
        // Callers name few models, and some invent names.
        const MOST: usize = 1_000;
        let known = RwLock::new(HashMap::<String, CandidateList>::new());
        Self(Arc::new(move |model| {
            if let Some(list) = known.read().unwrap_or_else(PoisonError::into_inner).get(model) {
                return list.clone();
            }
            let list = Self::named(&table, model);
            let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() < MOST {
                known.insert(model.to_owned(), list.clone());
            }
            list
        }))
    }

    fn named(table: &PriceTable, model: &str) -> CandidateList {
        let rest = model.split_once('/').map(|(_, rest)| rest);
        let is_provider = |provider: &str| rest.is_some_and(|rest| table.prices(provider, rest).is_some());
        let id = ModelId::parse(model, is_provider);
        Arc::from([(Arc::from(id.provider), Arc::from(id.model))])
    }
}

/// Builds a [`BudgetLayer`].
#[derive(Clone)]
#[must_use]
pub struct BudgetBuilder {
    meter: Meter,
    store: Arc<dyn BudgetStore>,
    book: LimitBook,
    candidates: Candidates,
    lost: LostHold,
    lease: Duration,
    store_timeout: Duration,
    trip_after: u32,
    most_owed: usize,
    events: Events,
    clock: Clock,
}

/// A store in this process keeps a hold for as long as the process lives; a call takes no day.
const LOCAL_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

impl BudgetBuilder {
    pub(crate) fn new(meter: Meter, store: Arc<dyn BudgetStore>, book: LimitBook) -> Self {
        let candidates = Candidates::by_name(meter.table().clone());
        Self {
            meter,
            store,
            book,
            candidates,
            lost: LostHold::Settle,
            lease: Duration::from_secs(60),
            store_timeout: Duration::from_millis(50),
            trip_after: 3,
            most_owed: 50_000,
            events: Events::default(),
            clock: Clock::default(),
        }
    }

    /// Which providers may answer a call to a model, each with its name of the model: what is reserved is the dearest. When
    /// not set: the model's own name, such as `anthropic/claude-sonnet-4-5`, and OpenAI where it has no provider.
    pub fn candidates(mut self, of: impl Fn(&str) -> CandidateList + Send + Sync + 'static) -> Self {
        self.candidates = Candidates(Arc::new(of));
        self
    }

    /// What is done with a hold that nobody settled; booked at its estimate when not set.
    pub fn lost_holds(mut self, policy: LostHold) -> Self {
        self.lost = policy;
        self
    }

    /// How long a hold in a shared store lives without being renewed: 60 s when not set; it is renewed three times in this
    /// time. After a crash its estimate counts for so long as reserved, and then as spent.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The most that a call waits for a shared store: 50 ms when not set.
    pub fn store_timeout(mut self, longest: Duration) -> Self {
        self.store_timeout = longest;
        self
    }

    /// After how many failures in a row a shared store is left alone for a while: 3 when not set.
    pub fn store_failures(mut self, in_a_row: u32) -> Self {
        self.trip_after = in_a_row;
        self
    }

    /// How many settlements are kept while the store is away: 50,000 when not set.
    pub fn most_owed(mut self, settlements: usize) -> Self {
        self.most_owed = settlements;
        self
    }

    /// Who hears of limits that are reached, of holds that are lost, and of a store that is away.
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Where the time of day comes from, in milliseconds since 1970; the system's clock when not set.
    pub fn clock(mut self, now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.clock = Clock::of(now_ms);
        self
    }

    /// The layer.
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub fn build(self) -> Result<BudgetLayer, InvalidConfig> {
        if self.lease < Duration::from_secs(3) {
            return Err(InvalidConfig("the lease is 3 s at least"));
        }
        if self.store_timeout.is_zero() || self.store_timeout > Duration::from_secs(10) {
            return Err(InvalidConfig("the store's timeout is above zero and 10 s at most"));
        }
        if self.trip_after == 0 {
            return Err(InvalidConfig("the store is left alone after one failure at least"));
        }
        if self.most_owed == 0 {
            return Err(InvalidConfig("one settlement at least is kept while the store is away"));
        }
        let is_local = self.store.is_local();
        let guard = (!is_local).then(|| {
            Guard::new(self.store.clone(), self.store_timeout, self.trip_after, self.events.clone())
        });
        let core = Core {
            store: self.store,
            guard,
            book: self.book,
            meter: self.meter,
            candidates: self.candidates,
            clock: self.clock,
            lost: self.lost,
            lease: if is_local { LOCAL_LEASE } else { self.lease },
            teller: Teller::new(self.events),
            outbox: Outbox::new(self.most_owed),
            counts: Counts::default(),
            runtime: OnceLock::new(),
            is_kept: AtomicBool::new(false),
            keeping: tokio::sync::Mutex::default(),
        };
        Ok(BudgetLayer::new(Budget::new(Arc::new(core))))
    }
}

impl fmt::Debug for BudgetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetBuilder")
            .field("book", &self.book)
            .field("lost_holds", &self.lost)
            .field("lease", &self.lease)
            .field("store_timeout", &self.store_timeout)
            .finish_non_exhaustive()
    }
}

/// A setting that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidConfig(&'static str);

//! A budget around a scripted provider, and a clock that the test moves.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses some of it; a test that panics has failed"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_budget::{
    Budget, BudgetBuilder, BudgetLayer, Budgeted, LimitBook, MemoryStore, RowsQuery, Spending, Standing,
    UsageRow,
};
use mainstay_metering::{Meter, ModelPrices, Price, PriceTable, Rates, UnknownPricePolicy};
use mainstay_provider_core::test_kit::Scripted;
use mainstay_provider_core::{Call, Event, Events, Subject};
use tower::Layer;

/// 2026-11-21T12:00:00Z.
pub const NOON: u64 = 1_795_262_400_000;

/// The test's own time of day.
#[derive(Clone)]
pub struct Clock(Arc<AtomicU64>);

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(NOON)))
    }
}

impl Clock {
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The events that were sent.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<Event>>>);

impl Heard {
    pub fn events(&self) -> Events {
        let heard = self.0.clone();
        Events::to(move |event| heard.lock().unwrap().push(event))
    }

    pub fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.all().iter().map(|event| event.name).collect()
    }

    pub fn count(&self, name: &str) -> usize {
        self.names().into_iter().filter(|one| *one == name).count()
    }
}

pub fn attribute(event: &Event, name: &str) -> String {
    event
        .attributes
        .iter()
        .find(|(one, _)| *one == name)
        .map(|(_, value)| value.to_string())
        .unwrap_or_default()
}

/// A provider with a budget around it.
pub struct Setup {
    pub upstream: Scripted,
    pub budgeted: Budgeted<Scripted>,
    pub budget: Budget,
    pub clock: Clock,
    pub heard: Heard,
}

/// A dollar for a million input tokens, two for a million output tokens, for every model that the table does not have.
pub fn meter() -> Meter {
    let price = |dollars: &str| Price::per_million(dollars).unwrap();
    let prices = ModelPrices::new(Rates::new(price("1"), price("2")));
    Meter::builder()
        .table(PriceTable::built_in())
        .unknown_price(UnknownPricePolicy::Estimate(prices))
        .largest_output(100)
        .build()
}

impl Setup {
    pub fn over(book: &LimitBook, upstream: Scripted) -> Self {
        Self::with(book, upstream, |builder| builder)
    }

    pub fn with(
        book: &LimitBook,
        upstream: Scripted,
        change: impl FnOnce(BudgetBuilder) -> BudgetBuilder,
    ) -> Self {
        let (clock, heard) = (Clock::default(), Heard::default());
        let now = clock.clone();
        let builder = BudgetLayer::builder(meter(), MemoryStore::new(), book.clone())
            .clock(move || now.now())
            .events(heard.events());
        let layer = change(builder).build().unwrap();
        let (budgeted, budget) = (layer.layer(upstream.clone()), layer.budget().clone());
        Self { upstream, budgeted, budget, clock, heard }
    }

    pub async fn standing(&self, subject: &str) -> Standing {
        self.budget.remaining(&subject_of(subject)).await.unwrap().remove(0)
    }

    /// Spent and reserved of the first limit of a subject.
    pub async fn stands(&self, subject: &str) -> (u64, u64) {
        let standing = self.standing(subject).await;
        (standing.spent, standing.reserved)
    }

    pub async fn rows(&self) -> Vec<Arc<UsageRow>> {
        self.budget.rows(&RowsQuery::default()).await.unwrap().rows
    }

    pub async fn the_row(&self) -> Arc<UsageRow> {
        let mut rows = self.rows().await;
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }
}

pub fn subject_of(text: &str) -> Subject {
    Subject::parse(text).unwrap()
}

/// A call that these subjects pay for, with an answer of at most 100 tokens.
pub fn call_of(subjects: &[&str]) -> Call {
    let mut call = Call::ask("test-model", "What is a mainstay?");
    call.request_mut().max_tokens = Some(100);
    call.context_mut().subjects = subjects.iter().map(|subject| subject_of(subject)).collect();
    call
}

pub fn streaming(mut call: Call) -> Call {
    call.request_mut().stream = Some(true);
    call
}

/// The same call, and the ledger that its cost is read from.
pub fn with_spending(mut call: Call) -> (Call, Spending) {
    let spending = Spending::new();
    call.context_mut().extensions.insert(spending.clone());
    (call, spending)
}

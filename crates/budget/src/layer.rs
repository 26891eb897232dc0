//! The layer: the budget, to be put around a service.

use std::sync::Arc;

use mainstay_metering::Meter;
use tower_layer::Layer;

use crate::book::LimitBook;
use crate::budget::Budget;
use crate::config::BudgetBuilder;
use crate::service::Budgeted;
use crate::store::BudgetStore;

/// Puts the budget around a provider, or an embedder. Clones, and all services that it makes, share one budget.
///
/// # Order
/// Inside the caches: a hit costs nothing and reserves nothing. Outside rescue, retry and router: one call has one hold,
/// however many attempts it takes. What the attempts use beside the answer is seen by an
/// [`AttemptMeterLayer`](crate::AttemptMeterLayer) around each deployment.
#[derive(Debug, Clone)]
pub struct BudgetLayer(Budget);

impl BudgetLayer {
    pub(crate) fn new(budget: Budget) -> Self {
        Self(budget)
    }

    /// Begins with the defaults.
    pub fn builder(meter: Meter, store: impl BudgetStore, book: LimitBook) -> BudgetBuilder {
        BudgetBuilder::new(meter, Arc::new(store), book)
    }

    /// The same, for a store that others use too.
    pub fn builder_over(meter: Meter, store: Arc<dyn BudgetStore>, book: LimitBook) -> BudgetBuilder {
        BudgetBuilder::new(meter, store, book)
    }

    /// The budget: what remains, its reports, its figures.
    pub fn budget(&self) -> &Budget {
        &self.0
    }
}

impl<S> Layer<S> for BudgetLayer {
    type Service = Budgeted<S>;

    fn layer(&self, inner: S) -> Budgeted<S> {
        Budgeted::new(inner, self.0.core().clone())
    }
}

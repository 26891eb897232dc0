//! What every [`BudgetStore`] keeps, as a suite of tests.
//!
//! ```
//! use mainstay_budget::{MemoryStore, contract};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! contract::store().run(async || MemoryStore::new()).await.assert_kept();
//! # }
//! ```

mod crowds;
mod ends;
mod holds;
mod lab;
mod random;
mod reports;
mod windows;

use mainstay_provider_core::test_kit::contract::Suite;

pub use self::lab::Lab;
use crate::store::BudgetStore;

/// The promises of a store. Each is checked on a store of its own, which must be empty; one that is shared by several
/// processes needs a name of its own for each. It is real time that passes, some seconds of it.
pub fn store<S: BudgetStore>() -> Suite<S> {
    let suite = Suite::new("BudgetStore");
    let suite = holds::promises(suite);
    let suite = ends::promises(suite);
    let suite = windows::promises(suite);
    let suite = crowds::promises(suite);
    let suite = reports::promises(suite);
    random::promises(suite)
}

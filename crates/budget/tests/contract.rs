//! What every layer keeps.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use mainstay_budget::{AttemptMeterLayer, BudgetLayer, Limit, LimitBook, MemoryStore, Period};
use mainstay_provider_core::test_kit::{check_readiness, check_readiness_of, contract};
use tower::{Layer, ServiceBuilder};

fn layer() -> BudgetLayer {
    let book = LimitBook::default();
    // The calls of the probes have no subjects; the budget writes their rows all the same.
    book.set_kind("user", [Limit::tokens(1_000, Period::Day)]).unwrap();
    BudgetLayer::builder(common::meter(), MemoryStore::new(), book).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_keeps_towers_readiness_promise() {
    check_readiness(layer()).await.unwrap();
    check_readiness(AttemptMeterLayer::new("openai")).await.unwrap();
    let both =
        |inner| ServiceBuilder::new().layer(layer()).layer(AttemptMeterLayer::new("openai")).service(inner);
    check_readiness_of(both).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_a_provider() {
    contract::provider(async |upstream| layer().layer(upstream.scripted())).await.assert_kept();
    let metered = async |upstream: contract::Upstream| {
        layer().layer(AttemptMeterLayer::new("openai").layer(upstream.scripted()))
    };
    contract::provider(metered).await.assert_kept();
}

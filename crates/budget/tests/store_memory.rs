//! The store in this process keeps what every store keeps.

use mainstay_budget::{MemoryStore, contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_is_a_store() {
    contract::store().run(async || MemoryStore::new()).await.assert_kept();
}

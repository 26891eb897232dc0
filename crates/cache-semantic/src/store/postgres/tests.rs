use std::net::TcpListener;

use tokio::runtime::Builder;

use super::*;

// A store may outlive the runtime that used it first: what was at work there is done by the next one.
#[test]
fn what_ends_with_its_runtime_is_begun_again_in_another() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgresql://x@{}/x", silent.local_addr().unwrap());
    let store = PostgresStore::lazy(PostgresConfig::new(url, "words", 8)).unwrap();
    let at_work = || [&store.0.connecting, &store.0.sweeping].map(|work| work.load(Ordering::Acquire));
    for _ in 0..2 {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            store.connect_behind();
            store.sweep_behind();
            tokio::task::yield_now().await;
            assert_eq!(at_work(), [true, true]);
        });
        drop(runtime);
        assert_eq!(at_work(), [false, false]);
    }
}

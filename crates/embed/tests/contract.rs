//! Every embedder of this crate keeps the same contract: each engine, the cache, the remote one.

mod common;

use common::{engines, minilm, tiny};
use mainstay_embed::{
    CacheConfig, CachedEmbedder, Identified as _, LocalEmbedder, RemoteConfig, RemoteEmbedder, test_kit,
};
use mainstay_provider_core::test_kit::ScriptedEmbedder;

#[tokio::test(flavor = "multi_thread")]
async fn a_local_model() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path());
    // Random weights that know a dozen words: texts of others must still differ in their number of words.
    let embedder = LocalEmbedder::open(folder.path()).unwrap();
    test_kit::contract().run(async || embedder.clone()).await.assert_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_model_by_every_engine_and_cached() {
    let Some(folder) = minilm() else { return };
    for engine in engines(&folder) {
        println!("{engine:?}");
        let local = LocalEmbedder::builder().engine(engine).open(&folder).unwrap();
        test_kit::contract().run(async || local.clone()).await.assert_kept();
        let cached = async || CachedEmbedder::new(local.clone(), CacheConfig::default()).unwrap();
        test_kit::contract().run(cached).await.assert_kept();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_one_and_cached() {
    let make = async || RemoteEmbedder::new(ScriptedEmbedder::new([]), RemoteConfig::new("m", 8)).unwrap();
    test_kit::contract().run(make).await.assert_kept();
    let cached = async || CachedEmbedder::new(make().await, CacheConfig::default()).unwrap();
    test_kit::contract().run(cached).await.assert_kept();
    assert_eq!(make().await.identity().as_str(), "remote:m:8d");
}

//! What every store promises, checked on a fresh one: ours in this process, those behind a socket, yours.
//!
//! ```
//! use mainstay_cache_semantic::store::{MemoryStore, contract};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! contract::suite().run(async || MemoryStore::default()).await.assert_kept();
//! # }
//! ```

#![allow(clippy::unwrap_used, reason = "a check that panics is a broken promise")]

use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::test_kit::contract::Suite;
use mainstay_provider_core::{ChatResponse, Digest, Keep, Namespace, Recording, Reply, ReplyHead};

use super::{EntryId, NewEntry, SemanticStore, StoreError};
use crate::partition::Partition;

/// The promises.
pub fn suite<S: SemanticStore>() -> Suite<S> {
    Suite::new("SemanticStore")
        .promise("an empty one has nothing", nothing)
        .promise("what was kept is found by its text and by what it is near to, with its answer", found)
        .promise("the nearest come first, with their cosines, and no more than asked for", nearest_first)
        .promise("partitions know nothing of each other, not even those of one digest", partitions)
        .promise("of one text there is one entry: the last", one_per_text)
        .promise("any text is kept as it is", any_text)
        .promise("an entry is there until its time is over", until_its_time)
        .promise("an entry grows older", grows_older)
        .promise("an entry's own threshold rises and never falls", tightened)
        .promise("what was forgotten is forgotten, and nothing else", forgotten)
        .promise("a purge forgets a namespace, all of it and nothing else", purged)
        .promise("a vector of another length is an error and not an answer", other_length)
        .promise("an embedding that is no vector is not kept", no_vector)
        .promise("the same entry twice is there once", twice)
        .promise("many at a time do not get in each other's way", many_at_a_time)
}

/// A partition of the namespace.
pub fn partition(namespace: &str, about: &str) -> Partition {
    Partition { namespace: Namespace::new(namespace), digest: Digest::sha256(about.as_bytes()) }
}

/// An answer of this text.
///
/// # Panics
/// Never: the answer is one.
pub fn recording(text: &str) -> Recording {
    let answer = serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{
            "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": text }
        }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 },
    });
    let answer: ChatResponse = serde_json::from_value(answer).expect("an answer as providers write it");
    let (tell, told) = std::sync::mpsc::channel();
    // A whole answer has ended when it is there.
    let _ended = Reply::whole(ReplyHead::new("p", "m"), answer)
        .on_end_keeping(Keep::Answer, move |end| drop(tell.send(Recording::of(end))));
    told.recv().ok().flatten().expect("it is complete and has stopped")
}

/// A vector of 8 parts and of length 1, at this angle from the first axis.
pub fn vector(degrees: f32) -> Arc<[f32]> {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    Arc::from([cosine, sine, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
}

/// An entry that is kept for an hour.
pub fn entry(id: u128, text: &str, vector: Arc<[f32]>) -> NewEntry {
    NewEntry {
        id: EntryId(id),
        text: text.into(),
        vector,
        recording: recording(&format!("the answer to {text}")),
        ttl: Duration::from_secs(3600),
        saves: 15,
    }
}

fn says(recording: Option<Recording>) -> Option<String> {
    recording.map(|recording| recording.whole().text().into_owned())
}

async fn nothing<S: SemanticStore>(store: S) {
    let here = partition("a", "x");
    assert!(store.nearest(&here, &vector(0.0), 5).await.unwrap().is_empty());
    assert!(store.by_text(&here, "hello").await.unwrap().is_none());
    assert!(store.fetch(&here, EntryId(1)).await.unwrap().is_none());
    store.remove(&here, EntryId(1)).await.unwrap();
    store.tighten(&here, EntryId(1), 0.9).await.unwrap();
    assert_eq!(store.purge(&here.namespace).await.unwrap(), 0);
    assert_eq!(store.stats().entries, 0);
}

async fn found<S: SemanticStore>(store: S) {
    let here = partition("a", "x");
    store.insert(&here, entry(7, "how deep is it?", vector(10.0))).await.unwrap();
    let by_text = store.by_text(&here, "how deep is it?").await.unwrap().unwrap();
    assert_eq!((by_text.id, by_text.score, by_text.tightened), (EntryId(7), 1.0, None));
    let near = store.nearest(&here, &vector(12.0), 5).await.unwrap();
    assert_eq!(near.len(), 1);
    assert_eq!((near[0].id, &*near[0].text), (EntryId(7), "how deep is it?"));
    let answer = says(store.fetch(&here, EntryId(7)).await.unwrap()).unwrap();
    assert!(answer.contains("the answer to how deep is it?"), "{answer}");
    assert!(store.by_text(&here, "how deep is it").await.unwrap().is_none());
    assert_eq!(store.stats().entries, 1);
}

async fn nearest_first<S: SemanticStore>(store: S) {
    let here = partition("a", "x");
    for degrees in [80_u16, 20, 50, 5, 65, 35] {
        let new = entry(u128::from(degrees), &format!("{degrees}"), vector(f32::from(degrees)));
        store.insert(&here, new).await.unwrap();
    }
    let near = store.nearest(&here, &vector(0.0), 4).await.unwrap();
    assert_eq!(near.iter().map(|near| near.id.0).collect::<Vec<_>>(), [5, 20, 35, 50]);
    for near in near {
        let cosine = (near.id.0 as f32).to_radians().cos();
        assert!((near.score - cosine).abs() < 1e-4, "{} for {cosine}", near.score);
    }
    assert!(store.nearest(&here, &vector(0.0), 0).await.unwrap().is_empty());
}

async fn partitions<S: SemanticStore>(store: S) {
    let all = [partition("a", "x"), partition("b", "x"), partition("a", "y"), partition("", "x")];
    for (id, here) in (1..).zip(&all[..3]) {
        let mut new = entry(id, "who am I?", vector(0.0));
        new.recording = recording(&format!("you are {id}"));
        store.insert(here, new).await.unwrap();
    }
    for (id, here) in (1..).zip(&all[..3]) {
        let near = store.nearest(here, &vector(0.0), 5).await.unwrap();
        assert_eq!(near.iter().map(|near| near.id.0).collect::<Vec<_>>(), [id]);
        assert_eq!(store.by_text(here, "who am I?").await.unwrap().unwrap().id.0, id);
        assert!(
            says(store.fetch(here, EntryId(id)).await.unwrap()).unwrap().contains(&format!("you are {id}"))
        );
        for other in (1..=3).filter(|other| *other != id) {
            assert!(store.fetch(here, EntryId(other)).await.unwrap().is_none());
        }
    }
    assert!(store.by_text(&all[3], "who am I?").await.unwrap().is_none());
    assert!(store.nearest(&all[3], &vector(0.0), 5).await.unwrap().is_empty());
}

async fn one_per_text<S: SemanticStore>(store: S) {
    let here = partition("a", "x");
    store.insert(&here, entry(1, "same", vector(0.0))).await.unwrap();
    store.insert(&here, entry(2, "same", vector(30.0))).await.unwrap();
    assert_eq!(store.by_text(&here, "same").await.unwrap().unwrap().id, EntryId(2));
    let near = store.nearest(&here, &vector(0.0), 5).await.unwrap();
    assert_eq!(near.iter().map(|near| near.id.0).collect::<Vec<_>>(), [2]);
    assert!(store.fetch(&here, EntryId(1)).await.unwrap().is_none());
}

async fn any_text<S: SemanticStore>(store: S) {
    let here = partition("tenant \0 'quoted' — ü", "x");
    let long = "long ".repeat(5_000);
    let texts = ["", " ", "C++", "C#", "a\0b", "'; drop table x; --", "ü e\u{301} 你好 🙂", long.as_str()];
    for (id, text) in (1_u8..).zip(texts) {
        store.insert(&here, entry(u128::from(id), text, vector(f32::from(id)))).await.unwrap();
    }
    for (id, text) in (1_u8..).zip(texts) {
        let there = store.by_text(&here, text).await.unwrap().unwrap();
        assert_eq!((there.id.0, &*there.text), (u128::from(id), text));
        assert!(store.fetch(&here, there.id).await.unwrap().is_some());
    }
}

async fn until_its_time<S: SemanticStore>(store: S) {
    let here = partition("a", "x");
    let mut short = entry(1, "short", vector(0.0));
    short.ttl = Duration::from_secs(1);
    store.insert(&here, short).await.unwrap();
    store.insert(&here, entry(2, "long", vector(30.0))).await.unwrap();
    assert!(store.by_text(&here, "short").await.unwrap().is_some());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(store.by_text(&here, "short").await.unwrap().is_none());
    assert!(store.fetch(&here, EntryId(1)).await.unwrap().is_none());
    let near = store.nearest(&here, &vector(0.0), 1).await.unwrap();
    assert_eq!(near.iter().map(|near| near.id.0).collect::<Vec<_>>(), [2], "it takes nobody's place");
}

async fn grows_older<S: SemanticStore>(store: S) {
    let here = partition("a", "x");
    store.insert(&here, entry(1, "old", vector(0.0))).await.unwrap();
    let before = store.by_text(&here, "old").await.unwrap().unwrap().age;
    tokio::time::sleep(Duration::from_millis(120)).await;
    let after = store.nearest(&here, &vector(0.0), 1).await.unwrap()[0].age;
    let grown = after.saturating_sub(before);
    assert!((100..5_000).contains(&grown.as_millis()), "{before:?} {after:?}");
}

async fn tightened<S: SemanticStore>(store: S) {
    let (here, there) = (partition("a", "x"), partition("b", "x"));
    store.insert(&here, entry(1, "q", vector(0.0))).await.unwrap();
    for (partition, above, now) in
        [(&here, 0.96, 0.96), (&here, 0.9, 0.96), (&there, 0.999, 0.96), (&here, 0.98, 0.98)]
    {
        store.tighten(partition, EntryId(1), above).await.unwrap();
        assert_eq!(store.by_text(&here, "q").await.unwrap().unwrap().tightened, Some(now));
        assert_eq!(store.nearest(&here, &vector(0.0), 1).await.unwrap()[0].tightened, Some(now));
    }
}

async fn forgotten<S: SemanticStore>(store: S) {
    let (here, there) = (partition("a", "x"), partition("b", "x"));
    for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
        store.insert(&here, entry(id, text, vector(id as f32))).await.unwrap();
    }
    store.insert(&there, entry(2, "two", vector(0.0))).await.unwrap();
    store.remove(&here, EntryId(2)).await.unwrap();
    store.remove(&there, EntryId(1)).await.unwrap();
    assert!(store.by_text(&here, "two").await.unwrap().is_none());
    assert!(store.fetch(&here, EntryId(2)).await.unwrap().is_none());
    let near = store.nearest(&here, &vector(0.0), 5).await.unwrap();
    assert_eq!(near.iter().map(|near| near.id.0).collect::<Vec<_>>(), [1, 3]);
    assert!(store.by_text(&there, "two").await.unwrap().is_some());
}

async fn purged<S: SemanticStore>(store: S) {
    for (id, here) in (1..).zip([partition("a", "x"), partition("a", "y"), partition("ab", "x")]) {
        store.insert(&here, entry(id, "q", vector(0.0))).await.unwrap();
    }
    assert_eq!(store.purge(&Namespace::new("a")).await.unwrap(), 2);
    assert!(store.by_text(&partition("a", "x"), "q").await.unwrap().is_none());
    assert!(store.nearest(&partition("a", "y"), &vector(0.0), 5).await.unwrap().is_empty());
    assert!(store.by_text(&partition("ab", "x"), "q").await.unwrap().is_some());
    let here = partition("a", "x");
    store.insert(&here, entry(9, "q", vector(0.0))).await.unwrap();
    assert_eq!(store.by_text(&here, "q").await.unwrap().unwrap().id, EntryId(9), "a purge is for once");
}

async fn other_length<S: SemanticStore>(store: S) {
    let here = partition("a", "x");
    store.insert(&here, entry(1, "q", vector(0.0))).await.unwrap();
    let error = store.nearest(&here, &[1.0, 0.0], 5).await.err().expect("an error");
    assert!(matches!(error, StoreError::Dimensions { given: 2, wanted: 8 }), "{error:?}");
    assert!(store.insert(&here, entry(2, "r", Arc::from([1.0, 0.0]))).await.is_err());
    assert!(store.by_text(&here, "r").await.unwrap().is_none());
}

async fn no_vector<S: SemanticStore>(store: S) {
    let here = partition("a", "x");
    for (id, part) in (1..).zip([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]) {
        let vector = Arc::from([0.0, part, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let error = store.insert(&here, entry(id, "q", vector)).await.unwrap_err();
        assert!(matches!(error, StoreError::NotAVector), "{error:?}");
    }
    assert!(store.insert(&here, entry(9, "q", Arc::from([]))).await.is_err());
    assert!(store.by_text(&here, "q").await.unwrap().is_none());
}

async fn twice<S: SemanticStore>(store: S) {
    let here = partition("a", "x");
    for _ in 0..2 {
        store.insert(&here, entry(1, "q", vector(0.0))).await.unwrap();
    }
    store.insert(&here, entry(1, "in other words", vector(0.0))).await.unwrap();
    let near = store.nearest(&here, &vector(0.0), 5).await.unwrap();
    assert_eq!(near.iter().map(|near| &*near.text).collect::<Vec<_>>(), ["in other words"]);
    assert!(store.by_text(&here, "q").await.unwrap().is_none());
}

async fn many_at_a_time<S: SemanticStore>(store: S) {
    let store = Arc::new(store);
    let tasks = (0..8_u128).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            let (own, shared) = (partition(&format!("n{task}"), "x"), partition("shared", "x"));
            for step in 0..20_u128 {
                let id = task * 100 + step;
                let new = |text: String| entry(id, &text, vector(step as f32));
                store.insert(&own, new(format!("{step}"))).await.unwrap();
                store.insert(&shared, new(format!("{task} {step}"))).await.unwrap();
                store.nearest(&shared, &vector(step as f32), 3).await.unwrap();
                store.by_text(&own, "0").await.unwrap();
                if step % 2 == 1 {
                    store.remove(&shared, EntryId(id)).await.unwrap();
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    for task in 0..8_u128 {
        let own = partition(&format!("n{task}"), "x");
        for step in 0..20_u128 {
            let there = store.by_text(&own, &format!("{step}")).await.unwrap();
            assert_eq!(there.unwrap().id.0, task * 100 + step);
            let shared = store.fetch(&partition("shared", "x"), EntryId(task * 100 + step)).await.unwrap();
            assert_eq!(shared.is_some(), step % 2 == 0);
        }
    }
}

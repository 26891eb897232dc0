//! What every [`ExactStore`] keeps, as a suite of tests.
//!
//! ```
//! use mainstay_cache_exact::{MemoryStore, contract};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! contract::store().run(async || MemoryStore::new(64 << 20)).await.assert_kept();
//! # }
//! ```

use std::sync::mpsc;
use std::time::Duration;

use mainstay_provider_core::chat::{Delta, Message};
use mainstay_provider_core::test_kit::contract::Suite;
use mainstay_provider_core::{
    Call, ChatChunk, ChatResponse, FinishReason, Keep, Namespace, Pace, Recording, Reply, ReplyHead, Usage,
    Wire,
};

use crate::config::Sharing;
use crate::key::{Key, Scope};
use crate::store::{Entry, ExactStore};

/// The promises of a store. Each is checked on a store of its own, which must be empty; one that is shared by several
/// processes needs a name of its own for each. One promise waits for 300 ms.
pub fn store<S: ExactStore>() -> Suite<S> {
    Suite::new("ExactStore")
        .promise("a new one is empty and answers", |store: S| async move {
            store.ping().await.unwrap_or_else(fail);
            assert!(get(&store, &key("acme", "a")).await.is_none());
        })
        .promise("what was put is there, whole and with its chunks", |store: S| async move {
            for (question, streamed) in [("whole", false), ("streamed", true)] {
                let entry = entry("It holds the mast.", streamed);
                put(&store, &key("acme", question), &entry).await;
                let found = get(&store, &key("acme", question)).await.expect("what was put is there");
                assert_eq!(found.recording.whole().to_json(), entry.recording.whole().to_json());
                assert_eq!(found.recording.chunks(), entry.recording.chunks());
                assert_eq!(found.recording.usage(), entry.recording.usage());
                assert_eq!(found.recording.provider(), entry.recording.provider());
                assert_eq!((found.ttl, found.stale_for), (entry.ttl, entry.stale_for));
                assert!(found.is_fresh());
                let again = found.recording.reply(found.recording.head(), true, Pace::AtOnce).collect().await;
                assert_eq!(again.unwrap_or_else(fail).text(), "It holds the mast.");
            }
        })
        .promise("what is put again replaces what was there", |store: S| async move {
            for text in ["first", "second"] {
                put(&store, &key("acme", "a"), &entry(text, false)).await;
            }
            assert_eq!(text(&store, &key("acme", "a")).await.as_deref(), Some("second"));
        })
        .promise("what is removed is gone, and nothing else", |store: S| async move {
            for question in ["a", "b"] {
                put(&store, &key("acme", question), &entry(question, false)).await;
            }
            store.remove(&key("acme", "a")).await.unwrap_or_else(fail);
            store.remove(&key("acme", "never there")).await.unwrap_or_else(fail);
            assert_eq!(text(&store, &key("acme", "a")).await, None);
            assert_eq!(text(&store, &key("acme", "b")).await.as_deref(), Some("b"));
        })
        .promise("nobody finds what another namespace has put", |store: S| async move {
            put(&store, &key("acme", "a"), &entry("acme's", false)).await;
            for other in ["", "other", "acme2", "acm", "Acme", "acme:", "*"] {
                assert_eq!(text(&store, &key(other, "a")).await, None, "{other:?}");
            }
            put(&store, &key("", "a"), &entry("nobody's", false)).await;
            assert_eq!(text(&store, &key("acme", "a")).await.as_deref(), Some("acme's"));
            assert_eq!(text(&store, &key("", "a")).await.as_deref(), Some("nobody's"));
        })
        .promise("a shared scope is not the tenant of the same name", |store: S| async move {
            put(&store, &key("acme", "a"), &entry("acme's", false)).await;
            assert_eq!(text(&store, &shared("acme", "a")).await, None);
            put(&store, &shared("acme", "a"), &entry("shared", false)).await;
            assert_eq!(text(&store, &key("acme", "a")).await.as_deref(), Some("acme's"));
        })
        .promise("a scope that is cleared loses all it has, and no other anything", |store: S| async move {
            let names = ["acme", "", "acme2", "acme*", "[a]cme"];
            for name in names {
                for question in ["a", "b", "c"] {
                    put(&store, &key(name, question), &entry(&format!("of {name}"), false)).await;
                }
            }
            put(&store, &shared("acme", "a"), &entry("shared", false)).await;
            let cleared = store.clear(&Scope::Namespace(Namespace::new("acme"))).await.unwrap_or_else(fail);
            assert_eq!(cleared, 3);
            for name in names {
                for question in ["a", "b", "c"] {
                    let found = text(&store, &key(name, question)).await;
                    assert_eq!(found, (name != "acme").then(|| format!("of {name}")));
                }
            }
            assert_eq!(text(&store, &shared("acme", "a")).await.as_deref(), Some("shared"));
        })
        .promise("an entry grows old, then stale, then it is gone", |store: S| async move {
            let mut short = entry("short", false);
            (short.ttl, short.stale_for) = (Duration::from_millis(100), Duration::from_millis(100));
            put(&store, &key("acme", "a"), &short).await;
            let young = get(&store, &key("acme", "a")).await.expect("it was put just now");
            assert!(young.is_fresh(), "{:?}", young.age);
            tokio::time::sleep(Duration::from_millis(130)).await;
            let old = get(&store, &key("acme", "a")).await.expect("it is kept when it is stale");
            assert!(!old.is_fresh() && old.age >= Duration::from_millis(120), "{:?}", old.age);
            tokio::time::sleep(Duration::from_millis(150)).await;
            assert!(get(&store, &key("acme", "a")).await.is_none());
        })
        .promise("what was old when it was put is as old there", |store: S| async move {
            let mut old = entry("old", false);
            old.age = old.ttl;
            put(&store, &key("acme", "a"), &old).await;
            let found = get(&store, &key("acme", "a")).await.expect("it is kept when it is stale");
            assert!(!found.is_fresh());
        })
        .promise("a long answer comes back", |store: S| async move {
            let long: String = (0..100_000).map(|number| format!("word{number} ")).collect();
            put(&store, &key("acme", "a"), &entry(&long, true)).await;
            assert_eq!(text(&store, &key("acme", "a")).await.as_deref(), Some(&*long));
        })
}

fn fail<T>(error: impl std::error::Error) -> T {
    panic!("{error}: {:?}", error.source().map(ToString::to_string))
}

async fn get(store: &impl ExactStore, key: &Key) -> Option<Entry> {
    store.get(key).await.unwrap_or_else(fail)
}

async fn put(store: &impl ExactStore, key: &Key, entry: &Entry) {
    store.put(key, entry).await.unwrap_or_else(fail);
}

async fn text(store: &impl ExactStore, key: &Key) -> Option<String> {
    Some(get(store, key).await?.recording.whole().text().into_owned())
}

fn key(namespace: &str, question: &str) -> Key {
    key_of(namespace, question, &Sharing::PerNamespace)
}

fn shared(name: &str, question: &str) -> Key {
    key_of("", question, &Sharing::Across(name.into()))
}

fn key_of(namespace: &str, question: &str, sharing: &Sharing) -> Key {
    let mut call = Call::ask("m", question);
    call.context_mut().namespace = Namespace::new(namespace);
    Key::of(&call, sharing)
}

/// An entry with this answer, fresh for an hour and stale for another.
pub fn entry(text: &str, streamed: bool) -> Entry {
    const HOUR: Duration = Duration::from_secs(3600);
    Entry::new(recording(text, streamed), HOUR, HOUR)
}

/// A complete answer.
fn recording(text: &str, streamed: bool) -> Recording {
    let head = ReplyHead::new("sim", "sim-1");
    let mut answer = ChatResponse::new("sim-1", Message::assistant(text), FinishReason::Stop);
    answer.usage = Some(Usage::new(3, 5).into());
    let chunks = text
        .split_inclusive(' ')
        .map(|word| Wire::from(ChatChunk::empty("c", "sim-1").with_delta(Delta::text(word), None)));
    let mut chunks: Vec<_> = chunks.collect();
    let mut last = ChatChunk::empty("c", "sim-1").with_delta(Delta::default(), Some(FinishReason::Stop));
    last.usage.clone_from(&answer.usage);
    chunks.push(last.into());
    let (tell, told) = mpsc::channel();
    let reply = Reply::whole(head.clone(), answer).on_end_keeping(Keep::Answer, move |end| {
        let recording = if streamed { Recording::of_stream(end, &chunks) } else { Recording::of(end) };
        // The receiver is right here.
        let _sent = tell.send(recording);
    });
    drop(reply);
    told.recv().ok().flatten().expect("the answer is complete").by(&head)
}

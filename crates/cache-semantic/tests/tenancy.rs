//! Nothing is read across namespaces (security tests 14 and 15), nor across anything else that changes an answer.

mod common;

use common::{ask_in, builder, echo, embedding, is_hit, settle};
use mainstay_cache_semantic::{Partition, SemanticLayer};
use mainstay_provider_core::chat::Message;
use mainstay_provider_core::test_kit::Generator;
use mainstay_provider_core::{Call, ChatRequest, Namespace, Provider};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::Layer;

const SECRET: &str = "What is the launch date of project Heron?";

/// 14: A stores; B asks the same, near and crafted questions, on every route that reads.
#[tokio::test(start_paused = true)]
async fn one_tenant_never_gets_another_tenants_answer() {
    let layer = builder().threshold(0.5).build().unwrap();
    let provider = layer.layer(echo());
    provider.ask(ask_in("acme", SECRET)).await.unwrap();
    settle().await;
    assert!(is_hit(&provider.ask(ask_in("acme", SECRET)).await.unwrap()));
    for namespace in ["", "ACME", "acme ", "acme\0", "acm", "acmeacme", "other"] {
        for question in
            [SECRET, "What's the launch date of project Heron?", "launch date of project Heron acme"]
        {
            let call = ask_in(namespace, question);
            assert!(layer.cache().near(&call, 0.5).await.is_none(), "{namespace:?}");
            let fresh = layer.layer(echo());
            assert!(!is_hit(
                &fresh.ask(common::with(call, |context| context.cache.no_store = true)).await.unwrap()
            ));
        }
    }
}

/// 15: nothing that B does depends on what A has asked: the store is never asked about A's partition.
#[tokio::test(start_paused = true)]
async fn a_lookup_touches_the_askers_partition_only() {
    let layer = builder().build().unwrap();
    let provider = layer.layer(echo());
    provider.ask(ask_in("a", SECRET)).await.unwrap();
    settle().await;
    let before = layer.cache().stats();
    let reply = provider.ask(ask_in("b", SECRET)).await.unwrap();
    let after = layer.cache().stats();
    assert!(!is_hit(&reply));
    assert_eq!(after.misses, before.misses + 1);
    // A miss like any first question: no veto, no near neighbour.
    assert_eq!(after.vetoes, before.vetoes);
}

fn partition(namespace: &str, request: &ChatRequest, embedder: &str) -> Partition {
    let mut call = Call::new(request.clone());
    call.context_mut().namespace = Namespace::new(namespace);
    Partition::of(&call, embedder)
}

fn request(value: &Value) -> ChatRequest {
    serde_json::from_value(value.clone()).expect("it is a request")
}

#[test]
fn whatever_changes_an_answer_is_another_partition() {
    let plain = json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "You are a pirate."},
            {"role": "user", "content": "Who is he?"},
            {"role": "assistant", "content": "Blackbeard."},
            {"role": "user", "content": "How old is he?"},
        ],
        "temperature": 0.2,
    });
    let own = partition("a", &request(&plain), "e");
    let changed = |path: &str, value: Value| {
        let mut other = plain.clone();
        match other.pointer_mut(path) {
            Some(place) => *place = value,
            None => {
                other[path.trim_start_matches('/')] = value;
            }
        }
        partition("a", &request(&other), "e")
    };
    for (path, value) in [
        ("/model", json!("m2")),
        ("/messages/0/content", json!("You are a nurse.")),
        ("/messages/0/role", json!("developer")),
        ("/messages/1/content", json!("Who is she?")),
        ("/messages/2/content", json!("Anne Bonny.")),
        ("/messages/3/name", json!("ann")),
        ("/temperature", json!(0.3)),
        ("/temperature", Value::Null),
        ("/top_p", json!(0.9)),
        ("/max_tokens", json!(5)),
        ("/max_completion_tokens", json!(5)),
        ("/n", json!(1)),
        ("/stop", json!(["."])),
        ("/seed", json!(7)),
        ("/presence_penalty", json!(0.1)),
        ("/frequency_penalty", json!(0.1)),
        ("/logprobs", json!(false)),
        ("/top_logprobs", json!(1)),
        ("/tools", json!([{"type": "function", "function": {"name": "f"}}])),
        ("/tool_choice", json!("none")),
        ("/parallel_tool_calls", json!(false)),
        ("/response_format", json!({"type": "json_object"})),
        ("/reasoning_effort", json!("low")),
        ("/top_k", json!(3)),
        ("/logit_bias", json!({"1": -100})),
    ] {
        let mut other = plain.clone();
        if path == "/messages/3/name" {
            other["messages"][3]["name"] = value.clone();
            assert_ne!(partition("a", &request(&other), "e"), own, "{path}");
        } else {
            assert_ne!(changed(path, value), own, "{path}");
        }
    }
    assert_ne!(partition("b", &request(&plain), "e"), own);
    assert_ne!(partition("a", &request(&plain), "e2"), own);
    // What only says how the answer is handed out is not of it, nor is the text of the last turn.
    for (path, value) in [
        ("/stream", json!(true)),
        ("/stream_options", json!({"include_usage": true})),
        ("/user", json!("u1")),
        ("/messages/3/content", json!("And how old is he now?")),
        ("/messages/3/content", json!([{"type": "text", "text": "How old is he?"}])),
    ] {
        assert_eq!(changed(path, value), own, "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// No read without the writer's namespace: whatever two requests say, other namespaces are other partitions.
    #[test]
    fn no_two_namespaces_share_a_partition(a in ".{0,12}", b in ".{0,12}", seed in any::<u64>()) {
        let mut generator = Generator::new(seed).unknown_members(true);
        let (one, other) = (generator.request(), generator.request());
        let (Ok(one), Ok(other)) = (serde_json::from_value(one), serde_json::from_value(other)) else { return Ok(()) };
        prop_assert_eq!(partition(&a, &one, "e"), partition(&a, &one, "e"));
        if a != b {
            prop_assert_ne!(partition(&a, &one, "e"), partition(&b, &one, "e"));
            prop_assert_ne!(partition(&a, &one, "e").digest, partition(&b, &other, "e").digest);
        }
    }

    /// The same through the whole layer: what one namespace wrote, another never reads, however near it asks.
    #[test]
    fn no_read_without_the_writers_namespace(
        written in proptest::collection::vec(("[abc]", 0_usize..6), 1..12),
        reader in "[abcd]",
        question in 0_usize..6,
    ) {
        let questions = [
            "How do I reset my password?",
            "How can I reset my password?",
            "How do I reset the password?",
            "Where is the launch pad of the rocket?",
            "Where's the launch pad of the rocket?",
            "What does the annual plan cost?",
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let layer = SemanticLayer::builder(embedding()).threshold(0.5).build().unwrap();
            let provider = layer.layer(echo());
            for (namespace, question) in &written {
                let call = ask_in(namespace, questions[*question]);
                provider.ask(call).await.unwrap();
                settle().await;
            }
            let is_stranger = written.iter().all(|(namespace, _)| *namespace != reader);
            let found = layer.cache().near(&ask_in(&reader, questions[question]), 0.5).await;
            assert!(!(is_stranger && found.is_some()), "{reader} read what it never wrote");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_is_answered_within_its_own_conversation_only() {
    let provider = builder().threshold(0.5).build().unwrap().layer(echo());
    let follow_up = |about: &str| {
        Call::new(ChatRequest::new(
            "m",
            vec![
                Message::user(format!("Who is {about}?")),
                Message::assistant(format!("{about} is a painter.")),
                Message::user("And how old is she?"),
            ],
        ))
    };
    provider.ask(follow_up("Anna")).await.unwrap();
    settle().await;
    assert!(is_hit(&provider.ask(follow_up("Anna")).await.unwrap()));
    assert!(!is_hit(&provider.ask(follow_up("Berta")).await.unwrap()));
}

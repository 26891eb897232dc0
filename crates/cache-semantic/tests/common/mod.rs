//! What the tests share: an embedder that counts words, and a provider that says what it was asked.
#![allow(dead_code, unreachable_pub)]

use std::time::Duration;

use mainstay_cache_semantic::{Embedding, SemanticBuilder, SemanticLayer};
use mainstay_provider_core::test_kit::{Scripted, ScriptedEmbedder, Step};
use mainstay_provider_core::{CacheStatus, Call, ContextData, Namespace, Reply, Usage};

/// Texts with the same words are near, whatever their order: as for real embedders, only more so.
pub fn embedder() -> ScriptedEmbedder {
    ScriptedEmbedder::by(|text| {
        let mut vector = vec![0.0; 64];
        for word in text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let word = word.to_lowercase();
            let hash = word
                .bytes()
                .fold(7_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
            vector[hash % 64] += if word.len() > 3 { 1.0 } else { 0.1 };
        }
        vector
    })
}

pub fn embedding() -> Embedding {
    Embedding::new(embedder(), "words")
}

pub fn builder() -> SemanticBuilder {
    SemanticLayer::builder(embedding()).threshold(0.85).seed(1)
}

/// Answers with what it was asked, so that a wrong hit is seen.
pub fn echo() -> Scripted {
    Scripted::by(|call| {
        let question =
            call.request().messages.last().map(|message| message.text().into_owned()).unwrap_or_default();
        Step::text(format!("about: {question}")).usage(Usage::new(10, 20))
    })
}

pub fn ask(question: &str) -> Call {
    Call::ask("m", question)
}

pub fn ask_in(namespace: &str, question: &str) -> Call {
    let mut call = ask(question);
    call.context_mut().namespace = Namespace::new(namespace);
    call
}

pub fn with(mut call: Call, change: impl FnOnce(&mut ContextData)) -> Call {
    change(call.context_mut());
    call
}

/// Lets what runs in the background come to its end.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

pub fn is_hit(reply: &Reply) -> bool {
    matches!(reply.head.cache, CacheStatus::SemanticHit { .. })
}

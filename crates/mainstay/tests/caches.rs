//! The caches of the default stack, as a configuration makes them.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use mainstay::{CacheStatus, Call, Client, Config, Context, ErrorKind, Message, Namespace};

fn client(tables: &str) -> Client {
    let config = Config::from_toml(&format!("[providers.sim]\n{tables}"));
    Client::from_config(&config.unwrap_or_else(|problems| panic!("{problems}"))).unwrap()
}

/// A question that is cached: temperature 0.
fn question(text: &str) -> Call {
    let mut call = Call::ask("sim/echo", text);
    call.request_mut().temperature = Some(0.0);
    call
}

fn of_tenant(mut call: Call, tenant: &str) -> Call {
    let mut context = Context::default();
    context.data_mut().namespace = Namespace::new(tenant);
    call = call.with_context(context);
    call
}

// S4.1
#[tokio::test(start_paused = true)]
async fn the_same_question_again_is_answered_by_the_exact_cache_whole_and_streamed() {
    let client = client("[cache]\n");
    let first = client.chat(question("one two three")).await.unwrap();
    assert_eq!(first.head.cache, CacheStatus::Miss);
    let again = client.chat(question("one two three")).await.unwrap();
    assert!(matches!(again.head.cache, CacheStatus::Hit { .. }), "{:?}", again.head.cache);
    assert_eq!(again.text(), "one two three");
    assert_eq!((again.head.provider.as_ref(), again.head.attempts), ("sim", 0)); // nobody was asked
    let mut streamed = client.stream(question("one two three")).await.unwrap();
    assert!(matches!(streamed.head.cache, CacheStatus::Hit { .. }), "{:?}", streamed.head.cache);
    let mut text = String::new();
    while let Some(chunk) = streamed.next().await {
        text.push_str(chunk.unwrap().text());
    }
    assert_eq!(text, "one two three");
    assert_eq!(client.exact_cache().unwrap().stats().hits, 2);
}

// S4.3
#[tokio::test(start_paused = true)]
async fn without_a_table_nothing_is_cached_and_a_model_can_stay_out() {
    let plain = client("");
    plain.chat(question("one")).await.unwrap();
    assert_eq!(plain.chat(question("one")).await.unwrap().head.cache, CacheStatus::Bypass);
    assert!(plain.exact_cache().is_none());
    let client = client("[cache]\n[models.fresh]\ncache = false\ndeployments = [{ model = \"sim/echo\" }]\n");
    for _ in 0..2 {
        let mut call = Call::new(mainstay::ChatRequest::new("fresh", vec![Message::user("one")]));
        call.request_mut().temperature = Some(0.0);
        assert_eq!(client.chat(call).await.unwrap().head.cache, CacheStatus::Bypass);
    }
}

// I3, test 14
#[tokio::test(start_paused = true)]
async fn no_tenant_gets_anothers_answer() {
    let client = client("[cache]\n");
    client.chat(of_tenant(question("one two"), "a")).await.unwrap();
    let other = client.chat(of_tenant(question("one two"), "b")).await.unwrap();
    assert_eq!(other.head.cache, CacheStatus::Miss);
    let own = client.chat(of_tenant(question("one two"), "a")).await.unwrap();
    assert!(matches!(own.head.cache, CacheStatus::Hit { .. }));
}

// RFC 9111, 5.2.1.7: nobody is asked who would be paid for it.
#[tokio::test(start_paused = true)]
async fn without_a_cache_a_call_for_a_cached_answer_alone_is_refused() {
    let fresh = "[cache]\n[models.fresh]\ncache = false\ndeployments = [{ model = \"sim/echo\" }]\n";
    for (tables, model) in [("", "sim/echo"), (fresh, "fresh")] {
        let mut call = Call::ask(model, "one");
        call.context_mut().cache.only_if_cached = true;
        let error = client(tables).chat(call).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, Some("not_in_cache")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_can_ask_for_a_cached_answer_only() {
    let client = client("[cache]\n");
    let mut call = question("never asked");
    call.context_mut().cache.only_if_cached = true;
    let error = client.chat(call).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, Some("not_in_cache")));
}

#[test]
fn a_setting_that_a_cache_does_not_take_is_told_with_its_line() {
    let problems = Config::from_toml("[providers.sim]\n\n[cache]\nttl = \"0s\"\n").unwrap_err();
    let text = problems.to_string();
    assert!(text.contains("line 3") && text.contains("ttl"), "{text}");
    let problems = Config::from_toml("[cache]\nmax_byte = 3\n").unwrap_err().to_string();
    assert!(problems.contains("max_bytes"), "{problems}");
}

#[cfg(feature = "cache-semantic")]
mod semantic {
    use super::*;

    #[test]
    fn a_semantic_cache_needs_to_know_what_makes_vectors() {
        let config = Config::from_toml("[providers.sim]\n[semantic_cache]\n").unwrap();
        let error = Client::from_config(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains("mainstay model fetch"), "{}", error.message());
    }

    #[test]
    fn a_folder_that_holds_no_model_is_told() {
        let text = "[providers.sim]\n[semantic_cache]\nmodel = \"/nowhere\"\n";
        let error = Client::from_config(&Config::from_toml(text).unwrap()).unwrap_err();
        assert!(error.message().starts_with("semantic_cache.model"), "{}", error.message());
    }

    // S4.4, S4.7: exact, then semantic, with a provider's embedding model.
    #[tokio::test(start_paused = true)]
    async fn a_question_in_other_white_space_is_found_by_the_semantic_cache() {
        let client =
            client("[cache]\n[semantic_cache]\nembedder = \"sim/embed\"\ndimensions = 64\nthreshold = 0.9\n");
        let first = client.chat(question("How do I return a parcel?")).await.unwrap();
        assert_eq!(first.head.cache, CacheStatus::Miss);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await; // it is stored in the background
        let again = client.chat(question("How do I   return a parcel?")).await.unwrap();
        assert!(matches!(again.head.cache, CacheStatus::SemanticHit { .. }), "{:?}", again.head.cache);
        assert_eq!(again.text(), first.text());
        let mut only = question("How do I return  a parcel?");
        only.context_mut().cache.only_if_cached = true;
        assert!(matches!(client.chat(only).await.unwrap().head.cache, CacheStatus::SemanticHit { .. }));
    }
}

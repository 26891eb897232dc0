//! Prices and budgets in the default stack, as a configuration makes them.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use mainstay::budget::{Spending, UsageQuery};
use mainstay::{CacheStatus, Call, Client, Config, Context, ErrorKind, Subject};

/// A provider that costs: the simulated one with a price, behind two names.
const PRICED: &str = r#"
[providers.sim]
[providers.little]
kind = "sim"
[models.dear]
fallbacks = ["cheap"]
deployments = [{ model = "sim/echo", input_price = 10.0, output_price = 1000.0 }]
[models.cheap]
deployments = [{ model = "little/echo", input_price = 1.0, output_price = 2.0 }]
"#;

fn client(tables: &str) -> Client {
    try_client(tables).unwrap_or_else(|why| panic!("{why}"))
}

fn try_client(tables: &str) -> Result<Client, String> {
    let config =
        Config::from_toml(&format!("{PRICED}\n{tables}")).map_err(|problems| problems.to_string())?;
    Client::from_config(&config).map_err(|error| error.message().to_owned())
}

fn by(subjects: &[&str], model: &str, text: &str, most: u64) -> (Call, Spending) {
    let mut call = Call::ask(model, text);
    call.request_mut().max_tokens = Some(most);
    call.request_mut().temperature = Some(0.0);
    let (mut context, spending) = (Context::default(), Spending::new());
    let data = context.data_mut();
    data.subjects = subjects.iter().map(|subject| Subject::parse(subject).unwrap()).collect();
    data.extensions.insert(spending.clone());
    (call.with_context(context), spending)
}

// S6.1, S6.2, S6.3
#[tokio::test(start_paused = true)]
async fn a_subject_stops_at_its_limit_and_others_go_on() {
    let client = client("[budget.limits]\n\"user:*\" = [\"3 requests/day\"]\n");
    for _ in 0..3 {
        client.chat(by(&["user:ann"], "dear", "hello", 5).0).await.unwrap();
    }
    let error = client.chat(by(&["user:ann"], "dear", "hello", 5).0).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::LimitReached, Some("budget_exceeded")));
    assert!(error.message().contains("user:ann") && error.message().contains("day"), "{}", error.message());
    client.chat(by(&["user:bob"], "dear", "hello", 5).0).await.unwrap();
    client.chat(by(&[], "dear", "hello", 5).0).await.unwrap();
}

// M1: what is reserved is the dearest that may answer, fallbacks included; what is booked is what was used.
#[tokio::test(start_paused = true)]
async fn the_dearest_deployment_is_reserved_and_the_real_one_is_booked() {
    let limits = |dollars: &str| format!("[budget.limits]\n\"org:acme\" = [\"{dollars} usd/month\"]\n");
    // 1000 tokens of output at 1000 USD a million: a dollar.
    let short = client(&limits("0.99"));
    let error = short.chat(by(&["org:acme"], "dear", "hello", 1000).0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitReached);
    let room = client(&limits("1.01"));
    let (call, spending) = by(&["org:acme"], "dear", "hello", 1000);
    room.chat(call).await.unwrap();
    let spent = spending.spent().unwrap();
    // One word in, one word out.
    assert!(!spent.estimated && spent.tokens() >= 2, "{spent:?}");
    let expected = spent.usage.input * 10_000 + spent.usage.output * 1_000_000;
    assert_eq!(spent.cost.as_nanos(), expected);
    let standing = room.budget().unwrap().remaining(&Subject::new("org", "acme")).await.unwrap();
    assert_eq!((standing[0].spent, standing[0].reserved), (expected, 0));
}

// The place in the stack: a hit reserves nothing, and whoever is out of budget is still served from the cache.
#[tokio::test(start_paused = true)]
async fn a_hit_in_the_cache_costs_nothing_even_without_budget() {
    let client = client("[cache]\n[budget.limits]\n\"user:*\" = [\"1 requests/day\"]\n");
    client.chat(by(&["user:ann"], "cheap", "hello", 5).0).await.unwrap();
    for _ in 0..3 {
        let (call, spending) = by(&["user:ann"], "cheap", "hello", 5);
        let hit = client.chat(call).await.unwrap();
        assert!(matches!(hit.head.cache, CacheStatus::Hit { .. }));
        assert!(spending.spent().is_none());
    }
    let saved = client.exact_cache().unwrap().stats();
    assert_eq!(saved.hits, 3);
    assert!(saved.saved_nano_usd > 0 && saved.saved_nano_usd.is_multiple_of(3), "{saved:?}");
    let error = client.chat(by(&["user:ann"], "cheap", "another", 5).0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitReached);
}

// S6.4
#[tokio::test(start_paused = true)]
async fn the_usage_is_told_by_model_and_subject() {
    let client = client("[budget]\n");
    client.chat(by(&["user:ann", "org:acme"], "dear", "hello", 5).0).await.unwrap();
    client.chat(by(&["user:bob", "org:acme"], "cheap", "hello", 5).0).await.unwrap();
    let mut stream = client.stream(by(&["user:bob", "org:acme"], "cheap", "a b c", 5).0).await.unwrap();
    while let Some(chunk) = stream.next().await {
        chunk.unwrap();
    }
    let query = UsageQuery { by_model: true, by_subject: true, ..UsageQuery::default() };
    let totals = client.budget().unwrap().usage(&query).await.unwrap();
    let requests = |subject: &str, model: &str| {
        let same = |total: &&mainstay::budget::UsageTotal| {
            total.subject.as_ref().unwrap().as_str() == subject && total.model.as_deref() == Some(model)
        };
        totals.iter().find(same).map(|total| total.requests)
    };
    assert_eq!(requests("org:acme", "sim/echo"), Some(1));
    assert_eq!(requests("org:acme", "little/echo"), Some(2));
    assert_eq!(requests("user:ann", "little/echo"), None);
    assert!(totals.iter().all(|total| !total.cost.is_zero()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_left_is_booked_with_what_was_delivered() {
    let client = client("[budget.limits]\n\"user:*\" = [\"10 concurrent\", \"1000000 tokens/day\"]\n");
    let (call, spending) = by(&["user:ann"], "dear", &"word ".repeat(200), 1000);
    let mut stream = client.stream(call).await.unwrap();
    for _ in 0..5 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    let spent = spending.spent().unwrap();
    assert!(spent.estimated && spent.usage.output > 0 && spent.usage.output < 150, "{spent:?}");
    let standings = client.budget().unwrap().remaining(&Subject::new("user", "ann")).await.unwrap();
    assert!(standings.iter().all(|standing| standing.reserved == 0), "{standings:?}");
}

// Complaint 5: a model without a price is never free in silence.
#[tokio::test(start_paused = true)]
async fn a_model_without_a_price_is_refused_or_costs_what_is_assumed() {
    let unknown = r#"
[providers.own]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key = "none"
[budget.limits]
"user:*" = ["5 usd/day"]
"#;
    let error = client(unknown).chat(by(&["user:ann"], "own/home-made", "hello", 5).0).await.unwrap_err();
    assert!(error.message().contains("price"), "{}", error.message());
    assert_ne!(error.kind(), ErrorKind::Network, "it was asked");
    let assumed = format!("{unknown}\n[prices]\nunknown = \"estimate\"\ninput = 5.0\noutput = 15.0\n");
    let error = client(&assumed).chat(by(&["user:ann"], "own/home-made", "hello", 5).0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
}

// Security test 21: a huge number of answers, or no bound on their length, is reserved before it is asked for.
#[tokio::test(start_paused = true)]
async fn a_call_that_may_cost_more_than_there_is_does_not_begin() {
    let client = client("[budget.limits]\n\"org:acme\" = [\"1 usd/forever\"]\n");
    for (many, most) in [(Some(128), Some(100)), (None, Some(u64::MAX)), (None, None)] {
        let (mut call, spending) = by(&["org:acme"], "dear", "hello", 5);
        let request = call.request_mut();
        (request.n, request.max_tokens) = (many, most);
        let error = client.chat(call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached, "{many:?} {most:?}");
        assert!(spending.spent().is_none_or(|spent| spent.cost.is_zero()));
    }
    // However small they are, they stop at the limit.
    let mut served = 0;
    for _ in 0..100_000 {
        match client.chat(by(&["org:acme"], "dear", "hi", 5).0).await {
            Ok(_) => served += 1,
            Err(error) if error.kind() == ErrorKind::LimitReached => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    let standing = client.budget().unwrap().remaining(&Subject::new("org", "acme")).await.unwrap();
    assert!(served > 100 && standing[0].spent <= 1_000_000_000, "{served} {standing:?}");
}

#[test]
fn what_cannot_be_kept_is_told_with_the_setting_and_the_cure() {
    for (tables, words) in [
        ("[budget.limits]\n\"user:*\" = [\"5 apples/day\"]\n", "100000 tokens/day"),
        ("[budget.limits]\nann = [\"5 usd/day\"]\n", "kind:id"),
        ("[budget]\nstore = \"redis\"\n", "url"),
        ("[budget]\ntime_zone = \"Mars/Olympus\"\n", "time_zone"),
        ("[prices]\nunknown = \"estimate\"\n", "input and output"),
        ("[prices]\nfile = \"/nowhere/prices.toml\"\n", "prices.file"),
        ("[budget]\nlimit = 3\n", "limits"),
    ] {
        let why = try_client(tables).map(|_| ()).unwrap_err();
        assert!(why.contains(words), "{tables}: {why}");
    }
}

#[test]
fn the_operators_prices_count_over_the_built_in_ones() {
    let folder = std::env::temp_dir().join(format!("mainstay-prices-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("prices.toml");
    std::fs::write(&file, "[prices.\"openai/gpt-4o\"]\ninput = \"1.00\"\noutput = \"2.00\"\n").unwrap();
    let client = client(&format!("[prices]\nfile = {:?}\n", file.display().to_string()));
    let priced = client.meter().table().prices("openai", "gpt-4o").unwrap();
    assert!((priced.prices.base().input.as_f64_per_million() - 1.0).abs() < 1e-9);
    assert!(client.meter().table().prices("sim", "echo").is_some());
    std::fs::remove_dir_all(folder).unwrap();
}

//! Budgets at real gateway processes: limits by subject and by key, what the caller is told, what is booked.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Client, Gateway, Upstream, chat_body, exchange, json_response, post};
use mainstay_test_servers::redis;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"the-model","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;

fn config(upstream: &Upstream, tables: &str) -> String {
    format!(
        "[router]\nnum_retries = 0\n[providers.up]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key = \"sk-up\"\n\
         [models.m]\ndeployments = [{{ model = \"up/the-model\", input_price = 10.0, output_price = 20.0 }}]\n{tables}",
        upstream.address
    )
}

async fn upstream() -> Upstream {
    Upstream::answering(json_response("200 OK", ANSWER)).await
}

async fn ask(gateway: &Gateway, headers: &str, more: &str) -> String {
    let request = post("/v1/chat/completions", &chat_body(more));
    exchange(gateway, &request.replacen("\r\n", &format!("\r\n{headers}\r\n"), 1)).await
}

fn of(subjects: &str) -> String {
    format!("x-mainstay-subjects: {subjects}")
}

// S6.1, S6.2
#[tokio::test]
async fn a_subject_at_its_limit_is_refused_and_told_what_to_do() {
    let upstream = upstream().await;
    let limits = "[budget.limits]\n\"user:*\" = [\"2 requests/day\"]\n";
    let gateway = Gateway::start(&config(&upstream, limits));
    for _ in 0..2 {
        let answer = ask(&gateway, &of("user:ann, feature:search"), "").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // 3 tokens at 10 and 1 at 20 USD a million.
        assert!(answer.contains("\r\nx-mainstay-cost-usd: 0.00005\r\n"), "{answer}");
    }
    let refused = ask(&gateway, &of("user:ann"), "").await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    for told in [
        "\"code\":\"budget_exceeded\"",
        "user:ann",
        "per day",
        "is reset at",
        "x-should-retry: false",
        "retry-after: ",
    ] {
        assert!(refused.contains(told), "{told}: {refused}");
    }
    assert!(ask(&gateway, &of("user:bob"), "").await.starts_with("HTTP/1.1 200"));
    assert_eq!(upstream.requests.lock().unwrap().len(), 3);
}

// S6.3, M2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runaway_loop_stops_exactly_at_its_limit() {
    let upstream = upstream().await;
    let limits = "[budget.limits]\n\"org:acme\" = [\"20 requests/forever\"]\n";
    let gateway = Arc::new(Gateway::start(&config(&upstream, limits)));
    let served = Arc::new(AtomicUsize::new(0));
    let loops = (0..8).map(|_| {
        let (gateway, served) = (gateway.clone(), served.clone());
        tokio::spawn(async move {
            for _ in 0..10 {
                if ask(&gateway, &of("org:acme"), "").await.starts_with("HTTP/1.1 200") {
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    for one in loops.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert_eq!((served.load(Ordering::Relaxed), upstream.requests.lock().unwrap().len()), (20, 20));
}

// M3: the place of a client that leaves is free again, and what it got is booked.
#[tokio::test]
async fn a_client_that_leaves_a_stream_gives_back_what_it_had_reserved() {
    let upstream = Upstream::start(|mut stream| async move {
        stream.write_all(common::STREAM_HEAD.as_bytes()).await.unwrap();
        stream.write_all(common::sse_chunk(&common::word("word ")).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let limits = "[budget.limits]\n\"user:*\" = [\"1 concurrent\"]\n";
    let gateway = Gateway::start(&config(&upstream, limits));
    let body = post("/v1/chat/completions", &chat_body("\"stream\":true"));
    let request = body.replacen("\r\n", &format!("\r\n{}\r\n", of("user:ann")), 1);
    let mut first = Client::connect(&gateway).await;
    first.send(&request).await;
    first.read_until("word ").await;
    assert!(exchange(&gateway, &request).await.starts_with("HTTP/1.1 429"));
    drop(first);
    let begun = tokio::time::Instant::now();
    loop {
        let mut next = Client::connect(&gateway).await;
        next.send(&request).await;
        if next.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(begun.elapsed() < common::PATIENCE, "the place is never free again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// The limits of a key, changed while the gateway runs; those of a key that another made count too (test 19).
#[tokio::test]
async fn a_keys_limits_are_kept_and_can_be_changed() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let keys = format!("[keys]\nfile = \"{}\"\n", folder.path().join("keys.json").display());
    let gateway = Gateway::start(&config(&upstream, &keys));
    let run = |arguments: &[&str]| -> Value {
        let done = Command::new(env!("CARGO_BIN_EXE_mainstay"))
            .args(["keys", "--json", "--config"])
            .arg(gateway.config.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let key = run(&["create", "ann", "--limit", "2 requests/day"]);
    let bearer = format!("authorization: Bearer {}", key["secret"].as_str().unwrap());
    let status = async || {
        let answer = ask(&gateway, &bearer, "").await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let begun = tokio::time::Instant::now();
    let first = loop {
        match status().await.as_str() {
            "401" => tokio::time::sleep(Duration::from_millis(20)).await,
            other => break other.to_owned(),
        }
        assert!(begun.elapsed() < common::PATIENCE, "the gateway never hears of the key");
    };
    assert_eq!((first.as_str(), status().await.as_str(), status().await.as_str()), ("200", "200", "429"));
    run(&["update", key["id"].as_str().unwrap(), "--limit", "3 requests/day"]);
    let begun = tokio::time::Instant::now();
    while status().await != "200" {
        assert!(begun.elapsed() < common::PATIENCE, "the gateway never hears of the change");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status().await, "429");
    assert_eq!(upstream.requests.lock().unwrap().len(), 3);
}

// M4, S6.4: what was spent survives a crash of the gateway, and the call that was under way is booked at its estimate.
#[tokio::test]
async fn a_journal_survives_a_killed_gateway_and_tells_the_usage() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|mut stream| async move {
        stream.write_all(common::STREAM_HEAD.as_bytes()).await.unwrap();
        stream.write_all(common::sse_chunk(&common::word("word ")).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let tables = format!(
        "[budget]\nstore = \"journal\"\npath = \"{}\"\n[budget.limits]\n\"user:*\" = [\"1 requests/forever\", \"100000 tokens/day\"]\n",
        folder.path().join("budget").display()
    );
    let config = config(&upstream, &tables);
    let gateway = Gateway::start(&config);
    let body = post("/v1/chat/completions", &chat_body("\"stream\":true,\"max_tokens\":50"));
    let request = body.replacen("\r\n", &format!("\r\n{}\r\n", of("user:ann")), 1);
    let mut client = Client::connect(&gateway).await;
    client.send(&request).await;
    client.read_until("word ").await;
    // A configuration can be checked while its gateway runs.
    let checked = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .arg("check")
        .arg(gateway.config.path())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    drop(gateway); // SIGKILL
    let mut gateway = Gateway::start(&config);
    assert!(exchange(&gateway, &request).await.starts_with("HTTP/1.1 429"), "the crash gave the call back");
    gateway.terminate();
    gateway.ended().await;
    let told = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(["usage", "--json", "--by", "subject,model", "--config"])
        .arg(gateway.config.path())
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let line = &told["data"][0];
    assert_eq!((&line["subject"], &line["requests"]), (&"user:ann".into(), &1.into()), "{told}");
    assert_eq!(line["output_tokens"], 50, "{told}");
}

// The admin API tells what was used and what remains.
#[tokio::test]
async fn the_admin_api_tells_usage_and_standing() {
    const TOKEN: &str = "admin-token-canary-0123456789";
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let keys = format!(
        "[keys]\nfile = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n",
        folder.path().join("keys.json").display()
    );
    let gateway = Gateway::start(&config(&upstream, &keys));
    let made = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(["keys", "--json", "--config"])
        .arg(gateway.config.path())
        .args(["create", "ann", "--limit", "1 usd/day"])
        .output()
        .unwrap();
    let key: Value = serde_json::from_slice(&made.stdout).unwrap();
    let bearer = format!("authorization: Bearer {}", key["secret"].as_str().unwrap());
    let begun = tokio::time::Instant::now();
    while !ask(&gateway, &bearer, "").await.starts_with("HTTP/1.1 200") {
        assert!(begun.elapsed() < common::PATIENCE, "the key never works");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let get = async |path: &str, token: &str| -> (String, Value) {
        let mut client = Client::over(tokio::net::TcpStream::connect(&gateway.admin).await.unwrap());
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        client.send(&head).await;
        let answer = client.read_to_end().await;
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (answer.split(' ').nth(1).unwrap().to_owned(), serde_json::from_str(body).unwrap())
    };
    let (status, usage) = get("/admin/usage?by=model", TOKEN).await;
    assert_eq!((status.as_str(), &usage["data"][0]["cost_usd"]), ("200", &"0.00005".into()), "{usage}");
    let subject = format!("key:{}", key["id"].as_str().unwrap());
    let (_, standing) = get(&format!("/admin/budgets?subject={subject}"), TOKEN).await;
    assert_eq!(standing["data"][0]["remaining"], "0.99995", "{standing}");
    assert_eq!(get("/admin/budgets", TOKEN).await.1["data"], serde_json::json!([subject]));
    let (_, state) = get("/admin/status", TOKEN).await;
    assert_eq!(
        (&state["budget"]["settled"], &state["budget"]["store"]),
        (&1.into(), &Value::Null),
        "{state}"
    );
    assert_eq!(get("/admin/usage?until=now", TOKEN).await.0, "400");
    assert_eq!(get("/admin/usage", key["secret"].as_str().unwrap()).await.0, "403");
}

// M2, S1, S2: two gateways over one Redis keep one limit; frozen, it costs 50 ms and then nothing, and the answers say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_share_a_redis_keep_one_limit() {
    let Some(server) = redis().await else { return };
    let upstream = upstream().await;
    let tables = format!(
        "[budget]\nstore = \"redis\"\nurl = \"{}\"\n[budget.limits]\n\"org:acme\" = [\"30 requests/forever\"]\n\
         \"user:*\" = [{{ limit = \"1000 requests/day\", when_store_fails = \"open\" }}]\n\"team:*\" = [\"5 usd/day\"]\n",
        server.redis_url()
    );
    let config = config(&upstream, &tables);
    let gateways = Arc::new([Gateway::start(&config), Gateway::start(&config)]);
    let callers = (0..8).map(|caller| {
        let gateways = gateways.clone();
        tokio::spawn(async move {
            let mut served = 0;
            for _ in 0..10 {
                let answer = ask(&gateways[caller % 2], &of("org:acme"), "").await;
                served += usize::from(answer.starts_with("HTTP/1.1 200"));
            }
            served
        })
    });
    let mut served = 0;
    for caller in callers.collect::<Vec<_>>() {
        served += caller.await.unwrap();
    }
    assert_eq!((served, upstream.requests.lock().unwrap().len()), (30, 30));

    server.freeze();
    // The quickest of the three that ask it, and of the three after them, since the machine may be busy.
    let mut quickest = [Duration::MAX; 2];
    for number in 0..6 {
        let begun = tokio::time::Instant::now();
        let open = ask(&gateways[0], &of("user:ann"), "").await;
        assert!(open.starts_with("HTTP/1.1 200"), "{open}");
        quickest[number / 3] = quickest[number / 3].min(begun.elapsed());
        assert!(number < 4 || open.contains("x-mainstay-budget: store-away"), "{open}");
    }
    assert!(
        quickest.iter().all(|took| *took < Duration::from_secs(2)),
        "calls hang with their store: {quickest:?}"
    );
    let closed = ask(&gateways[0], &of("team:ops"), "").await;
    assert!(closed.starts_with("HTTP/1.1 503") && closed.contains("budget_store_unavailable"), "{closed}");
    server.thaw();
    let begun = tokio::time::Instant::now();
    while !ask(&gateways[0], &of("team:ops"), "").await.starts_with("HTTP/1.1 200") {
        assert!(begun.elapsed() < common::PATIENCE, "the store is back, and nobody notices");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

//! `GET /metrics` of real gateway processes: what is told, to whom, and what never is; read by the real Prometheus where there is one.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Client, Gateway, PATIENCE, Upstream, chat_body, exchange, json_response, post};
use mainstay_test_servers::{Server, free_port, redis, redis_at};
use tokio::net::TcpStream;
use tokio::time::Instant;

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"the-model","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
const OPEN_METRICS: &str = "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";

async fn upstream() -> Upstream {
    Upstream::answering(json_response("200 OK", ANSWER)).await
}

fn config(upstream: &Upstream, tables: &str) -> String {
    format!(
        "[router]\nnum_retries = 0\n[providers.up]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key = \"sk-up\"\n\
         [models.m]\ndeployments = [{{ model = \"up/the-model\", input_price = 10.0, output_price = 20.0 }}]\n{tables}",
        upstream.address
    )
}

/// A request for a path, with more headers, and the whole answer.
async fn get(address: &str, path: &str, headers: &str) -> String {
    let mut client = Client::over(TcpStream::connect(address).await.unwrap());
    client.send(&format!("GET {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n{headers}\r\n")).await;
    client.read_to_end().await
}

/// The page, which must come at once whatever else is slow. A busy machine is slow now and then; what waits for a store that is
/// away waits each time.
async fn scrape(address: &str, headers: &str) -> String {
    let mut took = Vec::new();
    let answer = loop {
        let begun = Instant::now();
        let answer = get(address, "/metrics", headers).await;
        if begun.elapsed() < Duration::from_secs(4) {
            break answer;
        }
        took.push(begun.elapsed());
        assert!(took.len() < 3, "scrapes took {took:?}");
    };
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    page.to_owned()
}

/// The figure of a series; `None` when it is not on the page.
fn figure(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Scrapes until that is so.
async fn until(gateway: &Gateway, is_so: impl Fn(&str) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let page = scrape(&gateway.address, "").await;
        if is_so(&page) {
            return page;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not come to be: {page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ask(gateway: &Gateway, headers: &str, more: &str) -> String {
    let request = post("/v1/chat/completions", &chat_body(more));
    exchange(gateway, &request.replacen("\r\n", &format!("\r\n{headers}\r\n"), 1)).await
}

// S3, issue 5: a shared store that is slow or gone is visible in the metrics, and so is its return. A frozen store does not keep
// a scrape waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_store_is_told_and_so_is_its_return() {
    let Some(redis) = redis().await else { return };
    let port = redis.port;
    let upstream = upstream().await;
    let tables = format!(
        "[budget]\nstore = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\n[budget.limits]\n\
         \"user:*\" = [{{ limit = \"1000 requests/day\", when_store_fails = \"open\" }}]\n\
         \"team:*\" = [{{ limit = \"5 usd/day\", when_store_fails = \"closed\" }}]\n"
    );
    let gateway = Gateway::start(&config(&upstream, &tables));
    assert!(ask(&gateway, "x-mainstay-subjects: user:ann", "").await.starts_with("HTTP/1.1 200"));
    let booked = "mainstay_budget_settlements_total{outcome=\"booked\"}";
    let page = until(&gateway, |page| figure(page, booked) == Some(1.0)).await;
    let (up, waiting) = ("mainstay_budget_store_up", "mainstay_budget_settlements_waiting");
    assert_eq!((figure(&page, up), figure(&page, waiting)), (Some(1.0), Some(0.0)), "{page}");
    assert_eq!(figure(&page, "mainstay_budget_store_outages_total"), Some(0.0), "{page}");

    redis.freeze();
    for _ in 0..6 {
        assert!(ask(&gateway, "x-mainstay-subjects: user:ann", "").await.starts_with("HTTP/1.1 200"));
        scrape(&gateway.address, "").await;
    }
    assert!(ask(&gateway, "x-mainstay-subjects: team:ops", "").await.starts_with("HTTP/1.1 503"));
    let page = until(&gateway, |page| figure(page, up) == Some(0.0)).await;
    let away = |decision: &str| {
        figure(&page, &format!("mainstay_budget_store_away_calls_total{{decision=\"{decision}\"}}"))
    };
    assert_eq!((away("open"), away("closed"), away("lease")), (Some(6.0), Some(1.0), Some(0.0)), "{page}");
    // The one that was refused also gives back what the store may have taken.
    assert!(figure(&page, waiting) >= Some(6.0), "{page}");
    let oldest = "mainstay_budget_settlements_waiting_seconds";
    until(&gateway, |page| figure(page, oldest) > Some(0.5)).await;
    assert_eq!(figure(&page, "mainstay_budget_store_outages_total"), Some(1.0), "{page}");
    assert_eq!(figure(&page, "mainstay_events_total{event=\"budget.store_down\"}"), Some(1.0), "{page}");
    assert_eq!(figure(&page, "mainstay_budget_calls_total{outcome=\"refused\"}"), Some(1.0), "{page}");
    assert!(figure(&page, "mainstay_budget_store_errors_total{reason=\"timeout\"}") >= Some(1.0), "{page}");

    redis.thaw();
    let page =
        until(&gateway, |page| figure(page, up) == Some(1.0) && figure(page, waiting) == Some(0.0)).await;
    assert!(figure(&page, booked) >= Some(7.0), "{page}");
    assert_eq!(figure(&page, oldest), Some(0.0), "{page}");
    assert!(!page.contains("ann") && !page.contains("ops"), "{page}");
}

// The same where nobody calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_where_nothing_happens_hears_of_it_too() {
    let Some(redis) = redis().await else { return };
    let port = redis.port;
    let upstream = upstream().await;
    let tables = format!("[budget]\nstore = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\nlease = \"3s\"\n");
    let gateway = Gateway::start(&config(&upstream, &tables));
    ask(&gateway, "x: y", "").await;
    let up = "mainstay_budget_store_up";
    redis.freeze();
    until(&gateway, |page| figure(page, up) == Some(0.0)).await;
    redis.thaw();
    until(&gateway, |page| figure(page, up) == Some(1.0)).await;
}

// A gateway may begin before its store does: that is told from the start, and when it comes nobody has to call for it to be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_there_at_the_start_is_told_until_it_comes() {
    // One that is there is not told to be away.
    let Some(redis) = redis().await else { return };
    let port = redis.port;
    let upstream = upstream().await;
    let tables = format!("[budget]\nstore = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\n");
    let (up, outages) = ("mainstay_budget_store_up", "mainstay_budget_store_outages_total");
    let gateway = Gateway::start(&config(&upstream, &tables));
    let page = scrape(&gateway.address, "").await;
    assert_eq!((figure(&page, up), figure(&page, outages)), (Some(1.0), Some(0.0)), "{page}");
    drop((gateway, redis));

    let gateway = Gateway::start(&config(&upstream, &tables));
    let page = scrape(&gateway.address, "").await;
    assert_eq!((figure(&page, up), figure(&page, outages)), (Some(0.0), Some(1.0)), "{page}");
    let down = "mainstay_events_total{event=\"budget.store_down\"}";
    assert_eq!(figure(&page, down), Some(1.0), "{page}");
    let _redis = redis_at(port, &[]).await.unwrap();
    let page = until(&gateway, |page| figure(page, up) == Some(1.0)).await;
    assert_eq!(figure(&page, outages), Some(1.0), "{page}");
    assert!(ask(&gateway, "x-mainstay-subjects: user:ann", "").await.starts_with("HTTP/1.1 200"));
}

// S6.2: what was reached is counted; whose it was is not told.
#[tokio::test]
async fn limits_that_are_reached_are_counted() {
    let upstream = upstream().await;
    let gateway = Gateway::start(&config(&upstream, "[budget.limits]\n\"user:*\" = [\"5 requests/day\"]\n"));
    let reached = |page: &str| {
        ["soft", "hard"]
            .map(|limit| figure(page, &format!("mainstay_budget_limits_reached_total{{limit=\"{limit}\"}}")))
    };
    let page = scrape(&gateway.address, "").await;
    assert_eq!(reached(&page), [Some(0.0), Some(0.0)], "{page}");
    assert_eq!(figure(&page, "mainstay_budget_store_up"), None, "a store in memory cannot go: {page}");
    for _ in 0..7 {
        ask(&gateway, "x-mainstay-subjects: user:ann", "").await;
    }
    let page = scrape(&gateway.address, "").await;
    assert_eq!(reached(&page), [Some(1.0), Some(1.0)], "{page}");
    let calls =
        |outcome: &str| figure(&page, &format!("mainstay_budget_calls_total{{outcome=\"{outcome}\"}}"));
    assert_eq!((calls("admitted"), calls("refused")), (Some(5.0), Some(2.0)), "{page}");
    assert_eq!(figure(&page, "mainstay_budget_holds_open"), Some(0.0), "{page}");
    // 3 tokens at 10 and 1 at 20 USD a million, five times.
    assert_eq!(figure(&page, "mainstay_budget_spent_usd_total"), Some(0.00025), "{page}");
    let succeeded = "mainstay_breaker_calls_total{deployment=\"up/the-model\",outcome=\"succeeded\"}";
    assert_eq!(figure(&page, succeeded), Some(5.0), "{page}");
    let at_once = "mainstay_rate_limit_calls_total{deployment=\"up/the-model\",outcome=\"at_once\"}";
    assert_eq!(figure(&page, at_once), Some(5.0), "{page}");
    assert_eq!(
        figure(&page, "mainstay_breaker_state{deployment=\"up/the-model\",state=\"closed\"}"),
        Some(1.0)
    );
    until(&gateway, |page| figure(page, "mainstay_connections") == Some(1.0)).await;
}

#[tokio::test]
async fn what_caches_answer_and_save_is_counted() {
    let upstream = upstream().await;
    let gateway = Gateway::start(&config(&upstream, "[cache]\n"));
    let page = scrape(&gateway.address, "").await;
    assert_eq!(figure(&page, "mainstay_cache_calls_total{outcome=\"hit\"}"), Some(0.0), "{page}");
    assert!(!page.contains("mainstay_budget") && !page.contains("mainstay_keys"), "{page}");
    for _ in 0..3 {
        ask(&gateway, "x: y", "\"temperature\":0").await;
    }
    ask(&gateway, "x: y", "\"temperature\":1").await;
    let page = scrape(&gateway.address, "").await;
    for (series, expected) in [
        ("mainstay_cache_calls_total{outcome=\"hit\"}", 2.0),
        ("mainstay_cache_calls_total{outcome=\"miss\"}", 1.0),
        ("mainstay_cache_not_cached_total{reason=\"random\"}", 1.0),
        ("mainstay_cache_answers_total{outcome=\"kept\"}", 1.0),
        ("mainstay_cache_entries", 1.0),
        ("mainstay_cache_saved_tokens_total{kind=\"input\"}", 6.0),
        // 3 tokens at 10 and 1 at 20 USD a million, twice.
        ("mainstay_cache_saved_usd_total", 0.0001),
    ] {
        assert_eq!(figure(&page, series), Some(expected), "{series}: {page}");
    }
}

#[tokio::test]
async fn alerts_that_are_delivered_are_counted() {
    let rejecting =
        json_response("401 Unauthorized", r#"{"error":{"message":"no","code":"invalid_api_key"}}"#);
    let upstream = Upstream::answering(rejecting).await;
    let receiver = Upstream::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let tables = format!(
        "[alerts]\nwebhook = \"http://{}/\"\nsecret = \"0123456789abcdef0123456789abcdef\"\nallow_private = true\n\
         events = [\"key.rejected\"]\n",
        receiver.address
    );
    let gateway = Gateway::start(&config(&upstream, &tables));
    assert!(ask(&gateway, "x: y", "").await.starts_with("HTTP/1.1 401"));
    let outcome = |outcome: &str| format!("mainstay_alerts_total{{outcome=\"{outcome}\"}}");
    let page = until(&gateway, |page| figure(page, &outcome("delivered")) == Some(1.0)).await;
    assert_eq!(figure(&page, "mainstay_events_total{event=\"key.rejected\"}"), Some(1.0), "{page}");
    let rest = ["mainstay_alerts_waiting".to_owned(), outcome("failed"), outcome("dropped")];
    assert_eq!(rest.map(|series| figure(&page, &series)), [Some(0.0); 3], "{page}");
}

// Test 19: open like the health routes, unless a token is wanted or they are elsewhere; where they are not, nothing is.
#[tokio::test]
async fn they_are_where_the_configuration_says_and_for_whom() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let keys = format!("[keys]\nfile = \"{}\"\n", folder.path().join("keys.json").display());
    let status = async |address: &str, path: &str, headers: &str| {
        get(address, path, headers).await.split(' ').nth(1).unwrap().to_owned()
    };

    let token = format!("{keys}[metrics]\ntoken = \"metrics-token-canary-0123\"\n");
    let gateway = Gateway::start(&config(&upstream, &token));
    for (shown, expected) in [
        ("", "401"),
        ("authorization: Bearer metrics-token-canary-0124\r\n", "401"),
        ("authorization: Bearer metrics-token-canary-0123\r\n", "200"),
        ("x-api-key: metrics-token-canary-0123\r\n", "200"),
    ] {
        assert_eq!(status(&gateway.address, "/metrics", shown).await, expected, "{shown}");
    }
    let refused = get(&gateway.address, "/metrics", "").await;
    assert!(refused.contains("www-authenticate: Bearer") && !refused.contains("mainstay_"), "{refused}");
    assert!(refused.contains("the token of [metrics]"), "{refused}");
    let head = exchange(&gateway, "POST /metrics HTTP/1.1\r\nhost: g\r\ncontent-length: 0\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");

    let beside = format!("{keys}[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let gateway = Gateway::start(&config(&upstream, &beside));
    assert_eq!(status(&gateway.address, "/metrics", "").await, "404");
    assert_eq!(status(&gateway.metrics, "/metrics", "").await, "200");
    for path in ["/", "/v1/models", "/health/live", "/admin/keys", "/metrics/"] {
        assert_eq!(status(&gateway.metrics, path, "").await, "404", "{path}");
    }

    let gateway = Gateway::start(&config(&upstream, "[metrics]\nenabled = false\n"));
    assert_eq!(status(&gateway.address, "/metrics", "").await, "404");
}

// Security test 2: nothing that a caller says or has gets to the page, in either format, by any way through the stack.
#[tokio::test]
async fn no_key_no_subject_and_no_prompt_is_on_the_page() {
    let rejecting = json_response(
        "401 Unauthorized",
        r#"{"error":{"message":"canary: Incorrect API key","code":"invalid_api_key"}}"#,
    );
    let (upstream, folder) = (Upstream::answering(rejecting).await, tempfile::tempdir().unwrap());
    let tables = format!(
        "[cache]\n[budget.limits]\n\"user:canary\" = [\"1 tokens/day\"]\n[keys]\nfile = \"{}\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"admin-canary-0123456789abcdef\"\n\
         [alerts]\nwebhook = \"http://{}/canary-path\"\nsecret = \"alert-canary-0123456789abcdef\"\nallow_private = true\nattempts = 1\n",
        folder.path().join("keys.json").display(),
        upstream.address
    );
    let gateway =
        Gateway::start(&config(&upstream, &tables).replace("sk-up", "sk-provider-canary-0123456789"));
    let made = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(["keys", "--json", "--config"])
        .arg(gateway.config.path())
        .args([
            "create",
            "canary",
            "--limit",
            "100 requests/day",
            "--caller-subject",
            "user:*",
            "--caller-namespace",
            "*",
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let (id, secret) = (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap());
    until(&gateway, |page| figure(page, "mainstay_keys") == Some(1.0)).await;

    let headers = format!(
        "authorization: Bearer {secret}\r\nx-mainstay-namespace: canary\r\nx-request-id: canary\r\nx-mainstay-session: canary"
    );
    for model in ["m", "up/canary-model", "canary-model", "canary/x"] {
        for more in ["\"temperature\":0", "\"stream\":true", "\"user\":\"canary\",\"canary\":1"] {
            let body =
                chat_body(more).replace("\"m\"", &format!("\"{model}\"")).replace("hi", "canary prompt");
            // One is sent to the provider, the other is at its limit.
            for subjects in ["user:canary-too", "user:canary"] {
                let headers = format!("\r\n{headers}\r\nx-mainstay-subjects: {subjects}\r\n");
                exchange(&gateway, &post("/v1/chat/completions", &body).replacen("\r\n", &headers, 1)).await;
            }
        }
    }
    ask(&gateway, "authorization: Bearer sk-ms-canary", "").await;
    get(&gateway.address, "/v1/canary", &format!("{headers}\r\n")).await;
    let page =
        until(&gateway, |page| figure(page, "mainstay_alerts_total{outcome=\"failed\"}") > Some(0.0)).await;
    assert!(figure(&page, "mainstay_events_total{event=\"key.rejected\"}") > Some(0.0), "{page}");
    assert!(figure(&page, "mainstay_events_total{event=\"budget.hard_limit\"}") > Some(0.0), "{page}");
    assert!(figure(&page, "mainstay_keys_refused_total") > Some(0.0), "{page}");
    assert_eq!(
        figure(&page, "mainstay_breaker_state{deployment=\"up/the-model\",state=\"parked\"}"),
        Some(1.0),
        "{page}"
    );
    for page in [page, scrape(&gateway.address, OPEN_METRICS).await] {
        for hidden in ["canary", id, secret, &secret[6..20], "user:"] {
            assert!(!page.contains(hidden), "{hidden}: {page}");
        }
    }
}

#[tokio::test]
async fn both_formats_are_what_they_say() {
    let upstream = upstream().await;
    let gateway = Gateway::start(&config(&upstream, "[cache]\n[budget]\n"));
    ask(&gateway, "x: y", "\"temperature\":0").await;
    let plain = get(&gateway.address, "/metrics", "").await;
    assert!(plain.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{plain}");
    assert!(plain.contains("# TYPE mainstay_build_info gauge\n") && !plain.contains("# EOF"), "{plain}");
    let open = get(&gateway.address, "/metrics", OPEN_METRICS).await;
    assert!(
        open.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
        "{open}"
    );
    assert!(open.contains("# TYPE mainstay_build info\n") && open.ends_with("\n# EOF\n"), "{open}");
    assert!(open.contains("# UNIT mainstay_cache_memory_bytes bytes\n"), "{open}");
    let length = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.len();
    assert!(length(&plain) < 32 << 10 && length(&open) < 32 << 10, "{} {}", length(&plain), length(&open));
}

// The real thing reads it, in the format that it asks for, and takes the rules of the docs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_it_and_takes_the_rules_of_the_docs() {
    let upstream = upstream().await;
    let gateway = Gateway::start(&config(&upstream, "[cache]\n[budget]\n"));
    ask(&gateway, "x: y", "\"temperature\":0").await;
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let rules = rules_of_the_docs(folder.path());
    let file = folder.path().join("prometheus.yml");
    let settings = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{}]\n\
         scrape_configs: [{{ job_name: mainstay, static_configs: [{{ targets: ['{}'] }}] }}]\n",
        rules.display(),
        gateway.address
    );
    std::fs::write(&file, settings).unwrap();
    let mut prometheus = Command::new("prometheus");
    prometheus
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let Some(_server) = Server::start(prometheus, port, folder).await else {
        println!("skipped: there is no prometheus here; apt-get install -y prometheus");
        return;
    };
    let address = format!("127.0.0.1:{port}");
    let query = async |query: &str| get(&address, &format!("/api/v1/query?query={query}"), "").await;
    let begun = Instant::now();
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    while !query("mainstay_build_info").await.contains(&version) {
        let state = get(&address, "/api/v1/targets", "").await;
        assert!(begun.elapsed() < PATIENCE, "Prometheus does not read it: {state}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answer = query("mainstay_cache_calls_total%7Boutcome=%22miss%22%7D").await;
    assert!(answer.contains("\"value\":[") && answer.contains(",\"1\"]"), "{answer}");
    while get(&address, "/api/v1/rules", "").await.contains("\"health\":\"unknown\"") {
        assert!(begun.elapsed() < PATIENCE, "Prometheus does not try the rules");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tried = get(&address, "/api/v1/rules", "").await;
    assert!(tried.contains("\"health\":\"ok\"") && !tried.contains("\"health\":\"err\""), "{tried}");

    // Its own opinion of names and help texts.
    let page = scrape(&gateway.address, "").await;
    let Ok(mut check) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        println!("skipped: there is no promtool here");
        return;
    };
    std::io::Write::write_all(&mut check.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    let told = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && told.is_empty(), "{}", String::from_utf8_lossy(&told));
}

/// The rules of `docs/metrics.md` as a file.
fn rules_of_the_docs(folder: &Path) -> PathBuf {
    let docs = include_str!("../../../docs/metrics.md");
    let rules = docs.split("```yaml\n").find(|block| block.starts_with("groups:")).unwrap();
    let file = folder.join("rules.yml");
    std::fs::write(&file, rules.split("```").next().unwrap()).unwrap();
    file
}

//! What is printed at the start is true.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Gateway, Upstream, exchange, json_response, post};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}"#;

/// Sends what the greeting's `curl` would.
async fn tried(gateway: &Gateway) -> String {
    let (_, command) = gateway.greeting.split_once("Try it:\n  curl http://").unwrap();
    let (target, rest) = command.split_once(char::is_whitespace).unwrap();
    let path = target.strip_prefix(&gateway.address).unwrap();
    match rest.split_once("-d '") {
        Some((_, body)) => {
            // As the shell reads it.
            let body = body.trim_end().strip_suffix('\'').unwrap().replace("'\\''", "'");
            exchange(gateway, &post(path, &body)).await
        }
        None => exchange(gateway, &format!("GET {path} HTTP/1.1\r\nhost: g\r\n\r\n")).await,
    }
}

#[tokio::test]
async fn the_line_to_try_works_with_any_configuration() {
    let upstream = Upstream::answering(json_response("200 OK", ANSWER)).await;
    let up = format!(
        "[providers.up]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key = \"k\"\n",
        upstream.address
    );
    let named = format!("{up}[models.\"it's \\\"mine\\\"\"]\ndeployments = [{{ model = \"up/x\" }}]\n");
    for (config, answer) in [
        ("[providers.sim]\n", "chat.completion"),
        ("[providers.local]\nkind = \"sim\"\n", "chat.completion"),
        (&named, "chat.completion"),
        (&up, "\"data\":[]"),
        ("", "\"data\":[]"),
    ] {
        let gateway = Gateway::start(config);
        let answered = tried(&gateway).await;
        assert!(answered.starts_with("HTTP/1.1 200") && answered.contains(answer), "{config}: {answered}");
    }
    assert!(Gateway::start(&up).greeting.contains("providers: up\n"));
}

//! What goes over the wire.

use std::time::Duration;

use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use mainstay::config::{EnvText, Span};
use sha2::Sha256;
use tokio::time::timeout;

use super::receiver::{Receiver, body, header};
use super::{Log, alert};
use crate::alerts::{Alerts, AlertsConfig};

const SECRET: &str = "canary-secret-0123456789abcdef";
const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nbye";

fn config(url: String) -> AlertsConfig {
    AlertsConfig {
        webhook: Some(EnvText::new(url)),
        secret: Some(EnvText::new(SECRET)),
        allow_private: true,
        timeout: Span::new(Duration::from_secs(5)),
        ..AlertsConfig::default()
    }
}

/// Tells one alert, and waits for so many attempts or a line with these words in the log.
async fn send(
    config: AlertsConfig,
    receiver: &Receiver,
    attempts: usize,
    words: &str,
) -> (Vec<Vec<u8>>, String) {
    let log = Log::begin();
    let alerts = config.open(&|_| None).unwrap();
    let teller = alerts.teller();
    let done = async {
        teller.tell(&alert(1));
        while receiver.requests().len() < attempts || !log.text().contains(words) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), Alerts::during(Some(alerts), done)).await.expect("in time");
    (receiver.requests(), log.text())
}

fn hook(receiver: &Receiver) -> String {
    format!("http://127.0.0.1:{}/canary-path?token=canary-token", receiver.port)
}

/// As docs/alerts.md says it.
fn verify(request: &[u8]) {
    let signature = header(request, "x-mainstay-signature");
    let (time, signature) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.{}", body(request)).as_bytes());
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(signature, expected);
    let age = Timestamp::now().as_second() - time.parse::<i64>().unwrap();
    assert!((0..30).contains(&age), "{age}");
}

#[tokio::test]
async fn an_alert_is_a_signed_post() {
    let receiver = Receiver::answering(&[OK]).await;
    let (requests, log) = send(config(hook(&receiver)), &receiver, 1, "alert sent").await;
    let request = &requests[0];
    assert!(request.starts_with(b"POST /canary-path?token=canary-token HTTP/1.1\r\n"));
    verify(request);
    let body: serde_json::Value = serde_json::from_str(&body(request)).unwrap();
    assert_eq!((&body["event"], &body["number"]), (&"key.rejected".into(), &"1".into()));
    assert_eq!(header(request, "idempotency-key"), body["id"].as_str().unwrap());
    assert_eq!(header(request, "x-mainstay-event"), "key.rejected");
    assert_eq!(header(request, "content-type"), "application/json");
    assert_eq!(header(request, "host"), format!("127.0.0.1:{}", receiver.port));
    assert!(!String::from_utf8_lossy(request).contains(SECRET) && !log.contains("canary"), "{log}");
}

#[tokio::test]
async fn retries_have_the_same_id_and_body_and_a_signature_that_holds() {
    let receiver = Receiver::answering(&[BUSY, "close", OK]).await;
    let (requests, log) = send(config(hook(&receiver)), &receiver, 3, "alert sent").await;
    requests.iter().for_each(|request| verify(request));
    for request in &requests[1..] {
        assert_eq!(body(request), body(&requests[0]));
        assert_eq!(header(request, "idempotency-key"), header(&requests[0], "idempotency-key"));
    }
    assert!(log.contains("attempts=3") && !log.contains("canary"), "{log}");
}

#[tokio::test]
async fn a_refusal_is_told_once_with_neither_secret_nor_address() {
    let receiver = Receiver::answering(&["HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"]).await;
    let (requests, log) = send(config(hook(&receiver)), &receiver, 1, "was not delivered").await;
    assert_eq!((requests.len(), log.matches("ERROR").count()), (1, 1));
    assert!(log.contains("401 Unauthorized") && !log.contains("canary"), "{log}");
}

#[tokio::test]
async fn a_receiver_that_says_nothing_is_given_up_in_time() {
    let receiver = Receiver::answering(&[""]).await;
    let mut config = config(hook(&receiver));
    (config.attempts, config.timeout) = (1, Span::new(Duration::from_millis(100)));
    let (_, log) = send(config, &receiver, 1, "was not delivered").await;
    assert!(log.contains("no answer within 100ms"), "{log}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_waited_for() {
    let endless = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n{}", "x".repeat(100_000));
    let receiver = Receiver::answering(&[&endless]).await;
    let (requests, _) = send(config(hook(&receiver)), &receiver, 1, "alert sent").await;
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn an_https_address_gets_nothing_in_the_clear() {
    let receiver = Receiver::answering(&["close"]).await;
    let mut config = config(format!("https://localhost:{}/canary-path", receiver.port));
    config.attempts = 1;
    let (requests, log) = send(config, &receiver, 1, "was not delivered").await;
    assert_eq!(requests[0][0], 0x16, "a TLS handshake");
    for word in ["canary", "key.rejected", "POST"] {
        assert!(!String::from_utf8_lossy(&requests[0]).contains(word));
    }
    assert!(log.contains("no connection"), "{log}");
}

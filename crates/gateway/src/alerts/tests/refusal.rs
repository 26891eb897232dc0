//! Where nothing is ever sent (security test 4).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay::config::{EnvText, Span};

use super::alert;
use super::receiver::Receiver;
use crate::alerts::AlertsConfig;
use crate::alerts::address::REFUSED;
use crate::alerts::connect::{Connector, NoConnection};
use crate::alerts::letter::{Alert, Letters};
use crate::alerts::target::Target;
use crate::alerts::worker::{Failure, Post as _};

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const PATIENCE: Duration = Duration::from_millis(500);

/// One attempt at this URL.
async fn attempt(url: &str, allow_private: bool) -> Result<(), Failure> {
    let config = AlertsConfig {
        webhook: Some(EnvText::new(url)),
        secret: Some(EnvText::new("0123456789abcdef0123456789abcdef")),
        allow_private,
        timeout: Span::new(Duration::from_secs(5)),
        ..AlertsConfig::default()
    };
    let alerts = config.open(&|_| None).unwrap();
    let event = Alert { at: jiff::Timestamp::now(), event: alert(1) };
    alerts.worker.post.post(&Letters::new().unwrap().write(event)).await
}

/// Connects to a public name that somebody makes resolve to these addresses; how often that was looked up comes with it.
async fn connect(
    answers: Vec<Vec<SocketAddr>>,
    port: u16,
    allow_private: bool,
) -> (Option<NoConnection>, usize) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let resolve = move |_: &str, _: u16| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let answer = answers[number.min(answers.len() - 1)].clone();
        Box::pin(std::future::ready(Ok(answer))) as _
    };
    let scheme = if allow_private { "http" } else { "https" };
    let target = Target::parse(&format!("{scheme}://hooks.example.com:{port}/"), allow_private).ok().unwrap();
    let connector =
        Connector::new(target.is_https, allow_private, PATIENCE).unwrap().with_resolve(Box::new(resolve));
    (connector.connect(&target).await.err(), asked.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_name_that_is_rebound_to_any_private_form_gets_no_packet() {
    let receiver = Receiver::answering(&[OK]).await;
    for address in REFUSED {
        let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), receiver.port);
        let (why, _) = connect(vec![vec![address]], receiver.port, false).await;
        assert!(matches!(why, Some(NoConnection::NotPublic)), "{address}: {why:?}");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(receiver.connections(), 0);

    // The same address is within reach when it is allowed: the listener would have noticed.
    let loopback = SocketAddr::from(([127, 0, 0, 1], receiver.port));
    let (why, _) = connect(vec![vec![loopback]], receiver.port, true).await;
    assert!(why.is_none(), "{why:?}");
    while receiver.connections() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_a_connection_so_that_a_second_answer_cannot_differ() {
    let receiver = Receiver::answering(&[OK]).await;
    let loopback = SocketAddr::from(([127, 0, 0, 1], receiver.port));
    // Nothing listens at the first; the second would be the attacker's.
    let closed = SocketAddr::from(([127, 0, 0, 1], 1));
    let (why, asked) = connect(vec![vec![closed], vec![loopback]], receiver.port, true).await;
    assert!(matches!(why, Some(NoConnection::Failed(_))), "{why:?}");
    assert_eq!((asked, receiver.connections()), (1, 0));
}

#[tokio::test]
async fn numbers_that_are_addresses_in_disguise_get_no_packet() {
    let receiver = Receiver::answering(&[OK]).await;
    for host in ["2130706433", "0x7f000001", "0x7f.1", "127.1", "017700000001", "0", "ip6-localhost"] {
        let failure = attempt(&format!("https://{host}:{}/", receiver.port), false).await.unwrap_err();
        let refused = failure.why.contains("no public address") && !failure.passes;
        let unknown = failure.why.contains("look"); // this system does not know that form
        assert!(refused || unknown, "{host}: {failure:?}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Receiver::answering(&[OK]).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let answer = format!(
            "HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
            elsewhere.port
        );
        let receiver = Receiver::answering(&[&answer]).await;
        let failure = attempt(&format!("http://127.0.0.1:{}/", receiver.port), true).await.unwrap_err();
        assert!(failure.why.contains("redirects are not followed") && !failure.passes, "{failure:?}");
        assert_eq!(receiver.connections(), 1);
    }
    assert_eq!(elsewhere.connections(), 0);
}

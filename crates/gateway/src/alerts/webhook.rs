//! One attempt to send an alert, and what its answer means.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::connect::{Connector, NoConnection, Stream};
use super::letter::Letter;
use super::signature::Signer;
use super::target::Target;
use super::worker::{Failure, Post};

const EVENT: HeaderName = HeaderName::from_static("x-mainstay-event");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SIGNATURE: HeaderName = HeaderName::from_static("x-mainstay-signature");
const USER_AGENT: &str = concat!("mainstay/", env!("CARGO_PKG_VERSION"));

/// The most that is read of an answer's head, and of its body, which says nothing to us.
const MOST_READ: usize = 16 << 10;

/// A receiver of alerts.
pub(crate) struct Webhook {
    pub(super) target: Target,
    pub(super) connector: Connector,
    pub(super) signer: Signer,
    /// For a whole attempt.
    pub(super) timeout: Duration,
}

impl Post for Webhook {
    async fn post(&self, letter: &Letter) -> Result<(), Failure> {
        match tokio::time::timeout(self.timeout, self.exchange(letter)).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure::passing(format!("no answer within {:?}", self.timeout))),
        }
    }
}

impl Webhook {
    async fn exchange(&self, letter: &Letter) -> Result<(), Failure> {
        let stream = self.connector.connect(&self.target).await.map_err(not_connected)?;
        let request =
            self.request(letter, Timestamp::now()).map_err(|error| Failure::lasting(error.to_string()))?;
        let broken = |error: hyper::Error| Failure::passing(format!("the connection broke off: {error}"));
        let response = send(stream, request).await.map_err(broken)?;
        judge(response.status(), response.headers(), Timestamp::now().into())
    }

    /// Signed anew at each attempt: the receiver may refuse what is old.
    fn request(&self, letter: &Letter, now: Timestamp) -> Result<Request<Full<Bytes>>, axum::http::Error> {
        Request::post(self.target.path.as_str())
            .header(header::HOST, &self.target.authority)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .header(EVENT, letter.event)
            .header(IDEMPOTENCY_KEY, &letter.id)
            .header(SIGNATURE, self.signer.sign(now.as_second(), &letter.body))
            .body(Full::new(letter.body.clone()))
    }
}

async fn send(stream: Stream, request: Request<Full<Bytes>>) -> hyper::Result<Response<()>> {
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MOST_READ).handshake(TokioIo::new(stream)).await?;
    // Ends with this function, however that ends.
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await; // its error is the request's too
    });
    let (head, body): (_, Incoming) = sender.send_request(request).await?.into_parts();
    // Read to its end, if it is short, so that the receiver is not cut off; what it says does not matter.
    let _ = Limited::new(body, MOST_READ).collect().await;
    Ok(Response::from_parts(head, ()))
}

fn not_connected(why: NoConnection) -> Failure {
    match why {
        NoConnection::NotPublic => Failure::lasting(
            "the webhook's name has no public address; if alerts may go there, say allow_private = true"
                .into(),
        ),
        NoConnection::Failed(error) => Failure::passing(format!("no connection: {error}")),
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let why = match status {
        _ if status.is_redirection() => {
            format!("the receiver answered {status}, and redirects are not followed")
        }
        _ => format!("the receiver answered {status}"),
    };
    let passes = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if !passes && !status.is_server_error() {
        return Err(Failure::lasting(why));
    }
    let wait = headers.get(header::RETRY_AFTER).and_then(|value| asked_wait(value, now));
    Err(Failure { wait, ..Failure::passing(why) })
}

/// `retry-after`: seconds, or a date.
fn asked_wait(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let value = value.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn judged(status: u16, retry_after: Option<&'static str>) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        headers.extend(retry_after.map(|value| (header::RETRY_AFTER, HeaderValue::from_static(value))));
        judge(StatusCode::from_u16(status).unwrap(), &headers, UNIX_EPOCH + Duration::from_secs(784_111_770))
    }

    #[test]
    fn what_passes_is_tried_again_and_what_lasts_is_not() {
        assert!([200, 201, 202, 204].into_iter().all(|status| judged(status, None).is_ok()));
        assert!(
            [408, 429, 500, 502, 503, 504].into_iter().all(|status| judged(status, None).unwrap_err().passes)
        );
        for status in [301, 302, 307, 400, 401, 403, 404, 410, 413, 422] {
            assert!(!judged(status, Some("1")).unwrap_err().passes, "{status}");
        }
        assert!(judged(302, None).unwrap_err().why.contains("redirects are not followed"));
    }

    #[test]
    fn a_receiver_may_ask_for_a_wait_in_seconds_or_by_a_date() {
        let wait = |value| judged(503, Some(value)).unwrap_err().wait;
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!([wait("soon"), wait("-1"), wait("1e9")], [None; 3]);
        assert_eq!(wait("Sun, 06 Nov 1970 08:49:37 GMT"), None);
    }
}

//! AWS Signature Version 4, by AWS's own crates.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as signature};
use aws_sigv4::sign::v4;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use mainstay_provider_core::{BoxError, Error, ErrorKind};
use secrecy::{ExposeSecret, SecretString};

/// Who signs.
#[derive(Debug, Clone)]
pub(crate) struct AwsCredentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: SecretString,
    /// With temporary credentials.
    pub(crate) session_token: Option<SecretString>,
}

/// Signs a request to Bedrock: adds `x-amz-date`, `authorization` and, with a session token, `x-amz-security-token`.
pub(crate) fn sign(
    method: &Method,
    url: &str,
    headers: &mut HeaderMap,
    body: &[u8],
    credentials: &AwsCredentials,
    region: &str,
    now: SystemTime,
) -> Result<(), Error> {
    let scope = Scope { region, service: "bedrock", now };
    let added = signed_headers(method, url, headers, body, credentials, &scope).map_err(|error| {
        let message = "the request cannot be signed; check access_key_id, region and base_url";
        Error::new(ErrorKind::Configuration, message).with_source(error)
    })?;
    for (name, value) in added {
        headers.insert(name, value); // `extend` would keep the signature of before beside it
    }
    Ok(())
}

/// What a signature holds for.
struct Scope<'a> {
    region: &'a str,
    service: &'a str,
    now: SystemTime,
}

fn signed_headers(
    method: &Method,
    url: &str,
    headers: &HeaderMap,
    body: &[u8],
    credentials: &AwsCredentials,
    scope: &Scope<'_>,
) -> Result<Vec<(HeaderName, HeaderValue)>, BoxError> {
    let identity = Credentials::new(
        credentials.access_key_id.trim(),
        credentials.secret_access_key.expose_secret().trim(),
        credentials.session_token.as_ref().map(|token| token.expose_secret().trim().to_owned()),
        None,
        "mainstay",
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(scope.now)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let signed = headers.iter().filter(|(name, _)| is_signed(name));
    let signed = signed.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let request = SignableRequest::new(method.as_str(), url, signed, SignableBody::Bytes(body))?;
    let (instructions, _) = signature(request, &params)?.into_parts();
    let mut added = Vec::with_capacity(3);
    for (name, value) in instructions.headers() {
        let mut value = HeaderValue::from_str(value)?;
        value.set_sensitive(name != "x-amz-date");
        added.push((HeaderName::from_bytes(name.as_bytes())?, value));
    }
    Ok(added)
}

/// Besides `host`, which is always signed. Everything else may be changed by a proxy on the way, which would break the
/// signature; what a signature of before has left is not signed but replaced.
fn is_signed(name: &HeaderName) -> bool {
    let own = ["x-amz-date", "x-amz-security-token"];
    name == header::CONTENT_TYPE || (name.as_str().starts_with("x-amz-") && !own.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The time of AWS's published test suite: 2015-08-30T12:36:00Z.
    const NOW: Duration = Duration::from_secs(1_440_938_160);

    fn credentials(session_token: Option<&str>) -> AwsCredentials {
        AwsCredentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: session_token.map(SecretString::from),
        }
    }

    /// The `authorization` that AWS's test suite expects for the made-up service `service`.
    fn authorization(
        method: &Method,
        url: &str,
        headers: &HeaderMap,
        body: &[u8],
        token: Option<&str>,
    ) -> String {
        let scope = Scope { region: "us-east-1", service: "service", now: SystemTime::UNIX_EPOCH + NOW };
        let added = signed_headers(method, url, headers, body, &credentials(token), &scope).unwrap();
        let find = |name: &str| added.iter().find(|(header, _)| header == name).map(|(_, value)| value);
        assert_eq!(find("x-amz-date").unwrap(), "20150830T123600Z");
        assert_eq!(find("x-amz-security-token").map(|value| value.to_str().unwrap()), token);
        assert!(find("authorization").unwrap().is_sensitive());
        find("authorization").unwrap().to_str().unwrap().to_owned()
    }

    fn expected(signed: &str, signature: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={signed}, Signature={signature}"
        )
    }

    #[test]
    fn the_published_vector_get_vanilla_is_met() {
        let found =
            authorization(&Method::GET, "https://example.amazonaws.com/", &HeaderMap::new(), b"", None);
        let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert_eq!(found, expected("host;x-amz-date", signature));
    }

    #[test]
    fn the_published_vector_post_vanilla_is_met() {
        let found =
            authorization(&Method::POST, "https://example.amazonaws.com/", &HeaderMap::new(), b"", None);
        let signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        assert_eq!(found, expected("host;x-amz-date", signature));
    }

    #[test]
    fn the_published_vector_get_vanilla_query_order_key_case_is_met() {
        let url = "https://example.amazonaws.com/?Param2=value2&Param1=value1";
        let found = authorization(&Method::GET, url, &HeaderMap::new(), b"", None);
        let signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        assert_eq!(found, expected("host;x-amz-date", signature));
    }

    #[test]
    fn the_published_vector_post_sts_header_before_signs_the_session_token() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeo\
                     IYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5V\
                     SXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yj\
                     c8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let url = "https://example.amazonaws.com/";
        let found = authorization(&Method::POST, url, &HeaderMap::new(), b"", Some(token));
        let signature = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead";
        assert_eq!(found, expected("host;x-amz-date;x-amz-security-token", signature));
    }

    #[test]
    fn the_published_vector_post_x_www_form_urlencoded_signs_body_and_content_type() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        // Not part of the vector: these are left alone.
        headers.insert("accept", HeaderValue::from_static("application/json"));
        headers.insert("authorization", HeaderValue::from_static("of before"));
        headers.insert("x-amz-date", HeaderValue::from_static("of before"));
        let url = "https://example.amazonaws.com/";
        let found = authorization(&Method::POST, url, &headers, b"Param1=value1", None);
        let signature = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        assert_eq!(found, expected("content-type;host;x-amz-date", signature));
    }

    #[test]
    fn a_path_that_is_percent_encoded_is_encoded_once_more_as_bedrock_wants_it() {
        let sign = |url: &str| authorization(&Method::POST, url, &HeaderMap::new(), b"{}", None);
        let signature =
            sign("https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse");
        // Computed apart from this code, from the canonical path /model/amazon.nova-lite-v1%253A0/converse.
        let apart = "8ce6dd09dcd0c12f086f2e4640d1999286d53feaa899fe8a8defccfa61277267";
        assert_eq!(signature, expected("host;x-amz-date", apart));
    }

    #[test]
    fn a_request_to_bedrock_gets_its_three_headers_and_shows_no_secret() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let url = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse";
        let now = SystemTime::UNIX_EPOCH + NOW;
        let credentials = credentials(Some("TOKEN"));
        sign(&Method::POST, url, &mut headers, b"{}", &credentials, "eu-west-1", now).unwrap();
        let authorization = headers["authorization"].to_str().unwrap();
        assert!(authorization.contains("/20150830/eu-west-1/bedrock/aws4_request"), "{authorization}");
        assert!(authorization.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token"));
        assert_eq!(headers["x-amz-security-token"], "TOKEN");
        let shown = format!("{headers:?} {credentials:?}");
        assert!(!shown.contains("TOKEN") && !shown.contains("Signature="), "{shown}");
        assert!(!shown.contains("wJalr"), "{shown}");
    }

    #[test]
    fn signing_again_replaces_the_signature_of_before() {
        let mut headers = HeaderMap::new();
        let url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse";
        let mut at = |seconds| {
            let now = SystemTime::UNIX_EPOCH + NOW + Duration::from_secs(seconds);
            sign(&Method::POST, url, &mut headers, b"{}", &credentials(None), "us-east-1", now).unwrap();
            assert_eq!(headers.get_all("authorization").iter().count(), 1);
            headers["authorization"].clone()
        };
        assert_ne!(at(0), at(60));
        assert_eq!(at(0), at(0));
    }
}

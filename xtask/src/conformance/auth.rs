//! Whether the key arrives in the provider's own way, and nowhere else.

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};

use super::dialect::{ACCESS_KEY_ID, KEY, Target};
use super::server::Received;

/// What is wrong with the authentication of a request.
pub(crate) fn flaw(target: &Target, received: &Received) -> Option<String> {
    if received.path.contains(KEY) {
        return Some("the key stands in the address".into());
    }
    let content_type = header(received, "content-type");
    if !content_type.starts_with("application/json") {
        return Some(format!("header content-type: expected application/json, got {content_type:?}"));
    }
    let (name, value) = match (target.kind.as_str(), target.api) {
        ("bedrock", _) => return signature_flaw(received),
        ("azure-openai", _) => ("api-key", KEY.to_owned()),
        ("anthropic", _) => ("x-api-key", KEY.to_owned()),
        ("gemini", mainstay_adapters::Api::Default) => ("x-goog-api-key", KEY.to_owned()),
        _ => ("authorization", format!("Bearer {KEY}")),
    };
    if header(received, name) != value {
        return Some(format!("header {name}: expected the key, got {:?}", header(received, name)));
    }
    let elsewhere = received.headers.iter().find(|(other, value)| {
        other.as_str() != name && value.to_str().is_ok_and(|value| value.contains(KEY))
    });
    if let Some((other, _)) = elsewhere {
        return Some(format!("the key stands in header {other} too"));
    }
    let version = header(received, "anthropic-version");
    let wrong_version = target.kind == "anthropic" && version != "2023-06-01";
    wrong_version.then(|| format!("header anthropic-version: expected 2023-06-01, got {version:?}"))
}

fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    received.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Computes AWS' signature anew from what arrived, as AWS does.
fn signature_flaw(received: &Received) -> Option<String> {
    let authorization = header(received, "authorization");
    let Some(fields) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else {
        return Some(format!("header authorization: expected AWS4-HMAC-SHA256, got {authorization:?}"));
    };
    let field = |name: &str| {
        fields.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
    };
    let credential: Vec<&str> = field("Credential").split('/').collect();
    let [id, day, region, service, "aws4_request"] = credential.as_slice() else {
        return Some(format!("header authorization: odd Credential in {authorization:?}"));
    };
    if *id != ACCESS_KEY_ID || *service != "bedrock" {
        return Some(format!(
            "header authorization: expected key {ACCESS_KEY_ID} for bedrock in {authorization:?}"
        ));
    }
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let canonical = canonical_request(received, field("SignedHeaders"));
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        header(received, "x-amz-date"),
        hash(canonical.as_bytes())
    );
    let mut key = format!("AWS4{KEY}").into_bytes();
    for part in [*day, *region, *service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    let signature = hex(&mac(&key, to_sign.as_bytes()));
    (signature != field("Signature"))
        .then(|| "header authorization: AWS would not accept the signature".into())
}

fn canonical_request(received: &Received, signed: &str) -> String {
    let (path, query) = received.path.split_once('?').unwrap_or((&received.path, ""));
    let headers: String =
        signed.split(';').map(|name| format!("{name}:{}\n", header(received, name).trim())).collect();
    // Services other than S3 encode the path a second time.
    let path = path.replace('%', "%25");
    let path: String =
        path.chars().map(|c| if c == ':' { "%3A".to_owned() } else { c.to_string() }).collect();
    format!("{}\n{path}\n{query}\n{headers}\n{signed}\n{}", received.method, hash(&received.body))
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        }
        // HMAC takes keys of any length.
        Err(_) => Vec::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! The recorded error answers of every provider, where they are at hand.

use std::path::{Path, PathBuf};

use mainstay_provider_core::{Error, ErrorKind};
use serde_json::Value;

use super::super::{classify, classify_in_answer, classify_in_stream};
use super::{headers, now};
use crate::framing::{Frame, Frames};

#[test]
fn every_recorded_error_has_its_class() {
    let Some(files) = fixtures() else { return };
    let (mut errors, mut wrong) = (0, Vec::new());
    for file in files {
        let exchange: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let Some(expected) = exchange["expected_class"].as_str() else { continue };
        let error = error_of(&exchange);
        errors += 1;
        if error.as_ref().map(class) != Some(expected) {
            wrong.push(format!("{}: {expected}, not {error:?}", file.display()));
        }
    }
    println!("{errors} recorded errors classified");
    assert!(wrong.is_empty(), "{} of {errors}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(errors > 0);
}

#[test]
fn no_recorded_success_looks_like_an_error() {
    let Some(files) = fixtures() else { return };
    for file in files {
        let exchange: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let response = &exchange["response"];
        let blocked = !response["body"]["promptFeedback"]["blockReason"].is_null();
        if exchange["expected_class"].is_null() && response["body"].is_object() && !blocked {
            let body = response["body"].to_string();
            let error = classify_in_answer("openai", body.as_bytes());
            assert_eq!(error.kind(), ErrorKind::MalformedResponse, "{}: {}", file.display(), error.message());
        }
    }
}

/// The error that the exchange's answer is, or has in its stream.
fn error_of(exchange: &Value) -> Option<Error> {
    let provider = exchange["provider"].as_str()?;
    let response = &exchange["response"];
    let status = response["status"].as_u64().and_then(|status| u16::try_from(status).ok())?;
    let pairs = response["headers"].as_object().into_iter().flatten();
    let pairs: Vec<_> = pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
    let headers = headers(&pairs);
    let in_stream = |frame: Frame| classify_in_stream(provider, &frame);
    if let Some(text) = response["sse_text"].as_str() {
        return frames(Frames::sse(), text).find(is_error).map(in_stream);
    }
    if let Some(text) = response["ndjson_text"].as_str() {
        return frames(Frames::ndjson(), text).find(is_error).map(in_stream);
    }
    let body = match (&response["body"], response["body_text"].as_str()) {
        (_, Some(text)) => text.to_owned(),
        (Value::Null, None) => String::new(),
        (body, None) => body.to_string(),
    };
    Some(classify(provider, status, &headers, body.as_bytes(), now()))
}

fn frames(mut frames: Frames, text: &str) -> impl Iterator<Item = Frame> {
    frames.push(bytes::Bytes::copy_from_slice(text.as_bytes()));
    std::iter::from_fn(move || frames.finish()).map(|frame| frame.unwrap())
}

fn is_error(frame: &Frame) -> bool {
    let data: Value = serde_json::from_slice(&frame.data).unwrap_or_default();
    frame.event() == "error" || !data["error"].is_null() || !data["promptFeedback"]["blockReason"].is_null()
}

fn class(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::RateLimited => "RateLimited",
        ErrorKind::QuotaExhausted => "QuotaExhausted",
        ErrorKind::Overloaded => "Overloaded",
        ErrorKind::ServerError => "ServerError",
        ErrorKind::Authentication => "Authentication",
        ErrorKind::PermissionDenied => "PermissionDenied",
        ErrorKind::ModelNotFound => "ModelNotFound",
        ErrorKind::InvalidRequest => "InvalidRequest",
        ErrorKind::ContextLengthExceeded => "ContextLengthExceeded",
        ErrorKind::ContentFiltered => "ContentFiltered",
        ErrorKind::MalformedToolCall => "MalformedToolCall",
        ErrorKind::MalformedResponse => "MalformedResponse",
        ErrorKind::Timeout(_) => "Timeout",
        ErrorKind::Network => "Network",
        _ => "another",
    }
}

/// The recorded exchanges, or `None` and a line that says so where they are not there.
fn fixtures() -> Option<Vec<PathBuf>> {
    let shared = std::env::var_os("MAINSTAY_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), // beside the workspace
        PathBuf::from,
    );
    let Ok(providers) = std::fs::read_dir(shared.join("fixtures")) else {
        println!("SKIPPED: no recorded exchanges at {} (set MAINSTAY_SHARED)", shared.display());
        return None;
    };
    let files = providers
        .flatten()
        .filter_map(|provider| std::fs::read_dir(provider.path()).ok())
        .flatten()
        .flatten();
    Some(
        files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect(),
    )
}

//! What an answer's headers say of it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use mainstay::budget::Spent;
use mainstay::{CacheStatus, Level, ReplyHead};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROVIDER: HeaderName = HeaderName::from_static("x-mainstay-provider");
const MODEL: HeaderName = HeaderName::from_static("x-mainstay-model");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-mainstay-deployment");
const LEVEL: HeaderName = HeaderName::from_static("x-mainstay-level");
const CACHE: HeaderName = HeaderName::from_static("x-mainstay-cache");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-mainstay-attempts");
const SHORTENED: HeaderName = HeaderName::from_static("x-mainstay-shortened");
const RESCUED: HeaderName = HeaderName::from_static("x-mainstay-rescued");
const SCORE: HeaderName = HeaderName::from_static("x-mainstay-cache-score");
const DECIDED: HeaderName = HeaderName::from_static("x-mainstay-cache-decided");
const COST: HeaderName = HeaderName::from_static("x-mainstay-cost-usd");
const LATENCY: HeaderName = HeaderName::from_static("x-mainstay-latency-ms");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The headers of any answer to the call with this id.
pub(crate) fn identify(headers: &mut HeaderMap, id: &str) {
    insert(headers, REQUEST_ID, id);
}

/// The same, unless the answer has them.
pub(crate) fn identify_other(headers: &mut HeaderMap, id: &str) {
    if !headers.contains_key(REQUEST_ID) {
        identify(headers, id);
    }
}

/// The headers of a JSON answer, which say who answered, and how.
pub(crate) fn describe(head: &ReplyHead) -> HeaderMap {
    let mut headers = if is_usual(head) { usual(head) } else { fresh(head) };
    match head.first_token {
        Some(latency) => _ = headers.insert(LATENCY, milliseconds(latency)),
        None => _ = headers.remove(LATENCY),
    }
    headers
}

/// What the call has spent, in USD.
pub(crate) fn tell_cost(headers: &mut HeaderMap, spent: &Spent) {
    let cost = spent.cost.to_string();
    insert(headers, COST, cost.trim_start_matches('$'));
}

/// The headers of the answers of one deployment, which differ in the time and the id: to copy the rest is cheaper than to make it.
struct Usual {
    provider: Arc<str>,
    model: Arc<str>,
    deployment: Option<Arc<str>>,
    level: Level,
    cache: &'static str,
    headers: HeaderMap,
}

thread_local! {
    static USUAL: RefCell<Vec<Usual>> = const { RefCell::new(Vec::new()) };
}

impl Usual {
    fn is_of(&self, head: &ReplyHead) -> bool {
        self.level == head.level
            && self.cache == head.cache.as_str()
            && self.deployment == head.deployment
            && self.model == head.model
            && self.provider == head.provider
    }
}

/// Whether another answer is likely to say the same.
fn is_usual(head: &ReplyHead) -> bool {
    let is_asked = matches!(head.cache, CacheStatus::Bypass | CacheStatus::Miss);
    is_asked && head.attempts == 1 && head.shortened == 0 && head.rescued.is_none()
}

fn usual(head: &ReplyHead) -> HeaderMap {
    /// Names of models come from callers too: there may be any number of them.
    const MOST: usize = 32;
    USUAL.with_borrow_mut(|known| {
        if let Some(known) = known.iter().find(|known| known.is_of(head)) {
            return known.headers.clone();
        }
        if known.len() == MOST {
            known.clear();
        }
        let mut headers = fresh(head);
        // Their places, so that a copy does not grow.
        headers.insert(LATENCY, HeaderValue::from_static(""));
        headers.insert(REQUEST_ID, HeaderValue::from_static(""));
        known.push(Usual {
            provider: head.provider.clone(),
            model: head.model.clone(),
            deployment: head.deployment.clone(),
            level: head.level,
            cache: head.cache.as_str(),
            headers: headers.clone(),
        });
        headers
    })
}

fn fresh(head: &ReplyHead) -> HeaderMap {
    /// How many headers an answer has at most, so that their table is made once.
    const MOST: usize = 16;
    let mut headers = HeaderMap::with_capacity(MOST);
    insert(&mut headers, PROVIDER, &head.provider);
    insert(&mut headers, MODEL, &head.model);
    if let Some(deployment) = &head.deployment {
        insert(&mut headers, DEPLOYMENT, deployment);
    }
    headers.insert(LEVEL, HeaderValue::from_static(head.level.as_str()));
    describe_cache(&mut headers, head.cache);
    headers.insert(ATTEMPTS, HeaderValue::from(head.attempts));
    if head.shortened > 0 {
        headers.insert(SHORTENED, HeaderValue::from(head.shortened));
    }
    if let Some(rescued) = &head.rescued {
        headers.insert(RESCUED, HeaderValue::from(rescued.breaks));
    }
    headers.insert(header::CONTENT_TYPE, JSON);
    headers
}

fn describe_cache(headers: &mut HeaderMap, cache: CacheStatus) {
    headers.insert(CACHE, HeaderValue::from_static(cache.as_str()));
    match cache {
        CacheStatus::Hit { age } | CacheStatus::Stale { age } => {
            headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
        }
        CacheStatus::SemanticHit { age, score, decided } => {
            headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
            insert(headers, SCORE, &format!("{score:.4}"));
            headers.insert(DECIDED, HeaderValue::from_static(decided.as_str()));
        }
        CacheStatus::Vetoed { score, by } => {
            insert(headers, SCORE, &format!("{score:.4}"));
            headers.insert(DECIDED, HeaderValue::from_static(by));
        }
        _ => {}
    }
}

/// With three decimals, whatever the span.
fn milliseconds(span: Duration) -> HeaderValue {
    let mut micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    // From its end on, without the machinery of `format!`: every answer has this.
    let mut text = [b'0'; 24];
    let mut begin = text.len();
    while micros > 0 || begin > text.len() - 5 {
        begin -= 1;
        if begin == text.len() - 4 {
            text[begin] = b'.';
            continue;
        }
        text[begin] = b'0' + (micros % 10) as u8;
        micros /= 10;
    }
    HeaderValue::from_bytes(&text[begin..]).unwrap_or(HeaderValue::from_static("0"))
}

/// A value that no header may have is left out: names of models come from outside.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<const N: usize>(headers: &HeaderMap, names: [&str; N]) -> [Option<String>; N] {
        names.map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
    }

    // The reply says score, age and what decided; of a miss, what spoke against the nearest.
    #[test]
    fn an_answer_of_the_semantic_cache_says_what_decided_it() {
        let mut head = ReplyHead::new("sim", "echo");
        let mut described = |cache| {
            head.cache = cache;
            let names = ["x-mainstay-cache", "age", "x-mainstay-cache-score", "x-mainstay-cache-decided"];
            texts(&describe(&head), names)
        };
        let age = Duration::from_secs(7);
        let decided = mainstay::core::Decided::Calibrated;
        let hit = described(CacheStatus::SemanticHit { age, score: 0.96, decided });
        assert_eq!(
            hit.each_ref().map(Option::as_deref),
            [Some("semantic_hit"), Some("7"), Some("0.9600"), Some("calibrated")]
        );
        let vetoed = described(CacheStatus::Vetoed { score: 0.99, by: "negation" });
        assert_eq!(
            vetoed.each_ref().map(Option::as_deref),
            [Some("miss"), None, Some("0.9900"), Some("negation")]
        );
        assert_eq!(described(CacheStatus::Miss).map(|value| value.is_some()), [true, false, false, false]);
    }

    /// What is copied from an answer before must be what would have been made for this one.
    #[test]
    fn an_answer_says_what_is_true_of_it_whoever_answered_before() {
        let names = [("up", "a", None), ("up", "b", None), ("other", "a", None), ("up", "a", Some("up/a"))];
        let ways = [(CacheStatus::Miss, 1), (CacheStatus::Bypass, 1), (CacheStatus::Miss, 2)];
        let heads = (0..3).flat_map(|_| names).flat_map(|(provider, model, deployment)| {
            ways.map(|(cache, attempts)| {
                let mut head = ReplyHead::new(provider, model);
                head.deployment = deployment.map(Arc::from);
                (head.cache, head.attempts) = (cache, attempts);
                head
            })
        });
        for (number, mut head) in heads.enumerate() {
            head.level = if number % 2 == 0 { Level::Primary } else { Level::SimpleModel };
            head.first_token = (number % 3 > 0).then(|| Duration::from_micros(number as u64));
            let mut expected = fresh(&head);
            if let Some(latency) = head.first_token {
                expected.insert(LATENCY, milliseconds(latency));
            }
            let mut described = describe(&head);
            identify(&mut described, "req_1");
            identify(&mut expected, "req_1");
            assert_eq!(described, expected, "{head:?}");
        }
    }

    #[test]
    fn a_time_has_three_decimals() {
        for micros in (0..2_000_000).step_by(7).chain([9, 999, 1000, 10_000_000_000, u64::MAX]) {
            let expected = format!("{}.{:03}", micros / 1000, micros % 1000);
            assert_eq!(milliseconds(Duration::from_micros(micros)), expected);
        }
    }

    #[test]
    fn any_number_of_models_is_not_remembered() {
        for model in 0..1_000 {
            let mut head = ReplyHead::new("up", model.to_string());
            (head.attempts, head.cache) = (1, CacheStatus::Miss);
            assert_eq!(texts(&describe(&head), ["x-mainstay-model"]), [Some(model.to_string())]);
        }
        assert!(USUAL.with_borrow(Vec::len) <= 32);
    }
}

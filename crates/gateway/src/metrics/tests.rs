//! The table is sound, and the docs say what it says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mainstay::cache_exact::NotCached;
use mainstay::cache_semantic::SemanticStats;
use mainstay::virtual_keys::KeyRing;
use mainstay::virtual_keys::{KeyHasher, MemoryStore, RingConfig};
use mainstay::{AdapterConfig, Call, ChatRequest, Client, Message};

use super::deployments::Deployments;
use super::format::Format;
use super::snapshot::Snapshot;
use super::table::{Kind, Metric};
use super::{Tally, families, page};
use crate::alerts::AlertStats;

const DOCS: &str = include_str!("../../../../docs/metrics.md");

/// A metric as a line of the docs.
fn line(metric: &Metric) -> String {
    let Metric { name, kind, labels, help, .. } = metric;
    let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
    let or_none = |text: &str| if text.is_empty() { String::new() } else { format!("{text} ") };
    format!(
        "| `{name}` | {} | {}| {}| {help} |",
        kind.as_str(),
        or_none(metric.unit().unwrap_or_default()),
        or_none(&labels.join(", "))
    )
}

#[test]
fn the_docs_have_the_table_as_it_is() {
    let expected: Vec<_> = families::all().map(line).collect();
    let written: Vec<_> = DOCS
        .lines()
        .filter(|line| line.starts_with("| `mainstay_") || line.starts_with("| `process_"))
        .collect();
    assert!(written == expected, "docs/metrics.md should say:\n{}", expected.join("\n"));
}

/// Something of everything.
async fn full() -> Snapshot {
    let mut budget = mainstay::budget::Stats::default();
    budget.store = Some(mainstay::budget::StoreStats::default());
    let mut cache = mainstay::cache_exact::Stats::default();
    cache.second = Some(mainstay::cache_exact::SecondLevel::default());
    cache.not_cached = vec![(NotCached::Random, 1)];
    let mut semantic_cache = SemanticStats::default();
    semantic_cache.vetoes.insert("number", 1);
    let hasher = KeyHasher::new(&[7; 32]).unwrap();
    let ring = KeyRing::start(Arc::new(MemoryStore::new()), hasher, RingConfig::default()).await;
    let client =
        Client::builder().provider(AdapterConfig::new("sim")).model("m", "sim/echo").build().unwrap();
    let asked = Call::new(ChatRequest::new("m", vec![Message::user("hi")]));
    client.stream(asked).await.unwrap();
    Snapshot {
        begun: Duration::from_millis(1_795_280_059_500),
        resident_bytes: Some(1),
        events: Tally::default().all(),
        budget: Some(budget),
        cache: Some(cache),
        semantic_cache: Some(semantic_cache),
        deployments: Deployments::of(&client),
        keys: Some(ring.stats()),
        alerts: Some(AlertStats::default()),
        ..Snapshot::default()
    }
}

#[tokio::test]
async fn everything_in_the_table_gets_to_the_page_once() {
    let snapshot = full().await;
    let page = page::write(Format::Prometheus, &snapshot);
    for metric in families::all() {
        let of =
            |line: &&str| line.strip_prefix(metric.name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        assert!(page.lines().any(|line| of(&line)), "{} is nowhere: {page}", metric.name);
    }
    let series: Vec<_> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    assert_eq!(series.iter().collect::<BTreeSet<_>>().len(), series.len(), "{page}");
    assert!(page.contains("process_start_time_seconds 1795280059.5\n"), "{page}");
    let open = page::write(Format::OpenMetrics, &snapshot);
    assert!(open.ends_with("\n# EOF\n") && !page.contains("# EOF"));
    let figures = |page: &str| {
        page.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(figures(&open), figures(&page));
}

#[test]
fn what_went_and_came_back_is_there() {
    let told = |names: &[&str]| {
        let tally = Tally::default();
        names.iter().for_each(|name| tally.count(name));
        let snapshot = Snapshot { events: tally.all(), ..Snapshot::default() };
        snapshot.is_there("semantic.store_down", "semantic.store_back").unwrap()
    };
    assert!(told(&[]) && told(&["semantic.store_down", "semantic.store_back"]));
    assert!(!told(&["semantic.store_down"]));
    assert!(!told(&["semantic.store_down", "semantic.store_back", "semantic.store_down"]));
}

// An alert on a metric that is not there never fires.
#[test]
fn the_docs_name_no_metric_that_is_not_there() {
    let known: BTreeSet<_> = families::all().map(|metric| metric.name).collect();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = DOCS.split(|c| !is_part(c)).filter(|word| word.starts_with("mainstay_"));
    let unknown: BTreeSet<_> = words.filter(|word| !known.contains(word)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

// The conventions of Prometheus and the rules of OpenMetrics.
#[test]
fn names_are_as_prometheus_wants_them() {
    let mut families = BTreeSet::new();
    for metric in families::all() {
        let Metric { name, kind, labels, help, .. } = metric;
        let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(is_plain(name) && labels.iter().all(|label| is_plain(label)), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert_eq!(name.ends_with("_info"), *kind == Kind::Info, "{name}");
        for reserved in ["_count", "_sum", "_bucket", "_created"] {
            assert!(!name.ends_with(reserved), "{name}");
        }
        let family = name.trim_end_matches("_total").trim_end_matches("_info");
        assert!(families.insert(family), "{family} is there twice");
        assert!(help.ends_with('.') && !help.contains(['\\', '\n', '"', '|']), "{name}: {help}");
    }
}

// Security test 2: what could be a label is in this list, and none of it is a caller's.
#[test]
fn no_label_holds_what_a_caller_said() {
    let labels: BTreeSet<_> = families::all().flat_map(|metric| metric.labels).copied().collect();
    let words_of_the_code =
        ["decision", "event", "guard", "kind", "limit", "outcome", "part", "reason", "state", "version"];
    let of_the_configuration = ["deployment"];
    let expected: BTreeSet<_> = words_of_the_code.into_iter().chain(of_the_configuration).collect();
    assert_eq!(labels, expected);
}

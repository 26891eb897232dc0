//! Calibration and replay: the counts, the refusals, the reports.

use std::sync::Arc;

use mainstay_cache_semantic::{
    CalibrateError, CalibrateOptions, Calibration, LabelledPair, NoSafeThreshold, Policy, ReplayOptions,
    ScoredPair, Stage, calibrate_scored, read_pairs, read_stream, replay_embedded,
};

fn pair(number: usize, same: bool, score: f32) -> ScoredPair {
    let pair = LabelledPair {
        a: format!("Where can I see thing{number}?"),
        b: format!("Where do I see thing{number}?"),
        same_intent: same,
        source: Some(if number.is_multiple_of(2) { "even:x" } else { "odd" }.into()),
    };
    ScoredPair { pair, score }
}

/// 400 right pairs from 0.90 up, 40 wrong ones below 0.90.
fn separable() -> Vec<ScoredPair> {
    let right = (0..400).map(|number| pair(number, true, 0.90 + 0.0002 * number as f32));
    let wrong = (400..440).map(|number| pair(number, false, 0.80 + 0.002 * (number - 400) as f32));
    right.chain(wrong).collect()
}

#[test]
fn the_loosest_safe_threshold_is_recommended() {
    let report = calibrate_scored(&separable(), CalibrateOptions::default()).unwrap();
    let threshold = report.recommended.unwrap();
    assert!((threshold - 0.885).abs() < 0.006, "{threshold}");
    let (_, rows) = report.stages.iter().find(|(stage, _)| *stage == Stage::Guards).unwrap();
    let row = rows.iter().find(|row| (row.threshold - 0.90).abs() < 1e-6).unwrap();
    assert_eq!((row.right, row.wrong, row.same, row.different), (400, 0, 400, 40));
    assert_eq!((row.precision(), row.recall(), row.f1()), (1.0, 1.0, 1.0));
    let text = report.to_string();
    assert!(
        text.contains("Recommended threshold for a precision of at least 99 % at 95 % confidence: 0.88"),
        "{text}"
    );
    let json = report.to_json();
    assert_eq!(json["pairs"], 440);
    assert_eq!(json["sources"]["even"]["same"], 200);
    assert_eq!(Calibration::from_json(&json), Some(report.calibration()));
}

#[test]
fn where_no_threshold_is_safe_it_refuses() {
    let mixed: Vec<_> = (0..200).map(|number| pair(number, number.is_multiple_of(2), 0.99)).collect();
    let report = calibrate_scored(&mixed, CalibrateOptions::default()).unwrap();
    assert_eq!(report.recommended, Err(NoSafeThreshold));
    assert!(report.to_string().contains("no safe threshold: exact only"));
    assert!(report.to_json()["recommended_threshold"].is_null());
}

#[test]
fn fewer_than_a_hundred_pairs_are_too_few() {
    let few: Vec<_> = separable().into_iter().take(99).collect();
    assert!(matches!(calibrate_scored(&few, CalibrateOptions::default()), Err(CalibrateError::TooFew(99))));
}

#[test]
fn data_is_read_line_by_line_and_errors_name_the_line() {
    let good = "{\"a\":\"x\",\"b\":\"y\",\"same_intent\":true}\n\n{\"a\":\"x\",\"b\":\"z\",\"same_intent\":false,\"source\":\"s\"}\n";
    assert_eq!(read_pairs(good).unwrap().len(), 2);
    let error = read_pairs("{\"a\":\"x\",\"b\":\"y\",\"same_intent\":true}\n{\"a\":1}\n").unwrap_err();
    assert_eq!(error.line, 2);
    assert_eq!(
        read_stream("{\"query\":\"q\",\"intent\":\"s:1\",\"answer\":\"a\"}").unwrap()[0].source.as_deref(),
        Some("s")
    );
    assert!(read_stream("nothing").is_err());
}

#[test]
fn a_stream_is_replayed_against_an_empty_cache() {
    let lines = [
        ("How do I open the door?", "door"),
        ("How can I open the door?", "door"),
        ("How do I open the door?", "door"),
        ("How do I close the door?", "close"),
        ("What is the latest news?", "news"),
        ("What is the latest news?", "news"),
    ];
    let stream: String = lines
        .iter()
        .map(|(query, intent)| {
            format!("{{\"query\":\"{query}\",\"intent\":\"{intent}\",\"answer\":\"-\"}}\n")
        })
        .collect();
    let stream = read_stream(&stream).unwrap();
    let vector = |text: &str| -> Arc<[f32]> {
        if text.contains("news") { Arc::from([0.0, 1.0]) } else { Arc::from([1.0, 0.0]) }
    };
    let vectors: Vec<_> = stream.iter().map(|query| vector(&query.query)).collect();
    let mut options = ReplayOptions::default();
    options.policies =
        vec![Policy::exact(), Policy::nearness(0.95), Policy::guarded(0.95, Default::default())];
    options.cost_per_call = 0.01;
    let report = replay_embedded(&stream, &vectors, options);
    let counts = |row: usize| {
        let all = report.rows[row].all;
        (all.exact, all.near, all.wrong)
    };
    // What asks about now is never served.
    assert_eq!(counts(0), (1, 0, 0));
    assert_eq!(counts(1), (1, 2, 1));
    assert_eq!(counts(2), (1, 1, 0));
    assert_eq!(report.calibrated, Err(NoSafeThreshold));
    assert!((report.saved_cost(&report.rows[2]) - 0.02).abs() < 1e-9);
    assert!(report.to_string().contains("no safe threshold: exact only"));
    assert_eq!(report.to_json()["policies"][2]["all"]["near_hits"], 1);
}

#[cfg(feature = "plot")]
#[test]
fn reports_are_drawn() {
    let svg = calibrate_scored(&separable(), CalibrateOptions::default()).unwrap().to_svg().unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("recall"));
}

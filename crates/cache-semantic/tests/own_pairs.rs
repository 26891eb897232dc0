//! The labelled pairs of our own writing: what the guards let through, and what they must not.

use mainstay_cache_semantic::{Asked, Guards, LabelledPair, normalise, read_pairs};

fn pairs() -> Vec<LabelledPair> {
    read_pairs(include_str!("../data/pairs.jsonl")).expect("every line is a pair")
}

fn is_vetoed(pair: &LabelledPair, guards: Guards) -> bool {
    let verdict = Asked::new(&normalise(&pair.a), guards).compare(&normalise(&pair.b));
    verdict.veto.is_some()
}

#[test]
fn there_are_enough_of_both_kinds() {
    let pairs = pairs();
    assert!(pairs.len() >= 300, "{}", pairs.len());
    let same = pairs.iter().filter(|pair| pair.same_intent).count();
    assert!(same >= 100 && pairs.len() - same >= 100, "{same}");
}

/// Without any vector: the guards alone.
#[test]
fn guards_veto_most_of_what_differs_and_little_of_what_does_not() {
    let pairs = pairs();
    let share = |same: bool, guards| {
        let of: Vec<_> = pairs.iter().filter(|pair| pair.same_intent == same).collect();
        of.iter().filter(|pair| is_vetoed(pair, guards)).count() as f64 / of.len() as f64
    };
    let (right, wrong) = (share(true, Guards::Standard), share(false, Guards::Standard));
    println!("standard: {:.3} of the same and {:.3} of the different pairs are vetoed", right, wrong);
    assert!(right <= 0.10, "{right}");
    assert!(wrong >= 0.50, "{wrong}");
    let (right, wrong) = (share(true, Guards::Strict), share(false, Guards::Strict));
    println!("strict: {:.3} of the same and {:.3} of the different pairs are vetoed", right, wrong);
    assert!(wrong >= 0.95, "{wrong}");
    assert_eq!(share(false, Guards::Off), 0.0);
}

#[test]
fn a_verdict_does_not_depend_on_who_asked_first() {
    for pair in pairs() {
        let there = Asked::new(&pair.a, Guards::Standard).compare(&pair.b);
        let back = Asked::new(&pair.b, Guards::Standard).compare(&pair.a);
        assert_eq!(there.veto.is_some(), back.veto.is_some(), "{} / {}", pair.a, pair.b);
        assert!((there.doubt - back.doubt).abs() < 1e-6, "{} / {}", pair.a, pair.b);
    }
}

#[test]
fn the_same_question_is_never_vetoed() {
    for pair in pairs() {
        for text in [pair.a, pair.b] {
            let verdict = Asked::new(&text, Guards::Strict).compare(&text);
            assert_eq!((verdict.veto, verdict.doubt), (None, 0.0), "{text}");
        }
    }
}

//! Whatever the text, wherever it breaks, however often, with whatever policies: one role, no text twice, one end, and
//! never a part that passes for the whole (T6).

#![allow(clippy::unwrap_used)]

mod common;

use common::{Prefill, Says, model, over, over_wire, policies, says, streaming};
use mainstay_provider_core::{ErrorKind, FinishReason, Timer, Usage};
use mainstay_rescue::{HoldBack, RescueConfig, RescueLayer, RescuePolicy};
use proptest::prelude::*;

/// Words that differ, so that no text is a repetition of its own beginning, with white space and letters of all lengths.
fn text() -> impl Strategy<Value = String> {
    let word = "[a-zäß猫🦀\"\\\\{}]{1,6}";
    let space = prop::sample::select(vec![" ", "  ", "\n", "\n\n", "\t", " \n "]);
    prop::collection::vec((word, space), 1..12).prop_map(|words| {
        let numbered = words.into_iter().enumerate();
        numbered.map(|(number, (word, space))| format!("{number}{word}{space}")).collect()
    })
}

fn broken_or_whole(text: String) -> impl Strategy<Value = Says> {
    let prefill =
        prop::sample::select(vec![Prefill::GoesOn, Prefill::Repeats, Prefill::IsDone, Prefill::Refuses]);
    let error = prop::sample::select(vec![
        None,
        Some(ErrorKind::Network),
        Some(ErrorKind::Timeout(Timer::Idle)),
        Some(ErrorKind::Overloaded),
        Some(ErrorKind::RateLimited),
        Some(ErrorKind::ContentFiltered),
    ]);
    (1_usize..9, prop::option::weighted(0.7, 1_usize..20), prefill, error, any::<bool>()).prop_map(
        move |(size, breaks_after, prefill, error, tells)| Says {
            breaks_after,
            prefill,
            error,
            size,
            usage: tells.then(|| Usage::new(10, 5)),
            ..says(&text)
        },
    )
}

fn script() -> impl Strategy<Value = (String, Vec<Says>)> {
    (text(), any::<bool>()).prop_flat_map(|(text, differs)| {
        let other = if differs { format!("Or {text}") } else { text.clone() };
        let first = broken_or_whole(text.clone());
        let rest = prop::collection::vec(broken_or_whole(other), 0..8);
        (Just(text), first, rest)
            .prop_map(|(text, first, rest)| (text, [first].into_iter().chain(rest).collect()))
    })
}

fn order() -> impl Strategy<Value = Vec<RescuePolicy>> {
    use RescuePolicy::{Fail, Restart, Resume};
    prop::sample::select(vec![
        vec![],
        vec![Fail],
        vec![Resume],
        vec![Restart],
        vec![Resume, Restart, Fail],
        vec![Restart, Resume],
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_caller_sees_one_answer_or_a_clear_error((text, script) in script(), order in order(), unread: bool) {
        check(&text, script, policies(order), unread)?;
    }

    #[test]
    fn with_its_beginning_held_back_too((text, script) in script(), order in order(), chunks in 1_usize..6) {
        // What is held back may be replaced by another answer: then that is the text.
        let same: Vec<_> = script.into_iter().map(|says| Says { text: text.clone(), ..says }).collect();
        let layer = RescueConfig::builder().policies(order).hold_back(HoldBack::new().chunks(chunks));
        check(&text, same, layer.build().unwrap(), true)?;
    }
}

fn check(text: &str, script: Vec<Says>, layer: RescueLayer, unread: bool) -> Result<(), TestCaseError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        // Who takes a prefill goes on from it; that is what a table of models is for.
        let script = script.into_iter().map(|says| match says.prefill {
            Prefill::GoesOn | Prefill::Repeats if says.text != text => says.prefill(Prefill::Refuses),
            _ => says,
        });
        let upstream = model(script);
        let provider = if unread { over_wire(&layer, &upstream) } else { over(&layer, &upstream) };
        let Ok(reply) = mainstay_provider_core::Provider::ask(&provider, streaming()).await else {
            return Ok(());
        };
        let got = common::read_reply(reply).await;
        let roles = got.roles();
        prop_assert_eq!(roles, 1);
        prop_assert!(text.starts_with(&got.text()), "{:?} is not the beginning of {:?}", got.text(), text);
        match &got.error {
            None => {
                prop_assert_eq!(got.text(), text);
                prop_assert_eq!(got.finish_reasons(), [FinishReason::Stop]);
                prop_assert!(got.end.is_complete());
            }
            Some(error) => {
                prop_assert!(got.finish_reasons().is_empty());
                prop_assert!(!got.end.is_complete());
                prop_assert_ne!(error.kind(), ErrorKind::InvalidRequest, "a refused prefill came out");
            }
        }
        prop_assert!(
            got.chunks.windows(2).all(|pair| (&pair[0].id, &pair[0].model) == (&pair[1].id, &pair[1].model))
        );
        let counts = upstream.counts();
        prop_assert_eq!((counts.in_flight, counts.open_streams), (0, 0));
        prop_assert!(counts.calls <= 5, "two rescues of two policies: {}", counts.calls);
        Ok(())
    })
}

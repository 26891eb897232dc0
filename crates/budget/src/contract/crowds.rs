//! Many at once.

use std::sync::Arc;

use mainstay_provider_core::test_kit::contract::Suite;

use super::lab::{Lab, tokens};
use crate::store::{BudgetStore, Charge, HoldId, Reserved, Settled};

/// How many of these reservations are granted when all come at once.
async fn admitted<S: BudgetStore>(lab: &Lab<S>, calls: Vec<Vec<Charge>>) -> Vec<(HoldId, Vec<Charge>)> {
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|charges| {
            let lab = lab.clone();
            tokio::spawn(async move {
                let hold = lab.hold();
                let reserved = lab.reserve(hold, &charges).await;
                matches!(reserved, Reserved::Granted(_)).then_some((hold, charges))
            })
        })
        .collect();
    let mut admitted = Vec::new();
    for task in tasks {
        admitted.extend(task.await.expect("a reservation ends"));
    }
    admitted
}

pub(super) fn promises<S: BudgetStore>(suite: Suite<S>) -> Suite<S> {
    suite
        // M2
        .promise("of 1,000 calls at once a budget of 500 admits exactly 500", |store: S| async move {
            let lab = Lab::new(store);
            let charges = vec![tokens("user:a", 500, 1), tokens("org:b", 10_000, 1)];
            let holds = admitted(&lab, vec![charges; 1_000]).await;
            assert_eq!(holds.len(), 500);
            assert_eq!((lab.stands("user:a").await, lab.stands("org:b").await), ((0, 500), (0, 500)));
        })
        .promise("nobody is refused because of one who is refused", |store: S| async move {
            let lab = Lab::new(store);
            let fits = vec![tokens("user:a", 500, 1)];
            let fits_not = vec![tokens("user:a", 500, 1), tokens("org:full", 0, 1)];
            let calls =
                (0..1_000).map(|n| if n % 2 == 0 { fits.clone() } else { fits_not.clone() }).collect();
            assert_eq!(admitted(&lab, calls).await.len(), 500);
            assert_eq!((lab.stands("user:a").await, lab.stands("org:full").await), ((0, 500), (0, 0)));
        })
        .promise(
            "calls that name the same accounts in any order do not lock each other out",
            |store: S| async move {
                let lab = Lab::new(store);
                let one = vec![tokens("user:a", 400, 1), tokens("org:b", 400, 1), tokens("team:c", 400, 1)];
                let other: Vec<Charge> = one.iter().rev().cloned().collect();
                let calls = (0..400).map(|n| if n % 2 == 0 { one.clone() } else { other.clone() }).collect();
                let holds = admitted(&lab, calls).await;
                assert_eq!(holds.len(), 400);
                let tasks: Vec<_> = holds
                    .into_iter()
                    .map(|(hold, charges)| {
                        let lab = lab.clone();
                        tokio::spawn(async move { lab.settle(hold, &charges, 1).await })
                    })
                    .collect();
                for task in tasks {
                    assert!(matches!(task.await.expect("a settlement ends"), Settled::Now(_)));
                }
                for subject in ["user:a", "org:b", "team:c"] {
                    assert_eq!(
                        (lab.stands(subject).await, lab.in_rows(subject).await),
                        ((400, 0), 400),
                        "{subject}"
                    );
                }
            },
        )
        .promise("a hold that many settle at once is settled once", |store: S| async move {
            let lab = Lab::new(store);
            for _ in 0..20 {
                let charges: Arc<[Charge]> = Arc::from([tokens("user:a", 1_000, 10)]);
                let hold = lab.granted(&charges).await;
                let tasks: Vec<_> = (0..5)
                    .map(|_| {
                        let (lab, charges) = (lab.clone(), charges.clone());
                        tokio::spawn(async move { lab.settle(hold, &charges, 7).await })
                    })
                    .collect();
                let mut booked = 0;
                for task in tasks {
                    let settled = task.await.expect("a settlement ends");
                    booked += u32::from(settled != Settled::Again);
                }
                assert_eq!(booked, 1);
            }
            assert_eq!((lab.stands("user:a").await, lab.in_rows("user:a").await), ((140, 0), 140));
        })
        .promise(
            "a reservation and its settlement that pass each other leave nothing reserved",
            |store: S| async move {
                let lab = Lab::new(store);
                for _ in 0..50 {
                    let hold = lab.hold();
                    let charges = [tokens("user:a", 1_000, 10)];
                    let (one, other) = (lab.clone(), lab.clone());
                    let (for_one, for_other) = (charges.clone(), charges.clone());
                    let reserving = tokio::spawn(async move { one.reserve(hold, &for_one).await });
                    let settling = tokio::spawn(async move { other.settle(hold, &for_other, 3).await });
                    reserving.await.expect("a reservation ends");
                    let settled = settling.await.expect("a settlement ends");
                    assert!(matches!(settled, Settled::Now(_)), "{settled:?}");
                }
                assert_eq!((lab.stands("user:a").await, lab.in_rows("user:a").await), ((150, 0), 150));
            },
        )
}

//! Each hold ends once: settled, lost, or both in this order.

use std::time::Duration;

use mainstay_provider_core::test_kit::contract::Suite;

use super::lab::{Lab, fail, row, tokens};
use crate::row::RowStatus;
use crate::store::{Balance, BudgetStore, Charge, Draw, HoldId, Reserved, Settled};
use crate::usage::RowsQuery;

const SHORT: Duration = Duration::from_millis(100);

/// A hold of 60 tokens whose lease is short.
async fn short<S: BudgetStore>(lab: &Lab<S>, charges: &[Charge]) -> HoldId {
    let hold = lab.hold();
    let reserved = lab.reserve_for(SHORT, hold, charges).await;
    assert!(matches!(reserved, Reserved::Granted(_)), "{reserved:?}");
    hold
}

async fn statuses<S: BudgetStore>(lab: &Lab<S>) -> Vec<RowStatus> {
    lab.all_rows(RowsQuery::default()).await.iter().map(|row| row.status).collect()
}

pub(super) fn promises<S: BudgetStore>(suite: Suite<S>) -> Suite<S> {
    let suite = suite
        .promise("a hold is settled once, however often the store is told", |store: S| async move {
            let lab = Lab::new(store);
            let charges = [tokens("user:a", 100, 60)];
            let hold = lab.granted(&charges).await;
            assert!(matches!(lab.settle(hold, &charges, 25).await, Settled::Now(_)));
            for _ in 0..3 {
                assert_eq!(lab.settle(hold, &charges, 25).await, Settled::Again);
            }
            assert_eq!((lab.stands("user:a").await, lab.in_rows("user:a").await), ((25, 0), 25));
            assert_eq!(lab.reserve(hold, &charges).await, Reserved::Ended, "it is not taken again either");
            assert_eq!(lab.stands("user:a").await, (25, 0));
        })
        .promise("what is given back is free again, and leaves no trace", |store: S| async move {
            let lab = Lab::new(store);
            let charges = [tokens("user:a", 100, 60), tokens("org:b", 100, 60)];
            let hold = lab.granted(&charges).await;
            assert!(matches!(lab.settle(hold, &charges, 0).await, Settled::Now(_)));
            assert_eq!((lab.stands("user:a").await, lab.stands("org:b").await), ((0, 0), (0, 0)));
            assert!(statuses(&lab).await.is_empty());
        })
        .promise(
            "what was used without a reservation is booked, and a late reservation takes nothing",
            |store: S| async move {
                let lab = Lab::new(store);
                let charges = [tokens("user:a", 100, 60)];
                let hold = lab.hold();
                let settled = lab.settle(hold, &charges, 130).await;
                assert_eq!(settled, Settled::Now(vec![Balance { spent: 130, reserved: 0 }]));
                assert_eq!(lab.settle(hold, &charges, 130).await, Settled::Again);
                assert_eq!(lab.reserve(hold, &charges).await, Reserved::Ended);
                assert_eq!((lab.stands("user:a").await, lab.in_rows("user:a").await), ((130, 0), 130));
            },
        )
        .promise("rows are kept for a call that no account limits", |store: S| async move {
            let lab = Lab::new(store);
            let hold = lab.hold();
            let rows = [row(hold, &["user:a"], 7, RowStatus::Settled)];
            assert_eq!(lab.settle_with(hold, &[], &[], &rows).await, Settled::Now(Vec::new()));
            assert_eq!(lab.settle_with(hold, &[], &[], &rows).await, Settled::Again);
            assert_eq!(lab.in_rows("user:a").await, 7);
        });
    let suite = lost(suite);
    leases(suite)
}

fn lost<S: BudgetStore>(suite: Suite<S>) -> Suite<S> {
    suite
        .promise("a hold whose lease has passed is booked at its estimate, once", |store: S| async move {
            let mut lab = Lab::new(store);
            let charges = [tokens("user:a", 100, 60), tokens("org:b", 100, 60)];
            let hold = short(&lab, &charges).await;
            assert!(lab.expire().await.is_empty(), "not before its time");
            lab.pass(200).await;
            let expired = lab.expire().await;
            assert_eq!(expired.len(), 1);
            assert_eq!((expired[0].hold, expired[0].row.status), (hold, RowStatus::Lost));
            let booked: Vec<u64> = expired[0].booked.iter().map(|(_, booked, _)| *booked).collect();
            assert_eq!(booked, [60, 60]);
            assert!(lab.expire().await.is_empty());
            assert_eq!((lab.stands("user:a").await, lab.stands("org:b").await), ((60, 0), (60, 0)));
            assert_eq!((lab.in_rows("user:a").await, statuses(&lab).await), (60, vec![RowStatus::Lost]));
        })
        .promise("a settlement that comes after that corrects it, once", |store: S| async move {
            let shared = Lab::new(store);
            for actual in [25, 60, 90, 0] {
                let mut lab = shared.fresh();
                let subject = format!("user:{actual}");
                let charges = [tokens(&subject, 100, 60)];
                let hold = short(&lab, &charges).await;
                lab.pass(200).await;
                assert_eq!(lab.expire().await.len(), 1);
                let settled = lab.settle(hold, &charges, actual).await;
                assert_eq!(settled, Settled::Late(vec![Balance { spent: actual, reserved: 0 }]));
                assert_eq!(lab.settle(hold, &charges, actual).await, Settled::Again);
                assert_eq!(lab.reserve(hold, &charges).await, Reserved::Ended);
                assert_eq!((lab.stands(&subject).await, lab.in_rows(&subject).await), ((actual, 0), actual));
            }
        })
        .promise(
            "a settlement after the lease and before anybody looked is like any other",
            |store: S| async move {
                let mut lab = Lab::new(store);
                let charges = [tokens("user:a", 100, 60)];
                let hold = short(&lab, &charges).await;
                lab.pass(200).await;
                let settled = lab.settle(hold, &charges, 25).await;
                assert!(matches!(settled, Settled::Now(_) | Settled::Late(_)), "{settled:?}");
                assert!(lab.expire().await.is_empty());
                assert_eq!((lab.stands("user:a").await, lab.in_rows("user:a").await), ((25, 0), 25));
            },
        )
        .promise("a hold that is renewed lives on", |store: S| async move {
            let mut lab = Lab::new(store);
            let charges = [tokens("user:a", 100, 60)];
            let hold = lab.hold();
            lab.reserve_for(Duration::from_millis(300), hold, &charges).await;
            lab.pass(100).await;
            let unknown = lab.hold();
            lab.store.renew(&[hold, unknown], Duration::from_secs(20), lab.now).await.unwrap_or_else(fail);
            lab.store.renew(&[], Duration::from_secs(20), lab.now).await.unwrap_or_else(fail);
            lab.pass(400).await;
            assert!(lab.expire().await.is_empty());
            assert_eq!(lab.stands("user:a").await, (0, 60));
            assert!(matches!(lab.settle(hold, &charges, 25).await, Settled::Now(_)));
        })
        .promise("a place for a call at once that is lost is free again", |store: S| async move {
            let mut lab = Lab::new(store);
            let charges = [Charge { if_lost: 0, ..tokens("user:a", 1, 1) }];
            short(&lab, &charges).await;
            assert!(matches!(lab.reserve(lab.hold(), &charges).await, Reserved::Denied { .. }));
            lab.pass(200).await;
            assert_eq!(lab.expire().await.len(), 1);
            lab.granted(&charges).await;
            assert_eq!(lab.stands("user:a").await, (0, 1));
        })
        .promise("several that look for lost holds at once find each once", |store: S| async move {
            let mut lab = Lab::new(store);
            for _ in 0..50 {
                short(&lab, &[tokens("user:a", 1_000, 10)]).await;
            }
            lab.pass(200).await;
            let looks: Vec<_> = (0..4)
                .map(|_| {
                    let lab = lab.clone();
                    tokio::spawn(async move { lab.expire().await })
                })
                .collect();
            let mut found = Vec::new();
            for look in looks {
                found.extend(look.await.expect("the look ends").into_iter().map(|lost| lost.hold));
            }
            found.sort();
            let all = found.len();
            found.dedup();
            assert_eq!((all, found.len()), (50, 50));
            assert_eq!(lab.stands("user:a").await, (500, 0));
        })
}

fn leases<S: BudgetStore>(suite: Suite<S>) -> Suite<S> {
    let draw = |lease: HoldId, left: u64| {
        let if_lost = row(lease, &["user:a"], left, RowStatus::Lost);
        Some(Draw { lease, left, if_lost })
    };
    suite
        .promise(
            "what was spent from a lease is booked and lowers the lease in one step",
            move |store: S| async move {
                let mut lab = Lab::new(store);
                let lease = short(&lab, &[tokens("user:a", 100, 50)]).await;
                let spent = [Charge { from: draw(lease, 30), ..tokens("user:a", 100, 20) }];
                let settled = lab.settle(lab.hold(), &spent, 20).await;
                assert_eq!(settled, Settled::Now(vec![Balance { spent: 20, reserved: 30 }]));
                // In whatever order they come, the least counts.
                let late = [Charge { from: draw(lease, 40), ..tokens("user:a", 100, 5) }];
                lab.settle(lab.hold(), &late, 5).await;
                assert_eq!(lab.stands("user:a").await, (25, 30));
                lab.pass(200).await;
                assert_eq!(lab.expire().await.len(), 1);
                assert_eq!(lab.stands("user:a").await, (55, 0), "what was left of it is lost");
                assert_eq!(lab.in_rows("user:a").await, 55);
            },
        )
        .promise("the rest of a lease is given back", move |store: S| async move {
            let lab = Lab::new(store);
            let charges = [tokens("user:a", 100, 50)];
            let lease = lab.granted(&charges).await;
            let spent = [Charge { from: draw(lease, 30), ..tokens("user:a", 100, 20) }];
            let call = lab.hold();
            lab.settle(call, &spent, 20).await;
            assert_eq!(lab.settle(call, &spent, 20).await, Settled::Again);
            assert!(matches!(lab.settle(lease, &charges, 0).await, Settled::Now(_)));
            assert_eq!((lab.stands("user:a").await, lab.in_rows("user:a").await), ((20, 0), 20));
        })
        .promise(
            "what was spent from a lease that is over is booked all the same",
            move |store: S| async move {
                let lab = Lab::new(store);
                let charges = [tokens("user:a", 100, 50)];
                let lease = lab.granted(&charges).await;
                lab.settle(lease, &charges, 0).await;
                let spent = [Charge { from: draw(lease, 30), ..tokens("user:a", 100, 20) }];
                lab.settle(lab.hold(), &spent, 20).await;
                assert_eq!(lab.stands("user:a").await, (20, 0));
            },
        )
}

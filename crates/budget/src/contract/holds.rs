//! Reserving and settling.

use mainstay_provider_core::test_kit::contract::Suite;

use super::lab::{Lab, account, fail, forever, tokens};
use crate::store::{Balance, BudgetStore, Charge, MOST, Reserved, Settled};
use crate::usage::{RowsQuery, UsageQuery};

pub(super) fn promises<S: BudgetStore>(suite: Suite<S>) -> Suite<S> {
    suite
        .promise("a new one is empty and answers", |store: S| async move {
            let lab = Lab::new(store);
            lab.store.ping().await.unwrap_or_else(fail);
            assert_eq!(lab.stands("user:a").await, (0, 0));
            assert!(lab.all_rows(RowsQuery::default()).await.is_empty());
            assert!(lab.store.usage(&UsageQuery::default()).await.unwrap_or_else(fail).is_empty());
            assert!(lab.expire().await.is_empty());
            assert!(lab.store.balances(&[], lab.now).await.unwrap_or_else(fail).is_empty());
        })
        .promise("what is reserved counts until it is settled, then what was used", |store: S| async move {
            let lab = Lab::new(store);
            let charges = [tokens("user:a", 100, 60)];
            let hold = lab.hold();
            let reserved = lab.reserve(hold, &charges).await;
            assert_eq!(reserved, Reserved::Granted(vec![Balance { spent: 0, reserved: 60 }]));
            let second = lab.reserve(lab.hold(), &charges).await;
            let balance = Balance { spent: 0, reserved: 60 };
            assert_eq!(second, Reserved::Denied { index: 0, balance, first: true });
            let settled = lab.settle(hold, &charges, 25).await;
            assert_eq!(settled, Settled::Now(vec![Balance { spent: 25, reserved: 0 }]));
            lab.granted(&charges).await;
            assert_eq!(lab.stands("user:a").await, (25, 60));
        })
        .promise("the last place fits exactly, and one more does not", |store: S| async move {
            let lab = Lab::new(store);
            lab.granted(&[tokens("user:a", 100, 99)]).await;
            lab.granted(&[tokens("user:a", 100, 1)]).await;
            assert!(matches!(
                lab.reserve(lab.hold(), &[tokens("user:a", 100, 1)]).await,
                Reserved::Denied { .. }
            ));
            lab.granted(&[tokens("user:a", 100, 0)]).await;
            assert_eq!(lab.stands("user:a").await, (0, 100));
        })
        .promise("a call takes from all its accounts or from none", |store: S| async move {
            let lab = Lab::new(store);
            let charges = [tokens("user:a", 100, 10), tokens("org:b", 5, 10), tokens("team:c", 100, 10)];
            let refused = lab.reserve(lab.hold(), &charges).await;
            assert_eq!(refused, Reserved::Denied { index: 1, balance: Balance::default(), first: true });
            for subject in ["user:a", "org:b", "team:c"] {
                assert_eq!(lab.stands(subject).await, (0, 0), "{subject}");
            }
            assert!(lab.all_rows(RowsQuery::default()).await.is_empty(), "a refused call leaves no row");
        })
        .promise(
            "the first refusal of an account is told as the first, the others are not",
            |store: S| async move {
                let lab = Lab::new(store);
                let firsts =
                    async |subject: &str| match lab.reserve(lab.hold(), &[tokens(subject, 5, 10)]).await {
                        Reserved::Denied { first, .. } => first,
                        other => panic!("{other:?}"),
                    };
                assert!(firsts("user:a").await);
                assert!(!firsts("user:a").await);
                assert!(firsts("user:b").await);
                assert!(!firsts("user:a").await);
            },
        )
        .promise("the same hold again takes nothing more, and is granted again", |store: S| async move {
            let lab = Lab::new(store);
            let charges = [tokens("user:a", 100, 60), tokens("org:b", 100, 60)];
            let hold = lab.granted(&charges).await;
            for _ in 0..3 {
                let again = lab.reserve(hold, &charges).await;
                assert!(matches!(again, Reserved::Granted(_)), "{again:?}");
            }
            assert_eq!((lab.stands("user:a").await, lab.stands("org:b").await), ((0, 60), (0, 60)));
        })
        .promise(
            "more than was reserved is booked all the same, and then nothing fits any more",
            |store: S| async move {
                let lab = Lab::new(store);
                let charges = [tokens("user:a", 100, 10)];
                let hold = lab.granted(&charges).await;
                lab.settle(hold, &charges, 150).await;
                assert_eq!(lab.stands("user:a").await, (150, 0));
                assert!(matches!(lab.reserve(lab.hold(), &charges).await, Reserved::Denied { .. }));
                lab.granted(&[tokens("user:a", 160, 10)]).await;
            },
        )
        .promise("each account is booked by what was used of it", |store: S| async move {
            let lab = Lab::new(store);
            let charges = [tokens("user:a", 100, 10), tokens("user:b", 100, 20), tokens("user:c", 100, 30)];
            let hold = lab.granted(&charges).await;
            let settled = lab.settle_with(hold, &charges, &[1, 2, 0], &[]).await;
            let spent = |spent| Balance { spent, reserved: 0 };
            assert_eq!(settled, Settled::Now(vec![spent(1), spent(2), spent(0)]));
        })
        .promise("a limit that was changed counts from the next call on", |store: S| async move {
            let lab = Lab::new(store);
            lab.granted(&[tokens("user:a", 100, 80)]).await;
            assert!(matches!(
                lab.reserve(lab.hold(), &[tokens("user:a", 90, 20)]).await,
                Reserved::Denied { .. }
            ));
            lab.granted(&[tokens("user:a", 200, 80)]).await;
            assert!(matches!(
                lab.reserve(lab.hold(), &[tokens("user:a", 100, 0)]).await,
                Reserved::Denied { .. }
            ));
        })
        .promise("amounts up to the largest are exact", |store: S| async move {
            let lab = Lab::new(store);
            let hold = lab.granted(&[tokens("user:a", MOST, MOST - 2)]).await;
            assert!(matches!(
                lab.reserve(lab.hold(), &[tokens("user:a", MOST, 3)]).await,
                Reserved::Denied { .. }
            ));
            lab.granted(&[tokens("user:a", MOST, 1)]).await;
            assert_eq!(lab.stands("user:a").await, (0, MOST - 1));
            lab.settle_with(hold, &[tokens("user:a", MOST, MOST - 2)], &[MOST - 3], &[]).await;
            assert_eq!(lab.stands("user:a").await, (MOST - 3, 1));
        })
        .promise("names of accounts are taken as they are", |store: S| async move {
            let lab = Lab::new(store);
            let names = [
                "user:a",
                "user:a b",
                "user:{x}",
                "user:ü€😀",
                "user:a:b",
                "user:*",
                "user:'; --",
                "user:A",
                "user:%s\\",
            ];
            for (number, name) in names.iter().enumerate() {
                lab.granted(&[tokens(name, 100, number as u64 + 1)]).await;
            }
            for (number, name) in names.iter().enumerate() {
                assert_eq!(lab.stands(name).await, (0, number as u64 + 1), "{name}");
            }
        })
        .promise("a call may have many accounts", |store: S| async move {
            let lab = Lab::new(store);
            let charges: Vec<Charge> = (0..24).map(|n| tokens(&format!("user:{n}"), 100, n)).collect();
            let hold = lab.granted(&charges).await;
            let actual: Vec<u64> = (0..24).rev().collect();
            lab.settle_with(hold, &charges, &actual, &[]).await;
            let asked: Vec<_> = charges.iter().map(|charge| (charge.account.clone(), forever())).collect();
            let balances = lab.store.balances(&asked, lab.now).await.unwrap_or_else(fail);
            assert_eq!(balances.iter().map(|balance| balance.spent).collect::<Vec<_>>(), actual);
            assert_eq!(lab.balance(&account("user:3"), forever()).await, Balance { spent: 20, reserved: 0 });
        })
}

//! Whatever happens in whatever order: the counters are the sum of the rows (M6), and no limit is passed.

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;
use mainstay_provider_core::test_kit::contract::Suite;

use super::lab::{LONG, Lab, fail, tokens};
use crate::store::{BudgetStore, Charge, HoldId, Reserved, Settled};

const SUBJECTS: [&str; 4] = ["user:a", "user:b", "org:x", "team:y"];
const LIMIT: u64 = 5_000;

/// What the test knows of the calls that it has made.
struct Model {
    rng: Rng,
    open: Vec<(HoldId, Vec<Charge>)>,
    over: Vec<(HoldId, Vec<Charge>)>,
    /// What was booked on each subject above what was reserved: it may pass the limit.
    excess: HashMap<&'static str, u64>,
}

impl Model {
    fn charges(&mut self) -> Vec<Charge> {
        let take = self.rng.u64(0..60);
        let all = SUBJECTS.into_iter().filter(|_| self.rng.bool()).collect::<Vec<_>>();
        let all = if all.is_empty() { vec!["user:a"] } else { all };
        all.into_iter().map(|subject| tokens(subject, LIMIT, take)).collect()
    }

    fn take(&mut self) -> Option<(HoldId, Vec<Charge>)> {
        (!self.open.is_empty()).then(|| self.open.swap_remove(self.rng.usize(0..self.open.len())))
    }

    fn exceed(&mut self, charges: &[Charge], more: u64) {
        for subject in SUBJECTS {
            if super::lab::subjects(charges).contains(&subject) {
                *self.excess.entry(subject).or_default() += more;
            }
        }
    }

    async fn step<S: BudgetStore>(&mut self, lab: &Lab<S>) {
        match self.rng.u32(0..100) {
            0..45 => {
                let (charges, hold) = (self.charges(), lab.hold());
                // Some leases pass soon: their holds are lost, unless they are settled before.
                let lease = if self.rng.u32(0..5) == 0 { Duration::from_millis(1) } else { LONG };
                if let Reserved::Granted(after) = lab.reserve_for(lease, hold, &charges).await {
                    for (charge, balance) in charges.iter().zip(after) {
                        assert!(balance.total() <= LIMIT, "{balance:?} on {:?}", charge.account);
                    }
                    self.open.push((hold, charges));
                }
            }
            45..75 => {
                if let Some((hold, charges)) = self.take() {
                    let actual = self.rng.u64(0..=charges[0].take);
                    let settled = lab.settle(hold, &charges, actual).await;
                    assert_ne!(settled, Settled::Again);
                    self.over.push((hold, charges));
                }
            }
            75..80 => {
                if let Some((hold, charges)) = self.take() {
                    let more = self.rng.u64(1..20);
                    lab.settle(hold, &charges, charges[0].take + more).await;
                    self.exceed(&charges, more);
                    self.over.push((hold, charges));
                }
            }
            80..84 => {
                let (hold, charges, used) = (lab.hold(), self.charges(), self.rng.u64(0..20));
                lab.settle(hold, &charges, used).await;
                self.exceed(&charges, used);
                self.over.push((hold, charges));
            }
            84..92 if !self.over.is_empty() => {
                let (hold, charges) = self.over[self.rng.usize(0..self.over.len())].clone();
                assert_eq!(lab.settle(hold, &charges, 50).await, Settled::Again);
                assert_eq!(lab.reserve(hold, &charges).await, Reserved::Ended);
            }
            92..95 => drop(lab.expire().await),
            95..97 => {
                // Its caller has crashed: nobody renews it any more.
                if let Some((hold, _)) = self.take() {
                    lab.store.renew(&[hold], Duration::from_millis(1), lab.now).await.unwrap_or_else(fail);
                }
            }
            _ => {
                if let Some((hold, charges)) = self.open.last() {
                    let again = lab.reserve(*hold, charges).await;
                    assert!(matches!(again, Reserved::Granted(_) | Reserved::Ended), "{again:?}");
                }
            }
        }
    }
}

pub(super) fn promises<S: BudgetStore>(suite: Suite<S>) -> Suite<S> {
    // M6
    suite.promise(
        "after any faults the counters are the sums of the rows, and nothing is held any more",
        |store: S| async move {
            let mut lab = Lab::new(store);
            let (rng, open, over) = (Rng::with_seed(0), Vec::new(), Vec::new());
            let mut model = Model { rng, open, over, excess: HashMap::new() };
            for seed in 0..8 {
                model.rng = Rng::with_seed(seed);
                for _ in 0..100 {
                    model.step(&lab).await;
                    lab.now += 1;
                }
                for (hold, charges) in std::mem::take(&mut model.open) {
                    lab.settle(hold, &charges, charges[0].take).await;
                }
            }
            lab.pass(50).await;
            while !lab.expire().await.is_empty() {}
            for subject in SUBJECTS {
                let (spent, reserved) = lab.stands(subject).await;
                assert_eq!(spent, lab.in_rows(subject).await, "{subject}");
                assert_eq!(reserved, 0, "{subject}");
                let excess = model.excess.get(subject).copied().unwrap_or_default();
                assert!(
                    spent <= LIMIT + excess,
                    "{subject}: {spent}, of which {excess} beyond what was reserved"
                );
            }
        },
    )
}

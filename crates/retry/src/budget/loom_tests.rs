//! Every order in which threads can meet at the budget:
//! `RUSTFLAGS="--cfg loom" cargo test -p mainstay-retry --lib --release --target-dir target/loom loom_`

use loom::thread;
use mainstay_provider_core::Allowance as _;

use super::{RetryBudget, TOKEN};

fn withdrawals(budget: &RetryBudget, threads: usize, each: usize) -> usize {
    let threads: Vec<_> = (0..threads)
        .map(|_| {
            let budget = budget.clone();
            thread::spawn(move || (0..each).filter(|_| budget.withdraw()).count())
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

// T2
#[test]
fn loom_racing_threads_get_exactly_what_there_is() {
    for (threads, each, tokens) in [(2, 2, 1), (2, 2, 3), (3, 1, 2)] {
        loom::model(move || {
            let budget = RetryBudget::of(TOKEN / 10, tokens);
            assert_eq!(withdrawals(&budget, threads, each) as u64, tokens);
            assert_eq!(budget.left(), 0);
        });
    }
}

// T1 and T2
#[test]
fn loom_a_deposit_that_races_with_a_withdrawal_is_neither_lost_nor_doubled() {
    loom::model(|| {
        let budget = RetryBudget::of(TOKEN, 2);
        assert!(budget.withdraw());
        let pays = {
            let budget = budget.clone();
            thread::spawn(move || budget.deposit())
        };
        let taken = (0..3).filter(|_| budget.withdraw()).count();
        pays.join().unwrap();
        // One was left and one was paid in; one that was paid in after the last try is still there.
        assert_eq!(taken + budget.left() as usize, 2);
    });
}

// T1
#[test]
fn loom_racing_deposits_never_fill_it_above_the_burst() {
    loom::model(|| {
        let budget = RetryBudget::of(TOKEN, 1);
        let pays = {
            let budget = budget.clone();
            thread::spawn(move || budget.deposit())
        };
        let taken = usize::from(budget.withdraw());
        budget.deposit();
        pays.join().unwrap();
        assert_eq!((taken, budget.left()), (1, 1));
    });
}

//! Looks at how the limits stand while calls are made (M2).

use mainstay_budget::{Budget, Limit, Period};

use crate::clock::Clock;
use crate::plan::Plan;

/// Says what is over a limit just now.
pub(crate) async fn look(budget: &Budget, plan: &Plan, clock: Clock) -> Result<(), String> {
    for (subject, _) in &plan.subjects {
        let before = clock.now();
        // A store that does not answer in time is looked at again.
        let Ok(standings) = budget.remaining(subject).await else { continue };
        let after = clock.now();
        for standing in standings {
            // What was counted under a window that has moved on meanwhile was within that, not within this.
            let is_one_window = begins(&standing.limit, before) == begins(&standing.limit, after);
            if is_one_window && standing.spent + standing.reserved > standing.limit.amount {
                return Err(format!("over the limit: {standing:?}"));
            }
        }
    }
    Ok(())
}

/// The first slice of a rolling window.
fn begins(limit: &Limit, now: u64) -> u64 {
    let Period::Rolling(length) = limit.period else { return 0 };
    let length = u64::try_from(length.as_millis()).unwrap();
    now.saturating_sub(length) / length.div_ceil(60)
}

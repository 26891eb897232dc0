//! How many attempts are made beyond the first (T1).

use mainstay_retry::RetryBudget;

use super::log::{Asked, CallLog};
use super::plan::{Plan, RetryPlan};

/// Counts attempts that providers see, and holds them against the budget: at any moment at most `share` of the calls so
/// far, and the burst.
///
/// Not counted: the first attempt of a call; one at a further model than the last, which is the operator's fallback; one
/// with a shorter conversation, which is another request; the beginning of a rescue where that does not draw on the budget;
/// and one after a limit of our own refused the call, since standing in line is free, whoever then has a place.
pub(super) struct Amplification {
    budget: RetryBudget,
    share: f64,
    burst: u32,
    /// Whether rescues draw on the budget.
    rescues_draw: bool,
    calls: u64,
    extra: u64,
    after_refusal: u64,
    /// The call whose rescue has just begun, and not asked anybody yet.
    rescued: Vec<usize>,
}

impl Amplification {
    pub(super) fn new(budget: RetryBudget, plan: &Plan) -> Self {
        let RetryPlan { share, burst, .. } = plan.retry;
        Self {
            budget,
            share,
            burst,
            rescues_draw: plan.rescue.draws,
            calls: 0,
            extra: 0,
            after_refusal: 0,
            rescued: Vec::new(),
        }
    }

    /// What is left of the budget.
    pub(super) fn left(&self) -> u32 {
        self.budget.left()
    }

    pub(super) fn call(&mut self) {
        self.calls += 1;
    }

    /// The stack beneath the rescue is asked once more.
    pub(super) fn leg(&mut self, call: usize) {
        if !self.rescues_draw {
            self.rescued.push(call);
        }
    }

    /// Counts an attempt of a call whose attempts so far are in `log`.
    pub(super) fn attempt(&mut self, asked: &Asked, log: &mut CallLog) -> Result<(), String> {
        let begins_rescue = self.rescued.iter().position(|call| *call == asked.call);
        if let Some(at) = begins_rescue {
            self.rescued.swap_remove(at);
        }
        let before = std::mem::replace(&mut log.place, asked.place);
        let was_refused = std::mem::take(&mut log.is_refused);
        let Some(last) = log.attempts.last() else { return Ok(()) };
        let without_prefill = |messages: usize, is_prefill: bool| messages - usize::from(is_prefill);
        let is_shorter = without_prefill(asked.messages, asked.is_prefill)
            < without_prefill(last.messages, last.is_prefill);
        let is_fallback = asked.place > before && last.leg == log.legs;
        if is_fallback || is_shorter || begins_rescue.is_some() {
            return Ok(());
        }
        if was_refused {
            self.after_refusal += 1;
            return Ok(());
        }
        self.extra += 1;
        let allowed = self.share * self.calls as f64 + f64::from(self.burst);
        if self.extra as f64 > allowed + 1e-6 {
            return Err(format!(
                "call {}: attempt beyond the first number {} of {} calls; {allowed:.1} are allowed",
                asked.call, self.extra, self.calls
            ));
        }
        Ok(())
    }

    pub(super) fn extra(&self) -> u64 {
        self.extra
    }

    pub(super) fn figures(&self) -> [(&'static str, u64); 3] {
        [
            ("calls", self.calls),
            ("attempts beyond the first", self.extra),
            ("attempts beyond the first, after a refusal of ours", self.after_refusal),
        ]
    }
}

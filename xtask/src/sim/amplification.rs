//! How many attempts are made beyond the first (T1).

use super::log::{Asked, CallLog};

/// Counts attempts that providers see, and holds them against the budget: at any moment at most `share` of the calls so
/// far, and the burst.
///
/// Not counted: the first attempt of a call; the first at each further model, which is the operator's fallback; one with a
/// shorter conversation, which is another request; and the beginning of a rescue where that does not draw on the budget.
/// Another request, and a rescue, may come to each fallback once more.
pub(super) struct Amplification {
    share: f64,
    burst: u32,
    /// Whether rescues draw on the budget.
    rescues_draw: bool,
    calls: u64,
    extra: u64,
    /// The call whose rescue has just begun, and not asked anybody yet.
    rescued: Vec<usize>,
}

impl Amplification {
    pub(super) fn new(share: f64, burst: u32, rescues_draw: bool) -> Self {
        Self { share, burst, rescues_draw, calls: 0, extra: 0, rescued: Vec::new() }
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
        let furthest = log.furthest;
        log.furthest = furthest.max(asked.place);
        let Some(last) = log.attempts.last() else { return Ok(()) };
        let without_prefill = |messages: usize, is_prefill: bool| messages - usize::from(is_prefill);
        let is_shorter = without_prefill(asked.messages, asked.is_prefill)
            < without_prefill(last.messages, last.is_prefill);
        if is_shorter || last.leg < log.legs {
            // From there on it may come to each fallback once more.
            log.furthest = asked.place;
        }
        let is_further = asked.place > furthest && last.leg == log.legs;
        if is_further || is_shorter || begins_rescue.is_some() {
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

    pub(super) fn figures(&self) -> (u64, u64) {
        (self.calls, self.extra)
    }
}

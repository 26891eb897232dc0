//! How many extra attempts all calls together may make.

use std::fmt;
use std::sync::Arc;

use mainstay_provider_core::Allowance;

use crate::config::InvalidConfig;
use crate::sync::{AtomicU64, Ordering};

/// What all calls may spend on attempts beyond their first: each request pays in a share of a token, each retry takes
/// a whole one out. Clones are one budget; a router's hedges draw on it too ([`Allowance`]).
///
/// The default pays in a tenth per request and starts with ten tokens. So in any stretch of n requests there are at
/// most `n / 10 + 10` retries, whatever happens and however many requests there are a second: the start burst, and 1.1
/// attempts per request. Nothing is paid in by time (a floor per second doubles the load at low rates), and nothing is
/// saved up beyond the start burst: an outage after a healthy year meets ten retries at once, and not ten thousand.
///
/// # Threads
/// No lock. Of K callers that withdraw at once from M tokens exactly M get one (T2).
#[derive(Clone)]
pub struct RetryBudget(Arc<Bucket>);

struct Bucket {
    /// In millionths of a token.
    tokens: AtomicU64,
    deposit: u64,
    most: u64,
}

impl RetryBudget {
    /// A budget into which each request pays `share` of a token (above 0, at most 1), and which starts with `burst`
    /// tokens and never holds more (at least 1, at most 1,000,000).
    ///
    /// # Errors
    /// A share or a burst outside of that.
    pub fn new(share: f64, burst: u32) -> Result<Self, InvalidConfig> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(InvalidConfig::BudgetShare(share));
        }
        if !(1..=MOST_BURST).contains(&burst) {
            return Err(InvalidConfig::BudgetBurst(burst));
        }
        // It is between 0 and 1,000,000.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let deposit = (share * TOKEN as f64).round() as u64;
        Ok(Self::of(deposit.max(1), u64::from(burst)))
    }

    fn of(deposit: u64, burst: u64) -> Self {
        let most = burst * TOKEN;
        Self(Arc::new(Bucket { tokens: AtomicU64::new(most), deposit, most }))
    }

    /// Pays in the share of one request. The retry layer does it for each call, before it is sent; nobody else needs to.
    pub fn deposit(&self) {
        let Bucket { tokens, deposit, most } = &*self.0;
        let mut before = tokens.load(Ordering::Relaxed);
        // A full budget, which is the usual case, is only read.
        while before < *most {
            let after = (before + deposit).min(*most);
            match tokens.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => before = now,
            }
        }
    }

    /// How many extra attempts could be made now.
    pub fn left(&self) -> u32 {
        u32::try_from(self.0.tokens.load(Ordering::Relaxed) / TOKEN).unwrap_or(u32::MAX)
    }
}

/// A tenth of a token per request, ten to start with.
impl Default for RetryBudget {
    fn default() -> Self {
        Self::of(TOKEN / 10, 10)
    }
}

impl Allowance for RetryBudget {
    fn withdraw(&self) -> bool {
        let tokens = &self.0.tokens;
        let mut before = tokens.load(Ordering::Relaxed);
        // The look and the withdrawal are one step, else two callers could take the same token.
        while let Some(after) = before.checked_sub(TOKEN) {
            match tokens.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => before = now,
            }
        }
        false
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget").field("left", &self.left()).finish_non_exhaustive()
    }
}

/// One token, in the units of the bucket.
const TOKEN: u64 = 1_000_000;
const MOST_BURST: u32 = 1_000_000;

#[cfg(all(test, loom))]
mod loom_tests;

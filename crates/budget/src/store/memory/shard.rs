//! A part of the holds with their rows, behind one lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::known::Known;
use super::rows::Rows;
use crate::hash::Seeded;
use crate::row::UsageRow;
use crate::store::HoldId;

/// Into how many parts the holds are divided, by the thread that made them: so threads rarely meet, and what a thread touches in
/// turn stays near it. loom has few threads.
pub(super) const SHARDS: usize = if cfg!(loom) { 2 } else { 64 };

/// So many holds that have ended are remembered in each. Few: nobody asks twice.
const MOST_ENDED: usize = 8_192;

/// Apart from its lock and from its neighbours in the processor's cache.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Shard {
    pub(super) holds: HashMap<HoldId, Held, Seeded>,
    /// Those that were settled, oldest first.
    ended: VecDeque<HoldId>,
    /// The accounts of its holds, and those that were asked for of late.
    pub(super) known: Known,
    pub(super) rows: Rows,
}

/// What is known of a hold.
#[derive(Debug)]
pub(super) enum Held {
    Open(Hold),
    /// Its lease has passed; it may be settled yet.
    Lost(Hold),
    /// It was settled.
    Ended,
}

/// What a call has reserved.
#[derive(Debug)]
pub(super) struct Hold {
    /// In the order in which the accounts are locked.
    pub(super) taken: Vec<Taken>,
    pub(super) lease_until: u64,
    pub(super) if_lost: Arc<UsageRow>,
}

/// What a call has reserved of one account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    /// Which charge of the call it is for.
    pub(super) charge: usize,
    /// The account's place in [`Shard::known`].
    pub(super) account: usize,
    /// The slice that it is counted in.
    pub(super) slice: u64,
    pub(super) take: u64,
    pub(super) if_lost: u64,
}

impl Hold {
    /// In the order of the charges.
    pub(super) fn in_order(&self) -> Vec<Taken> {
        let mut taken = self.taken.clone();
        taken.sort_unstable_by_key(|taken| taken.charge);
        taken
    }
}

impl Shard {
    /// A hold has just become [`Held::Ended`]: it is remembered for a while.
    pub(super) fn has_ended(&mut self, hold: HoldId) {
        self.ended.push_back(hold);
        if self.ended.len() > MOST_ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.holds.remove(&oldest);
        }
    }

    #[cfg(feature = "journal")]
    pub(super) fn ended(&self) -> impl Iterator<Item = HoldId> + '_ {
        self.ended.iter().copied()
    }
}

/// Everything of a store, as a snapshot has it.
#[cfg(feature = "journal")]
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) accounts: Vec<(crate::store::AccountKey, Vec<super::account::Slice>)>,
    pub(crate) open: Vec<Open>,
    /// Lost holds, each with the end of its lease.
    pub(crate) lost: Vec<(Open, u64)>,
    pub(crate) ended: Vec<HoldId>,
    pub(crate) rows: Vec<(u64, Arc<UsageRow>)>,
    pub(crate) totals: Vec<super::rows::Total>,
}

/// An open hold, or a lost one, as a snapshot has it.
#[cfg(feature = "journal")]
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) hold: HoldId,
    /// Account, slice, what was taken, and what is booked if it is lost.
    pub(crate) taken: Vec<(crate::store::AccountKey, u64, u64, u64)>,
    pub(crate) if_lost: Arc<UsageRow>,
}

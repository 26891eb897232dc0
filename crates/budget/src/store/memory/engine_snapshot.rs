//! All that an engine holds, taken out and put back.

use std::sync::{Arc, PoisonError};

use super::engine::{Engine, Log, shard_of};
use super::shard::{Held, Hold, Open, Snapshot, Taken};
use crate::store::{AccountKey, HoldId, Window};
use crate::sync::{Ordering, lock};

impl<L: Log> Engine<L> {
    /// Gives `act` all there is; nothing is changed meanwhile.
    pub(crate) fn frozen<T>(&self, act: impl FnOnce(Snapshot) -> T) -> T {
        let shards = self.lock_every_shard();
        let mut snapshot = Snapshot::default();
        for cell in self.accounts.read().unwrap_or_else(PoisonError::into_inner).values() {
            snapshot.accounts.push((cell.key.clone(), cell.lock().all().to_vec()));
        }
        for shard in &shards {
            snapshot.ended.extend(shard.ended());
            for (id, held) in &shard.holds {
                match held {
                    Held::Open(hold) => snapshot.open.push(open(*id, hold)),
                    Held::Lost(_) => snapshot.ended.push(*id),
                    Held::Ended => {}
                }
            }
            snapshot.rows.extend(shard.rows.kept().cloned());
            snapshot.totals.extend(shard.rows.totals());
        }
        act(snapshot)
    }

    /// Puts all back into an empty engine.
    pub(crate) fn restore(&self, snapshot: Snapshot) {
        let Snapshot { accounts, open, ended, mut rows, totals } = snapshot;
        for (key, slices) in accounts {
            self.cell(&key).lock().restore(slices);
        }
        for Open { hold, taken, if_lost } in open {
            let taken = taken.into_iter().map(|(key, slice, take, if_lost)| {
                let cell = self.cell(&key);
                Taken { cell, slice, take, if_lost }
            });
            let held = Held::Open(Hold { taken: taken.collect(), lease_until: u64::MAX, if_lost });
            lock(&self.shards[shard_of(hold)]).holds.insert(hold, held);
        }
        for hold in ended {
            lock(&self.shards[shard_of(hold)]).end(hold);
        }
        rows.sort_by_key(|(number, _)| *number);
        if let Some((last, _)) = rows.last() {
            self.next_row.store(last + 1, Ordering::Relaxed);
        }
        for (number, row) in rows {
            lock(&self.shards[shard_of(row.hold)]).rows.restore_row(number, row);
        }
        // Sums are asked of all parts together: whose they are does not matter.
        lock(&self.shards[0]).rows.restore_totals(totals);
    }

    fn cell(&self, key: &AccountKey) -> Arc<super::account::Cell> {
        let window = Window { start_ms: 0, end_ms: None, slice_ms: None };
        let charge = crate::store::Charge::new(key.clone(), window, 0, 0);
        self.taken(&[charge], HoldId(0)).remove(0).cell
    }
}

fn open(hold: HoldId, held: &Hold) -> Open {
    let taken = |taken: &Taken| (taken.cell.key.clone(), taken.slice, taken.take, taken.if_lost);
    Open { hold, taken: held.taken.iter().map(taken).collect(), if_lost: held.if_lost.clone() }
}

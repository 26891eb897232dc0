//! All that an engine holds, taken out and put back.

use super::account::Accounts;
use super::engine::{Engine, Log, shard_of};
use super::shard::{Held, Hold, Open, Snapshot, Taken};
use crate::store::HoldId;
use crate::sync::lock;

impl<L: Log> Engine<L> {
    /// Gives `act` all there is; nothing is changed meanwhile.
    pub(crate) fn frozen<T>(&self, act: impl FnOnce(Snapshot) -> T) -> T {
        let shards = self.lock_every_shard();
        let mut accounts = lock(&self.accounts);
        let oldest = self.oldest_row_of(&accounts);
        let mut snapshot = Snapshot { accounts: accounts.slices().collect(), ..Snapshot::default() };
        for shard in &shards {
            snapshot.ended.extend(shard.ended());
            for (id, held) in &shard.holds {
                match held {
                    Held::Open(hold) => snapshot.open.push(open(*id, hold, &mut accounts)),
                    Held::Lost(_) => snapshot.ended.push(*id),
                    Held::Ended => {}
                }
            }
            let kept = shard.rows.kept().filter(|(number, _)| *number >= oldest);
            snapshot.rows.extend(kept.cloned());
            snapshot.totals.extend(shard.rows.totals());
        }
        drop(accounts);
        act(snapshot)
    }

    /// Puts all back into an empty engine.
    pub(crate) fn restore(&self, snapshot: Snapshot) {
        let Snapshot { accounts: slices, open, ended, mut rows, totals } = snapshot;
        let shard = |hold: HoldId| lock(&self.shards[shard_of(hold)]);
        let mut accounts = lock(&self.accounts);
        slices.into_iter().for_each(|(key, slices)| accounts.restore(&key, slices));
        drop(accounts);
        for Open { hold, taken, if_lost } in open {
            let mut shard = shard(hold);
            let mut accounts = lock(&self.accounts);
            let taken = taken.into_iter().map(|(key, slice, take, if_lost)| {
                let account = accounts.place(&key, hold.made_ms());
                accounts.at(account).holds += 1;
                Taken { account, slice, take, if_lost }
            });
            let held = Held::Open(Hold { taken: taken.collect(), lease_until: u64::MAX, if_lost });
            shard.holds.insert(hold, held);
        }
        for hold in ended {
            let mut shard = shard(hold);
            shard.holds.insert(hold, Held::Ended);
            shard.has_ended(hold);
        }
        rows.sort_by_key(|(number, _)| *number);
        if let Some((last, _)) = rows.last() {
            lock(&self.accounts).next_row = last + 1;
        }
        rows.into_iter().for_each(|(number, row)| shard(row.hold).rows.restore_row(number, row));
        // Sums are asked of all parts together: whose they are does not matter.
        shard(HoldId(0)).rows.restore_totals(totals, &self.totals);
    }
}

fn open(hold: HoldId, held: &Hold, accounts: &mut Accounts) -> Open {
    let taken =
        |taken: &Taken| (accounts.at(taken.account).key.clone(), taken.slice, taken.take, taken.if_lost);
    Open { hold, taken: held.taken.iter().map(taken).collect(), if_lost: held.if_lost.clone() }
}

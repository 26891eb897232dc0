//! All that an engine holds, taken out and put back.

use std::sync::Arc;

use super::account::Account;
use super::engine::{Engine, Log, shard_of};
use super::known::Known;
use super::shard::{Held, Hold, Open, Shard, Snapshot, Taken};
use crate::store::HoldId;
use crate::sync::lock;

impl<L: Log> Engine<L> {
    /// Gives `act` all there is; nothing is changed meanwhile.
    pub(crate) fn frozen<T>(&self, act: impl FnOnce(Snapshot) -> T) -> T {
        let shards = self.lock_every_shard();
        let oldest = self.oldest_row();
        let slices = |account: &Arc<Account>| {
            (account.key().clone(), account.lock().all().copied().collect::<Vec<_>>())
        };
        let accounts = lock(&self.accounts).iter().map(slices).collect();
        let mut snapshot = Snapshot { accounts, ..Snapshot::default() };
        for shard in &shards {
            snapshot.ended.extend(shard.ended());
            for (id, held) in &shard.holds {
                match held {
                    Held::Open(hold) => snapshot.open.push(open(*id, hold, &shard.known)),
                    Held::Lost(hold) => {
                        snapshot.lost.push((open(*id, hold, &shard.known), hold.lease_until));
                    }
                    Held::Ended => {}
                }
            }
            let kept = shard.rows.kept().filter(|(number, _)| *number >= oldest);
            snapshot.rows.extend(kept.cloned());
            snapshot.totals.extend(shard.rows.totals());
        }
        act(snapshot)
    }

    /// Puts all back into an empty engine.
    pub(crate) fn restore(&self, snapshot: Snapshot) {
        let Snapshot { accounts: slices, open, lost, ended, mut rows, totals } = snapshot;
        let shard = |hold: HoldId| lock(&self.shards[shard_of(hold)]);
        let mut accounts = lock(&self.accounts);
        for (key, slices) in slices {
            accounts.open(&key, 0).lock().restore(slices);
        }
        drop(accounts);
        for open in open {
            self.restore_hold(open, u64::MAX, Held::Open);
        }
        // Sums are asked of all parts together: whose they are does not matter, but for those that may be taken back.
        shard(HoldId(0)).rows.restore_totals(totals, &self.totals);
        for (open, lease_until) in lost {
            let (hold, row) = (open.hold, open.if_lost.clone());
            self.restore_hold(open, lease_until, Held::Lost);
            if shard(HoldId(0)).rows.give_up_totals(&row) {
                shard(hold).rows.take_totals(&row, &self.totals);
            }
        }
        for hold in ended {
            let mut shard = shard(hold);
            shard.holds.insert(hold, Held::Ended);
            shard.has_ended(hold);
        }
        rows.sort_by_key(|(number, _)| *number);
        if let Some((last, _)) = rows.last() {
            self.numbers.begin_at(last + 1);
        }
        rows.into_iter().for_each(|(number, row)| shard(row.hold).rows.restore_row(number, row));
    }

    fn restore_hold(&self, open: Open, lease_until: u64, held: impl FnOnce(Hold) -> Held) {
        let Open { hold, taken, if_lost } = open;
        let mut shard = lock(&self.shards[shard_of(hold)]);
        let Shard { holds, known, .. } = &mut *shard;
        known.make_room();
        let taken = taken.into_iter().enumerate().map(|(charge, (key, slice, take, if_lost))| {
            let account = known.place(&key, &self.accounts, hold.made_ms());
            Taken { charge, account, slice, take, if_lost }
        });
        let mut taken: Vec<_> = taken.collect();
        known.sort(&mut taken);
        known.hold(&taken);
        holds.insert(hold, held(Hold { taken, lease_until, if_lost }));
    }
}

fn open(hold: HoldId, held: &Hold, known: &Known) -> Open {
    let taken =
        |taken: &Taken| (known.at(taken.account).key().clone(), taken.slice, taken.take, taken.if_lost);
    Open { hold, taken: held.in_order().iter().map(taken).collect(), if_lost: held.if_lost.clone() }
}

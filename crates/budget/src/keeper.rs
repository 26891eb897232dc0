//! What is seen to from time to time: leases are renewed, holds of the crashed are booked, shares are kept.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::book::Account;
use crate::guard::{Guard, Lease};
use crate::shared::{Core, one};
use crate::store::{AccountKey, Balance, ExpiredHold, Reserved, StoreError, Window};

/// At least so long between two rounds.
const REST: Duration = Duration::from_millis(100);
/// At most so long while the store is away. How often it is looked at is decided elsewhere; nothing else costs anything then.
const AWAY: Duration = Duration::from_secs(1);
/// So many holds are renewed at once.
const AT_ONCE: usize = 1_000;

impl Core {
    /// Sees to it that somebody keeps house, from the first call in a runtime on, and again when that runtime has ended.
    pub(crate) fn keep(self: &Arc<Self>) {
        if self.is_kept.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.is_kept.swap(true, Ordering::AcqRel) {
            // The first stays: it is where tasks run that begin outside of any.
            let _first = self.runtime.set(runtime.clone());
            runtime.spawn(keep_house(Kept(Arc::downgrade(self))));
        }
    }

    /// One round: leases are renewed, holds of the crashed are booked, shares are kept, what is owed is booked.
    pub(crate) async fn maintain(self: &Arc<Self>) {
        let _alone = self.keeping.lock().await;
        self.nudge();
        // A round that fails because the store is away is made up for by the next one.
        if let Some(guard) = &self.guard {
            for (lease, holds) in guard.holds(self.lease) {
                for some in holds.chunks(AT_ONCE) {
                    let renewing = self.store.renew(some, lease, self.clock.now_ms());
                    let _renewed = guard.bounded(renewing).await;
                }
            }
            let _kept = self.keep_shares(guard).await;
        }
        let _expired = self.expire().await;
    }

    /// Books the holds whose leases have passed.
    async fn expire(&self) -> Result<(), StoreError> {
        loop {
            let expiring = self.store.expire(self.clock.now_ms());
            let expired = match &self.guard {
                Some(guard) => guard.bounded(expiring).await?,
                None => expiring.await?,
            };
            if expired.is_empty() {
                return Ok(());
            }
            expired.iter().for_each(|_| one(&self.counts.lost));
            self.teller.lost(&expired);
            self.tell_lines_passed(&expired);
        }
    }

    /// What was booked for holds that were lost may have passed a line: who booked it tells that. Of a rolling period the store
    /// tells a slice alone, which says nothing of the whole.
    fn tell_lines_passed(&self, expired: &[ExpiredHold]) {
        let now_ms = self.clock.now_ms();
        let mut all: BTreeMap<(AccountKey, u64), Booked> = BTreeMap::new();
        for lost in expired {
            let accounts = lost.row.subjects.iter().map(|subject| self.book.accounts(subject));
            let accounts: Vec<_> = accounts.collect();
            for (key, amount, after) in &lost.booked {
                let Some(account) = accounts.iter().flat_map(|some| some.iter()).find(|one| one.key == *key)
                else {
                    continue;
                };
                let window = account.calendar.window(lost.row.at_ms);
                if window.slice_ms.is_none() {
                    let new = || Booked { account: account.clone(), window, amount: 0, after: *after };
                    let booked = all.entry((key.clone(), window.start_ms)).or_insert_with(new);
                    booked.amount = booked.amount.saturating_add(*amount);
                    booked.after.spent = booked.after.spent.max(after.spent);
                }
            }
        }
        for Booked { account, window, amount, after } in all.into_values() {
            self.teller.booked(&account, &window, amount, after, now_ms);
        }
    }

    /// Keeps of each limit that says so a share for this process.
    async fn keep_shares(self: &Arc<Self>, guard: &Guard) -> Result<(), StoreError> {
        // What was spent while the store was away is booked first.
        if self.outbox.is_behind() {
            return Ok(());
        }
        let now_ms = self.clock.now_ms();
        let wanted = guard.leases().wanted(now_ms);
        if wanted.is_empty() {
            return Ok(());
        }
        let balances = guard.bounded(self.store.balances(&wanted, now_ms)).await?;
        for ((key, window), balance) in wanted.iter().zip(balances) {
            let (idle, new) = guard.leases().review(key, window, balance, now_ms);
            idle.into_iter().for_each(|lease| self.owe(lease.given_back()));
            if let Some(lease) = new {
                self.take_share(guard, lease).await?;
            }
        }
        Ok(())
    }

    async fn take_share(self: &Arc<Self>, guard: &Guard, lease: Lease) -> Result<(), StoreError> {
        let mut taking = Taking { core: self, lease: Some(lease) };
        let Some(lease) = &taking.lease else { return Ok(()) };
        let reserved = guard.bounded(self.store.reserve(lease.reservation())).await?;
        let lease = taking.lease.take();
        if let (Some(lease), Reserved::Granted(_)) = (lease, reserved) {
            taking.lease = guard.leases().taken(lease);
        }
        Ok(())
    }
}

/// What several lost holds were booked at on one account.
struct Booked {
    account: Arc<Account>,
    window: Window,
    amount: u64,
    after: Balance,
}

/// A share that is asked for. If nobody hears the answer, it may have been taken all the same: it is given back.
struct Taking<'a> {
    core: &'a Arc<Core>,
    lease: Option<Lease>,
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.core.owe(lease.given_back());
        }
    }
}

/// Who keeps house. A task goes with its runtime, however that ends: then the next call finds another.
struct Kept(Weak<Core>);

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(core) = self.0.upgrade() {
            core.is_kept.store(false, Ordering::Release);
        }
    }
}

async fn keep_house(kept: Kept) {
    let core = &kept.0;
    loop {
        let Some(pause) = core.upgrade().map(|core| (core.lease / 3).min(Duration::from_secs(60))) else {
            return;
        };
        let guard = core.upgrade().and_then(|core| core.guard.clone());
        match guard {
            Some(guard) => {
                // Where nobody calls, nobody else looks whether the store is back.
                let pause = if guard.is_open() { pause.min(AWAY) } else { pause };
                guard.woken(pause).await;
                tokio::time::sleep(REST).await;
            }
            None => tokio::time::sleep(pause).await,
        }
        let Some(core) = core.upgrade() else { return };
        core.maintain().await;
    }
}

//! The accounts of a store.

use std::collections::HashMap;
use std::sync::Arc;

use super::account::Account;
use crate::hash::Seeded;
use crate::store::AccountKey;

/// With so many accounts, those that are not used are looked for. loom has few.
const FEW: usize = if cfg!(loom) { 1 } else { 10_000 };

/// The accounts that were ever used, but for those that nobody asks for any longer. One lock is around all; each part of the
/// holds has what it needs of them at hand, so few calls come here.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    all: HashMap<AccountKey, Arc<Account>, Seeded>,
    opened: u64,
    /// When there are so many, the unused ones are looked for.
    look_at: usize,
}

impl Accounts {
    /// The account of this name, which is opened if need be.
    pub(super) fn open(&mut self, key: &AccountKey, now_ms: u64) -> Arc<Account> {
        if let Some(account) = self.all.get(key) {
            return account.clone();
        }
        self.forget(now_ms);
        self.opened += 1;
        let account = Arc::new(Account::new(key.clone(), self.opened));
        self.all.insert(key.clone(), account.clone());
        account
    }

    pub(super) fn find(&self, key: &AccountKey) -> Option<Arc<Account>> {
        self.all.get(key).cloned()
    }

    /// Lets go of accounts on which nothing stands any more: a caller may invent subjects without end.
    fn forget(&mut self, now_ms: u64) {
        if self.all.len() < self.look_at.max(FEW) {
            return;
        }
        // Who else has an account got it here, under the same lock, or from somebody who still has it.
        self.all.retain(|_, account| Arc::get_mut(account).is_none_or(|alone| alone.is_used(now_ms)));
        self.look_at = self.all.len() * 2;
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    #[cfg(feature = "journal")]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.all.values()
    }
}

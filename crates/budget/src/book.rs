//! The limits, by subject: what may be changed at any time.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};

use mainstay_provider_core::Subject;

use crate::limit::{InvalidLimit, Limit};
use crate::period::{Calendar, Period, Zone};
use crate::store::{AccountKey, Charge};

/// The limits, by subject. A clone is the same book; a change counts from the next call on.
///
/// There are limits of the configuration, for one subject ([`set`](Self::set)) or for each subject of a kind
/// ([`set_kind`](Self::set_kind): each has an account of its own), and those that come and go at run time, such as those of
/// virtual keys ([`set_dynamic`](Self::set_dynamic)). If a subject has two for the same unit and period, the lower counts.
///
/// What was spent stays on the account when its limit changes.
#[derive(Clone, Default)]
pub struct LimitBook(Arc<Inner>);

#[derive(Default)]
struct Inner {
    zone: Zone,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    subjects: HashMap<Subject, Vec<Limit>>,
    kinds: HashMap<String, Vec<Limit>>,
    dynamic: HashMap<Subject, Vec<Limit>>,
    calendars: HashMap<Period, Arc<Calendar>>,
    /// What was made of all these for the subjects that called.
    accounts: HashMap<Subject, Accounts>,
}

/// So many subjects are remembered; with one more, all are worked out anew.
const MOST_REMEMBERED: usize = 100_000;

/// The accounts of one subject.
pub(crate) type Accounts = Arc<[Arc<Account>]>;

/// A limit of one subject.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) key: AccountKey,
    pub(crate) subject: Subject,
    pub(crate) limit: Limit,
    pub(crate) calendar: Arc<Calendar>,
}

impl Account {
    /// A charge of so much, at this time.
    pub(crate) fn charge(&self, take: u64, if_lost: u64, now_ms: u64) -> Charge {
        let window = self.calendar.window(now_ms);
        Charge { if_lost, ..Charge::new(self.key.clone(), window, self.limit.amount, take) }
    }
}

impl LimitBook {
    /// An empty book whose days, weeks and months are of this time zone.
    pub fn in_zone(zone: Zone) -> Self {
        Self(Arc::new(Inner { zone, state: RwLock::default() }))
    }

    /// The limits of a subject, instead of those that were set before.
    ///
    /// # Errors
    /// A limit that cannot be kept; nothing is changed then.
    pub fn set(&self, subject: Subject, limits: impl Into<Vec<Limit>>) -> Result<(), InvalidLimit> {
        let limits = checked(limits.into())?;
        self.change(|state| put(&mut state.subjects, subject, limits));
        Ok(())
    }

    /// The limits of each subject of a kind (`user`), instead of those that were set before.
    ///
    /// # Errors
    /// A limit that cannot be kept, or no kind; nothing is changed then.
    pub fn set_kind(&self, kind: &str, limits: impl Into<Vec<Limit>>) -> Result<(), InvalidLimit> {
        if kind.is_empty() || kind.contains(':') {
            return Err(InvalidLimit::Kind(kind.to_owned()));
        }
        let limits = checked(limits.into())?;
        self.change(|state| put(&mut state.kinds, kind.to_owned(), limits));
        Ok(())
    }

    /// The limits of a subject that come and go at run time, such as those of a virtual key; none: it has none any more.
    ///
    /// # Errors
    /// A limit that cannot be kept; nothing is changed then.
    pub fn set_dynamic(&self, subject: Subject, limits: impl Into<Vec<Limit>>) -> Result<(), InvalidLimit> {
        let limits = checked(limits.into())?;
        self.change(|state| put(&mut state.dynamic, subject, limits));
        Ok(())
    }

    /// All limits of the configuration in the place of all that were set before, in one step (G4). Those that came at run
    /// time stay. The keys are subjects (`user:alice`) and kinds (`user:*`).
    ///
    /// # Errors
    /// A limit that cannot be kept, or a key that is neither; nothing is changed then.
    pub fn replace(
        &self,
        limits: impl IntoIterator<Item = (String, Vec<Limit>)>,
    ) -> Result<(), InvalidLimit> {
        let (mut subjects, mut kinds) = (HashMap::new(), HashMap::new());
        for (name, limits) in limits {
            let limits = checked(limits)?;
            let subject = Subject::parse(&name).ok_or_else(|| InvalidLimit::Kind(name.clone()))?;
            if subject.id() == "*" {
                put(&mut kinds, subject.kind().to_owned(), limits);
            } else {
                put(&mut subjects, subject, limits);
            }
        }
        self.change(|state| (state.subjects, state.kinds) = (subjects, kinds));
        Ok(())
    }

    /// The limits that count for a subject.
    pub fn limits(&self, subject: &Subject) -> Vec<Limit> {
        self.accounts(subject).iter().map(|account| account.limit).collect()
    }

    /// The subjects that have limits of their own.
    pub fn subjects(&self) -> Vec<Subject> {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = state.subjects.keys().chain(state.dynamic.keys()).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    /// The accounts of a subject.
    pub(crate) fn accounts(&self, subject: &Subject) -> Accounts {
        let known =
            self.0.state.read().unwrap_or_else(PoisonError::into_inner).accounts.get(subject).cloned();
        known.unwrap_or_else(|| {
            let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
            state.work_out(subject, &self.0.zone)
        })
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        state.accounts.clear();
    }
}

impl State {
    fn work_out(&mut self, subject: &Subject, zone: &Zone) -> Accounts {
        let mut limits: Vec<Limit> = Vec::new();
        let of_kind = self.kinds.get(subject.kind());
        let own = [of_kind, self.subjects.get(subject), self.dynamic.get(subject)];
        for limit in own.into_iter().flatten().flatten() {
            let same = |one: &&mut Limit| (one.unit, one.period) == (limit.unit, limit.period);
            match limits.iter_mut().find(same) {
                Some(known) if limit.amount < known.amount => *known = *limit,
                Some(_) => {}
                None => limits.push(*limit),
            }
        }
        let accounts: Accounts = limits.into_iter().map(|limit| self.account(subject, limit, zone)).collect();
        if self.accounts.len() >= MOST_REMEMBERED {
            self.accounts.clear();
        }
        self.accounts.insert(subject.clone(), accounts.clone());
        accounts
    }

    fn account(&mut self, subject: &Subject, limit: Limit, zone: &Zone) -> Arc<Account> {
        let calendar = self
            .calendars
            .entry(limit.period)
            .or_insert_with(|| Arc::new(Calendar::new(limit.period, zone.clone())))
            .clone();
        let mut name = subject.as_str().to_owned();
        // Writing to a string does not fail.
        let _written = write!(name, "|{}|{}", limit.unit, limit.period);
        Arc::new(Account { key: AccountKey::new(name), subject: subject.clone(), limit, calendar })
    }
}

fn checked(limits: Vec<Limit>) -> Result<Vec<Limit>, InvalidLimit> {
    limits.iter().try_for_each(Limit::check).map(|()| limits)
}

fn put<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Vec<Limit>>, key: K, limits: Vec<Limit>) {
    if limits.is_empty() {
        map.remove(&key);
    } else {
        map.insert(key, limits);
    }
}

impl fmt::Debug for LimitBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("LimitBook")
            .field("zone", &self.0.zone)
            .field("kinds", &state.kinds.len())
            .field("subjects", &state.subjects.len())
            .field("dynamic", &state.dynamic.len())
            .finish()
    }
}

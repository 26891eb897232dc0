//! Rows, and their totals by day, model and subject.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_metering::NanoUsd;
use mainstay_provider_core::{Subject, Usage};

use super::engine::Kept;
use crate::hash::Seeded;
use crate::row::{UsageRow, day_of};
use crate::store::HoldId;
use crate::usage::{UsageQuery, UsageTotal};

/// The numbers of the rows. Each call takes one: nothing else is in its line of the processor's cache.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Numbers(AtomicU64);

impl Default for Numbers {
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}

impl Numbers {
    /// So many more. They are taken while the part that the rows are written to is locked: who has all parts locked has every
    /// row with a number below the next.
    pub(super) fn next(&self, count: usize) -> Range<u64> {
        let first = self.0.fetch_add(count as u64, Ordering::Relaxed);
        first..first + count as u64
    }

    /// Which number is the next.
    pub(super) fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[cfg(feature = "journal")]
    pub(super) fn begin_at(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }
}

/// A part of the rows: those of some holds.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Each with its number among all rows, oldest first.
    last: VecDeque<(u64, Arc<UsageRow>)>,
    days: BTreeMap<u32, Day>,
    /// Where the totals were that were looked for last, by day and place in it: most rows are of the same model as the one before.
    found: (u32, usize),
}

/// The totals of one day.
#[derive(Debug, Default)]
struct Day {
    /// Where those of a model are: of each provider that has it.
    places: HashMap<Arc<str>, Vec<usize>, Seeded>,
    models: Vec<OfModel>,
}

/// The totals of one model at one provider on one day.
#[derive(Debug, Clone)]
struct OfModel {
    provider: Arc<str>,
    model: Arc<str>,
    all: Sum,
    subjects: HashMap<Subject, Sum, Seeded>,
}

/// A sum of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) requests: u64,
    pub(crate) usage: Usage,
    pub(crate) cost: NanoUsd,
}

/// One total, as a snapshot has it.
#[cfg(feature = "journal")]
pub(crate) type Total = (u32, Arc<str>, Arc<str>, Option<Subject>, Sum);

impl Rows {
    /// `totals` counts those of all parts.
    pub(super) fn write(&mut self, number: u64, row: Arc<UsageRow>, kept: Kept, totals: &AtomicU64) {
        let new = self.add_to_totals(&row);
        if new > 0 {
            totals.fetch_add(new, Ordering::Relaxed);
        }
        self.last.push_back((number, row));
        self.forget_before((number + 1).saturating_sub(kept.rows.max(1) as u64));
        self.forget_days(kept.days, totals);
    }

    /// Forgets the rows before this number.
    pub(super) fn forget_before(&mut self, oldest: u64) {
        while self.last.front().is_some_and(|(number, _)| *number < oldest) {
            self.last.pop_front();
        }
    }

    /// Takes the row of a lost hold back. Its totals are put right even when the row is no longer kept.
    pub(super) fn take_back(&mut self, row: &UsageRow) {
        let is_it = |kept: &UsageRow, hold: HoldId| kept.hold == hold && kept.status == row.status;
        if let Some(place) = self.last.iter().rposition(|(_, kept)| is_it(kept, row.hold)) {
            self.last.remove(place);
        }
        self.take_from_totals(row);
    }

    fn take_from_totals(&mut self, row: &UsageRow) {
        let of_model = self.of_model(day_of(row.at_ms), &row.provider, &row.model);
        of_model.all.take(row);
        for subject in row.subjects.iter() {
            if let Some(sum) = of_model.subjects.get_mut(subject) {
                sum.take(row);
            }
        }
    }

    /// Says how many totals of subjects are new.
    fn add_to_totals(&mut self, row: &UsageRow) -> u64 {
        let of_model = self.of_model(row.day(), &row.provider, &row.model);
        of_model.all.add(row);
        let mut new = 0;
        for subject in row.subjects.iter() {
            if let Some(sum) = of_model.subjects.get_mut(subject) {
                sum.add(row);
            } else {
                let mut sum = Sum::default();
                sum.add(row);
                of_model.subjects.insert(subject.clone(), sum);
                new += 1;
            }
        }
        new
    }

    fn of_model(&mut self, day: u32, provider: &Arc<str>, model: &Arc<str>) -> &mut OfModel {
        let Day { places, models } = self.days.entry(day).or_default();
        let is_it = |place: &usize| models[*place].is(provider, model);
        let last = (self.found.0 == day && self.found.1 < models.len()).then_some(self.found.1);
        let known = last.filter(is_it).or_else(|| places.get(&**model)?.iter().copied().find(is_it));
        let place = known.unwrap_or_else(|| {
            let (provider, model) = (provider.clone(), model.clone());
            places.entry(model.clone()).or_default().push(models.len());
            let (all, subjects) = (Sum::default(), HashMap::default());
            models.push(OfModel { provider, model, all, subjects });
            models.len() - 1
        });
        self.found = (day, place);
        &mut models[place]
    }

    fn forget_days(&mut self, days: u32, totals: &AtomicU64) {
        const MOST_TOTALS: u64 = 1_000_000;
        let are_many = || totals.load(Ordering::Relaxed) > MOST_TOTALS;
        while self.days.len() > 1 && (self.days.len() > days as usize || are_many()) {
            let Some((_, day)) = self.days.pop_first() else { return };
            let gone: usize = day.models.iter().map(|of_model| of_model.subjects.len()).sum();
            totals.fetch_sub(gone as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn kept(&self) -> impl DoubleEndedIterator<Item = &(u64, Arc<UsageRow>)> {
        self.last.iter()
    }

    /// Adds what a query asks for.
    pub(super) fn answer(&self, query: &UsageQuery, found: &mut BTreeMap<Group, Sum>) {
        let days = self.days.range(query.from_day..=query.to_day.max(query.from_day));
        for (day, Day { models, .. }) in days {
            for of_model in models {
                let model = query.by_model.then(|| name(&of_model.provider, &of_model.model));
                let group = Group { day: query.by_day.then_some(*day), model, subject: None };
                of_model.answer(query, group, found);
            }
        }
    }

    #[cfg(feature = "journal")]
    pub(super) fn totals(&self) -> impl Iterator<Item = Total> + '_ {
        let of_models =
            self.days.iter().flat_map(|(day, totals)| totals.models.iter().map(move |of| (*day, of)));
        of_models.flat_map(|(day, of_model)| {
            let OfModel { provider, model, all, subjects } = of_model;
            let total = move |subject, sum| (day, provider.clone(), model.clone(), subject, sum);
            let of_subjects = subjects.iter().map(move |(subject, sum)| total(Some(subject.clone()), *sum));
            std::iter::once(total(None, *all)).chain(of_subjects)
        })
    }

    #[cfg(feature = "journal")]
    pub(super) fn restore_row(&mut self, number: u64, row: Arc<UsageRow>) {
        self.last.push_back((number, row));
    }

    /// Another part has this row from now on: its totals go there, if they are still kept.
    #[cfg(feature = "journal")]
    pub(super) fn give_up_totals(&mut self, row: &UsageRow) -> bool {
        let are_kept = self.days.contains_key(&row.day());
        if are_kept {
            self.take_from_totals(row);
        }
        are_kept
    }

    /// This part has the row from now on.
    #[cfg(feature = "journal")]
    pub(super) fn take_totals(&mut self, row: &UsageRow, totals: &AtomicU64) {
        totals.fetch_add(self.add_to_totals(row), Ordering::Relaxed);
    }

    #[cfg(feature = "journal")]
    pub(super) fn restore_totals(&mut self, restored: Vec<Total>, totals: &AtomicU64) {
        let mut new = 0;
        for (day, provider, model, subject, sum) in restored {
            let of_model = self.of_model(day, &provider, &model);
            match subject {
                None => of_model.all.join(&sum),
                Some(subject) => {
                    let known = of_model.subjects.len();
                    of_model.subjects.entry(subject).or_default().join(&sum);
                    new += of_model.subjects.len() - known;
                }
            }
        }
        totals.fetch_add(new as u64, Ordering::Relaxed);
    }
}

impl OfModel {
    fn is(&self, provider: &Arc<str>, model: &Arc<str>) -> bool {
        self.model == *model && self.provider == *provider
    }

    fn answer(&self, query: &UsageQuery, group: Group, found: &mut BTreeMap<Group, Sum>) {
        if !query.by_subject && query.subject.is_none() {
            found.entry(group).or_default().join(&self.all);
            return;
        }
        let wanted = |subject: &&Subject| {
            query.subject.as_ref().is_none_or(|only| only == *subject)
                && query.kind.as_deref().is_none_or(|kind| kind == subject.kind())
        };
        for subject in self.subjects.keys().filter(wanted) {
            let subject_of = query.by_subject.then(|| subject.clone());
            let group = Group { subject: subject_of, ..group.clone() };
            found.entry(group).or_default().join(&self.subjects[subject]);
        }
    }
}

/// What totals are told apart by.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    day: Option<u32>,
    model: Option<Arc<str>>,
    subject: Option<Subject>,
}

impl Group {
    pub(super) fn total(self, sum: Sum) -> UsageTotal {
        let Self { day, model, subject } = self;
        UsageTotal { day, model, subject, requests: sum.requests, usage: sum.usage, cost: sum.cost }
    }
}

fn name(provider: &str, model: &Arc<str>) -> Arc<str> {
    if provider.is_empty() { model.clone() } else { format!("{provider}/{model}").into() }
}

impl Sum {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, row: &UsageRow) {
        self.join(&Self { requests: row.requests, usage: row.usage, cost: row.cost });
    }

    fn join(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.usage += other.usage;
        self.cost += other.cost;
    }

    fn take(&mut self, row: &UsageRow) {
        self.requests = self.requests.saturating_sub(row.requests);
        self.cost = self.cost.saturating_sub(row.cost);
        let (usage, less) = (&mut self.usage, &row.usage);
        for (sum, part) in [
            (&mut usage.input, less.input),
            (&mut usage.output, less.output),
            (&mut usage.cache_read, less.cache_read),
            (&mut usage.cache_write, less.cache_write),
            (&mut usage.cache_write_long, less.cache_write_long),
            (&mut usage.reasoning, less.reasoning),
        ] {
            *sum = sum.saturating_sub(part);
        }
    }
}

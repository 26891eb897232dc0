//! What this process said and has not heard back yet.
//!
//! It did at once what it said; the stream says in which order all did what they did. Until one's own words come back,
//! both must fit together: an order to forget is not undone by what stood before it in the stream and is read only now,
//! and an entry of one's own stands behind every order and every entry of the same text that is read before it.

use std::collections::{HashMap, VecDeque};

use mainstay_provider_core::Namespace;

use super::super::memory::MemoryStore;
use super::super::record::{Kept, Record};
use super::super::{EntryId, NewEntry};
use crate::partition::Partition;

/// Who said something, and the how manieth of their words it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) who: u64,
    pub(super) number: u64,
}

pub(super) struct Books {
    who: u64,
    number: u64,
    /// What was said last of what Redis has.
    delivered: u64,
    /// Own entries that have not come back.
    kept: VecDeque<(u64, EntryId)>,
    /// And the last word that said each.
    kept_ids: HashMap<EntryId, u64>,
    /// Own orders to forget that have not come back.
    forgotten: VecDeque<(u64, Forget)>,
    /// The last word heard of everybody: what is told twice is heard once.
    heard: HashMap<u64, u64>,
}

enum Forget {
    Entry(Partition, EntryId),
    All(Namespace),
}

impl Forget {
    fn covers(&self, partition: &Partition, id: EntryId) -> bool {
        match self {
            Self::Entry(there, gone) => there == partition && *gone == id,
            Self::All(namespace) => *namespace == partition.namespace,
        }
    }
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            who: fastrand::u64(..),
            number: 0,
            delivered: 0,
            kept: VecDeque::new(),
            kept_ids: HashMap::new(),
            forgotten: VecDeque::new(),
            heard: HashMap::new(),
        }
    }

    /// Something is said now.
    pub(super) fn say(&mut self, record: &Record) -> Origin {
        self.number += 1;
        let number = self.number;
        match record {
            Record::Insert(_, Kept { entry: NewEntry { id, .. }, .. }) => {
                self.kept.push_back((number, *id));
                self.kept_ids.insert(*id, number);
            }
            Record::Remove(partition, id) => {
                self.forgotten.push_back((number, Forget::Entry(partition.clone(), *id)));
            }
            Record::Purge(namespace) => {
                self.forgotten.push_back((number, Forget::All(namespace.clone())));
            }
            Record::Tighten(..) => {}
        }
        Origin { who: self.who, number }
    }

    /// Whether these are our own words.
    pub(super) fn is_ours(&self, origin: Origin) -> bool {
        origin.who == self.who
    }

    /// Redis has it.
    pub(super) fn delivered(&mut self, number: u64) {
        self.delivered = self.delivered.max(number);
    }

    /// Somebody said this. Says whether it was news.
    pub(super) fn hear(&mut self, origin: Origin, record: Record, memory: &MemoryStore, now: u64) -> bool {
        let heard = self.heard.entry(origin.who).or_default();
        if *heard >= origin.number {
            return false;
        }
        *heard = origin.number;
        if self.is_ours(origin) {
            self.came_back(origin.number);
        }
        match record {
            Record::Insert(partition, kept) => {
                if !self.is_outdated(&partition, &kept.entry, memory) {
                    Record::Insert(partition, kept).apply(memory, now);
                }
            }
            Record::Remove(_, id) if self.kept_ids.contains_key(&id) => {}
            Record::Purge(namespace) => {
                memory.purge_but(&namespace, |id| self.kept_ids.contains_key(&id));
            }
            other => other.apply(memory, now),
        }
        true
    }

    /// Whether something that we said stands behind this entry in the stream, and ends it: an order to forget it, or
    /// another entry of the same text.
    fn is_outdated(&self, partition: &Partition, entry: &NewEntry, memory: &MemoryStore) -> bool {
        self.forgotten.iter().any(|(_, forget)| forget.covers(partition, entry.id))
            || memory.id_of(partition, &entry.text).is_some_and(|id| self.kept_ids.contains_key(&id))
    }

    /// All is read anew: what has been said and is no longer in the stream will not come back.
    pub(super) fn begin_anew(&mut self) {
        self.heard.clear();
        self.kept.clear();
        self.kept_ids.clear();
        self.forgotten.retain(|(number, _)| *number > self.delivered);
    }

    /// With this one, also those before it that the stream has lost.
    fn came_back(&mut self, number: u64) {
        let ours = self.kept.partition_point(|(kept, _)| *kept <= number);
        for (_, id) in self.kept.drain(..ours) {
            // It may have been said again since.
            if self.kept_ids.get(&id).is_some_and(|last| *last <= number) {
                self.kept_ids.remove(&id);
            }
        }
        let ours = self.forgotten.partition_point(|(forgotten, _)| *forgotten <= number);
        self.forgotten.drain(..ours);
    }
}

#[cfg(all(test, feature = "test-kit"))]
mod tests {
    use super::*;
    use crate::store::contract::{entry, partition, vector};

    struct Here {
        books: Books,
        memory: MemoryStore,
        partition: Partition,
    }

    impl Here {
        fn new() -> Self {
            Self { books: Books::new(), memory: MemoryStore::default(), partition: partition("a", "x") }
        }

        fn record(&self, id: u128) -> Record {
            let kept = Kept { entry: entry(id, "same", vector(0.0)), at: 0, tightened: None };
            Record::Insert(self.partition.clone(), kept)
        }

        fn says(&mut self, id: u128) -> Origin {
            let record = self.record(id);
            record.apply(&self.memory, 0);
            self.books.say(&self.record(id))
        }

        fn hears(&mut self, origin: Origin, id: u128) {
            let record = self.record(id);
            assert!(self.books.hear(origin, record, &self.memory, 0));
        }

        fn holds(&self) -> u128 {
            self.memory.id_of(&self.partition, "same").expect("one is there").0
        }
    }

    #[tokio::test]
    async fn what_comes_back_takes_the_place_of_nothing_that_was_said_after_it() {
        let mut here = Here::new();
        let (first, second) = (here.says(1), here.says(2));
        assert_eq!(here.holds(), 2);
        here.hears(first, 1);
        assert_eq!(here.holds(), 2);
        here.hears(second, 2);
        assert_eq!(here.holds(), 2);
    }

    #[tokio::test]
    async fn what_was_forgotten_and_said_again_stays_while_its_first_words_come_back() {
        let mut here = Here::new();
        let first = here.says(1);
        let forget = || Record::Remove(partition("a", "x"), EntryId(1));
        forget().apply(&here.memory, 0);
        let forgotten = here.books.say(&forget());
        let again = here.says(1);
        here.hears(first, 1);
        assert!(here.books.hear(forgotten, forget(), &here.memory, 0));
        assert_eq!(here.holds(), 1);
        here.hears(again, 1);
        assert_eq!(here.holds(), 1);
    }

    #[tokio::test]
    async fn of_one_text_the_last_in_the_stream_stays_whoever_said_it() {
        let mut here = Here::new();
        let ours = here.says(1);
        let theirs = |number| Origin { who: ours.who.wrapping_add(1), number };
        here.hears(theirs(1), 11);
        assert_eq!(here.holds(), 1, "ours comes behind it");
        here.hears(ours, 1);
        assert_eq!(here.holds(), 1);
        here.hears(theirs(2), 12);
        assert_eq!(here.holds(), 12);
    }
}

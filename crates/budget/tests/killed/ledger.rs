//! What the processes of a seed told, hold by hold, and whether the store's rows are that.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mainstay_budget::{HoldId, RowStatus, UsageRow};

use crate::plan::End;
use crate::process::Ended;
use crate::told::Told;

/// What was told of one hold.
#[derive(Debug, Default)]
struct Hold {
    is_share: bool,
    /// Of a process that was killed.
    is_killed: bool,
    is_granted: bool,
    is_refused: bool,
    /// The rows with which it was to be settled.
    settlement: Option<Vec<UsageRow>>,
    is_settled: bool,
}

/// What was told of all holds.
#[derive(Debug, Default)]
pub(crate) struct Ledger(BTreeMap<HoldId, Hold>);

/// How much of what happened in a seed, or in all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) killed: usize,
    pub(crate) killed_at_their_start: usize,
    pub(crate) drained: usize,
    pub(crate) cancelled: usize,
    /// Of these two: how many said that they could not book everything in time.
    pub(crate) unflushed: usize,
    pub(crate) granted: usize,
    pub(crate) refused: usize,
    pub(crate) settled: usize,
    /// Holds of calls that nobody settled, because their process was killed.
    pub(crate) lost: usize,
    /// Settlements that were on their way when the process was killed: those that came to be booked, and those that did not.
    pub(crate) cut_booked: usize,
    pub(crate) cut_lost: usize,
    /// Shares of limits that killed processes kept for themselves.
    pub(crate) shares: usize,
    pub(crate) rows: usize,
    /// How often the limits were looked at meanwhile.
    pub(crate) looks: usize,
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.killed += other.killed;
        self.killed_at_their_start += other.killed_at_their_start;
        self.drained += other.drained;
        self.cancelled += other.cancelled;
        self.unflushed += other.unflushed;
        self.granted += other.granted;
        self.refused += other.refused;
        self.settled += other.settled;
        self.lost += other.lost;
        self.cut_booked += other.cut_booked;
        self.cut_lost += other.cut_lost;
        self.shares += other.shares;
        self.rows += other.rows;
        self.looks += other.looks;
    }
}

impl Ledger {
    /// What these told; what a process that was ended gracefully has left open is an error (G3).
    pub(crate) fn of(lives: &[Ended], figures: &mut Figures) -> Result<Self, String> {
        let mut all = Self::default();
        for ended in lives {
            let Ended { life, told } = ended;
            let mut own = Self::default();
            told.iter().for_each(|told| own.hear(told));
            let is_killed = !ended.is_graceful();
            figures.unflushed += usize::from(is_killed && life.end != End::Killed);
            match life.end {
                End::Killed if told.is_empty() => figures.killed_at_their_start += 1,
                End::Killed => figures.killed += 1,
                End::Drained => figures.drained += 1,
                End::Cancelled => figures.cancelled += 1,
            }
            for (id, hold) in &mut own.0 {
                hold.is_killed = is_killed;
                if !is_killed && !hold.is_settled && !hold.is_refused {
                    return Err(format!("a process that ended gracefully left {id} open: {hold:?}"));
                }
            }
            all.0.append(&mut own.0);
        }
        Ok(all)
    }

    fn hear(&mut self, told: &Told) {
        let (Told::Reserve { hold, .. }
        | Told::Granted(hold)
        | Told::Refused(hold)
        | Told::Settle(hold, _)
        | Told::Settled(hold)) = told
        else {
            return;
        };
        let known = self.0.entry(*hold).or_default();
        match told {
            Told::Reserve { is_share, .. } => known.is_share = *is_share,
            Told::Granted(_) => (known.is_granted, known.is_refused) = (true, false),
            Told::Refused(_) => known.is_refused = true,
            Told::Settle(_, rows) => known.settlement = Some(rows.clone()),
            _ => known.is_settled = true,
        }
    }

    /// The shares that killed processes kept.
    pub(crate) fn shares(&self) -> Vec<HoldId> {
        let left = |hold: &Hold| hold.is_share && hold.is_killed && !hold.is_settled && !hold.is_refused;
        self.0.iter().filter(|(_, hold)| left(hold)).map(|(id, _)| *id).collect()
    }

    /// Whether some process kept one.
    pub(crate) fn has_shares(&self) -> bool {
        self.0.values().any(|hold| hold.is_share)
    }

    /// When all these holds were made.
    pub(crate) fn times(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.keys().map(|hold| hold.made_ms())
    }

    /// Whether the store's rows are what was told: each hold once, nothing that was acknowledged is missing, and nothing is there
    /// that nobody told of.
    pub(crate) fn check(&self, rows: &[Arc<UsageRow>], figures: &mut Figures) -> Result<(), String> {
        let mut by_hold: HashMap<HoldId, Vec<&UsageRow>> = HashMap::new();
        rows.iter().for_each(|row| by_hold.entry(row.hold).or_default().push(row));
        figures.rows += rows.len();
        for (id, hold) in &self.0 {
            let rows = by_hold.remove(id).unwrap_or_default();
            hold.check(&rows, figures)
                .map_err(|what| format!("{id}: {what}: told {hold:?}, found {rows:?}"))?;
        }
        match by_hold.into_iter().next() {
            Some((id, rows)) => Err(format!("nobody told of {id}: {rows:?}")),
            None => Ok(()),
        }
    }
}

impl Hold {
    fn check(&self, rows: &[&UsageRow], figures: &mut Figures) -> Result<(), &'static str> {
        let is_lost = matches!(rows, [row] if row.status == RowStatus::Lost);
        let is_booked = self.settlement.as_ref().is_some_and(|told| is_same(told, rows));
        figures.granted += usize::from(self.is_granted && !self.is_share);
        if self.is_share {
            figures.shares += usize::from(self.is_killed && is_lost);
            let is_right = if self.is_settled { rows.is_empty() } else { rows.is_empty() || is_lost };
            return if is_right { Ok(()) } else { Err("a share was booked otherwise") };
        }
        if self.is_settled {
            figures.settled += 1;
            return if is_booked { Ok(()) } else { Err("what was acknowledged is not what is booked") };
        }
        if self.is_refused {
            figures.refused += 1;
            return if rows.is_empty() { Ok(()) } else { Err("what was refused is booked") };
        }
        if self.settlement.is_some() && (is_booked || is_lost) {
            figures.cut_booked += usize::from(is_booked);
            figures.cut_lost += usize::from(!is_booked);
            return Ok(());
        }
        match (self.is_granted, is_lost) {
            (_, true) => {
                figures.lost += 1;
                Ok(())
            }
            (true, false) => Err("a hold of a killed process is not booked at its estimate"),
            // It was on its way to the store and did not come there.
            (false, false) if rows.is_empty() => Ok(()),
            (false, false) => Err("it is booked otherwise than it was told"),
        }
    }
}

/// Whether these are the same rows, in whatever order.
fn is_same(told: &[UsageRow], found: &[&UsageRow]) -> bool {
    told.len() == found.len() && told.iter().all(|row| found.contains(&row))
}

//! One seed: its processes live and are ended, and then the store must be as if nothing had happened but what was told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mainstay_budget::{
    Budget, BudgetLayer, BudgetStore, HoldId, LostHold, RowsQuery, Standing, UsageQuery, UsageRow,
};
use tokio::time::{Instant, sleep};

use crate::books;
use crate::child::Job;
use crate::clock::{Clock, machine_ms};
use crate::common::meter;
use crate::ledger::{Figures, Ledger};
use crate::plan::Plan;
use crate::process::{Ended, lead};
use crate::stores::Place;
use crate::watch::look;

/// Whatever the machine does: a hold is over so long after its lease at the latest.
const SLACK: Duration = Duration::from_secs(5);

pub(crate) struct World {
    plan: Plan,
    place: Place,
    born_ms: u64,
    clock: Clock,
}

impl World {
    pub(crate) fn new(seed: u64, place: Place) -> Self {
        let plan = Plan::of(seed, place.kind());
        let born_ms = machine_ms();
        let clock = plan.clock(born_ms);
        Self { plan, place, born_ms, clock }
    }

    /// Lives through it; an error says which promise was broken.
    pub(crate) async fn live(&self) -> Result<Figures, String> {
        let mut figures = Figures::default();
        let processes = self.processes();
        if let Place::Journal(_) = &self.place {
            let lives = self.until_over(processes, None, &mut figures).await?;
            let ledger = Ledger::of(&lives, &mut figures)?;
            self.check_journal(&ledger, &lives, &mut figures).await?;
            return Ok(figures);
        }
        let observer = Observer::new(self, self.place.open(&self.plan));
        let lives = self.until_over(processes, Some(&observer), &mut figures).await?;
        let ledger = Ledger::of(&lives, &mut figures)?;
        // G3: who ends gracefully leaves nothing that a lease would have to end.
        if lives.iter().all(Ended::is_graceful) {
            observer.check(&ledger, &mut figures).await?;
            return Ok(figures);
        }
        let (begun, mut looks) = (Instant::now(), 0);
        loop {
            observer.until_leases_are_over(&ledger, self.plan.lease).await?;
            looks += 1;
            let mut own = Figures::default();
            match observer.check(&ledger, &mut own).await {
                Ok(()) => {
                    figures.add(&own);
                    return Ok(figures);
                }
                // On a busy machine the server may come only now to what a process had asked before it was killed, and the first
                // look alone may take as long as all is given: there is a second one.
                Err(what) if looks > 1 && begun.elapsed() > SLACK => return Err(what),
                Err(_) => {}
            }
        }
    }

    fn processes(&self) -> Vec<thread::JoinHandle<Result<Vec<Ended>, String>>> {
        let start = |(process, lives): (usize, &Vec<_>)| {
            let (seed, born_ms, place) = (self.plan.seed, self.born_ms, self.place.clone());
            let (job, lives) = (Job { seed, process, life: 0, born_ms, place }, lives.clone());
            thread::spawn(move || lead(job, &lives))
        };
        self.plan.processes.iter().enumerate().map(start).collect()
    }

    /// Waits for the processes and looks at the limits meanwhile.
    async fn until_over(
        &self,
        processes: Vec<thread::JoinHandle<Result<Vec<Ended>, String>>>,
        observer: Option<&Observer>,
        figures: &mut Figures,
    ) -> Result<Vec<Ended>, String> {
        let mut over = Ok(());
        while !processes.iter().all(thread::JoinHandle::is_finished) {
            if let Some(observer) = observer {
                over = over.and(observer.look(self.clock).await);
                figures.looks += 1;
            }
            sleep(Duration::from_millis(5)).await;
        }
        let mut lives = Vec::new();
        for process in processes {
            lives.extend(process.join().unwrap()?);
        }
        over.map(|()| lives)
    }

    /// The holds of a killed process are booked when its journal is opened again, once however often that is.
    async fn check_journal(
        &self,
        ledger: &Ledger,
        lives: &[Ended],
        figures: &mut Figures,
    ) -> Result<(), String> {
        let was_graceful = lives.last().is_some_and(Ended::is_graceful);
        for opened in 0..2 {
            let journal = self.place.open_journal(&self.plan).unwrap();
            let recovered = journal.recovered().len();
            if (was_graceful || opened > 0) && recovered > 0 {
                return Err(format!("{recovered} holds were left open"));
            }
            let observer = Observer::new(self, Arc::new(journal));
            let mut own = Figures::default();
            observer.check(ledger, &mut own).await?;
            if opened == 0 {
                figures.add(&own);
            }
        }
        Ok(())
    }
}

/// Looks at the store from outside.
struct Observer {
    budget: Budget,
    store: Arc<dyn BudgetStore>,
    plan: Plan,
    clock: Clock,
    /// The time of day at which it looks, if not now.
    at: Arc<AtomicU64>,
}

impl Observer {
    fn new(world: &World, store: Arc<dyn BudgetStore>) -> Self {
        let (at, clock) = (Arc::new(AtomicU64::new(0)), world.clock);
        let told = at.clone();
        let layer = BudgetLayer::builder_over(meter(), store.clone(), world.plan.book())
            .lost_holds(LostHold::Settle)
            .store_timeout(Duration::from_secs(5))
            .clock(move || match told.load(Ordering::Relaxed) {
                0 => clock.now(),
                at => at,
            });
        let budget = layer.build().unwrap().budget().clone();
        Self { budget, store, plan: world.plan.clone(), clock, at }
    }

    async fn look(&self, clock: Clock) -> Result<(), String> {
        look(&self.budget, &self.plan, clock).await
    }

    /// M4: no hold is left after its lease. What the killed kept as their shares lives for longer than this test; for these
    /// the time is said to be over.
    async fn until_leases_are_over(&self, ledger: &Ledger, lease: Duration) -> Result<(), String> {
        let (shares, moment) = (ledger.shares(), Duration::from_millis(1));
        sleep(lease).await;
        let begun = Instant::now();
        loop {
            // Again, as a share that was asked for before the end may come to the store after it.
            let renewed = self.store.renew(&shares, moment, self.clock.now()).await;
            renewed.map_err(|error| error.to_string())?;
            sleep(moment).await;
            while !self.expired().await?.is_empty() {}
            let held = self.held(&self.times(ledger, self.clock.now())).await?;
            if held.is_none() {
                return Ok(());
            }
            if begun.elapsed() > SLACK {
                return Err(format!("held after its lease: {held:?}"));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn expired(&self) -> Result<Vec<HoldId>, String> {
        let expired = self.store.expire(self.clock.now()).await.map_err(|error| error.to_string())?;
        Ok(expired.into_iter().map(|expired| expired.hold).collect())
    }

    /// A time in each period in which something was reserved, and now.
    fn times(&self, ledger: &Ledger, now: u64) -> Vec<u64> {
        const MINUTE: u64 = 60_000;
        let mut minutes: BTreeSet<u64> = ledger.times().map(|time| time / MINUTE * MINUTE).collect();
        // Shares are taken ahead of their periods.
        if let (Some(last), true) = (minutes.last().copied(), ledger.has_shares()) {
            minutes.extend([1, 2, 3, 4, 5, 60, 24 * 60].map(|ahead| last + ahead * MINUTE));
        }
        minutes.into_iter().chain([now]).collect()
    }

    /// What is still reserved of a limit in a period that these times are in.
    async fn held(&self, times: &[u64]) -> Result<Option<Standing>, String> {
        for time in times {
            let standings = self.standings(*time).await?;
            if let Some(held) = standings.into_iter().find(|standing| standing.reserved > 0) {
                return Ok(Some(held));
            }
        }
        Ok(None)
    }

    async fn standings(&self, time: u64) -> Result<Vec<Standing>, String> {
        self.at.store(time, Ordering::Relaxed);
        let mut all = Vec::new();
        for (subject, _) in &self.plan.subjects {
            let standings = self.budget.remaining(subject).await.map_err(|error| error.to_string())?;
            all.extend(standings);
        }
        self.at.store(0, Ordering::Relaxed);
        Ok(all)
    }

    /// M4, M6: nothing is held, every row is one that was told, and all counters are the sums of the rows.
    async fn check(&self, ledger: &Ledger, figures: &mut Figures) -> Result<(), String> {
        let rows = self.rows().await?;
        ledger.check(&rows, figures)?;
        let now = self.clock.now();
        for time in self.times(ledger, now) {
            for standing in self.standings(time).await? {
                books::check_standing(&standing, &rows, time, now)?;
            }
        }
        for (subject, _) in &self.plan.subjects {
            let query = UsageQuery { subject: Some(subject.clone()), ..UsageQuery::default() };
            let totals = self.budget.usage(&query).await.map_err(|error| error.to_string())?;
            books::check_totals(subject, &rows, &totals)?;
        }
        match self.expired().await?.as_slice() {
            [] => Ok(()),
            left => Err(format!("left open: {left:?}")),
        }
    }

    /// All rows of this seed.
    async fn rows(&self) -> Result<Vec<Arc<UsageRow>>, String> {
        let own = |row: &Arc<UsageRow>| {
            self.plan.subjects.iter().any(|(subject, _)| row.subjects.contains(subject))
        };
        let mut rows = Vec::new();
        let mut query = RowsQuery { from_ms: self.clock.begins, ..RowsQuery::default() };
        loop {
            let page = self.budget.rows(&query).await.map_err(|error| error.to_string())?;
            rows.extend(page.rows.into_iter().filter(own));
            let Some(next) = page.next else { return Ok(rows) };
            query.after = Some(next);
        }
    }
}

//! What this process spent in the last minute: a sliding window in whole numbers.

use std::time::Duration;

use tokio::time::Instant;

use crate::cost::{Amounts, Dimension};

/// What limits are counted over.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// A slot is a second. What was spent in one is forgotten when all of the slot lies a whole window back, so there is one
/// more than a window has seconds: any minute, wherever it begins, lies within them.
const SLOTS: u64 = WINDOW.as_secs() + 1;

/// Half of the calls of a window in so many seconds are steady enough to be taken for half of it.
const STEADY: u64 = 20;

/// How much the last second counts in the rate; it forgets half in about five.
const NEWS: f64 = 1.0 / 8.0;

/// Spending by the second. What was spent is corrected where it was spent.
#[derive(Debug)]
pub(crate) struct Ledger {
    slots: Box<[Amounts; SLOTS as usize]>,
    /// The sum of the slots.
    spent: Amounts,
    born: Instant,
    /// Seconds since `born`.
    tick: u64,
    next_tick: Instant,
    rates: [f64; 4],
}

impl Ledger {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            slots: Box::new([Amounts::default(); SLOTS as usize]),
            spent: Amounts::default(),
            born: now,
            tick: 0,
            next_tick: now + Duration::from_secs(1),
            rates: [0.0; 4],
        }
    }

    /// Forgets what is old. Whether a second has begun since the last time.
    pub(crate) fn advance(&mut self, now: Instant) -> bool {
        if now < self.next_tick {
            return false;
        }
        let tick = now.saturating_duration_since(self.born).as_secs();
        let passed = tick - self.tick;
        let last = *self.slot(self.tick);
        let silence = (1.0 - NEWS).powi(i32::try_from(passed - 1).unwrap_or(i32::MAX));
        for of in Dimension::ALL {
            let rate = &mut self.rates[of as usize];
            *rate = (*rate + NEWS * (last[of] as f64 - *rate)) * silence;
        }
        for old in (self.tick + 1..=tick).take(SLOTS as usize) {
            let forgotten = std::mem::take(self.slot(old));
            self.spent.take_away(&forgotten);
        }
        self.tick = tick;
        self.next_tick = self.born + Duration::from_secs(tick + 1);
        true
    }

    /// The second that is now, to correct later what is spent in it.
    pub(crate) fn tick(&self) -> u64 {
        self.tick
    }

    pub(crate) fn spent(&self, of: Dimension) -> u64 {
        self.spent[of]
    }

    /// What a whole window would hold at the speed of late, as a multiple of what it holds: the speed of the seconds up to now
    /// that hold half of the calls. 1 for steady calls; more after a quiet time, which says nothing of how fast calls may
    /// go.
    pub(crate) fn stretch(&self) -> f64 {
        let all = self.spent[Dimension::Requests];
        let (mut held, mut seconds) = (0, 0);
        while held * 2 < all && seconds < STEADY.min(self.tick + 1) {
            held += self.slots[((self.tick - seconds) % SLOTS) as usize][Dimension::Requests];
            seconds += 1;
        }
        if seconds == STEADY || all == 0 {
            return 1.0;
        }
        (held as f64 * WINDOW.as_secs_f64() / (seconds as f64 * all as f64)).max(1.0)
    }

    /// How much a second, of late.
    pub(crate) fn rate(&self, of: Dimension) -> f64 {
        self.rates[of as usize]
    }

    pub(crate) fn spend(&mut self, amounts: &Amounts) {
        self.spent.add(amounts);
        self.slot(self.tick).add(amounts);
    }

    /// What was taken for `reserved` at `tick` was `actual`. Too late for that second, only what was not reserved is
    /// booked, on this one.
    pub(crate) fn correct(&mut self, tick: u64, reserved: &Amounts, actual: &Amounts) {
        let late = tick + SLOTS <= self.tick;
        for of in Dimension::ALL {
            let (more, less) =
                (actual[of].saturating_sub(reserved[of]), reserved[of].saturating_sub(actual[of]));
            let slot = self.slot(if late { self.tick } else { tick });
            slot[of] = slot[of].saturating_add(more);
            self.spent[of] = self.spent[of].saturating_add(more);
            if !late {
                let slot = self.slot(tick);
                slot[of] = slot[of].saturating_sub(less);
                self.spent[of] = self.spent[of].saturating_sub(less);
            }
        }
    }

    /// How long until `need` fits under `limit`, if nothing else is spent.
    pub(crate) fn wait(&self, of: Dimension, need: u64, limit: u64, now: Instant) -> Duration {
        if self.spent[of].saturating_add(need) <= limit {
            return Duration::ZERO;
        }
        // A queue may hold more than a window's worth: what is whole windows of it comes on top.
        let laps = need.saturating_sub(1) / limit.max(1);
        let need = need - laps * limit;
        let on_top = Duration::from_secs(laps.saturating_mul(SLOTS).min(LONGEST));
        let Some(over) = self.spent[of].saturating_add(need).checked_sub(limit).filter(|over| *over > 0)
        else {
            return on_top;
        };
        let mut freed = 0;
        for tick in self.tick.saturating_sub(SLOTS - 1)..=self.tick {
            freed += self.slots[(tick % SLOTS) as usize][of];
            if freed >= over {
                let free = self.born + Duration::from_secs(tick + SLOTS);
                return on_top + free.saturating_duration_since(now);
            }
        }
        on_top + WINDOW
    }

    fn slot(&mut self, tick: u64) -> &mut Amounts {
        &mut self.slots[(tick % SLOTS) as usize]
    }
}

/// Beyond that nobody waits: a day.
const LONGEST: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Dimension = Dimension::Requests;

    fn spent(ledger: &mut Ledger, requests: u64) {
        (0..requests).for_each(|_| ledger.spend(&Amounts::request()));
    }

    #[test]
    fn the_wait_is_exact_and_no_minute_holds_more_than_the_limit() {
        let born = Instant::now();
        let mut ledger = Ledger::new(born);
        spent(&mut ledger, 2);
        let later = born + Duration::from_millis(10_400);
        assert!(ledger.advance(later));
        spent(&mut ledger, 1);
        assert_eq!(ledger.wait(OF, 1, 4, later), Duration::ZERO);
        // What was spent in the first second is a whole window back when the 61st has passed.
        assert_eq!(ledger.wait(OF, 1, 3, later), Duration::from_millis(50_600));
        assert_eq!(ledger.wait(OF, 3, 3, later), Duration::from_millis(60_600));
        ledger.advance(born + Duration::from_millis(60_999));
        assert_eq!(ledger.spent(OF), 3);
        ledger.advance(born + Duration::from_secs(61));
        assert_eq!(ledger.spent(OF), 1);
        ledger.advance(born + Duration::from_secs(500));
        assert_eq!(ledger.spent(OF), 0);
    }

    #[test]
    fn a_correction_is_made_where_it_was_spent_and_a_late_one_gives_nothing_back() {
        let born = Instant::now();
        let mut ledger = Ledger::new(born);
        let (reserved, less, more) = (Amounts::call(100, 0), Amounts::call(40, 0), Amounts::call(130, 0));
        ledger.spend(&reserved);
        ledger.spend(&reserved);
        ledger.spend(&reserved);
        ledger.correct(0, &reserved, &less);
        ledger.correct(0, &reserved, &more);
        assert_eq!(ledger.spent(Dimension::Tokens), 270);
        ledger.advance(born + Duration::from_secs(61));
        assert_eq!(ledger.spent(Dimension::Tokens), 0);
        ledger.correct(0, &reserved, &less);
        assert_eq!(ledger.spent(Dimension::Tokens), 0);
        ledger.correct(0, &reserved, &more);
        assert_eq!(ledger.spent(Dimension::Tokens), 30);
    }

    #[test]
    fn the_rate_follows_and_fades() {
        let born = Instant::now();
        let mut ledger = Ledger::new(born);
        for second in 1..=60 {
            spent(&mut ledger, 10);
            ledger.advance(born + Duration::from_secs(second));
        }
        assert!((ledger.rate(OF) - 10.0).abs() < 0.1, "{}", ledger.rate(OF));
        ledger.advance(born + Duration::from_secs(120));
        assert!(ledger.rate(OF) < 0.01);
    }

    #[test]
    fn a_queue_longer_than_a_window_waits_for_windows() {
        let born = Instant::now();
        let mut ledger = Ledger::new(born);
        spent(&mut ledger, 2);
        assert_eq!(ledger.wait(OF, 2, 2, born), Duration::from_secs(61));
        assert_eq!(ledger.wait(OF, 3, 2, born), Duration::from_secs(122));
        assert!(ledger.wait(OF, u64::MAX / 2, 1, born) >= Duration::from_secs(LONGEST));
    }
}

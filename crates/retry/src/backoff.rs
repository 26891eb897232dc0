//! How long to wait before the next attempt, as long as nobody says otherwise.

use std::time::Duration;

use fastrand::Rng;

/// How waits are spread, so that callers that failed together do not come back together.
///
/// Each is a share of a whole [`Duration`], to the nanosecond: a wait of one second is not the same for all either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// The plain back off, the same for all. For experiments: callers that failed together come back together.
    None,
    /// The back off and up to half of it on top (S2.2). Never sooner than the back off; where that has reached the longest
    /// delay, all wait the same.
    Proportional,
    /// Anything from nothing to the back off. Spreads best, and is the soonest in the mean.
    Full,
    /// Anything from the base to three times the last wait.
    Decorrelated,
}

/// `min(base · 2^n + jitter, max_delay)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) base: Duration,
    pub(crate) max_delay: Duration,
    pub(crate) jitter: Jitter,
}

impl Backoff {
    /// The wait after `waits` waits, of which the last was `previous`.
    pub(crate) fn delay(&self, waits: u32, previous: Option<Duration>, chance: &mut Rng) -> Duration {
        let plain = self.plain(waits);
        let delay = match self.jitter {
            Jitter::None => plain,
            Jitter::Proportional => plain.saturating_add(up_to(plain / 2, chance)),
            Jitter::Full => up_to(plain, chance),
            Jitter::Decorrelated => {
                let most = previous.unwrap_or(self.base).saturating_mul(3).min(self.max_delay);
                self.base.saturating_add(up_to(most.saturating_sub(self.base), chance))
            }
        };
        delay.min(self.max_delay)
    }

    /// What comes on top of a wait that the provider asked for: it asked all callers for the same.
    pub(crate) fn spread(&self, waits: u32, chance: &mut Rng) -> Duration {
        match self.jitter {
            Jitter::None => Duration::ZERO,
            _ => up_to(self.plain(waits) / 2, chance),
        }
    }

    fn plain(&self, waits: u32) -> Duration {
        let doubled = 2u32.checked_pow(waits).unwrap_or(u32::MAX);
        self.base.saturating_mul(doubled).min(self.max_delay)
    }
}

/// Anything from nothing to `most`. The whole duration is drawn: tower 0.5 draws whole units, so that a base in seconds
/// never spreads.
fn up_to(most: Duration, chance: &mut Rng) -> Duration {
    // 64 bits of nanoseconds are 584 years.
    Duration::from_nanos(chance.u64(0..=u64::try_from(most.as_nanos()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(30);

    fn delays(jitter: Jitter, waits: u32) -> Vec<Duration> {
        let backoff = Backoff { base: BASE, max_delay: MAX, jitter };
        let mut chance = Rng::with_seed(7);
        (0..10_000).map(|_| backoff.delay(waits, None, &mut chance)).collect()
    }

    /// The share of the delays in each tenth of the span.
    fn tenths(delays: &[Duration], from: Duration, to: Duration) -> [f64; 10] {
        let mut shares = [0.0; 10];
        for delay in delays {
            let place = (*delay - from).as_secs_f64() / (to - from).as_secs_f64() * 10.0;
            shares[(place as usize).min(9)] += 1.0 / delays.len() as f64;
        }
        shares
    }

    // S2.2
    #[test]
    fn it_is_the_base_doubled_each_time_with_up_to_half_of_it_on_top_and_never_above_the_cap() {
        for (waits, plain) in [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16)] {
            let plain = Duration::from_secs(plain);
            for delay in delays(Jitter::Proportional, waits) {
                assert!(plain <= delay && delay <= plain + plain / 2, "{delay:?} after {waits} waits");
            }
        }
        for waits in [5, 6, 31, 32, u32::MAX] {
            assert!(delays(Jitter::Proportional, waits).iter().all(|delay| *delay == MAX));
        }
    }

    // S2.2: tower 0.5 draws whole units, and a base of one second never spreads there
    #[test]
    fn jitter_spreads_evenly_at_whole_seconds() {
        let second = Duration::from_secs(1);
        for (jitter, from, to) in [
            (Jitter::Proportional, second, second * 3 / 2),
            (Jitter::Full, Duration::ZERO, second),
            (Jitter::Decorrelated, second, second * 3),
        ] {
            let delays = delays(jitter, 0);
            assert!(delays.iter().all(|delay| from <= *delay && *delay <= to), "{jitter:?}");
            for share in tenths(&delays, from, to) {
                assert!((0.08..0.12).contains(&share), "{jitter:?}: {share}");
            }
            let whole = delays.iter().filter(|delay| delay.subsec_nanos() == 0).count();
            assert!(whole < 10, "{jitter:?}: {whole} of 10,000 are whole seconds");
        }
    }

    // T4
    #[test]
    fn full_jitter_is_anything_up_to_the_back_off_and_never_above_the_cap() {
        for (waits, most) in [(1, 2), (3, 8), (5, 30), (u32::MAX, 30)] {
            let delays = delays(Jitter::Full, waits);
            let most = Duration::from_secs(most);
            assert!(delays.iter().all(|delay| *delay <= most));
            for share in tenths(&delays, Duration::ZERO, most) {
                assert!((0.08..0.12).contains(&share), "{share}");
            }
        }
    }

    #[test]
    fn decorrelated_grows_from_the_last_wait_and_stays_below_the_cap() {
        let backoff = Backoff { base: BASE, max_delay: MAX, jitter: Jitter::Decorrelated };
        let mut chance = Rng::with_seed(7);
        let mut previous = None;
        for waits in 0..1_000 {
            let delay = backoff.delay(waits, previous, &mut chance);
            assert!(BASE <= delay && delay <= MAX.min(previous.unwrap_or(BASE) * 3));
            previous = Some(delay);
        }
        assert!(previous > Some(BASE));
    }

    #[test]
    fn without_jitter_all_wait_alike() {
        assert!(delays(Jitter::None, 2).iter().all(|delay| *delay == BASE * 4));
    }

    // S2.3: on top of what the provider asked for
    #[test]
    fn those_who_were_told_the_same_are_spread_over_half_a_back_off() {
        let mut chance = Rng::with_seed(7);
        for (waits, half) in [(0, 500), (2, 2_000), (9, 15_000)] {
            let half = Duration::from_millis(half);
            let mut spread =
                |jitter| Backoff { base: BASE, max_delay: MAX, jitter }.spread(waits, &mut chance);
            let spreads: Vec<Duration> = (0..10_000).map(|_| spread(Jitter::Full)).collect();
            for share in tenths(&spreads, Duration::ZERO, half) {
                assert!((0.08..0.12).contains(&share), "{share}");
            }
            assert!(spreads.iter().all(|spread| *spread <= half));
            assert_eq!(spread(Jitter::None), Duration::ZERO);
        }
    }

    #[test]
    fn a_base_above_the_cap_is_the_cap() {
        for jitter in [Jitter::None, Jitter::Proportional, Jitter::Full, Jitter::Decorrelated] {
            let backoff = Backoff { base: MAX * 2, max_delay: MAX, jitter };
            let mut chance = Rng::with_seed(7);
            assert!(backoff.delay(0, None, &mut chance) <= MAX);
            assert!(backoff.delay(3, Some(MAX), &mut chance) <= MAX);
        }
    }
}

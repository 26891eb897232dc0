//! Whether a shared store is asked: a plain machine that takes the time, for layers that keep something in one (S2).

use std::time::Duration;

use tokio::time::Instant;

/// Counts failures in a row. When there are too many, the store is left alone and looked at again after a while; whoever
/// asks in the meantime pays nothing, and the look is not a caller's. The looks come after 1, 2, 4 … 30 s.
///
/// It is the store's and not a deployment's: that is the breaker layer.
#[derive(Debug)]
pub struct StoreCircuit {
    trip_after: u32,
    /// How often somebody was told to look.
    looks: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The store is asked.
    Closed { in_a_row: u32 },
    /// It is not asked; somebody looks at it when `at` has come.
    Open { at: Instant, pause: Duration },
    /// It is not asked; who was told to look last looks at it.
    Looking { pause: Duration },
}

/// What to do about the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskStore {
    /// Ask it.
    Yes,
    /// Do not.
    No,
    /// Do not, but see whether it answers again; the caller does not wait for that.
    Look(StoreLook),
}

/// One look at the store: what comes of it counts while it is the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLook(u64);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl StoreCircuit {
    /// Left alone after so many failures in a row.
    pub fn new(trip_after: u32) -> Self {
        Self { trip_after, looks: 0, state: State::Closed { in_a_row: 0 } }
    }

    /// What to do now. Whoever is told to look ends it with [`look_succeeded`](Self::look_succeeded) or
    /// [`looked_in_vain`](Self::looked_in_vain).
    pub fn ask(&mut self, now: Instant) -> AskStore {
        match self.state {
            State::Closed { .. } => AskStore::Yes,
            State::Open { at, pause } if at <= now => {
                self.looks += 1;
                self.state = State::Looking { pause };
                AskStore::Look(StoreLook(self.looks))
            }
            State::Open { .. } | State::Looking { .. } => AskStore::No,
        }
    }

    /// The store has answered. Where it is left alone, that is a straggler from before, which says nothing of now.
    pub fn succeeded(&mut self) {
        if let State::Closed { in_a_row } = &mut self.state {
            *in_a_row = 0;
        }
    }

    /// The store has answered who looked. Whether this closes the circuit.
    pub fn look_succeeded(&mut self, look: StoreLook) -> bool {
        let closes = self.is_under_way(look).is_some();
        if closes {
            self.state = State::Closed { in_a_row: 0 };
        }
        closes
    }

    /// Whether this failure opens the circuit.
    pub fn failed(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Closed { in_a_row } => {
                *in_a_row += 1;
                let trips = *in_a_row >= self.trip_after;
                if trips {
                    self.state = State::Open { at: now + FIRST_PAUSE, pause: FIRST_PAUSE };
                }
                trips
            }
            State::Open { .. } | State::Looking { .. } => false,
        }
    }

    /// The look has failed: the next one comes later. A look that nobody finished counts as failed, one that is over already
    /// as nothing.
    pub fn looked_in_vain(&mut self, look: StoreLook, now: Instant) {
        if let Some(pause) = self.is_under_way(look) {
            let pause = (pause * 2).min(LONGEST_PAUSE);
            self.state = State::Open { at: now + pause, pause };
        }
    }

    /// The pause before this look, if it is under way.
    fn is_under_way(&self, look: StoreLook) -> Option<Duration> {
        match self.state {
            State::Looking { pause } if look.0 == self.looks => Some(pause),
            _ => None,
        }
    }

    /// Whether the store is left alone.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(now: Instant) -> StoreCircuit {
        let mut circuit = StoreCircuit::new(3);
        let tripped: Vec<bool> = (0..4).map(|_| circuit.failed(now)).collect();
        assert_eq!(tripped, [false, false, true, false]);
        circuit
    }

    fn look(circuit: &mut StoreCircuit, now: Instant) -> StoreLook {
        match circuit.ask(now) {
            AskStore::Look(look) => look,
            other => panic!("{other:?}"),
        }
    }

    // S2
    #[test]
    fn three_failures_in_a_row_and_it_is_left_alone() {
        let now = Instant::now();
        let mut circuit = StoreCircuit::new(3);
        circuit.failed(now);
        circuit.failed(now);
        circuit.succeeded();
        circuit.failed(now);
        circuit.failed(now);
        assert_eq!(circuit.ask(now), AskStore::Yes);
        assert_eq!(open(now).ask(now), AskStore::No);
    }

    #[test]
    fn one_caller_looks_at_a_time_and_the_pauses_grow() {
        let mut now = Instant::now();
        let mut circuit = open(now);
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            now += Duration::from_millis(pause * 1000 - 1);
            assert_eq!(circuit.ask(now), AskStore::No, "{pause}");
            now += Duration::from_millis(1);
            let look = look(&mut circuit, now);
            assert_eq!(circuit.ask(now), AskStore::No, "{pause}");
            circuit.looked_in_vain(look, now);
        }
        now += LONGEST_PAUSE;
        let look = look(&mut circuit, now);
        assert!(circuit.look_succeeded(look));
        assert_eq!(circuit.ask(now), AskStore::Yes);
    }

    #[test]
    fn a_straggler_does_not_close_it() {
        let now = Instant::now();
        let mut circuit = open(now);
        circuit.succeeded();
        assert!(circuit.is_open());
        // Nor while somebody looks, who alone knows how the store is now.
        let look = look(&mut circuit, now + FIRST_PAUSE);
        circuit.succeeded();
        assert!(circuit.is_open());
        assert!(circuit.look_succeeded(look) && !circuit.is_open());
    }

    #[test]
    fn a_look_that_is_over_says_nothing_about_a_later_one() {
        let mut now = Instant::now();
        let mut circuit = open(now);
        now += FIRST_PAUSE;
        let first = look(&mut circuit, now);
        circuit.looked_in_vain(first, now);
        now += FIRST_PAUSE * 2;
        let second = look(&mut circuit, now);
        circuit.looked_in_vain(first, now);
        assert!(!circuit.look_succeeded(first));
        // The second is still under way, and what comes of it counts.
        assert!(circuit.look_succeeded(second) && !circuit.look_succeeded(second));
        circuit.looked_in_vain(second, now);
        assert_eq!(circuit.ask(now), AskStore::Yes);
    }
}

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
    state: State,
}

#[derive(Debug)]
enum State {
    /// The store is asked.
    Closed { in_a_row: u32 },
    /// It is not asked; somebody looks at it when `at` has come.
    Open { at: Instant, pause: Duration },
    /// It is not asked; somebody looks at it.
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
    Look,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl StoreCircuit {
    /// Left alone after so many failures in a row.
    pub fn new(trip_after: u32) -> Self {
        Self { trip_after, state: State::Closed { in_a_row: 0 } }
    }

    /// What to do now. Whoever is told to look ends it with [`succeeded`](Self::succeeded) or
    /// [`looked_in_vain`](Self::looked_in_vain).
    pub fn ask(&mut self, now: Instant) -> AskStore {
        match self.state {
            State::Closed { .. } => AskStore::Yes,
            State::Open { at, pause } if at <= now => {
                self.state = State::Looking { pause };
                AskStore::Look
            }
            State::Open { .. } | State::Looking { .. } => AskStore::No,
        }
    }

    /// Whether this success closes the circuit.
    pub fn succeeded(&mut self) -> bool {
        match self.state {
            State::Closed { .. } => {
                self.state = State::Closed { in_a_row: 0 };
                false
            }
            State::Looking { .. } => {
                self.state = State::Closed { in_a_row: 0 };
                true
            }
            // A straggler from before the store was left alone.
            State::Open { .. } => false,
        }
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

    /// The look has failed: the next one comes later. A look that nobody finished counts as failed.
    pub fn looked_in_vain(&mut self, now: Instant) {
        if let State::Looking { pause } = self.state {
            let pause = (pause * 2).min(LONGEST_PAUSE);
            self.state = State::Open { at: now + pause, pause };
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
            assert_eq!((circuit.ask(now), circuit.ask(now)), (AskStore::Look, AskStore::No), "{pause}");
            circuit.looked_in_vain(now);
        }
        now += LONGEST_PAUSE;
        assert_eq!(circuit.ask(now), AskStore::Look);
        assert!(circuit.succeeded());
        assert_eq!(circuit.ask(now), AskStore::Yes);
    }

    #[test]
    fn a_straggler_does_not_close_it() {
        let now = Instant::now();
        let mut circuit = open(now);
        assert!(!circuit.succeeded());
        assert!(circuit.is_open());
    }
}

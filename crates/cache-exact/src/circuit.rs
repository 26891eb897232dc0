//! Whether the second level is asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainstay_provider_core::{AskStore, StoreCircuit, StoreLook};
use tokio::time::Instant;

/// A [`StoreCircuit`] that threads share. Nearly always the last look has succeeded; then neither it nor the clock is looked at.
pub(crate) struct Circuit {
    machine: Mutex<StoreCircuit>,
    /// Whether anything has failed since the last success. Changed under the lock.
    is_troubled: AtomicBool,
}

impl Circuit {
    /// Left alone after so many failures in a row.
    pub(crate) fn new(trip_after: u32) -> Self {
        Self { machine: Mutex::new(StoreCircuit::new(trip_after)), is_troubled: AtomicBool::new(false) }
    }

    /// What to do now; see [`StoreCircuit::ask`].
    pub(crate) fn ask(&self) -> AskStore {
        if self.is_troubled() { self.machine().ask(Instant::now()) } else { AskStore::Yes }
    }

    pub(crate) fn succeeded(&self) {
        if !self.is_troubled() {
            return;
        }
        let mut machine = self.machine();
        machine.succeeded();
        // A success from before it was left alone changes nothing.
        self.is_troubled.store(machine.is_open(), Ordering::Release);
    }

    /// The look has succeeded. Whether this closes the circuit.
    pub(crate) fn look_succeeded(&self, look: StoreLook) -> bool {
        let mut machine = self.machine();
        let closes = machine.look_succeeded(look);
        if closes {
            self.is_troubled.store(false, Ordering::Release);
        }
        closes
    }

    /// Whether this failure opens the circuit.
    pub(crate) fn failed(&self) -> bool {
        let mut machine = self.machine();
        self.is_troubled.store(true, Ordering::Release);
        machine.failed(Instant::now())
    }

    /// The look has failed.
    pub(crate) fn looked_in_vain(&self, look: StoreLook) {
        self.machine().looked_in_vain(look, Instant::now());
    }

    /// Whether the store is left alone.
    pub(crate) fn is_open(&self) -> bool {
        self.is_troubled() && self.machine().is_open()
    }

    fn is_troubled(&self) -> bool {
        self.is_troubled.load(Ordering::Acquire)
    }

    fn machine(&self) -> MutexGuard<'_, StoreCircuit> {
        // The machine is plain data: a panic elsewhere leaves it as good as it was.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    // S2
    #[tokio::test(start_paused = true)]
    async fn it_does_what_the_machine_alone_does() {
        let (circuit, mut machine) = (Circuit::new(3), StoreCircuit::new(3));
        let (mut random, mut looks) = (1_u64, Vec::new());
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match random >> 61 {
                0 => {
                    circuit.succeeded();
                    machine.succeeded();
                }
                1..=3 => assert_eq!(circuit.failed(), machine.failed(Instant::now()), "{step}"),
                4 => {
                    let Some(look) = looks.pop() else { continue };
                    if random >> 60 & 1 == 0 {
                        assert_eq!(circuit.look_succeeded(look), machine.look_succeeded(look), "{step}");
                    } else {
                        circuit.looked_in_vain(look);
                        machine.looked_in_vain(look, Instant::now());
                    }
                }
                5 => tokio::time::advance(Duration::from_millis(random >> 52 & 0xfff)).await,
                _ => {
                    let ask = circuit.ask();
                    assert_eq!(ask, machine.ask(Instant::now()), "{step}");
                    if let AskStore::Look(look) = ask {
                        looks.push(look);
                    }
                }
            }
            assert_eq!(circuit.is_open(), machine.is_open(), "{step}");
        }
    }
}

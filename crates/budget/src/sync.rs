//! What threads share in the store: loom's own under `cfg(loom)`, so that it can try every order.

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::TryLockError;
#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks. What is behind the locks of this crate is plain data that is changed in one go: a panic elsewhere leaves it as good
/// as it was.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Locks what is held for less than a microsecond. Who finds it locked looks again a few times, and rests longer before each look:
/// so the line of the processor's cache that it is in stays with who has it, and nobody is put to sleep and woken for so little.
/// Then it waits as others do.
#[cfg(not(loom))]
pub(crate) fn lock_soon<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => look_again(mutex),
    }
}

/// loom tries every order anyway.
#[cfg(loom)]
pub(crate) use lock as lock_soon;

#[cfg(not(loom))]
#[cold]
fn look_again<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    const RESTS: [u32; 4] = [16, 32, 64, 128];
    for rest in RESTS {
        (0..rest).for_each(|_| std::hint::spin_loop());
        if let Ok(guard) = mutex.try_lock() {
            return guard;
        }
    }
    lock(mutex)
}

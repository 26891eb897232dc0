//! The threads of this process, by number.

use std::sync::atomic::{AtomicU8, Ordering};

/// How many bits a number has: with more threads than that, some have the same.
pub(crate) const BITS: u32 = 6;

/// The number of this thread.
pub(crate) fn number() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    thread_local! {
        static OWN: u8 = NEXT.fetch_add(1, Ordering::Relaxed) % (1 << BITS);
    }
    OWN.try_with(|own| *own).unwrap_or_default()
}

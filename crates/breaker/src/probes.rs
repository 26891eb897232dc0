//! The places of a half-open breaker.

use tokio::time::Instant;

/// Exactly as many places as probes are wanted. A place is lent; it comes back when its probe says nothing, or when the
/// lease ends. A probe that succeeds has used its place.
#[derive(Debug)]
pub(crate) struct Probes {
    wanted: u32,
    free: u32,
    succeeded: u32,
    lent: Vec<Lease>,
}

#[derive(Debug)]
struct Lease {
    id: u64,
    until: Instant,
}

impl Probes {
    pub(crate) fn new(wanted: u32) -> Self {
        Self { wanted, free: wanted, succeeded: 0, lent: Vec::new() }
    }

    /// When a place is free: `None` for now, else when the first lease ends.
    pub(crate) fn free_from(&self) -> Option<Instant> {
        if self.free > 0 { None } else { self.lent.iter().map(|lease| lease.until).min() }
    }

    /// Takes the places back whose lease has ended; tells how many.
    pub(crate) fn expire(&mut self, now: Instant) -> u32 {
        let before = self.lent.len();
        self.lent.retain(|lease| lease.until > now);
        // There are never more leases than `wanted`.
        let expired = (before - self.lent.len()) as u32;
        self.free += expired;
        expired
    }

    /// Lends a place, if one is free.
    pub(crate) fn lend(&mut self, id: u64, until: Instant) -> bool {
        let free = self.free > 0;
        if free {
            self.free -= 1;
            self.lent.push(Lease { id, until });
        }
        free
    }

    /// Ends a lease; `false` when it had ended already, and the place may be another's.
    pub(crate) fn end(&mut self, id: u64) -> bool {
        let Some(at) = self.lent.iter().position(|lease| lease.id == id) else { return false };
        self.lent.swap_remove(at);
        true
    }

    /// Gives the place of an ended lease to the next.
    pub(crate) fn give_back(&mut self) {
        self.free += 1;
    }

    /// Counts the success of an ended lease; tells whether it was the last that was wanted.
    pub(crate) fn succeed(&mut self) -> bool {
        self.succeeded += 1;
        self.succeeded >= self.wanted
    }
}

//! What covers the attempts of a call after the first.
//!
//! A call reserves what one attempt may use. While that one runs, or when it was billed though it failed, another would be paid for
//! above what is reserved: so it reserves for itself before it begins, and is refused where there is no room (M1, M2). What
//! attempts used is booked with the call as before; what was reserved for further ones is given back after that.

use std::fmt;
use std::sync::Arc;

use mainstay_metering::Reserve;

use crate::row::UsageRow;
use crate::shared::Core;
use crate::ticket::{Asked, Ticket};

/// What covers the attempts of a call.
pub(crate) struct Cover {
    core: Arc<Core>,
    asked: Asked,
    /// What one attempt may use.
    reserve: Reserve,
    /// The row of the call if nobody tells how it ended.
    if_lost: Arc<UsageRow>,
    /// For how many attempts something is reserved, or being reserved.
    attempts: usize,
    tickets: Vec<Ticket>,
}

impl Cover {
    pub(crate) fn new(core: Arc<Core>, asked: Asked, reserve: Reserve, if_lost: Arc<UsageRow>) -> Self {
        Self { core, asked, reserve, if_lost, attempts: 1, tickets: Vec::new() }
    }

    /// What is to be reserved for another attempt beside so many.
    pub(crate) fn of_another(&mut self, others: usize) -> Option<Box<Ticket>> {
        if others < self.attempts {
            return None;
        }
        self.attempts += 1;
        Some(Ticket::further(self.core.clone(), self.asked.clone(), self.reserve, &self.if_lost))
    }

    /// It was reserved; none if it was not.
    pub(crate) fn keep(&mut self, ticket: Option<Box<Ticket>>) {
        match ticket {
            Some(ticket) => self.tickets.push(*ticket),
            None => self.attempts -= 1,
        }
    }

    pub(crate) fn into_tickets(self) -> Vec<Ticket> {
        self.tickets
    }
}

impl fmt::Debug for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cover").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

//! The process, and what happened in it.

use crate::metrics::table::Kind::{Counter, Info};
use crate::metrics::table::{Metric, gauge, labelled};

pub(super) static ALL: &[Metric] = &[
    labelled(Info, "mainstay_build_info", &["version"], "Which version runs.", |_, out| {
        out.all([(env!("CARGO_PKG_VERSION"), true)])
    }),
    gauge("process_start_time_seconds", "When the process began, in seconds since 1970.", |at| {
        Some(at.begun.into())
    }),
    gauge("process_resident_memory_bytes", "Memory of the process; on Linux.", |at| {
        Some(at.resident_bytes?.into())
    }),
    gauge("mainstay_connections", "Open connections of clients, idle ones too.", |at| {
        Some(at.connections.into())
    }),
    gauge("mainstay_draining", "1 from SIGTERM on.", |at| Some(at.is_draining.into())),
    labelled(
        Counter,
        "mainstay_events_total",
        &["event"],
        "What the log and the alerts tell, by name; each from the start, as 0.",
        |at, out| out.all(at.events.iter().copied()),
    ),
];

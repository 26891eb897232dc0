//! The keys of callers, and the alerts.

use crate::metrics::table::Kind::Counter;
use crate::metrics::table::{Metric, counter, gauge, labelled};

pub(super) static ALL: &[Metric] = &[
    gauge("mainstay_keys", "Keys of callers, disabled ones too.", |at| Some(at.keys?.keys.into())),
    gauge("mainstay_keys_damaged", "Records of keys that cannot be read; their keys are not taken.", |at| {
        Some(at.keys?.damaged.into())
    }),
    gauge("mainstay_keys_store_up", "0 while the keys' store cannot be read.", |at| {
        Some((!at.keys?.is_stale).into())
    }),
    gauge(
        "mainstay_keys_age_seconds",
        "How long ago the keys' store was read: what was changed in it since is not known here.",
        |at| Some(at.keys?.age?.into()),
    ),
    counter("mainstay_keys_refused_total", "Keys that were shown and not taken.", |at| {
        Some(at.keys?.refused.into())
    }),
    gauge("mainstay_alerts_waiting", "Alerts that are to be sent.", |at| Some(at.alerts?.waiting.into())),
    labelled(
        Counter,
        "mainstay_alerts_total",
        &["outcome"],
        "Alerts: delivered, failed (given up), dropped (the queue was full).",
        |at, out| {
            let alerts = at.alerts?;
            out.all([("delivered", alerts.delivered), ("failed", alerts.failed), ("dropped", alerts.dropped)])
        },
    ),
];

//! Limits and the ledger. No subject is a label: there is no end of them, and whose they are is nobody's business here.

use crate::metrics::table::Kind::Counter;
use crate::metrics::table::{Metric, counter, gauge, labelled};

pub(super) static ALL: &[Metric] = &[
    labelled(
        Counter,
        "mainstay_budget_calls_total",
        &["outcome"],
        "Calls: admitted, or refused because a limit was reached or the store is away.",
        |at, out| {
            let budget = at.budget?;
            out.all([("admitted", budget.admitted), ("refused", budget.refused)])
        },
    ),
    labelled(
        Counter,
        "mainstay_budget_limits_reached_total",
        &["limit"],
        "Limits of which the soft line was reached, and those that refused a call (hard); each once in its period.",
        |at, out| {
            at.budget?;
            out.all([("soft", at.event("budget.soft_limit")?), ("hard", at.event("budget.hard_limit")?)])
        },
    ),
    gauge("mainstay_budget_holds_open", "Calls under way that have reserved something.", |at| {
        Some(at.budget?.held.into())
    }),
    counter(
        "mainstay_budget_holds_lost_total",
        "Reservations of crashed processes that this one has cleared away.",
        |at| Some(at.budget?.lost.into()),
    ),
    labelled(
        Counter,
        "mainstay_budget_settlements_total",
        &["outcome"],
        "Calls at their end: booked, booked after their lease had passed (late), or lost because too many waited (dropped).",
        |at, out| {
            let budget = at.budget?;
            out.all([("booked", budget.settled), ("late", budget.late), ("dropped", budget.dropped)])
        },
    ),
    counter(
        "mainstay_budget_settlements_estimated_total",
        "Calls of which the provider did not tell all that they used.",
        |at| Some(at.budget?.estimated.into()),
    ),
    gauge(
        "mainstay_budget_settlements_waiting",
        "Ends of calls that are not booked yet; while the store is away they add up.",
        |at| Some(at.budget?.owed.into()),
    ),
    gauge(
        "mainstay_budget_settlements_waiting_seconds",
        "How long the oldest end of a call that is not booked yet has waited; 0 where there is none.",
        |at| Some(at.budget?.owed_for.into()),
    ),
    counter(
        "mainstay_budget_spent_usd_total",
        "What calls have cost here at their end, booked or not yet, in USD; of models whose price is known.",
        |at| Some(at.budget?.spent.into()),
    ),
    gauge("mainstay_budget_store_up", "0 while the shared store is left alone because it failed.", |at| {
        Some((!at.budget?.store?.is_away).into())
    }),
    counter(
        "mainstay_budget_store_outages_total",
        "How often the shared store was left alone because it failed.",
        |at| Some(at.budget?.store?.outages.into()),
    ),
    labelled(
        Counter,
        "mainstay_budget_store_errors_total",
        &["reason"],
        "Answers of the shared store that were a failure, or did not come in time.",
        |at, out| {
            let store = at.budget?.store?;
            out.all([("failure", store.failures), ("timeout", store.timeouts)])
        },
    ),
    labelled(
        Counter,
        "mainstay_budget_store_away_calls_total",
        &["decision"],
        "Calls while the shared store was away, as their limits say: from this process's share (lease), unchecked (open), refused (closed).",
        |at, out| {
            let store = at.budget?.store?;
            out.all([("lease", store.leased), ("open", store.opened), ("closed", store.closed)])
        },
    ),
    gauge(
        "mainstay_budget_store_leases",
        "Limits of which this process keeps a share for the time when the store is away.",
        |at| Some(at.budget?.store?.leases.into()),
    ),
];

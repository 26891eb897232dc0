//! Random histories, and what holds in each of them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::config::{BreakerBuilder, BreakerConfig, FailureRate};

#[derive(Debug, Clone)]
enum Act {
    Admit { deadline: Option<u64> },
    Settle { which: usize, verdict: Verdict },
    Pass { milliseconds: u64 },
    ForceOpen,
    ForceClosed,
    Release,
    Reset,
    Unpark,
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let wait = prop::option::of((1_u64..500_000).prop_map(Duration::from_millis));
    prop_oneof![
        4 => Just(Verdict::Success),
        8 => Just(Verdict::Failure),
        1 => Just(Verdict::Slow),
        2 => wait.clone().prop_map(|wait| Verdict::RateLimited { wait }),
        1 => wait.prop_map(|wait| Verdict::Account { kind: ErrorKind::Authentication, wait }),
        1 => Just(Verdict::Nobody),
        2 => Just(Verdict::Unseen),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => prop::option::of(0_u64..200_000).prop_map(|deadline| Act::Admit { deadline }),
        20 => (0_usize..16, verdict()).prop_map(|(which, verdict)| Act::Settle { which, verdict }),
        8 => (0_u64..90_000).prop_map(|milliseconds| Act::Pass { milliseconds }),
        1 => Just(Act::ForceOpen),
        1 => Just(Act::ForceClosed),
        3 => Just(Act::Release),
        1 => Just(Act::Reset),
        1 => Just(Act::Unpark),
    ]
}

fn config(failures: u32, probes: u32, rate: bool) -> BreakerConfig {
    let builder: BreakerBuilder = BreakerConfig::builder().failures(failures).probes(probes);
    let rate = rate.then(|| FailureRate::new(0.5).min_requests(4));
    let builder = match rate {
        Some(rate) => builder.failure_rate(rate),
        None => builder,
    };
    builder.max_recovery(Duration::from_secs(240)).build_config().expect("the test's settings are right")
}

/// A ticket that is out, and when the machine lent its place if it is a probe's.
struct Out {
    ticket: Ticket,
    lease: Instant,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    // B1, B3, B4: whatever happens, never too many probes, never stuck, and every call is counted once
    #[test]
    fn whatever_happens_it_keeps_its_places_and_comes_back(
        failures in 1_u32..4,
        probes in 1_u32..4,
        rate: bool,
        acts in vec(act(), 0..80),
    ) {
        let mut now = Instant::now();
        let rules = config(failures, probes, rate).rules;
        let mut machine = Machine::new(rules, Seat::default(), fastrand::Rng::with_seed(1), now);
        let mut out: Vec<Out> = Vec::new();
        for act in acts {
            let generation = machine.generation();
            match act {
                Act::Admit { deadline } => {
                    let open = is_open(machine.gate(), now);
                    let deadline = deadline.map(|after| now + Duration::from_millis(after));
                    let lease = machine.lease(now, deadline);
                    let (ticket, _) = machine.admit(now, deadline);
                    prop_assert_eq!(ticket.is_some(), open, "the gate said so");
                    out.extend(ticket.map(|ticket| Out { ticket, lease }));
                }
                Act::Settle { which, verdict } => {
                    if !out.is_empty() {
                        let Out { ticket, .. } = out.swap_remove(which % out.len());
                        let old = ticket.generation != generation;
                        let state = machine.state(now);
                        machine.settle(ticket, verdict, now);
                        prop_assert!(!old || machine.state(now) == state, "an old verdict changed something");
                    }
                }
                Act::Pass { milliseconds } => now += Duration::from_millis(milliseconds),
                Act::ForceOpen => drop(machine.force_open()),
                Act::ForceClosed => drop(machine.force_closed()),
                Act::Release => drop(machine.release(now)),
                Act::Reset => drop(machine.reset(now)),
                Act::Unpark => drop(machine.unpark(now)),
            }
            prop_assert!(machine.generation() >= generation);
            let probing = out.iter().filter(|out| {
                out.ticket.generation == machine.generation() && out.ticket.probe.is_some() && out.lease > now
            });
            prop_assert!(probing.count() <= probes as usize);
            let counts = machine.counts();
            prop_assert_eq!(counts.in_flight, out.len() as u64);
            let ended = counts.succeeded + counts.failed + counts.slow + counts.rate_limited
                + counts.account_errors + counts.not_counted + counts.unseen;
            prop_assert_eq!(counts.admitted, ended + counts.in_flight);
            let Bucket { sent, failed } = machine.window(now);
            prop_assert!(failed <= sent);
            prop_assert_eq!(machine.state(now) == State::Closed, is_closed(&machine, now));
        }
        // Safety is shown; now liveness. The operator lets go, whoever is out is forgotten, time passes.
        machine.release(now);
        machine.unpark(now);
        now += rules.max_recovery + rules.max_cooldown + rules.lease + Duration::from_secs(500);
        for _ in 0..probes {
            let (ticket, _) = machine.admit(now, None);
            prop_assert!(ticket.is_some(), "stuck: {machine:?}");
            machine.settle(ticket.expect("it is there"), Verdict::Success, now);
        }
        prop_assert_eq!(machine.state(now), State::Closed);
    }

    // S3.1, beside the plainest model of it
    #[test]
    fn it_opens_exactly_when_so_many_failures_came_in_a_row(
        failures in 1_u32..6,
        outcomes in vec(any::<bool>(), 0..60),
    ) {
        let now = Instant::now();
        let rules = config(failures, 1, false).rules;
        let mut machine = Machine::new(rules, Seat::default(), fastrand::Rng::with_seed(1), now);
        let mut in_a_row = 0;
        for good in outcomes {
            let (ticket, _) = machine.admit(now, None);
            prop_assert_eq!(ticket.is_some(), in_a_row < failures);
            let Some(ticket) = ticket else { break };
            in_a_row = if good { 0 } else { in_a_row + 1 };
            machine.settle(ticket, if good { Verdict::Success } else { Verdict::Failure }, now);
        }
    }

    // B9, beside a window that remembers every call
    #[test]
    fn the_window_counts_as_one_that_forgets_nothing(
        acts in vec((0_u64..4_000, any::<bool>(), 0_usize..8), 1..200),
    ) {
        let begin = Instant::now();
        let rate = FailureRate::new(0.5).window(Duration::from_secs(10)).buckets(5);
        let mut window = Window::new(rate, begin);
        let (mut now, mut calls) = (begin, Vec::<(u64, bool)>::new());
        for (pass, send, which) in acts {
            now += Duration::from_millis(pass);
            if send || calls.is_empty() {
                calls.push((window.send(now), false));
            } else {
                let at = which % calls.len();
                if !std::mem::replace(&mut calls[at].1, true) {
                    window.fail(calls[at].0, now);
                }
            }
            let bucket = ((now - begin).as_millis() / 2_000) as u64;
            calls.retain(|(tick, _)| tick + 5 > bucket);
            let failed = calls.iter().filter(|(_, failed)| *failed).count() as u64;
            prop_assert_eq!(window.total(now), Bucket { sent: calls.len() as u64, failed });
        }
    }
}

fn is_open(gate: Gate, now: Instant) -> bool {
    match gate {
        Gate::Never => false,
        Gate::From { at, .. } => at.is_none_or(|at| at <= now),
    }
}

fn is_closed(machine: &Machine, now: Instant) -> bool {
    matches!(machine.gate(), Gate::From { entry: Entry::Call, .. })
        && is_open(machine.gate(), now)
        && machine.forced.is_none()
}

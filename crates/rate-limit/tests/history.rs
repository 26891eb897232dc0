//! Random histories beside a plain model: a list of what was spent, and when.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{Setup, limiter, seconds, streaming, tokens};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{Call, ErrorKind, Provider, Reply, Usage};
use mainstay_rate_limit::Dimension;
use proptest::prelude::*;
use tokio::time::Instant;

const REQUESTS: u64 = 8;
const TOKENS: u64 = 1_500;

#[derive(Debug, Clone)]
enum Act {
    /// A call that reserves so much, and uses so much.
    Call {
        reserved: (u64, u64),
        used: (u64, u64),
    },
    /// One of the streams that are open is read to its end, or dropped.
    End(usize),
    Drop(usize),
    Pass(u64),
}

fn acts(most_used: u64) -> impl Strategy<Value = Vec<Act>> {
    let call = ((0..600_u64, 0..200_u64), (0..=most_used, 0..=most_used))
        .prop_map(|(reserved, used)| Act::Call { reserved, used });
    let act = prop_oneof![
        5 => call,
        2 => (0..8_usize).prop_map(Act::End),
        1 => (0..8_usize).prop_map(Act::Drop),
        4 => (0..25_000_u64).prop_map(Act::Pass),
    ];
    proptest::collection::vec(act, 1..120)
}

/// What was spent, and when; what is under way counts as reserved.
struct Model {
    born: Instant,
    spent: Vec<Spent>,
}

#[derive(Clone, Copy)]
struct Spent {
    at: Instant,
    tokens: u64,
    requests: u64,
}

impl Model {
    /// What was spent within `window` before `now`: tokens and requests.
    fn spent(&self, window: Duration, now: Instant) -> (u64, u64) {
        let within = self.spent.iter().filter(|spent| spent.at + window > now);
        within.fold((0, 0), |sum, spent| (sum.0 + spent.tokens, sum.1 + spent.requests))
    }

    /// A correction is made where it was spent. One that comes a minute late is booked now, and only if it is more.
    fn correct(&mut self, entry: usize, used: u64) {
        let (now, second) = (Instant::now(), |at: Instant| (at - self.born).as_secs());
        let Spent { at, tokens, .. } = self.spent[entry];
        if second(at) + 61 > second(now) {
            self.spent[entry].tokens = used;
        } else {
            self.spent.push(Spent { at: now, tokens: used.saturating_sub(tokens), requests: 0 });
        }
    }
}

/// The call under way, with its place in the model and what it will have used.
struct Open {
    reply: Reply,
    entry: usize,
    used: u64,
}

async fn replay(acts: Vec<Act>, used_at_most_reserved: bool) {
    let upstream = Scripted::by(|call| {
        let used = call.request().user.as_deref().unwrap().split_once(' ').unwrap();
        Step::text("yes").usage(Usage::new(used.0.parse().unwrap(), used.1.parse().unwrap()))
    });
    let builder = limiter().requests_per_minute(REQUESTS).tokens_per_minute(TOKENS);
    let setup = Setup::over(builder.max_wait(seconds(0.0)), upstream);
    let mut model = Model { born: Instant::now(), spent: Vec::new() };
    let mut open: Vec<Open> = Vec::new();
    for act in acts {
        match act {
            Act::Pass(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
            Act::End(which) if !open.is_empty() => {
                let Open { reply, entry, used } = open.remove(which % open.len());
                reply.collect().await.unwrap();
                model.correct(entry, used);
            }
            Act::Drop(which) if !open.is_empty() => drop(open.remove(which % open.len())),
            Act::End(_) | Act::Drop(_) => {}
            Act::Call { reserved: (input, output), used } => {
                let used = if used_at_most_reserved { (used.0.min(input), used.1.min(output)) } else { used };
                let now = Instant::now();
                let cost = (input + output).min(TOKENS);
                let before = model.spent(seconds(60.0), now);
                match setup.limited.ask(call(input, output, used)).await {
                    Ok(reply) => {
                        // A call that costs no tokens is none too many, however many were used beyond their guess.
                        assert!(cost == 0 || before.0 + cost <= TOKENS, "{before:?} and {cost} more");
                        assert!(before.1 < REQUESTS);
                        model.spent.push(Spent { at: now, tokens: cost, requests: 1 });
                        let entry = model.spent.len() - 1;
                        open.push(Open { reply, entry, used: used.0 + used.1 });
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::LimitReached);
                        // No call is refused that would fit: what is forgotten late is so by a second at most.
                        let (tokens, requests) = model.spent(seconds(61.0), now);
                        assert!(tokens + cost > TOKENS || requests >= REQUESTS, "{tokens} {requests} {cost}");
                        let wait = error.retry_after().unwrap();
                        assert!(wait > Duration::ZERO && wait <= seconds(61.0), "{wait:?}");
                    }
                }
            }
        }
        let now = Instant::now();
        let spent = setup.handle.dimension(Dimension::Tokens).spent;
        let bounds = (model.spent(seconds(60.0), now).0, model.spent(seconds(61.0), now).0);
        assert!(bounds.0 <= spent && spent <= bounds.1, "{spent} {bounds:?}");
        if used_at_most_reserved {
            assert!(spent <= TOKENS, "spent and reserved, {spent}, are never more than the limit");
        }
        assert_eq!(setup.handle.stats().in_flight, open.len() as u64);
    }
}

fn call(input: u64, output: u64, used: (u64, u64)) -> Call {
    let mut call = streaming(tokens(input));
    call.request_mut().max_tokens = Some(output);
    call.request_mut().user = Some(format!("{} {}", used.0, used.1));
    call
}

fn run(acts: Vec<Act>, used_at_most_reserved: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(replay(acts, used_at_most_reserved));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    // Over any minute, spent and reserved never exceed the limit.
    #[test]
    fn no_minute_holds_more_than_the_limit(acts in acts(600)) {
        run(acts, true);
    }

    // However wrong the guesses were, nothing is let through while the limit is used up.
    #[test]
    fn what_was_used_beyond_its_guess_is_made_up_for(acts in acts(900)) {
        run(acts, false);
    }
}

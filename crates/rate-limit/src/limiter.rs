//! The machine: what is decided, and nothing else. It takes `now`, waits for nothing and touches nothing.

use std::time::Duration;

use mainstay_provider_core::{Error, RateLimit, RateLimits, Usage};
use tokio::time::Instant;

use crate::config::{OutputTokens, Rules};
use crate::cost::{Amounts, Dimension};
use crate::forecast::{Forecast, Told};
use crate::learned::Learned;
use crate::ledger::{Ledger, WINDOW};
use crate::pace::Pace;
use crate::reported::{Reported, Source};

/// What a call asks for, as far as it is known when it comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) input: u64,
    /// The longest answer asked for.
    pub(crate) output: Option<u64>,
    /// How many answers.
    pub(crate) choices: u64,
}

/// What an admitted call carries, to be settled at its end.
#[derive(Debug)]
pub(crate) struct Ticket {
    sequence: u64,
    tick: u64,
    sent: Instant,
    cost: Amounts,
    /// All that was sent, this call included.
    total: Amounts,
}

/// What of a reservation was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spent {
    /// Nothing: it was never sent.
    Nothing,
    /// The request, and no tokens.
    Request,
    /// Nobody knows: what was reserved.
    Reserved,
    /// What the provider says.
    Usage(Usage),
}

#[derive(Debug)]
pub(crate) struct Limiter {
    rules: Rules,
    ledger: Ledger,
    reported: [Option<Box<Reported>>; 4],
    learned: Option<Learned>,
    paces: [Pace; 4],
    forecasts: [Forecast; 4],
    forecast_at: Instant,
    paused_until: Option<Instant>,
    /// How many calls were sent, and what they reserved; both only grow.
    sequence: u64,
    total: Amounts,
    /// Output reserved by calls under way.
    open_output: u64,
    mean_input: f64,
    mean_output: f64,
    in_flight: u64,
    throttled: u64,
    chance: fastrand::Rng,
    /// Events to be sent when the lock is free again.
    told: Vec<Told>,
}

/// How much the last call counts in the means.
const NEWS: f64 = 1.0 / 16.0;
/// Headers come with each call; the future does not change as often.
const BETWEEN_FORECASTS: Duration = Duration::from_millis(100);
/// What is left is spread over the time to a reset that is as near as this.
const LONGEST_SPREAD: Duration = Duration::from_secs(5 * 60);

impl Limiter {
    pub(crate) fn new(rules: Rules, chance: fastrand::Rng, now: Instant) -> Self {
        Self {
            rules,
            ledger: Ledger::new(now),
            reported: [const { None }; 4],
            learned: None,
            paces: [Pace::new(now); 4],
            forecasts: [Forecast::default(); 4],
            forecast_at: now,
            paused_until: None,
            sequence: 0,
            total: Amounts::default(),
            open_output: 0,
            mean_input: 0.0,
            mean_output: rules.expected_output as f64,
            in_flight: 0,
            throttled: 0,
            chance,
            told: Vec::new(),
        }
    }

    /// Brings it to `now`. All else expects that.
    pub(crate) fn advance(&mut self, now: Instant) {
        let a_second_passed = self.ledger.advance(now);
        for reported in self.reported.iter_mut().flatten() {
            reported.advance(now);
        }
        if a_second_passed {
            self.forget(now);
            self.foresee(now);
        }
    }

    /// What a call reserves. One that is larger than a limit of ours takes all of it: the provider has the last word.
    pub(crate) fn cost(&self, ask: Ask) -> Amounts {
        let mean = self.mean_output.ceil() as u64;
        let output = match (ask.output, self.rules.counting.output) {
            (None, _) => mean,
            (Some(most), OutputTokens::AsWritten) => most.min(mean),
            (Some(most), _) => most,
        };
        let mut cost = Amounts::call(ask.input, output.saturating_mul(ask.choices.max(1)));
        for of in Dimension::ALL {
            cost[of] = cost[of].min(self.rules.limits[of]);
        }
        cost
    }

    /// How long a call waits that comes after `ahead`, if nothing else happens; zero when it may go now.
    pub(crate) fn wait(&self, ahead: &Amounts, cost: &Amounts, now: Instant) -> Duration {
        if self.is_unbounded() {
            return Duration::ZERO;
        }
        let mut wait = match self.paused_until {
            Some(until) => until.saturating_duration_since(now),
            None => Duration::ZERO,
        };
        for of in Dimension::ALL {
            if ahead[of] == 0 && cost[of] == 0 {
                continue;
            }
            let limit = self.limit(of, now);
            if limit != u64::MAX {
                let need = ahead[of].saturating_add(cost[of].min(limit));
                wait = wait.max(self.ledger.wait(of, need, limit, now));
            }
            if let Some(reported) = &self.reported[of as usize] {
                let need = ahead[of].saturating_add(cost[of].min(reported.limit()));
                wait = wait.max(reported.wait(need, now));
            }
            wait = wait.max(self.paces[of as usize].wait(ahead[of], now));
        }
        wait
    }

    /// Whether nobody has set a limit: not the configuration, not the provider, not experience. Most deployments are so,
    /// and are asked twice for each call.
    fn is_unbounded(&self) -> bool {
        self.paused_until.is_none()
            && self.learned.is_none()
            && self.reported.iter().all(Option::is_none)
            && self.paces.iter().all(Pace::is_free)
            && Dimension::ALL.into_iter().all(|of| self.rules.limits[of] == u64::MAX)
    }

    /// Reserves what a call costs.
    pub(crate) fn take(&mut self, cost: Amounts, now: Instant) -> Ticket {
        self.sequence += 1;
        self.in_flight += 1;
        self.total.count(&cost);
        self.ledger.spend(&cost);
        self.open_output = self.open_output.saturating_add(cost[Dimension::OutputTokens]);
        self.mean_input += NEWS * (cost[Dimension::InputTokens] as f64 - self.mean_input);
        for of in Dimension::ALL {
            if let Some(reported) = &mut self.reported[of as usize] {
                reported.take(self.sequence, cost[of]);
            }
            self.paces[of as usize].take(cost[of], now);
        }
        Ticket { sequence: self.sequence, tick: self.ledger.tick(), sent: now, cost, total: self.total }
    }

    /// Puts what was spent in the place of what was reserved.
    pub(crate) fn settle(&mut self, ticket: &Ticket, spent: Spent) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.open_output = self.open_output.saturating_sub(ticket.cost[Dimension::OutputTokens]);
        let actual = match spent {
            Spent::Reserved => return,
            Spent::Nothing => Amounts::default(),
            Spent::Request => Amounts::request(),
            Spent::Usage(usage) => self.counted(&usage, &ticket.cost),
        };
        self.ledger.correct(ticket.tick, &ticket.cost, &actual);
        for of in Dimension::ALL {
            if let Some(reported) = &mut self.reported[of as usize] {
                reported.correct(ticket.sequence, ticket.cost[of], actual[of]);
            }
            self.paces[of as usize].give_back(ticket.cost[of].saturating_sub(actual[of]));
        }
    }

    /// What the provider counts of a usage.
    fn counted(&mut self, usage: &Usage, reserved: &Amounts) -> Amounts {
        self.mean_output += NEWS * (usage.output as f64 - self.mean_output);
        let Counted { input, output } = match self.rules.counting.cached_input {
            true => Counted { input: usage.input, output: usage.output },
            false => Counted { input: usage.input.saturating_sub(usage.cache_read), output: usage.output },
        };
        match self.rules.counting.output {
            OutputTokens::AsAsked => Amounts::call(input, output.max(reserved[Dimension::OutputTokens])),
            OutputTokens::Settled | OutputTokens::AsWritten => Amounts::call(input, output),
        }
    }

    /// Takes in what the headers of a call's answer say.
    pub(crate) fn observe(&mut self, ticket: &Ticket, limits: &RateLimits, now: Instant) {
        if !self.rules.predict {
            return;
        }
        for (of, told) in each(limits) {
            let source = self.source(ticket, of);
            match &mut self.reported[of as usize] {
                Some(reported) => reported.observe(told, &source, now),
                none => *none = Reported::new(told, &source, now).map(Box::new),
            }
        }
        if now >= self.forecast_at + BETWEEN_FORECASTS {
            self.foresee(now);
        }
    }

    fn source(&self, ticket: &Ticket, of: Dimension) -> Source {
        let output = matches!(of, Dimension::Tokens | Dimension::OutputTokens);
        let late = self.rules.counting.output == OutputTokens::AsWritten;
        Source {
            sent: ticket.sent,
            sequence: ticket.sequence,
            total: ticket.total[of],
            after: self.total[of].wrapping_sub(ticket.total[of]),
            open: if output && late { self.open_output } else { 0 },
        }
    }

    /// The provider refused a call: 429.
    pub(crate) fn throttled(&mut self, ticket: &Ticket, error: &Error, now: Instant) {
        self.throttled += 1;
        let was_paused = self.paused_until.is_some_and(|until| until > now);
        if let Some(hint) = error.retry_after().filter(|hint| !hint.is_zero()) {
            // Those who were told the same come back one by one.
            let jittered = hint.saturating_add(hint.mul_f64(self.chance.f64() * 0.1));
            let until = now + jittered.min(self.rules.max_pause);
            self.paused_until = self.paused_until.max(Some(until));
        }
        if let Some(limits) = error.rate_limits() {
            self.observe(ticket, limits, now);
        }
        let mut learned = false;
        if !self.is_explained(ticket, now) && self.rules.learn {
            if let Some(before) = self.learned.as_mut().filter(|before| before.is_stale(ticket.sequence)) {
                before.refused_too();
                self.foresee(now);
            }
            let before = self.learned.as_ref();
            let usual = self.mean_input + self.mean_output;
            let after = Learned::throttled(before, &self.ledger, usual, ticket.sequence, self.sequence, now);
            learned = after.is_some();
            self.learned = after.or(self.learned);
        }
        if learned {
            self.foresee(now);
            self.paces.iter_mut().for_each(|pace| pace.hold(now));
        }
        let paused = !was_paused && self.paused_until.is_some_and(|until| until > now);
        if paused || learned {
            let pause = self.paused_until.map(|until| until.saturating_duration_since(now));
            let requests = self.learned.map(|learned| learned.limit(Dimension::Requests, now));
            self.told.push(Told::Throttled { pause, requests });
        }
    }

    /// Whether a limit that the provider tells of was used up. If not, there is one that it does not tell.
    fn is_explained(&mut self, ticket: &Ticket, now: Instant) -> bool {
        let mut explained = false;
        for of in Dimension::ALL {
            let Some(reported) = &mut self.reported[of as usize] else { continue };
            let scarce = (ticket.cost[of] as f64).max(0.05 * reported.limit() as f64);
            if reported.estimate(now) < scarce {
                reported.exhausted(ticket.sequence);
                explained = true;
            }
        }
        explained
    }

    /// Looks ahead: how long what is left will last, and whether calls have to be spread.
    fn foresee(&mut self, now: Instant) {
        self.forecast_at = now;
        for of in Dimension::ALL {
            let at = of as usize;
            let ours = self.ledger.rate(of);
            let mut next = Forecast::default();
            let mut pace = None;
            let limit = self.limit(of, now);
            if limit != u64::MAX {
                next.heed(self.until_window_is_full(of, limit, ours), WINDOW);
            }
            if let Some(reported) = &self.reported[at] {
                let (lasts, reset) = (reported.time_to_exhaustion(ours, now), reported.reset(now));
                next.heed(lasts, reset);
                // Above half, it is early days: those who waited for the reset come all at once. And a limit of the day
                // is not spread over the night: what else there is to do about it, the router does.
                let scarce = reported.estimate(now) < 0.5 * reported.limit() as f64;
                if scarce && reset <= LONGEST_SPREAD && lasts.is_some_and(|lasts| lasts < reset) {
                    pace = Some(reported.pace(ours, now));
                }
            }
            if let Some(learned) = &self.learned {
                let limit = learned.limit(of, now);
                if limit != u64::MAX {
                    let even = limit as f64 / WINDOW.as_secs_f64();
                    let room = limit as f64 / (self.ledger.spent(of) as f64).max(1.0);
                    let spread = even * room.clamp(1.0, 2.0);
                    pace = Some(pace.map_or(spread, |pace: f64| pace.min(spread)));
                }
            }
            self.paces[at].set(pace, now);
            // That what a 429 taught is used up is no news: the 429 was told.
            let quiet = limit < self.rules.limits[of];
            self.told.extend(self.forecasts[at].follow(next, of, quiet, now));
        }
    }

    /// How long until a limit of ours is reached at the rate of late.
    fn until_window_is_full(&self, of: Dimension, limit: u64, ours: f64) -> Option<Duration> {
        let spent = self.ledger.spent(of);
        let even = limit as f64 / WINDOW.as_secs_f64();
        let growth = ours - spent as f64 / WINDOW.as_secs_f64();
        (ours > even && growth > 0.0).then(|| {
            let lasts = limit.saturating_sub(spent) as f64 / growth;
            Duration::try_from_secs_f64(lasts).unwrap_or(Duration::MAX)
        })
    }

    fn forget(&mut self, now: Instant) {
        self.paused_until = self.paused_until.filter(|until| *until > now);
        self.learned = self.learned.filter(|learned| !learned.is_over(now));
        for reported in &mut self.reported {
            if reported.as_ref().is_some_and(|reported| reported.is_forgotten(now)) {
                *reported = None;
            }
        }
    }

    /// What this process may spend in a window: its share of the configured limit, or what it learned if that is less.
    fn limit(&self, of: Dimension, now: Instant) -> u64 {
        let configured = self.rules.limits[of];
        self.learned.as_ref().map_or(configured, |learned| configured.min(learned.limit(of, now)))
    }

    /// The share that is left of the scarcest limit, lowered when it will not last.
    pub(crate) fn headroom(&self, ahead: &Amounts, now: Instant) -> f32 {
        if self.is_unbounded() {
            return 1.0;
        }
        let typical = Amounts::call(self.mean_input as u64, self.mean_output as u64);
        if !self.wait(ahead, &typical, now).is_zero() {
            return 0.0;
        }
        let mut least: f64 = 1.0;
        for of in Dimension::ALL {
            let limit = self.limit(of, now);
            let lasting = self.forecasts[of as usize].lasting();
            if limit != u64::MAX {
                let left = limit.saturating_sub(self.ledger.spent(of)) as f64;
                least = least.min(left / limit as f64 * lasting);
            }
            if let Some(reported) = &self.reported[of as usize] {
                let left = reported.estimate(now).max(0.0);
                least = least.min(left / reported.limit() as f64 * lasting);
            }
        }
        least as f32
    }

    pub(crate) fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    pub(crate) fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(crate) fn throttles(&self) -> u64 {
        self.throttled
    }

    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    pub(crate) fn look(&self, of: Dimension, now: Instant) -> Look {
        let at = of as usize;
        let limited = |limit: u64| (limit != u64::MAX).then_some(limit);
        let reported = self.reported[at].as_deref();
        let limit = limited(self.limit(of, now));
        let ours = limit.map(|limit| limit.saturating_sub(self.ledger.spent(of)));
        let theirs = reported.map(|reported| reported.estimate(now).max(0.0) as u64);
        Look {
            configured: limited(self.rules.limits[of]),
            reported: reported.map(Reported::limit),
            learned: self.learned.and_then(|learned| limited(learned.limit(of, now))),
            spent: self.ledger.spent(of),
            remaining: [ours, theirs].into_iter().flatten().min(),
            reset: reported.map(|reported| reported.reset(now)),
            per_second: self.ledger.rate(of),
            time_to_exhaustion: self.forecasts[at].lasts(),
            pace: self.paces[at].per_second(),
        }
    }
}

struct Counted {
    input: u64,
    output: u64,
}

/// What is known of one dimension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) configured: Option<u64>,
    pub(crate) reported: Option<u64>,
    pub(crate) learned: Option<u64>,
    pub(crate) spent: u64,
    pub(crate) remaining: Option<u64>,
    pub(crate) reset: Option<Duration>,
    pub(crate) per_second: f64,
    pub(crate) time_to_exhaustion: Option<Duration>,
    pub(crate) pace: Option<f64>,
}

fn each(limits: &RateLimits) -> [(Dimension, &RateLimit); 4] {
    let RateLimits { requests, tokens, input_tokens, output_tokens, .. } = limits;
    [
        (Dimension::Requests, requests),
        (Dimension::Tokens, tokens),
        (Dimension::InputTokens, input_tokens),
        (Dimension::OutputTokens, output_tokens),
    ]
}

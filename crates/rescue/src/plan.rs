//! What is known of a call and may be done for it.

use std::sync::Arc;

use mainstay_provider_core::{Call, Error, ErrorKind, Event, ReplyHead, Severity, Timer, Usage};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::config::{RescuePolicy, Rules};
use crate::layer::Shared;

/// A call, who can be asked again, and what has become of it so far.
pub(crate) struct Plan<S> {
    pub(crate) inner: S,
    pub(crate) call: Call,
    pub(crate) rules: Arc<Rules>,
    shared: Arc<Shared>,
    /// The streams that broke off, oldest first.
    broken: Vec<Broken>,
    /// What they used, as far as they said.
    spent: Usage,
    usage_known: bool,
}

/// A stream that broke off.
struct Broken {
    name: Name,
    by: Option<RescuePolicy>,
    reason: ErrorKind,
}

/// Who answers: a provider and its model.
#[derive(Clone)]
pub(crate) struct Name(Arc<str>, Arc<str>);

impl Name {
    pub(crate) fn of(head: &ReplyHead) -> Self {
        Self(head.provider.clone(), head.model.clone())
    }

    /// The error, with this name if it has none.
    pub(crate) fn on(&self, error: Error) -> Error {
        if error.provider().is_some() { error } else { error.at(self.0.clone(), self.1.clone()) }
    }

    /// Says in an event that this one took over.
    pub(crate) fn taken_over(&self, event: Event) -> Event {
        event.with("by_provider", self.0.to_string()).with("by_model", self.1.to_string())
    }

    fn as_json(&self) -> Map<String, Value> {
        Map::from_iter([
            ("provider".to_owned(), Value::from(&*self.0)),
            ("model".to_owned(), Value::from(&*self.1)),
        ])
    }
}

impl<S> Plan<S> {
    pub(crate) fn new(inner: S, call: Call, shared: Arc<Shared>, rules: Arc<Rules>) -> Self {
        Self { inner, call, rules, shared, broken: Vec::new(), spent: Usage::default(), usage_known: true }
    }

    /// Notes that a stream broke off. `false`: so many have that this one is not rescued.
    pub(crate) fn broke(&mut self, name: &Name, by: Option<RescuePolicy>, reason: ErrorKind) -> bool {
        let most = usize::try_from(self.rules.rescues).unwrap_or(usize::MAX);
        let rescued = self.broken.len() < most;
        self.broken.push(Broken { name: name.clone(), by, reason });
        rescued
    }

    /// Notes what a stream used that is not read any further.
    pub(crate) fn spend(&mut self, usage: Option<Usage>) {
        match usage {
            Some(usage) => self.spent += usage,
            None => self.usage_known = false,
        }
    }

    /// How many streams broke off.
    pub(crate) fn breaks(&self) -> u32 {
        u32::try_from(self.broken.len()).unwrap_or(u32::MAX)
    }

    /// Why the last stream broke off that did.
    pub(crate) fn last_reason(&self) -> Option<ErrorKind> {
        self.broken.last().map(|broken| broken.reason)
    }

    /// What the streams that broke off used, and whether each of them said so.
    pub(crate) fn spent(&self) -> (Usage, bool) {
        (self.spent, self.usage_known)
    }

    /// Whether one more call may be made.
    pub(crate) fn may_ask(&self) -> bool {
        self.shared.allowance.as_ref().is_none_or(|allowance| allowance.withdraw())
    }

    /// Until when a rescue that begins now must have new text.
    pub(crate) fn until(&self) -> Instant {
        let until = Instant::now() + self.rules.within;
        self.call.context().deadline.map_or(until, |deadline| deadline.min(until))
    }

    pub(crate) fn tell(&self, name: &'static str, more: impl FnOnce(Event) -> Event) {
        self.shared.config.events.send(|| {
            let event = Event::new(name, Severity::Warning).with("breaks", self.broken.len().to_string());
            let event = match self.broken.last() {
                Some(Broken { name: Name(provider, model), reason, .. }) => event
                    .with("provider", provider.to_string())
                    .with("model", model.to_string())
                    .with("reason", reason.to_string()),
                None => event,
            };
            more(event)
        });
    }

    /// What the last chunk says of the rescue: the streams in their order, each with how it was come by and what broke it.
    pub(crate) fn report(&self, name: &Name, by: RescuePolicy) -> Value {
        let leg = |name: &Name, by: Option<RescuePolicy>, error: Option<ErrorKind>| {
            let mut leg = name.as_json();
            leg.extend(by.map(|by| ("by".to_owned(), by.as_str().into())));
            leg.extend(error.map(|error| ("error".to_owned(), error.as_str().into())));
            Value::Object(leg)
        };
        let broken = self.broken.iter().map(|broken| leg(&broken.name, broken.by, Some(broken.reason)));
        let legs: Vec<Value> = broken.chain([leg(name, Some(by), None)]).collect();
        json!({"breaks": self.broken.len(), "usage_known": self.usage_known, "legs": legs})
    }
}

/// Whether a stream that broke off with this error is worth another try: the way failed, and not the request or the
/// answer.
pub(crate) fn is_rescued(kind: ErrorKind) -> bool {
    match kind {
        // The total is the end of what the caller has time for.
        ErrorKind::Timeout(timer) => timer != Timer::Total,
        ErrorKind::Network
        | ErrorKind::Overloaded
        | ErrorKind::ServerError
        | ErrorKind::MalformedResponse
        | ErrorKind::RateLimited
        | ErrorKind::Unavailable => true,
        _ => false,
    }
}

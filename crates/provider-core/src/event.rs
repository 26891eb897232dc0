//! What an operator should hear of: a key that was rejected, a breaker that opened, a budget near its limit.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Something that an operator should hear of. Carries no prompt and no secret.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// What happened, in dotted words: `key.rejected`, `breaker.opened`.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The particulars.
    pub attributes: Vec<(&'static str, Cow<'static, str>)>,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Info,
    /// Something is out of order and was dealt with.
    Warning,
    /// Somebody must act.
    Alert,
}

impl Event {
    /// An event without particulars.
    pub fn new(name: &'static str, severity: Severity) -> Self {
        Self { name, severity, attributes: Vec::new() }
    }

    /// The same event with one more particular.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }
}

/// Where a layer sends its events. The default sends them nowhere; cloning copies a pointer.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<dyn Fn(Event) + Send + Sync>>);

impl Events {
    /// Sends events to `sink`, which must not block: it runs inside the call that the event is about.
    pub fn to(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    /// Sends an event; it is only made if somebody listens.
    pub fn send(&self, event: impl FnOnce() -> Event) {
        if let Some(sink) = &self.0 {
            sink(event());
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.0.is_some()).finish()
    }
}

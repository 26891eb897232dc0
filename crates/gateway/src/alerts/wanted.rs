//! Which events somebody wants to hear of.

use mainstay::{Event, Severity};

/// Told besides every event of the severity `Alert`, when nothing else is said.
const BESIDES: [&str; 4] = ["budget.soft_limit", "budget.hard_limit", "budget.forecast", "budget.hold_lost"];

/// Which events are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Those of the severity `Alert`, and what is worth knowing of budgets.
    Usual,
    /// Those with these names; `budget.*` is all that begin with `budget.`.
    Named(Vec<String>),
}

impl Wanted {
    pub(super) fn holds(&self, event: &Event) -> bool {
        match self {
            Self::Usual => event.severity == Severity::Alert || BESIDES.contains(&event.name),
            Self::Named(patterns) => patterns.iter().any(|pattern| matches(pattern, event.name)),
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

/// Whether an event's name could ever match.
pub(super) fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_');
    !text.is_empty() && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(wanted: &Wanted, name: &'static str, severity: Severity) -> bool {
        wanted.holds(&Event::new(name, severity))
    }

    #[test]
    fn usually_alerts_and_what_is_worth_knowing_of_budgets_are_sent() {
        let wanted = Wanted::Usual;
        assert!(holds(&wanted, "key.rejected", Severity::Alert));
        assert!(holds(&wanted, "budget.soft_limit", Severity::Warning));
        assert!(holds(&wanted, "budget.forecast", Severity::Warning));
        assert!(holds(&wanted, "budget.hold_lost", Severity::Warning));
        assert!(!holds(&wanted, "breaker.opened", Severity::Warning));
        assert!(!holds(&wanted, "budget.store_back", Severity::Info));
    }

    #[test]
    fn names_and_beginnings_of_names_are_patterns() {
        let wanted = Wanted::Named(vec!["budget.*".into(), "key.rejected".into()]);
        assert!(holds(&wanted, "budget.store_back", Severity::Info));
        assert!(holds(&wanted, "key.rejected", Severity::Alert));
        assert!(!holds(&wanted, "key.rejected_again", Severity::Alert));
        assert!(!holds(&wanted, "budgets.x", Severity::Alert));
        assert!(holds(&Wanted::Named(vec!["*".into()]), "anything", Severity::Info));
    }

    #[test]
    fn what_could_match_nothing_is_no_pattern() {
        assert!(["budget.*", "*", "key.rejected", "semantic.exact_only"].into_iter().all(is_pattern));
        assert!(!["", "*.opened", "Budget.*", "budget .*", "a**"].into_iter().any(is_pattern));
    }
}

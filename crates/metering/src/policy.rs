//! What is done with a model whose price nobody knows.

use crate::prices::ModelPrices;

/// What is done with a model whose price nobody knows. It is never taken for free in silence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownPricePolicy {
    /// The call is refused: [`UnknownPrice`](crate::UnknownPrice). The default.
    #[default]
    Deny,
    /// It costs this much, and the cost says that it was [`Assumed`](crate::Basis::Assumed).
    Estimate(ModelPrices),
    /// The call goes ahead, its cost is zero and says that it is [`Unpriced`](crate::Basis::Unpriced), and the event
    /// `price.unknown` is sent at severity `Alert`, once for each model.
    AllowWithAlarm,
}

impl UnknownPricePolicy {
    /// The name in configurations and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Estimate(_) => "estimate",
            Self::AllowWithAlarm => "allow-with-alarm",
        }
    }
}

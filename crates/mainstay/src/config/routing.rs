//! How calls are routed, timed, retried and rescued: `[router]` for all models, `[models.NAME]` for one.

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::Span;

/// The settings that stand in `[router]` and, for one model, in `[models.NAME]`.
macro_rules! with_policy {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// How one of several deployments is chosen. Default `"p2c"`: of two by chance, the one that is likely to
            /// answer sooner.
            pub strategy: Option<StrategySetting>,
            /// How often a call is sent again to a deployment that failed, all attempts of a call together. Default 2.
            pub num_retries: Option<u32>,
            /// The first back off; it doubles with each retry. Default `"1s"`.
            pub retry_base: Option<Span>,
            /// The longest back off, and the longest wait that a provider may ask for. Default `"30s"`.
            pub retry_max_delay: Option<Span>,
            /// How long an attempt may take in all. Default `"60s"`.
            pub timeout: Option<Span>,
            /// How long a stream may wait for its first content. Default `"10s"`.
            pub first_token_timeout: Option<Span>,
            /// How long a stream may wait between two chunks. Default `"20s"`.
            pub idle_timeout: Option<Span>,
            /// A deployment rests after more failures within a minute than this. Not set by default: it rests after
            /// `failures` in a row.
            pub allowed_fails: Option<u32>,
            /// A deployment rests after so many failures in a row. Default 5, or not at all with `allowed_fails`.
            pub failures: Option<u32>,
            /// A deployment also rests when this share of its calls of the last two minutes failed, of at least 20: 0.5 is
            /// half. Not set by default.
            pub failure_rate: Option<f64>,
            /// A stream whose first token comes later than this counts as a failure. Not set by default.
            pub slow_first_token: Option<Span>,
            /// A stream with a longer gap between two chunks than this counts as a failure. Not set by default.
            pub slow_gap: Option<Span>,
            /// How long it rests before one call tries it again. Default `"60s"`.
            pub cooldown_time: Option<Span>,
            /// What is done, in this order, when a stream breaks off after the caller has some of it. Default
            /// `["resume", "restart"]`; `["fail"]` or `[]` for none.
            pub rescue: Option<Vec<RescueSetting>>,
            /// How much of a stream's beginning is kept back, so that a break within it is never seen. Default nothing.
            pub hold_back: Option<HoldBackSetting>,
            /// What is done with a conversation that is longer than the model's window. Default `"drop-oldest"`.
            pub shorten: Option<ShortenSetting>,
            /// The model that sums up what is left out of a conversation. Default none: it is left out.
            pub summarise_with: Option<String>,
            /// Whether a second deployment is asked when the first token of a stream is late. Default false.
            pub hedging: Option<bool>,
        }

        impl $name {
            pub(crate) fn policy(&self) -> Policy {
                Policy {
                    strategy: self.strategy,
                    num_retries: self.num_retries,
                    retry_base: self.retry_base,
                    retry_max_delay: self.retry_max_delay,
                    timeout: self.timeout,
                    first_token_timeout: self.first_token_timeout,
                    idle_timeout: self.idle_timeout,
                    allowed_fails: self.allowed_fails,
                    failures: self.failures,
                    failure_rate: self.failure_rate,
                    slow_first_token: self.slow_first_token,
                    slow_gap: self.slow_gap,
                    cooldown_time: self.cooldown_time,
                    rescue: self.rescue.clone(),
                    hold_back: self.hold_back,
                    shorten: self.shorten,
                    summarise_with: self.summarise_with.clone(),
                    hedging: self.hedging,
                }
            }
        }
    };
}

with_policy! {
    /// How calls are routed, timed, retried and rescued, for all models that do not say otherwise.
    pub struct RouterSettings {
        /// The property of a call that names its session, for the strategy `"affinity"`. Default `"session"`.
        pub session_property: Option<String>,
    }
}

with_policy! {
    /// One logical model. What it does not say is as `[router]` says.
    pub struct ModelConfig {
        /// Who answers for it.
        pub deployments: Vec<DeploymentConfig>,
        /// Models that are asked, in this order, when all deployments of this one have failed.
        pub fallbacks: Vec<String>,
        /// Models that are asked when the conversation is longer than this one's window.
        pub context_window_fallbacks: Vec<String>,
        /// Models that are asked when this one's provider filters the prompt or the answer.
        pub content_policy_fallbacks: Vec<String>,
        /// Whether its answers are kept in the exact cache and given from there. Default true, where there is one.
        pub cache: Option<bool>,
        /// The same for the semantic cache. Default true, where there is one.
        pub semantic_cache: Option<bool>,
    }
}

/// One physical model behind a logical one.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DeploymentConfig {
    /// `provider/model`: a configured provider's name and its own name of the model.
    pub model: String,
    /// Its share of the calls beside the model's other deployments, for the strategies that weigh. Default 1.
    #[serde(default)]
    pub weight: Option<f64>,
    /// Deployments of a higher order are asked when those of a lower one are not to be had. Default 1.
    #[serde(default)]
    pub order: Option<u32>,
    /// How many calls it takes at once; more wait a little, then are sent elsewhere. Default: no bound.
    #[serde(default)]
    pub max_parallel: Option<usize>,
    /// How many requests a minute it takes. Default: what the provider's headers say.
    #[serde(default)]
    pub rpm: Option<u64>,
    /// How many tokens a minute it takes. Default: what the provider's headers say.
    #[serde(default)]
    pub tpm: Option<u64>,
    /// How many tokens a conversation may have.
    #[serde(default)]
    pub context_window: Option<u64>,
    /// Whether it goes on with an assistant message that stands last. Default: what is known of its provider.
    #[serde(default)]
    pub prefill: Option<bool>,
    /// USD per million input tokens, for the strategy `"lowest-cost"`.
    #[serde(default)]
    pub input_price: Option<f64>,
    /// USD per million output tokens.
    #[serde(default)]
    pub output_price: Option<f64>,
}

/// How one of several deployments is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategySetting {
    /// Of two by chance, the one whose calls under way and times to a first token promise an answer sooner.
    #[default]
    P2c,
    /// By chance, in proportion to `weight`.
    Weighted,
    /// The one with the fewest calls under way.
    LeastBusy,
    /// The cheapest.
    LowestCost,
    /// The one with the most left of its rate limits.
    Headroom,
    /// Always the same one for a session, so that its provider's prompt cache is warm, unless it is overloaded.
    Affinity,
}

impl StrategySetting {
    /// The name as it stands in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P2c => "p2c",
            Self::Weighted => "weighted",
            Self::LeastBusy => "least-busy",
            Self::LowestCost => "lowest-cost",
            Self::Headroom => "headroom",
            Self::Affinity => "affinity",
        }
    }
}

/// What is done when a stream breaks off after the caller has some of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RescueSetting {
    /// The caller gets an error.
    Fail,
    /// A deployment that can is asked to go on where the text broke off.
    Resume,
    /// A deployment is asked anew; if its text begins with what the caller has, it is continued from there.
    Restart,
}

/// What is done with a conversation that is longer than the model's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShortenSetting {
    /// The caller gets the error.
    Off,
    /// The oldest turns are left out; instructions, the last turn and tool calls with their results stay.
    DropOldest,
}

/// How much of a stream's beginning is kept back; it ends with whichever comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HoldBackSetting {
    /// How many chunks with content. Default 16.
    pub chunks: Option<usize>,
    /// How many bytes of text. Default 1024.
    pub bytes: Option<usize>,
    /// How long after the first content. Default `"250ms"`.
    pub time: Option<Span>,
}

/// The settings that both have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Policy {
    pub(crate) strategy: Option<StrategySetting>,
    pub(crate) num_retries: Option<u32>,
    pub(crate) retry_base: Option<Span>,
    pub(crate) retry_max_delay: Option<Span>,
    pub(crate) timeout: Option<Span>,
    pub(crate) first_token_timeout: Option<Span>,
    pub(crate) idle_timeout: Option<Span>,
    pub(crate) allowed_fails: Option<u32>,
    pub(crate) failures: Option<u32>,
    pub(crate) failure_rate: Option<f64>,
    pub(crate) slow_first_token: Option<Span>,
    pub(crate) slow_gap: Option<Span>,
    pub(crate) cooldown_time: Option<Span>,
    pub(crate) rescue: Option<Vec<RescueSetting>>,
    pub(crate) hold_back: Option<HoldBackSetting>,
    pub(crate) shorten: Option<ShortenSetting>,
    pub(crate) summarise_with: Option<String>,
    pub(crate) hedging: Option<bool>,
}

impl Policy {
    /// What is said here, and what `all` says where nothing is.
    pub(crate) fn over(self, all: &Self) -> Self {
        let all = all.clone();
        // A model that counts failures in its own way is not counted in the other way too.
        let counts = self.failures.is_some() || self.allowed_fails.is_some();
        let (failures, allowed_fails) = match counts {
            true => (self.failures, self.allowed_fails),
            false => (all.failures, all.allowed_fails),
        };
        Self {
            strategy: self.strategy.or(all.strategy),
            num_retries: self.num_retries.or(all.num_retries),
            retry_base: self.retry_base.or(all.retry_base),
            retry_max_delay: self.retry_max_delay.or(all.retry_max_delay),
            timeout: self.timeout.or(all.timeout),
            first_token_timeout: self.first_token_timeout.or(all.first_token_timeout),
            idle_timeout: self.idle_timeout.or(all.idle_timeout),
            allowed_fails,
            failures,
            failure_rate: self.failure_rate.or(all.failure_rate),
            slow_first_token: self.slow_first_token.or(all.slow_first_token),
            slow_gap: self.slow_gap.or(all.slow_gap),
            cooldown_time: self.cooldown_time.or(all.cooldown_time),
            rescue: self.rescue.or(all.rescue),
            hold_back: self.hold_back.or(all.hold_back),
            shorten: self.shorten.or(all.shorten),
            summarise_with: self.summarise_with.or(all.summarise_with),
            hedging: self.hedging.or(all.hedging),
        }
    }
}

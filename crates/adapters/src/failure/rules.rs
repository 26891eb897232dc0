//! Which kind of error an answer is: a list of rules, of which the first that knows the answer decides.
//!
//! What single providers do apart from all others comes first, then what holds for all, in an order that matters: a spent
//! account or an oversized prompt may come with the status of a rate limit, a wrong key or an unknown model with a 400.

use mainstay_provider_core::ErrorKind::{self, *};
use mainstay_provider_core::Timer;

use super::body::ErrorBody;

/// What the rules look at.
pub(super) struct Facts<'a> {
    pub(super) family: Family,
    /// Whether this is an event within a stream and not an answer.
    pub(super) in_stream: bool,
    /// The status of the error: the answer's if it is one of an error, else what the body says or its names mean.
    pub(super) status: Option<u16>,
    /// Whether the answer's headers name a wait.
    pub(super) names_a_wait: bool,
    pub(super) body: &'a ErrorBody,
    /// The name of an AWS error.
    pub(super) exception: Option<&'a str>,
    /// The message, in lower case.
    pub(super) text: String,
}

/// Providers with rules of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Cohere,
    Google,
    Groq,
    Mistral,
    Ollama,
    OpenRouter,
    Zai,
    Other,
}

impl Family {
    pub(super) fn of(provider: &str) -> Self {
        match provider {
            "cohere" => Self::Cohere,
            "gemini" | "vertex" => Self::Google,
            "groq" => Self::Groq,
            "mistral" => Self::Mistral,
            "ollama" => Self::Ollama,
            "openrouter" => Self::OpenRouter,
            "zai" => Self::Zai,
            _ => Self::Other,
        }
    }
}

type Rule = fn(&Facts<'_>) -> Option<ErrorKind>;

const RULES: &[Rule] = &[
    // What single providers do.
    anthropic_spend_limit,
    azure_filter,
    bedrock_exception,
    bedrock_token,
    cohere_unsafe,
    google_blocked_prompt,
    google_daily_quota,
    google_key,
    groq_capacity,
    groq_tool_call,
    mistral_capacity_and_codes,
    ollama_model,
    openrouter_in_flight,
    openrouter_moderation,
    zai_codes,
    // What holds for all.
    rule_1_timeout,
    rule_2_no_error,
    rule_3_quota,
    rule_4_context_length,
    rule_5_request_over_limit,
    rule_6_content_filter,
    rule_7_authentication,
    rule_8_model,
    rule_9_status,
    rule_10_server,
];

/// The kind of error that the first rule finds.
pub(super) fn kind_of(facts: &Facts<'_>) -> ErrorKind {
    RULES.iter().find_map(|rule| rule(facts)).unwrap_or(ServerError)
}

/// Spend limits of an organisation or workspace come as 400 or 429, and only `error.details.error_code` tells them from
/// a rate limit.
fn anthropic_spend_limit(facts: &Facts<'_>) -> Option<ErrorKind> {
    match facts.body.at("/details/error_code")?.as_str()? {
        "ramp_limit_exceeded" => Some(RateLimited),
        code if code.ends_with("_spend_limit_reached") => Some(QuotaExhausted),
        _ => None,
    }
}

/// The inner error has two spellings.
fn azure_filter(facts: &Facts<'_>) -> Option<ErrorKind> {
    let filtered =
        ["/innererror", "/inner_error"].iter().filter_map(|path| facts.body.at(path)).any(|inner| {
            inner.get("content_filter_result").is_some()
                || inner.get("content_filter_results").is_some()
                || inner.get("code").is_some_and(|code| code == "ResponsibleAIPolicyViolation")
        });
    filtered.then_some(ContentFiltered)
}

/// AWS names its errors in a header, or in the stream; there the first letter is small. `ValidationException` covers too
/// much to decide anything: the message does.
fn bedrock_exception(facts: &Facts<'_>) -> Option<ErrorKind> {
    let name = facts.exception?;
    let name = name.strip_suffix("Exception").unwrap_or(name).to_ascii_lowercase();
    Some(match name.as_str() {
        "throttling" => RateLimited,
        "servicequotaexceeded" => QuotaExhausted,
        "modelnotready" | "serviceunavailable" => Overloaded,
        "modeltimeout" => Timeout(Timer::Upstream),
        "modelerror" | "modelstreamerror" | "internalserver" => ServerError,
        "expiredtoken"
        | "unrecognizedclient"
        | "invalidsignature"
        | "incompletesignature"
        | "missingauthenticationtoken"
        | "invalidclienttokenid" => Authentication,
        "accessdenied" => PermissionDenied,
        "resourcenotfound" => ModelNotFound,
        _ => return None,
    })
}

/// A wrong or expired session token is a 403, as missing rights are.
fn bedrock_token(facts: &Facts<'_>) -> Option<ErrorKind> {
    let token = facts.says(&["security token"]) && facts.says(&["invalid", "expired"]);
    (token && facts.status == Some(403)).then_some(Authentication)
}

/// 498: the prompt or the answer is unsafe.
fn cohere_unsafe(facts: &Facts<'_>) -> Option<ErrorKind> {
    (facts.family == Family::Cohere && facts.status == Some(498)).then_some(ContentFiltered)
}

/// A 200 without candidates.
fn google_blocked_prompt(facts: &Facts<'_>) -> Option<ErrorKind> {
    facts.body.string("blockReason").map(|_| ContentFiltered)
}

/// A quota per day will not be there again in a minute, whatever `retryDelay` says.
fn google_daily_quota(facts: &Facts<'_>) -> Option<ErrorKind> {
    let violations = facts.body.details().filter_map(|detail| detail.get("violations")?.as_array()).flatten();
    let mut quotas = violations.filter_map(|violation| violation.get("quotaId")?.as_str());
    quotas.any(|quota| quota.contains("PerDay")).then_some(QuotaExhausted)
}

/// No key at all is a 403, a wrong or expired one a 400.
fn google_key(facts: &Facts<'_>) -> Option<ErrorKind> {
    let reason =
        |detail: &serde_json::Value| detail.get("reason").is_some_and(|reason| reason == "API_KEY_INVALID");
    let wrong = facts.says(&["unregistered callers"]) || facts.body.details().any(reason);
    (facts.family == Family::Google && wrong).then_some(Authentication)
}

/// 498: the flex tier has no capacity.
fn groq_capacity(facts: &Facts<'_>) -> Option<ErrorKind> {
    (facts.family == Family::Groq && facts.status == Some(498)).then_some(Overloaded)
}

/// The model's tool call does not fit its schema. Of Groq, also through OpenRouter and Hugging Face.
fn groq_tool_call(facts: &Facts<'_>) -> Option<ErrorKind> {
    facts.named(&["tool_use_failed"]).then_some(MalformedToolCall)
}

/// A full tier comes as 429 or 503, an unknown model as 400.
fn mistral_capacity_and_codes(facts: &Facts<'_>) -> Option<ErrorKind> {
    if facts.family != Family::Mistral {
        return None;
    }
    if facts.says(&["service tier capacity exceeded"]) {
        return Some(Overloaded);
    }
    if facts.named(&["invalid_model", "unknown_model"]) {
        return Some(ModelNotFound);
    }
    facts.named(&["1300"]).then_some(RateLimited)
}

/// An unknown model, within a stream too.
fn ollama_model(facts: &Facts<'_>) -> Option<ErrorKind> {
    let unknown = facts.text.starts_with("model") && facts.text.contains("not found");
    (facts.family == Family::Ollama && unknown).then_some(ModelNotFound)
}

/// A 402 that passes by itself: too much of the account's credit is tied up in calls that still run.
fn openrouter_in_flight(facts: &Facts<'_>) -> Option<ErrorKind> {
    let in_flight =
        || facts.body.at("/metadata/limit_source").is_some_and(|of| of == "openrouter_in_flight_budget");
    let passes = facts.status == Some(402) && (facts.names_a_wait || in_flight());
    (facts.family == Family::OpenRouter && passes).then_some(RateLimited)
}

/// A 403 with the reasons of a moderation.
fn openrouter_moderation(facts: &Facts<'_>) -> Option<ErrorKind> {
    let moderated =
        || ["/metadata/reasons", "/metadata/flagged_input"].iter().any(|path| facts.body.at(path).is_some());
    (facts.family == Family::OpenRouter && facts.status == Some(403) && moderated())
        .then_some(ContentFiltered)
}

/// Z.ai sends numbers of its own, an empty account and a rate limit both as 429.
fn zai_codes(facts: &Facts<'_>) -> Option<ErrorKind> {
    let named = |code| facts.family == Family::Zai && facts.named(&[code]);
    [("1113", QuotaExhausted), ("1261", ContextLengthExceeded), ("1301", ContentFiltered)]
        .into_iter()
        .find_map(|(code, kind)| named(code).then_some(kind))
}

/// Rule 1: A deadline of the provider's own. That no answer came at all is not decided here but where the request was sent.
fn rule_1_timeout(facts: &Facts<'_>) -> Option<ErrorKind> {
    matches!(facts.status?, 408 | 504).then_some(Timeout(Timer::Upstream))
}

/// Rule 2: No error status, and nothing in the body that we know as an error. A body without known shape under an error status
/// passes through to the rules that look at the status.
fn rule_2_no_error(facts: &Facts<'_>) -> Option<ErrorKind> {
    let refused = facts.status.is_some_and(|status| status >= 400);
    let silent = facts.text.is_empty() && facts.body.code().is_none();
    (!refused && silent && !facts.in_stream).then_some(MalformedResponse)
}

/// Rule 3: The account is spent: never retried on that key.
fn rule_3_quota(facts: &Facts<'_>) -> Option<ErrorKind> {
    let named = facts.named(&[
        "insufficient_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
    ]);
    let says = facts.says(&[
        "credit balance is too low",
        "spending limit",
        "spend limit",
        "used all available credits",
        "insufficient balance",
    ]);
    (named || (says && !facts.quotes_the_request()) || facts.status == Some(402)).then_some(QuotaExhausted)
}

/// Rule 4: The prompt is longer than the model's window.
fn rule_4_context_length(facts: &Facts<'_>) -> Option<ErrorKind> {
    let named = facts.named(&["context_length_exceeded", "too_many_prompt_tokens"]);
    let says = facts.says(&[
        "context length",
        "context window",
        "prompt is too long",
        "prompt too long",
        "input token count",
        "input tokens exceed",
        "reduce the length",
    ]);
    // Bedrock says "too many tokens" with a 429, and means a rate limit.
    let tokens = facts.says(&["too many tokens"]) && facts.status == Some(400);
    (named || says || tokens).then_some(ContextLengthExceeded)
}

/// Rule 5: One request is above the limit of a whole minute: it says 429 and "try again", but waiting never helps.
fn rule_5_request_over_limit(facts: &Facts<'_>) -> Option<ErrorKind> {
    let over = || {
        let (before, _) = facts.text.split_once("requested")?;
        Some(last_number_after(before, "limit")? < number_after(&facts.text, "requested")?)
    };
    (facts.says(&["request too large"]) || over() == Some(true)).then_some(ContextLengthExceeded)
}

/// Rule 6: The provider's filter refused the prompt or the answer.
fn rule_6_content_filter(facts: &Facts<'_>) -> Option<ErrorKind> {
    facts
        .named(&[
            "content_filter",
            "content_policy_violation",
            "invalid_prompt",
            "ResponsibleAIPolicyViolation",
        ])
        .then_some(ContentFiltered)
}

/// Rule 7: The key is wrong, at any status: Gemini and xAI answer one with 400.
fn rule_7_authentication(facts: &Facts<'_>) -> Option<ErrorKind> {
    let says = facts.says(&["incorrect api key", "api key not valid", "invalid x-api-key"]);
    let says = says && !facts.quotes_the_request();
    (facts.status == Some(401) || facts.named(&["invalid_api_key"]) || says).then_some(Authentication)
}

/// Rule 8: The model is unknown, at any status: OpenAI's Responses and Bedrock answer that with 400.
fn rule_8_model(facts: &Facts<'_>) -> Option<ErrorKind> {
    let named = facts.named(&["model_not_found", "DeploymentNotFound"]);
    let says = facts.says(&["model identifier is invalid"]);
    (facts.status == Some(404) || named || says).then_some(ModelNotFound)
}

/// Rule 9: The statuses that mean one thing each.
fn rule_9_status(facts: &Facts<'_>) -> Option<ErrorKind> {
    match facts.status? {
        403 => Some(PermissionDenied),
        413 => Some(InvalidRequest),
        429 => Some(RateLimited),
        _ => None,
    }
}

/// Rule 10: The provider is overloaded, or failed, or else the request is at fault. Within a stream, where the request was
/// accepted, an error that says nothing else is the provider's.
fn rule_10_server(facts: &Facts<'_>) -> Option<ErrorKind> {
    if facts.named(&["server_is_overloaded", "overloaded_error", "service_unavailable_error"]) {
        return Some(Overloaded);
    }
    Some(match facts.status? {
        503 | 529 => Overloaded,
        400..=499 => InvalidRequest,
        _ => ServerError,
    })
}

impl Facts<'_> {
    /// Whether the error has one of these codes or types.
    fn named(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.body.is_named(name))
    }

    /// Whether the message has one of these phrases.
    fn says(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.text.contains(phrase))
    }

    /// Whether the error is about a parameter, whose value the message may quote ("Invalid value: '…'"). What a caller wrote
    /// there must not be read as the provider's word on the account: a deployment would be taken from all callers for it.
    fn quotes_the_request(&self) -> bool {
        self.body.param().is_some()
    }
}

/// The number after the last of these words that has one: "Limit 7000", "limit: 10000".
fn last_number_after(text: &str, word: &str) -> Option<u64> {
    text.rmatch_indices(word).find_map(|(at, word)| leading_number(&text[at + word.len()..]))
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    text.match_indices(word).find_map(|(at, word)| leading_number(&text[at + word.len()..]))
}

/// The number at the start, after a colon, spaces or a tilde.
fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim_start_matches([':', ' ', '~']);
    let digits: String =
        text.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(|c| *c != ',').collect();
    digits.parse().ok()
}

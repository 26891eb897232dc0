//! How hard a model thinks.
//!
//! | `reasoning_effort` | 2.5 Flash, Flash-Lite | 2.5 Pro | 3 and later, Pro | 3 and later, others |
//! | --- | --- | --- | --- | --- |
//! | none | budget 0 | budget 128, its least | LOW, its least | MINIMAL, its least |
//! | minimal | 1024 | 1024 | LOW | MINIMAL |
//! | low | 1024 | 1024 | LOW | LOW |
//! | medium | 8192 | 8192 | MEDIUM (`gemini-3-pro`: HIGH) | MEDIUM |
//! | high | 24576 | 24576 | HIGH | HIGH |
//! | xhigh, max | 24576, its most | 32768, its most | HIGH | HIGH |
//!
//! The budgets are those of Google's own OpenAI dialect. Models before 2.5 do not think and refuse the
//! setting: for them the effort is dropped. With any effort but none the thoughts are asked for
//! (`includeThoughts`).

use mainstay_provider_core::Error;
use serde_json::{Value, json};

use crate::translate::invalid;

/// How the names of models begin that do not think. `gemini-pro` is the first one of all.
const WITHOUT_THINKING: [&str; 6] =
    ["gemini-1", "gemini-2.0", "gemini-2.5-flash-image", "gemini-pro", "gemma", "learnlm"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Max,
}

/// Which generation of models this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Models that do not think: before 2.5, Gemma, LearnLM.
    Before25,
    /// 2.5: thinks within a budget of tokens.
    V25 { pro: bool },
    /// 3 and later: thinks at a level.
    V3 { pro: bool },
    /// A name that tells no version, of a tuned model or an endpoint: taken for a new one.
    Unknown,
}

impl Family {
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        let pro = name.split(['-', '.', '@', ':']).any(|word| word == "pro");
        if WITHOUT_THINKING.iter().any(|old| name.starts_with(old)) && !name.starts_with("gemini-pro-latest")
        {
            Self::Before25
        } else if name.starts_with("gemini-2") {
            Self::V25 { pro }
        } else if name.starts_with("gemini-") {
            Self::V3 { pro }
        } else {
            Self::Unknown
        }
    }

    /// Whether a function call in the history must carry the signature of the thought that led to it.
    pub(super) fn needs_signatures(self) -> bool {
        matches!(self, Self::V3 { .. })
    }
}

/// The `thinkingConfig` for an effort; `None` where the model has none.
pub(super) fn config(effort: &str, model: &str) -> Result<Option<Value>, Error> {
    let effort = match effort {
        "none" => Effort::None,
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        "xhigh" | "max" => Effort::Max,
        other => {
            let message = format!(
                "reasoning_effort {other:?} is unknown; take none, minimal, low, medium, high, xhigh or max"
            );
            return Err(invalid("reasoning_effort", message));
        }
    };
    let mut config = match Family::of(model) {
        Family::Before25 => return Ok(None),
        Family::V25 { pro } => json!({ "thinkingBudget": budget(effort, pro) }),
        Family::V3 { pro } => json!({ "thinkingLevel": level(effort, pro, model) }),
        Family::Unknown => json!({ "thinkingLevel": level(effort, true, model) }),
    };
    if effort != Effort::None {
        config["includeThoughts"] = true.into();
    }
    Ok(Some(config))
}

fn budget(effort: Effort, pro: bool) -> u32 {
    match effort {
        Effort::None if pro => 128,
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::Max if pro => 32_768,
        Effort::High | Effort::Max => 24_576,
    }
}

fn level(effort: Effort, pro: bool, model: &str) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal if pro => "LOW",
        Effort::None | Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        // The first Pro of the third generation knows only LOW and HIGH.
        Effort::Medium if model.contains("gemini-3-pro") => "HIGH",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::Max => "HIGH",
    }
}

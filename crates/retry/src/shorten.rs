//! Conversations that are longer than the model's window: the oldest turns are left out.

mod figures;
mod summary;
mod turns;

use mainstay_provider_core::{Call, Error, Message};

pub use self::summary::Summariser;
use crate::config::RetryConfig;

/// What is done with a conversation that is longer than the model's window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shorten {
    /// Nothing: the caller gets the error.
    #[default]
    Off,
    /// The oldest turns are left out, and the call is sent again, at most twice. Instructions (system and developer
    /// messages), the last user turn, and what belongs together (a tool call and its results) stay.
    DropOldest,
}

/// A call with a shorter conversation.
pub(crate) struct Shorter {
    pub(crate) call: Call,
    /// How many messages are missing.
    pub(crate) left_out: u32,
    pub(crate) summarised: bool,
}

/// The call with as much of its conversation as fits by the figures of `error`; `None` when nothing can be left out.
pub(crate) async fn shortened(config: &RetryConfig, call: &Call, error: &Error) -> Option<Shorter> {
    let request = call.request();
    let room = config.summariser.as_ref().map_or(0, Summariser::room);
    let sizes: Vec<u64> = request.messages.iter().map(turns::size).collect();
    let around = request.tools.iter().map(turns::size_of_tool).sum::<u64>();
    let size = sizes.iter().sum::<u64>() + around;
    let share = figures::share(error.message(), size / BYTES_OF_A_TOKEN, request.max_output_tokens());
    let most = part(size, share.unwrap_or(WITHOUT_FIGURES)).saturating_sub(around + room);

    let left_out = turns::left_out(&request.messages, &sizes, most);
    if left_out.is_empty() {
        return None;
    }
    let summary = match &config.summariser {
        Some(summariser) => summariser.sum_up(call, &left_out).await,
        None => None,
    };
    let summarised = summary.is_some();
    let mut shorter = call.clone();
    let messages = &mut shorter.request_mut().messages;
    leave_out(messages, &left_out);
    if let Some(summary) = summary {
        let place = messages.iter().position(|message| !message.role.is_instruction());
        messages.insert(place.unwrap_or(messages.len()), summary);
    }
    let left_out = u32::try_from(left_out.len()).unwrap_or(u32::MAX);
    Some(Shorter { call: shorter, left_out, summarised })
}

/// Removes the messages at these places, which are in order.
fn leave_out(messages: &mut Vec<Message>, left_out: &[usize]) {
    let mut at = 0;
    messages.retain(|_| {
        at += 1;
        left_out.binary_search(&(at - 1)).is_err()
    });
}

/// The share of a number of bytes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of it is not larger")]
fn part(of: u64, share: f64) -> u64 {
    (of as f64 * share.clamp(0.0, 1.0)) as u64
}

/// The usual estimate; only ratios of it are used, but where a message names an excess alone.
const BYTES_OF_A_TOKEN: u64 = 4;
/// What stays when the provider does not say how long is too long.
const WITHOUT_FIGURES: f64 = 0.7;

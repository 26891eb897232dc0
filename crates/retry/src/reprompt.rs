//! Tool calls that cannot be read: seen in an answer, told to the model.

use mainstay_provider_core::chat::ToolCall;
use mainstay_provider_core::{Call, Error, ErrorKind, FinishReason, Message, Reply};

use crate::strict;

/// The error for a whole answer with a tool call whose arguments are not JSON. Cheap where no tools are on offer, since
/// each answer is asked. A stream has begun, and what has begun is not touched (T6).
pub(crate) fn unreadable(call: &Call, reply: &Reply) -> Option<Error> {
    if call.request().tools.is_empty() {
        return None;
    }
    let answer = reply.answer()?;
    let message = answer.choices.iter().find_map(|choice| {
        // Cut off at its longest length: the same would be cut off again.
        let cut = choice.finish_reason == Some(FinishReason::Length);
        choice.message.tool_calls.iter().filter(|_| !cut).find_map(problem)
    })?;
    let head = &reply.head;
    Some(Error::new(ErrorKind::MalformedToolCall, message).at(head.provider.clone(), head.model.clone()))
}

fn problem(call: &ToolCall) -> Option<String> {
    let function = call.function.as_ref()?;
    let error = function.parse_arguments().err()?;
    let name = clipped(&function.name, 100);
    Some(format!("the arguments of the call of `{name}` are not valid JSON: {error}"))
}

/// The call with the problem told to the model, and with tools that are followed to the letter where they can be.
pub(crate) fn with_problem(call: &Call, error: &Error) -> Call {
    let mut repaired = call.clone();
    let request = repaired.request_mut();
    let problem = clipped(error.message(), 1_000);
    request.messages.push(Message::user(format!(
        "Your last answer could not be used: {problem}\nAnswer again. If you call a tool, its arguments must be one \
         valid JSON object that follows the tool's schema."
    )));
    request.tools.iter_mut().for_each(strict::make_strict);
    repaired
}

/// The answer with the tokens of the one that could not be used: both were paid for.
pub(crate) fn with_usage_of(mut reply: Reply, unusable: &Reply) -> Reply {
    if let Some(spent) = unusable.usage()
        && let Some(answer) = reply.answer_mut()
        && let Some(usage) = answer.usage()
    {
        answer.usage = Some((usage + spent).into());
    }
    reply
}

fn clipped(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

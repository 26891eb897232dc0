//! Which messages of a conversation can be left out.

use mainstay_provider_core::chat::{Content, Part, Tool};
use mainstay_provider_core::{Message, chat::Role};

/// The places of the messages that are left out, oldest first, until the others are at most `most` long. It may not get
/// there: what must stay stays. Empty when nothing can be left out.
pub(super) fn left_out(messages: &[Message], sizes: &[u64], most: u64) -> Vec<usize> {
    let mut left = sizes.iter().sum::<u64>();
    let mut out = Vec::new();
    for unit in units(messages) {
        // At least one: the provider says that all of it is too long, whatever we count.
        if left <= most && !out.is_empty() {
            break;
        }
        left = left.saturating_sub(unit.iter().map(|at| sizes[*at]).sum());
        out.extend(unit);
    }
    out.sort_unstable();
    out
}

/// What can be left out, oldest first, and each only as a whole: turns before the last one; then of the last one,
/// which may be a long chain of tool calls, its steps but for the newest.
fn units(messages: &[Message]) -> Vec<Vec<usize>> {
    let mut turns = turns(messages);
    let last = turns.iter().rposition(|turn| turn.first().is_some_and(|step| step.is_user));
    let last = last.unwrap_or(turns.len().saturating_sub(1));
    let rest = turns.split_off(last.min(turns.len()));
    let whole = |turn: Vec<Step>| turn.into_iter().flat_map(|step| step.places).collect();
    let mut units: Vec<Vec<usize>> = turns.into_iter().map(whole).collect();
    let steps: Vec<Step> = rest.into_iter().flatten().filter(|step| !step.is_user).collect();
    let but_newest = steps.len().saturating_sub(1);
    units.extend(steps.into_iter().take(but_newest).map(|step| step.places));
    units
}

/// One message, and what belongs to it: the results of its tool calls.
struct Step {
    places: Vec<usize>,
    is_user: bool,
}

/// The conversation without its instructions: each turn begins where the user begins to speak.
fn turns(messages: &[Message]) -> Vec<Vec<Step>> {
    let mut turns: Vec<Vec<Step>> = Vec::new();
    let mut user_speaks = false;
    for (at, message) in messages.iter().enumerate() {
        if message.role.is_instruction() {
            continue;
        }
        let is_user = message.role == Role::User;
        let step = Step { places: vec![at], is_user };
        match turns.last_mut() {
            Some(turn) if !is_user || user_speaks => match turn.last_mut() {
                Some(before) if is_result(message) => before.places.push(at),
                _ => turn.push(step),
            },
            _ => turns.push(vec![step]),
        }
        user_speaks = is_user;
    }
    turns
}

/// Whether a message answers a tool call; `function` is the role that it had before there were tools.
fn is_result(message: &Message) -> bool {
    matches!(message.role, Role::Tool | Role::Other(_))
}

/// How long a message is, in bytes of text.
pub(super) fn size(message: &Message) -> u64 {
    let content = message.content.as_ref().map_or(0, size_of_content);
    let calls = message.tool_calls.iter().filter_map(|call| call.function.as_ref());
    let calls = calls.map(|function| bytes(&function.name) + bytes(&function.arguments)).sum::<u64>();
    let reasoning = message.reasoning_content.as_deref().map_or(0, bytes);
    let blocks = message.thinking_blocks.iter().filter_map(|block| block.thinking.as_deref());
    // Signed blocks repeat the plain reasoning; the longer of the two counts.
    AROUND + content + calls + reasoning.max(blocks.map(bytes).sum())
}

/// How long the description of a tool is.
pub(super) fn size_of_tool(tool: &Tool) -> u64 {
    let Some(function) = &tool.function else { return AROUND };
    let parameters = function.parameters.as_ref().map_or(0, |parameters| bytes(&parameters.to_string()));
    AROUND + bytes(&function.name) + function.description.as_deref().map_or(0, bytes) + parameters
}

fn size_of_content(content: &Content) -> u64 {
    match content {
        Content::Text(text) => bytes(text),
        Content::Parts(parts) => parts.iter().map(size_of_part).sum(),
    }
}

fn size_of_part(part: &Part) -> u64 {
    match part {
        Part::Text(part) => bytes(&part.text),
        Part::Refusal(part) => bytes(&part.refusal),
        // The bytes of an image say nothing about its tokens: about a thousand, whatever its size.
        _ => 4_000,
    }
}

fn bytes(text: &str) -> u64 {
    text.len() as u64
}

/// What a message costs besides its words: about four tokens.
const AROUND: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_provider_core::chat::{ThinkingBlock, ToolCall};

    fn calls(id: &str) -> Message {
        Message {
            tool_calls: vec![ToolCall::function(id, "look_up", "{}")],
            ..Message::empty(Role::Assistant)
        }
    }

    fn result(id: &str) -> Message {
        Message::tool(id, "found")
    }

    /// Leaves out until nothing more can be: which places stay.
    fn stays(messages: &[Message]) -> Vec<usize> {
        let sizes: Vec<u64> = messages.iter().map(size).collect();
        let out = left_out(messages, &sizes, 0);
        (0..messages.len()).filter(|at| !out.contains(at)).collect()
    }

    // S2.1
    #[test]
    fn instructions_and_the_last_user_turn_stay() {
        let messages = [
            Message::system("rules"),
            Message::user("first"),
            Message::assistant("answer"),
            Message::new(Role::Developer, "more rules"),
            Message::user("second"),
            Message::assistant("answer"),
            Message::user("last"),
        ];
        assert_eq!(stays(&messages), [0, 3, 6]);
    }

    #[test]
    fn what_the_user_says_in_several_messages_is_one_turn() {
        let messages = [
            Message::user("old"),
            Message::assistant("answer"),
            Message::user("a document"),
            Message::user("a question on it"),
        ];
        assert_eq!(stays(&messages), [2, 3]);
    }

    #[test]
    fn a_tool_call_and_its_results_go_together_and_the_newest_stay() {
        let messages = [
            Message::user("old"),
            calls("1"),
            result("1"),
            Message::assistant("answer"),
            Message::user("last"),
            calls("2"),
            result("2"),
            result("2b"),
            calls("3"),
            result("3"),
        ];
        assert_eq!(stays(&messages), [4, 8, 9]);
        let sizes: Vec<u64> = messages.iter().map(size).collect();
        let all = sizes.iter().sum::<u64>();
        let old = sizes[..4].iter().sum::<u64>();
        assert_eq!(left_out(&messages, &sizes, all - old), [0, 1, 2, 3]);
        assert_eq!(left_out(&messages, &sizes, all - old - 1), [0, 1, 2, 3, 5, 6, 7]);
    }

    #[test]
    fn no_more_is_left_out_than_must_be_and_at_least_one_turn() {
        let messages: Vec<Message> = (0..10)
            .flat_map(|_| [Message::user("x".repeat(84)), Message::assistant("y".repeat(84))])
            .collect();
        let sizes: Vec<u64> = messages.iter().map(size).collect();
        assert_eq!(left_out(&messages, &sizes, 2_000).len(), 2);
        assert_eq!(left_out(&messages, &sizes, 1_800).len(), 2);
        assert_eq!(left_out(&messages, &sizes, 1_799).len(), 4);
    }

    #[test]
    fn a_conversation_of_one_turn_cannot_be_shortened() {
        assert!(units(&[]).is_empty());
        assert!(units(&[Message::system("rules")]).is_empty());
        assert!(units(&[Message::system("rules"), Message::user("only")]).is_empty());
        assert!(units(&[Message::user("only"), calls("1"), result("1")]).is_empty());
        assert!(units(&[Message::assistant("only")]).is_empty());
        assert!(units(&[result("lost")]).is_empty());
    }

    #[test]
    fn everything_that_is_sent_counts() {
        let mut message = calls("1");
        assert_eq!(size(&message), 16 + 7 + 2);
        message.reasoning_content = Some("x".repeat(50));
        message.thinking_blocks = vec![ThinkingBlock::thinking("x".repeat(60), None)];
        assert_eq!(size(&message), 16 + 7 + 2 + 60);
        let tool = Tool::function("look_up", "Looks it up.", serde_json::json!({"type": "object"}));
        assert_eq!(size_of_tool(&tool), 16 + 7 + 12 + 17);
        assert_eq!(size(&Message::user(vec![Part::text("one"), Part::text("two")])), 16 + 6);
    }

    #[test]
    fn an_image_counts_as_one_whatever_its_bytes() {
        let image =
            Message::user(vec![Part::image("data:image/png;base64,".to_owned() + &"A".repeat(1_000_000))]);
        assert_eq!(size(&image), 4_016);
    }

    // Whatever the conversation: order, instructions, the last user turn, and calls with their results
    #[test]
    fn what_stays_of_a_random_conversation_can_be_sent() {
        for seed in 0..2_000 {
            let mut chance = fastrand::Rng::with_seed(seed);
            let mut messages = Vec::new();
            for turn in 0..chance.usize(1..8) {
                if chance.u8(0..5) == 0 {
                    messages.push(Message::system("rules"));
                }
                messages.push(Message::user("q".repeat(chance.usize(0..200))));
                for step in 0..chance.usize(0..4) {
                    let id = format!("{turn}-{step}");
                    messages.extend([calls(&id), result(&id)]);
                }
                if chance.bool() {
                    messages.push(Message::assistant("a".repeat(chance.usize(0..200))));
                }
            }
            let sizes: Vec<u64> = messages.iter().map(size).collect();
            let most = chance.u64(0..=sizes.iter().sum());
            let out = left_out(&messages, &sizes, most);
            assert!(out.is_sorted());
            let stays: Vec<&Message> = messages
                .iter()
                .enumerate()
                .filter(|(at, _)| !out.contains(at))
                .map(|(_, message)| message)
                .collect();
            let count = |messages: &[&Message]| messages.iter().filter(|m| m.role.is_instruction()).count();
            assert_eq!(count(&stays), count(&messages.iter().collect::<Vec<_>>()), "seed {seed}");
            let last = messages.iter().rposition(|message| message.role == Role::User).unwrap();
            assert!(!out.contains(&last), "seed {seed}");
            let called = |m: &&Message| m.tool_calls.iter().map(|call| call.id.clone()).collect::<Vec<_>>();
            let ids: Vec<String> = stays.iter().flat_map(called).collect();
            let answered: Vec<String> = stays.iter().filter_map(|m| m.tool_call_id.clone()).collect();
            assert_eq!(ids, answered, "seed {seed}");
            let speaks = stays.iter().find(|message| !message.role.is_instruction()).unwrap();
            assert_eq!(speaks.role, Role::User, "seed {seed}");
        }
    }
}

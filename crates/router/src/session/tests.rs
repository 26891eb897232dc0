use mainstay_provider_core::{ChatRequest, Namespace};

use super::*;

fn call(messages: Vec<Message>) -> Call {
    Call::new(ChatRequest::new("m", messages))
}

fn conversation(turns: usize) -> Call {
    let mut messages = vec![Message::system("You are a sailor."), Message::user("What is a mainstay?")];
    for turn in 0..turns {
        messages.extend([Message::assistant("A rope."), Message::user(format!("And then? {turn}"))]);
    }
    call(messages)
}

#[test]
fn a_conversation_keeps_its_key_as_it_grows() {
    let key = |turns| session_key(&conversation(turns), "session");
    assert_eq!(key(0), key(7));
    let other = call(vec![Message::system("You are a sailor."), Message::user("What is a mast?")]);
    assert_ne!(key(0), session_key(&other, "session"));
}

#[test]
fn what_the_caller_names_goes_first() {
    let mut by_user = conversation(0);
    by_user.request_mut().user = Some("alice".into());
    let mut by_cache_key = by_user.clone();
    by_cache_key.request_mut().extra.insert("prompt_cache_key", "k");
    let mut by_property = by_cache_key.clone();
    by_property.context_mut().properties.insert("session".into(), "s".into());

    let calls = [conversation(0), by_user.clone(), by_cache_key, by_property];
    let mut keys: Vec<_> = calls.iter().map(|call| session_key(call, "session")).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4);

    let mut same_user = call(vec![Message::user("something else")]);
    same_user.request_mut().user = Some("alice".into());
    assert_eq!(session_key(&same_user, "session"), session_key(&by_user, "session"));
}

#[test]
fn two_tenants_never_share_a_session() {
    let mut one = conversation(0);
    one.context_mut().namespace = Namespace::new("one");
    assert_ne!(session_key(&one, "session"), session_key(&conversation(0), "session"));
}

#[test]
fn sessions_are_remembered_for_an_hour() {
    let sessions = Sessions::new();
    sessions.note(7 << 40, 3, 100);
    assert_eq!(sessions.last(7 << 40, 150), Some((3, 48)));
    assert_eq!(sessions.last(8 << 40, 150), None);
    assert_eq!(sessions.last(7 << 40, 100 + 3_700), None);
    sessions.note(7 << 40, 1, 200);
    assert_eq!(sessions.last(7 << 40, 200).map(|(member, _)| member), Some(1));
}

#[test]
fn of_too_many_sessions_the_oldest_is_forgotten() {
    let sessions = Sessions::new();
    // All of one set.
    let key = |number: u64| (number + 1) << 40;
    for number in 0..WAYS as u64 {
        sessions.note(key(number), 0, number * 10);
    }
    sessions.note(key(0), 0, 100);
    sessions.note(key(9), 0, 110);
    let kept: Vec<_> =
        [0, 1, 2, 3, 9].into_iter().filter(|n| sessions.last(key(*n), 110).is_some()).collect();
    assert_eq!(kept, [0, 2, 3, 9]);
}

#[test]
fn no_entry_reads_as_none() {
    let sessions = Sessions::new();
    assert_eq!(sessions.last(0, 0), None);
    sessions.note(0, 0, 0);
    assert_eq!(sessions.last(0, 0), Some((0, 0)));
}

//! From pieces to the whole, and back.
#![allow(clippy::unwrap_used)]

use mainstay_provider_core::chat::{Assembler, Content, FunctionCall, Message, Part, Role, replay};
use mainstay_provider_core::test_kit::Generator;
use mainstay_provider_core::{ChatChunk, ChatResponse, FinishReason};
use proptest::prelude::*;
use serde_json::{Value, json};

fn assemble(chunks: &[ChatChunk]) -> ChatResponse {
    let mut whole = Assembler::default();
    chunks.iter().for_each(|chunk| whole.push(chunk));
    whole.finish()
}

fn of_deltas(deltas: Value) -> Value {
    let chunks: Vec<ChatChunk> = deltas
        .as_array()
        .unwrap()
        .iter()
        .map(|delta| serde_json::from_value(json!({"choices": [{"index": 0, "delta": delta}]})).unwrap())
        .collect();
    serde_json::to_value(&assemble(&chunks).choices[0].message).unwrap()
}

proptest! {
    #[test]
    fn the_chunks_of_an_answer_make_the_answer_again(seed: u64) {
        let answer: ChatResponse = serde_json::from_value(Generator::new(seed).response()).unwrap();
        let chunks = replay(answer.clone());
        prop_assert_eq!(&assemble(&chunks), &answer);
        // And over the wire.
        let printed: Vec<ChatChunk> =
            chunks.iter().map(|chunk| serde_json::from_str(&serde_json::to_string(chunk).unwrap()).unwrap()).collect();
        prop_assert_eq!(&assemble(&printed), &answer);
    }

    #[test]
    fn any_chunks_make_some_answer(seed: u64, count in 0..20usize) {
        let mut generator = Generator::new(seed);
        let chunks: Vec<ChatChunk> =
            (0..count).map(|_| serde_json::from_value(generator.chunk()).unwrap()).collect();
        let whole = assemble(&chunks);
        let text: String = chunks.iter().map(ChatChunk::text).collect();
        let first = whole.choices.iter().find(|choice| choice.index == 0);
        prop_assert_eq!(first.map_or(String::new(), |choice| choice.message.text().into_owned()), text);
        // Put together again it is the same.
        prop_assert_eq!(assemble(&replay(whole.clone())), whole);
    }
}

#[test]
fn an_answer_in_parts_keeps_its_parts() {
    let parts = vec![Part::text("a"), Part::image("data:image/png;base64,AA=="), Part::text("b")];
    let mut message = Message::assistant(Content::Parts(parts));
    message.name = Some("n".into());
    let answer = ChatResponse::new("m", message, FinishReason::Stop);
    let chunks = replay(answer.clone());
    assert_eq!(chunks[0].text(), "ab", "who reads only text gets all of it");
    assert_eq!(assemble(&chunks), ChatResponse { object: "chat.completion".into(), ..answer });
}

#[test]
fn answers_that_share_a_number_do_not_run_into_one() {
    let mut answer = ChatResponse::new("m", Message::assistant("a"), FinishReason::Stop);
    answer.choices.push(answer.choices[0].clone());
    let whole = assemble(&replay(answer));
    assert_eq!(
        whole
            .choices
            .iter()
            .map(|choice| (choice.index, choice.message.text().into_owned()))
            .collect::<Vec<_>>(),
        [(0, "a".to_owned()), (1, "a".to_owned())]
    );
}

#[test]
fn tool_calls_are_put_together_by_their_index_whatever_the_order_and_the_gaps() {
    let message = of_deltas(json!([
        {"tool_calls": [{"index": 4, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\""}}]},
        {"tool_calls": [{"index": 4, "function": {"arguments": "{}"}}, {"index": 1, "function": {"arguments": ":1}"}}]},
        // Some servers repeat id, type and name in every piece, or send them empty.
        {"tool_calls": [{"index": 1, "id": "a", "type": "", "function": {"name": "f", "arguments": ""}}]},
    ]));
    assert_eq!(
        message["tool_calls"],
        json!([{"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
               {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}])
    );
}

#[test]
fn signed_reasoning_is_put_together_by_its_index() {
    let message = of_deltas(json!([
        {"reasoning_content": "th", "thinking_blocks": [{"type": "thinking", "index": 0, "thinking": "th"}]},
        {"reasoning_content": "ink", "thinking_blocks": [{"type": "thinking", "index": 0, "thinking": "ink"}]},
        {"thinking_blocks": [{"type": "thinking", "index": 0, "signature": "s"}]},
        {"thinking_blocks": [{"type": "redacted_thinking", "index": 1, "data": "d"}]},
        {"content": "so"},
    ]));
    assert_eq!(
        message,
        json!({"role": "assistant", "content": "so", "reasoning_content": "think", "thinking_blocks": [
            {"type": "thinking", "thinking": "think", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]})
    );
}

#[test]
fn what_is_known_to_come_in_pieces_under_other_names_is_joined() {
    let message = of_deltas(json!([
        {"reasoning": "a", "reasoning_details": [1], "audio": {"id": "x", "data": "AA", "transcript": "one "}},
        {"reasoning": "b", "reasoning_details": [2], "audio": {"data": "BB", "transcript": "two", "expires_at": 7}},
        {"reasoning": null, "function_call": {"name": "f", "arguments": "{"}},
        {"function_call": {"arguments": "}"}, "other": "x"},
        {"other": "y"},
    ]));
    assert_eq!(
        message,
        json!({"role": "assistant", "content": null, "reasoning": "ab", "reasoning_details": [1, 2],
               "audio": {"id": "x", "data": "AABB", "transcript": "one two", "expires_at": 7},
               "function_call": {"name": "f", "arguments": "{}"}, "other": "y"})
    );
}

#[test]
fn members_that_repeat_in_each_chunk_stay_one_and_null_takes_nothing_away() {
    let chunk = |extra: Value| -> ChatChunk {
        let mut chunk = json!({"id": "1", "model": "m", "choices": []});
        chunk.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(chunk).unwrap()
    };
    let whole = assemble(&[
        chunk(json!({"system_fingerprint": "fp", "reasoning": "low", "created": 5})),
        chunk(json!({"system_fingerprint": "fp", "reasoning": "low", "service_tier": "flex"})),
        chunk(json!({"service_tier": null})),
    ]);
    assert_eq!(
        serde_json::to_value(whole.extra.iter().collect::<std::collections::BTreeMap<_, _>>()).unwrap(),
        json!({"system_fingerprint": "fp", "reasoning": "low", "service_tier": "flex"})
    );
    assert_eq!((whole.created, whole.object.as_str()), (5, "chat.completion"));
}

#[test]
fn token_probabilities_are_appended() {
    let chunks: Vec<ChatChunk> =
        [json!({"content": [1]}), json!({"content": [2], "refusal": null}), json!({"refusal": [3]})]
            .into_iter()
            .map(|logprobs| {
                serde_json::from_value(json!({"choices": [{"delta": {}, "logprobs": logprobs}]})).unwrap()
            })
            .collect();
    assert_eq!(assemble(&chunks).choices[0].logprobs, Some(json!({"content": [1, 2], "refusal": [3]})));
}

#[test]
fn nothing_makes_an_empty_answer() {
    assert!(Assembler::default().is_empty());
    assert_eq!(assemble(&[]), ChatResponse::empty(""));
    let chunks = replay(ChatResponse { id: "1".into(), ..ChatResponse::empty("m") });
    assert_eq!((chunks.len(), assemble(&chunks).id.as_str()), (1, "1"));
}

#[test]
fn choices_come_in_the_order_of_their_numbers() {
    let chunk: ChatChunk = serde_json::from_value(json!({"choices": [
        {"index": 2, "delta": {"content": "c"}}, {"index": 0, "delta": {"content": "a", "role": "assistant"}}]}))
    .unwrap();
    let whole = assemble(&[chunk]);
    assert_eq!(whole.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!((whole.text().as_ref(), &whole.choices[0].message.role), ("a", &Role::Assistant));
}

#[test]
fn arguments_read_as_json_and_nothing_means_none() {
    let call = |arguments: &str| FunctionCall {
        name: "f".into(),
        arguments: arguments.into(),
        extra: Default::default(),
    };
    assert_eq!(call("").parse_arguments().unwrap(), json!({}));
    assert_eq!(call(" \n").parse_arguments().unwrap(), json!({}));
    assert_eq!(call("{\"a\":1}").parse_arguments().unwrap(), json!({"a": 1}));
    assert!(call("{").parse_arguments().is_err());
}

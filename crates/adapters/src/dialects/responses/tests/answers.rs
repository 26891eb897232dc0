use mainstay_provider_core::ErrorKind;
use serde_json::json;

use super::{call, message, openai, read, reasoning, response};

#[test]
fn an_answer_is_its_text_its_reasoning_its_end_and_its_usage() {
    let answer = read(json!([reasoning(), message("Sunny.")]), "completed");
    let said = &answer["choices"][0]["message"];
    assert_eq!(said["content"], "Sunny.");
    assert_eq!(said["reasoning_content"], "First.\n\nThen.");
    let block = &said["thinking_blocks"][0];
    assert_eq!((&block["signature"], &block["id"]), (&json!("c2VjcmV0"), &json!("rs_1")));
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!((&answer["id"], &answer["created"]), (&json!("resp_1"), &json!(1_700_000_000)));
    let usage = &answer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(20), &json!(10)));
    assert_eq!(usage["prompt_tokens_details"], json!({"cached_tokens": 8, "cache_write_tokens": 2}));
    assert_eq!(usage["completion_tokens_details"], json!({"reasoning_tokens": 6}));
}

#[test]
fn calls_decide_the_finish_reason() {
    let answer = read(json!([call("call_1", "{\"city\":\"Bern\"}"), call("call_2", "")]), "completed");
    let calls = &answer["choices"][0]["message"]["tool_calls"];
    assert_eq!(calls[0]["function"], json!({"name": "weather", "arguments": "{\"city\":\"Bern\"}"}));
    assert_eq!(calls[1]["id"], "call_2");
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn an_incomplete_answer_tells_what_cut_it() {
    for (reason, expected) in [("max_output_tokens", "length"), ("content_filter", "content_filter")] {
        let mut cut = response(json!([message("It was a")]), "incomplete");
        cut["incomplete_details"] = json!({"reason": reason});
        let answer = openai().decode_chat(cut.to_string().into(), "gpt-5").unwrap();
        assert_eq!(answer.finish_reason().unwrap().as_str(), expected);
    }
}

#[test]
fn citations_refusals_and_custom_calls_have_their_neutral_places() {
    let citation = json!({"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 3});
    let mut cited = message("See A.");
    cited["content"][0]["annotations"] = json!([citation]);
    let refusal = json!({"type": "refusal", "refusal": "No more."});
    cited["content"].as_array_mut().unwrap().push(refusal);
    let custom = json!({"type": "custom_tool_call", "call_id": "call_9", "name": "math", "input": "1 + 1"});
    let answer = read(json!([cited, custom]), "completed");
    let said = &answer["choices"][0]["message"];
    assert_eq!(said["annotations"][0]["url_citation"]["url"], "https://a.example");
    assert_eq!(said["refusal"], "No more.");
    assert_eq!(said["tool_calls"][0]["custom"], json!({"name": "math", "input": "1 + 1"}));
}

#[test]
fn an_answer_that_failed_is_an_error_though_the_status_was_200() {
    let mut failed = response(json!([]), "failed");
    failed["error"] = json!({"code": "rate_limit_exceeded", "message": "slow down"});
    let error = openai().decode_chat(failed.to_string().into(), "gpt-5").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.message(), "slow down");
    let error = openai().decode_chat("<html>".into(), "gpt-5").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MalformedResponse);
}

#[test]
fn an_answer_in_the_form_of_chat_completions_is_read_as_one() {
    let choice =
        json!({"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"});
    let body =
        json!({"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]});
    assert_eq!(openai().decode_chat(body.to_string().into(), "m").unwrap().text(), "Hi");
}

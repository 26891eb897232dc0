"""The openai package of Python, unmodified, told nothing but the gateway's base URL."""

import json
import math

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from session import BASE_URL, promise, raises, run

client = OpenAI(base_url=BASE_URL, api_key="sk-anything", max_retries=0)

ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "The mast holds the sail"}]


def tool(name, properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


WEATHER = tool("get_weather", {"city": {"type": "string", "enum": ["Bern"]}, "days": {"type": "integer", "minimum": 2}})
CLOCK = tool("get_time", {"zone": {"type": "string", "enum": ["UTC"]}})


@promise
def a_whole_answer_has_text_usage_and_a_finish_reason():
    answer = client.chat.completions.create(model="sim/echo", messages=ASK)
    choice = answer.choices[0]
    assert choice.message.content == "The mast holds the sail", choice
    assert choice.message.role == "assistant" and choice.finish_reason == "stop" and choice.index == 0, choice
    assert answer.object == "chat.completion" and answer.id and isinstance(answer.created, int), answer
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage


@promise
def every_answer_names_its_request():
    raw = client.chat.completions.with_raw_response.create(model="sim/echo", messages=ASK)
    assert raw.headers["content-type"].startswith("application/json"), raw.headers
    assert raw.headers.get("x-request-id") and raw.parse()._request_id == raw.headers["x-request-id"], raw.headers


@promise
def a_stream_adds_up_to_the_same_text_and_ends_with_usage():
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="sim/echo", messages=ASK, stream=True, stream_options=options))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "The mast holds the sail", text
    assert len(chunks) > 4, "more than one event for more than one word"
    assert len({c.id for c in chunks}) == 1 and all(c.object == "chat.completion.chunk" for c in chunks)
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert reasons == ["stop"], reasons
    assert not chunks[-1].choices and chunks[-1].usage.total_tokens > 0, chunks[-1]


@promise
def a_stream_without_include_usage_has_no_chunk_without_choices():
    chunks = list(client.chat.completions.create(model="sim/echo", messages=ASK, stream=True))
    assert chunks and all(c.choices for c in chunks), chunks


@promise
def the_stream_helper_assembles_the_final_completion():
    with client.chat.completions.stream(model="sim/echo", messages=ASK) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "The mast holds the sail"


@promise
def a_caller_may_leave_a_stream_in_the_middle():
    stream = client.chat.completions.create(model="sim/slow", messages=ASK, stream=True)
    next(iter(stream))
    stream.close()
    assert client.chat.completions.create(model="sim/echo", messages=ASK).choices


@promise
async def the_async_client_streams_too():
    async with AsyncOpenAI(base_url=BASE_URL, api_key="sk-anything", max_retries=0) as asynchronous:
        stream = await asynchronous.chat.completions.create(model="sim/slow", messages=ASK, stream=True)
        text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    assert text == "The mast holds the sail", text


@promise
def a_tool_call_has_an_id_a_name_and_arguments_that_parse():
    answer = client.chat.completions.create(model="sim/tools", messages=ASK, tools=[WEATHER])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls", choice
    (call,) = choice.message.tool_calls
    assert call.id and call.type == "function" and call.function.name == "get_weather", call
    assert json.loads(call.function.arguments) == {"city": "Bern", "days": 2}, call


@promise
def a_tool_round_trip_ends_with_text():
    first = client.chat.completions.create(model="sim/tools", messages=ASK, tools=[WEATHER]).choices[0].message
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "sunny"}
    answer = client.chat.completions.create(model="sim/tools", messages=[*ASK, first, result], tools=[WEATHER])
    assert answer.choices[0].finish_reason == "stop" and answer.choices[0].message.content == "sunny", answer


def assembled(stream):
    """Tool calls of a stream, put together by index as callers do."""
    calls, reasons = {}, []
    for chunk in stream:
        for choice in chunk.choices:
            reasons += [choice.finish_reason] if choice.finish_reason else []
            for part in choice.delta.tool_calls or []:
                call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                call["id"] += part.id or ""
                call["name"] += part.function.name or ""
                call["arguments"] += part.function.arguments or ""
    return [calls[index] for index in sorted(calls)], reasons


@promise
def a_streamed_tool_call_adds_up():
    stream = client.chat.completions.create(model="sim/tools", messages=ASK, tools=[WEATHER], stream=True)
    (call,), reasons = assembled(stream)
    assert call["id"] and call["name"] == "get_weather" and reasons == ["tool_calls"], (call, reasons)
    assert json.loads(call["arguments"]) == {"city": "Bern", "days": 2}, call


@promise
def parallel_tool_calls_arrive_whole_and_streamed():
    ask = [{"role": "user", "content": "use all tools"}]
    tools = [WEATHER, CLOCK]
    whole = client.chat.completions.create(model="sim/tools", messages=ask, tools=tools).choices[0].message.tool_calls
    assert [call.function.name for call in whole] == ["get_weather", "get_time"], whole
    assert whole[0].id != whole[1].id, whole
    stream = client.chat.completions.create(model="sim/tools", messages=ask, tools=tools, stream=True)
    calls, _ = assembled(stream)
    assert [call["name"] for call in calls] == ["get_weather", "get_time"], calls
    assert json.loads(calls[1]["arguments"]) == {"zone": "UTC"}, calls


@promise
def parallel_tool_calls_can_be_switched_off():
    ask = [{"role": "user", "content": "use all tools"}]
    answer = client.chat.completions.create(
        model="sim/tools", messages=ask, tools=[WEATHER, CLOCK], parallel_tool_calls=False
    )
    assert len(answer.choices[0].message.tool_calls) == 1, answer


class Trip(BaseModel):
    city: str
    days: int


@promise
def structured_output_is_parsed_into_the_callers_class():
    answer = client.chat.completions.parse(model="sim/json", messages=ASK, response_format=Trip)
    assert isinstance(answer.choices[0].message.parsed, Trip), answer


@promise
def embeddings_come_as_vectors_in_the_order_of_the_texts():
    answer = client.embeddings.create(model="sim/embed", input=["red fox", "blue whale", "red fox"])
    vectors = [item.embedding for item in answer.data]
    assert [item.index for item in answer.data] == [0, 1, 2] and answer.usage.total_tokens > 0, answer.usage
    assert vectors[0] == vectors[2] != vectors[1] and math.isclose(sum(x * x for x in vectors[0]), 1, abs_tol=1e-3)
    floats = client.embeddings.create(model="sim/embed", input="red fox", encoding_format="float").data[0].embedding
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(floats, vectors[0], strict=True))


@promise
def the_models_are_listed():
    names = [model.id for model in client.models.list()]
    assert "sim/echo" in names and len(names) == len(set(names)), names
    assert client.models.retrieve("sim/echo").id == "sim/echo"


ERRORS = {
    "sim/error-400": (openai.BadRequestError, 400, None),
    "sim/error-401": (openai.AuthenticationError, 401, None),
    "sim/error-403": (openai.PermissionDeniedError, 403, None),
    "sim/error-404": (openai.NotFoundError, 404, "model_not_found"),
    "sim/error-429": (openai.RateLimitError, 429, "rate_limit_exceeded"),
    "sim/error-500": (openai.InternalServerError, 500, None),
    "sim/error-503": (openai.InternalServerError, 503, None),
    "sim/error-context": (openai.BadRequestError, 400, "context_length_exceeded"),
    "sim/error-filter": (openai.BadRequestError, 400, "content_filter"),
    "sim/error-quota": (openai.RateLimitError, 429, "insufficient_quota"),
    "no-such-model": (openai.NotFoundError, 404, "model_not_found"),
}


@promise
def each_failure_is_raised_as_the_sdks_own_class_whole_and_streamed():
    for model, (kind, status, code) in ERRORS.items():
        for stream in (False, True):
            error = raises(kind, lambda: client.chat.completions.create(model=model, messages=ASK, stream=stream))
            assert error.status_code == status, (model, stream, error)
            assert error.message and error.type and error.request_id, (model, error.body)
            assert code is None or error.code == code, (model, error.code)


@promise
def bad_input_is_refused_with_the_field_named():
    for body in ({"messages": []}, {"messages": "hello"}, {"messages": [{"role": "user"}], "temperature": "hot"}):
        error = raises(openai.BadRequestError, lambda: client.chat.completions.create(model="sim/echo", **body))
        assert error.type == "invalid_request_error" and error.message, (body, error.body)
    assert "temperature" in error.message or error.param == "temperature", error.body


@promise
def a_stream_that_breaks_off_raises_instead_of_ending():
    stream = client.chat.completions.create(model="sim/cut", messages=ASK, stream=True)
    error = raises(openai.APIError, lambda: list(stream))
    assert error.message, error


@promise
def a_retried_failure_is_still_told_in_the_end():
    patient = client.with_options(max_retries=1)
    raises(openai.InternalServerError, lambda: patient.chat.completions.create(model="sim/error-500", messages=ASK))


run()

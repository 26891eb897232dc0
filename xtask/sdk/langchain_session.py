"""LangChain's ChatOpenAI, unmodified, told nothing but the gateway's base URL."""

import openai
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_openai.chat_models.base import OpenAIContextOverflowError
from pydantic import BaseModel

from session import BASE_URL, promise, raises, run

ASK = [SystemMessage("Be brief."), HumanMessage("The mast holds the sail")]


def chat(model, **settings):
    return ChatOpenAI(model=model, base_url=BASE_URL, api_key="sk-anything", max_retries=0, **settings)


@tool
def get_weather(city: str, days: int) -> str:
    """The weather of the coming days."""
    return f"sunny in {city} for {days} days"


@tool
def get_time(zone: str) -> str:
    """The time of a zone."""
    return f"noon in {zone}"


@promise
def invoke_gives_text_and_usage():
    answer = chat("sim/echo").invoke(ASK)
    assert answer.content == "The mast holds the sail", answer
    assert answer.usage_metadata["total_tokens"] > 0 and answer.response_metadata["finish_reason"] == "stop", answer


@promise
def a_stream_adds_up_and_carries_usage():
    whole = None
    count = 0
    for chunk in chat("sim/echo", stream_usage=True).stream(ASK):
        whole, count = chunk if whole is None else whole + chunk, count + 1
    assert whole.content == "The mast holds the sail" and count > 4, (whole, count)
    assert whole.usage_metadata["output_tokens"] > 0, whole


@promise
async def the_async_paths_work():
    slow = chat("sim/slow")
    text = "".join([chunk.content async for chunk in slow.astream(ASK)])
    assert text == (await slow.ainvoke(ASK)).content == "The mast holds the sail", text


@promise
def a_batch_is_answered_in_order():
    answers = chat("sim/echo").batch(["one", "two", "three"])
    assert [answer.content for answer in answers] == ["one", "two", "three"], answers


@promise
def a_bound_tool_is_called_and_its_result_is_answered():
    model = chat("sim/tools").bind_tools([get_weather])
    first = model.invoke(ASK)
    (call,) = first.tool_calls
    assert call["name"] == "get_weather" and isinstance(call["args"]["days"], int) and call["id"], call
    result = get_weather.invoke(call)
    assert isinstance(result, ToolMessage), result
    assert model.invoke([*ASK, first, result]).content == result.content


@promise
def streamed_tool_calls_add_up_also_in_parallel():
    model = chat("sim/tools").bind_tools([get_weather, get_time])
    whole = None
    for chunk in model.stream("use all tools"):
        whole = chunk if whole is None else whole + chunk
    assert [call["name"] for call in whole.tool_calls] == ["get_weather", "get_time"], whole
    assert not whole.invalid_tool_calls, whole


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int


@promise
def structured_output_becomes_the_callers_class():
    for method in ("json_schema", "function_calling"):
        model = "sim/json" if method == "json_schema" else "sim/tools"
        trip = chat(model).with_structured_output(Trip, method=method).invoke(ASK)
        assert isinstance(trip, Trip), (method, trip)


@promise
def embeddings_are_vectors():
    embeddings = OpenAIEmbeddings(
        model="sim/embed", base_url=BASE_URL, api_key="sk-anything", check_embedding_ctx_length=False
    )
    vectors = embeddings.embed_documents(["red fox", "blue whale"])
    assert len(vectors) == 2 and vectors[0] == embeddings.embed_query("red fox") != vectors[1]


@promise
def failures_are_the_sdks_own_classes():
    kinds = {
        "sim/error-400": openai.BadRequestError,
        "sim/error-401": openai.AuthenticationError,
        "sim/error-404": openai.NotFoundError,
        "sim/error-429": openai.RateLimitError,
        "sim/error-500": openai.InternalServerError,
        "sim/error-503": openai.InternalServerError,
    }
    for model, kind in kinds.items():
        # LangChain makes subclasses of some, to say more.
        raises(kind, lambda: chat(model).invoke(ASK), subclass=True)
        raises(kind, lambda: list(chat(model).stream(ASK)), subclass=True)


@promise
def a_prompt_that_is_too_long_is_known_as_such():
    error = raises(OpenAIContextOverflowError, lambda: chat("sim/error-context").invoke(ASK))
    assert error.code == "context_length_exceeded", error


run()

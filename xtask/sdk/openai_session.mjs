// The openai package of npm, unmodified, told nothing but the gateway's base URL.

import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.MAINSTAY_BASE_URL, apiKey: "sk-anything", maxRetries: 0 });
const chat = (body) => client.chat.completions.create(body);

const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "The mast holds the sail" },
];
const allTools = [{ role: "user", content: "use all tools" }];

const tool = (name, properties) => ({
  type: "function",
  function: {
    name,
    description: name,
    parameters: { type: "object", properties, required: Object.keys(properties), additionalProperties: false },
  },
});
const weather = tool("get_weather", { city: { type: "string", enum: ["Bern"] }, days: { type: "integer", minimum: 2 } });
const clock = tool("get_time", { zone: { type: "string", enum: ["UTC"] } });

/** The error, which must be of this very class. */
async function raises(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.equal(error.constructor, kind, `expected ${kind.name}, got ${error.constructor.name}: ${error}`);
    return error;
  }
  assert.fail(`expected ${kind.name}, nothing was thrown`);
}

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

/** Tool calls of a stream, put together by index as callers do. */
function assembled(chunks) {
  const calls = [];
  for (const part of chunks.flatMap((chunk) => chunk.choices.flatMap((choice) => choice.delta.tool_calls ?? []))) {
    const call = (calls[part.index] ??= { id: "", name: "", arguments: "" });
    call.id += part.id ?? "";
    call.name += part.function?.name ?? "";
    call.arguments += part.function?.arguments ?? "";
  }
  return calls;
}

const errors = [
  ["sim/error-400", OpenAI.BadRequestError, 400],
  ["sim/error-401", OpenAI.AuthenticationError, 401],
  ["sim/error-403", OpenAI.PermissionDeniedError, 403],
  ["sim/error-404", OpenAI.NotFoundError, 404, "model_not_found"],
  ["sim/error-429", OpenAI.RateLimitError, 429, "rate_limit_exceeded"],
  ["sim/error-500", OpenAI.InternalServerError, 500],
  ["sim/error-503", OpenAI.InternalServerError, 503],
  ["sim/error-context", OpenAI.BadRequestError, 400, "context_length_exceeded"],
  ["sim/error-filter", OpenAI.BadRequestError, 400, "content_filter"],
  ["sim/error-quota", OpenAI.RateLimitError, 429, "insufficient_quota"],
  ["no-such-model", OpenAI.NotFoundError, 404, "model_not_found"],
];

const promises = {
  "a whole answer has text, usage and a finish reason": async () => {
    const answer = await chat({ model: "sim/echo", messages });
    assert.equal(answer.choices[0].message.content, "The mast holds the sail");
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.object, "chat.completion");
    assert.ok(answer.usage.total_tokens === answer.usage.prompt_tokens + answer.usage.completion_tokens);
    assert.ok(answer._request_id, "the answer names its request");
  },

  "a stream adds up to the same text and ends with usage": async () => {
    const stream = await chat({ model: "sim/echo", messages, stream: true, stream_options: { include_usage: true } });
    const chunks = await collect(stream);
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), "The mast holds the sail");
    assert.ok(chunks.length > 4 && chunks.every((chunk) => chunk.object === "chat.completion.chunk"));
    const reasons = chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean);
    assert.deepEqual(reasons, ["stop"]);
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
  },

  "a stream without include_usage has no chunk without choices": async () => {
    const chunks = await collect(await chat({ model: "sim/echo", messages, stream: true }));
    assert.ok(chunks.length > 0 && chunks.every((chunk) => chunk.choices.length === 1));
  },

  "the stream helper assembles the final completion": async () => {
    const stream = client.chat.completions.stream({ model: "sim/slow", messages });
    let text = "";
    stream.on("content", (delta) => (text += delta));
    assert.equal(await stream.finalContent(), "The mast holds the sail");
    assert.equal(text, "The mast holds the sail");
  },

  "a caller may leave a stream in the middle": async () => {
    const stream = await chat({ model: "sim/slow", messages, stream: true });
    for await (const _ of stream) break;
    assert.ok((await chat({ model: "sim/echo", messages })).choices.length === 1);
  },

  "a tool call is whole": async () => {
    const [choice] = (await chat({ model: "sim/tools", messages, tools: [weather] })).choices;
    assert.equal(choice.finish_reason, "tool_calls");
    assert.equal(choice.message.tool_calls.length, 1);
    assert.ok(choice.message.tool_calls[0].id);
    assert.deepEqual(JSON.parse(choice.message.tool_calls[0].function.arguments), { city: "Bern", days: 2 });
  },

  "a streamed tool call adds up": async () => {
    const chunks = await collect(await chat({ model: "sim/tools", messages, tools: [weather], stream: true }));
    const [call] = assembled(chunks);
    assert.equal(call.name, "get_weather");
    assert.ok(call.id);
    assert.deepEqual(JSON.parse(call.arguments), { city: "Bern", days: 2 });
  },

  "parallel tool calls arrive whole and streamed, and can be switched off": async () => {
    const ask = { model: "sim/tools", messages: allTools, tools: [weather, clock] };
    const [choice] = (await chat(ask)).choices;
    assert.deepEqual(choice.message.tool_calls.map((call) => call.function.name), ["get_weather", "get_time"]);
    const calls = assembled(await collect(await chat({ ...ask, stream: true })));
    assert.deepEqual(calls.map((call) => call.name), ["get_weather", "get_time"]);
    const single = await chat({ ...ask, parallel_tool_calls: false });
    assert.equal(single.choices[0].message.tool_calls.length, 1);
  },

  "the tool runner goes around to a final text": async () => {
    const seen = [];
    const runnable = structuredClone(weather);
    runnable.function.parse = JSON.parse;
    runnable.function.function = (args) => (seen.push(args), "sunny");
    for (const stream of [false, true]) {
      const runner = client.chat.completions.runTools({ model: "sim/tools", messages, tools: [runnable], stream });
      assert.equal(await runner.finalContent(), "sunny");
    }
    assert.deepEqual(seen, [{ city: "Bern", days: 2 }, { city: "Bern", days: 2 }]);
  },

  "structured output fits its schema": async () => {
    const { parameters: schema } = weather.function;
    const response_format = { type: "json_schema", json_schema: { name: "trip", strict: true, schema } };
    const answer = await client.chat.completions.parse({ model: "sim/json", messages, response_format });
    assert.deepEqual(JSON.parse(answer.choices[0].message.content), { city: "Bern", days: 2 });
  },

  "embeddings come as vectors in the order of the texts": async () => {
    const answer = await client.embeddings.create({ model: "sim/embed", input: ["red fox", "blue whale", "red fox"] });
    const [first, second, third] = answer.data.map((item) => Array.from(item.embedding));
    assert.deepEqual(first, third);
    assert.notDeepEqual(first, second);
    assert.ok(Math.abs(first.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3, "vectors are decoded");
  },

  "the models are listed": async () => {
    const names = (await collect(client.models.list())).map((model) => model.id);
    assert.ok(names.includes("sim/echo"), names.join());
    assert.equal((await client.models.retrieve("sim/echo")).id, "sim/echo");
  },

  "each failure is thrown as the SDK's own class, whole and streamed": async () => {
    for (const [model, kind, status, code] of errors) {
      for (const stream of [false, true]) {
        const error = await raises(kind, () => chat({ model, messages, stream }));
        assert.equal(error.status, status, `${model}: ${error}`);
        assert.ok(error.message && error.type && error.requestID, `${model}: ${JSON.stringify(error.error)}`);
        if (code) assert.equal(error.code, code, model);
      }
    }
  },

  "bad input is refused with the field named": async () => {
    const error = await raises(OpenAI.BadRequestError, () => chat({ model: "sim/echo", messages, temperature: "hot" }));
    assert.ok(error.param === "temperature" || error.message.includes("temperature"), error.message);
  },

  "a stream that breaks off throws instead of ending": async () => {
    const stream = await chat({ model: "sim/cut", messages, stream: true });
    await raises(OpenAI.APIError, () => collect(stream));
  },
};

let failed = 0;
for (const [sentence, check] of Object.entries(promises)) {
  try {
    await check();
    console.log(`ok      ${sentence}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${sentence}\n${error.stack}`);
  }
}
const count = Object.keys(promises).length;
console.log(`${count - failed} of ${count} promises kept`);
process.exitCode = failed ? 1 : 0;

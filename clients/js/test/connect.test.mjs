//! Connecting, reconnecting and ending, against a scripted server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ClientError, connect } from "../dist/index.js";
import { cut, drained, events, held, next, scripted, status, told } from "./server.mjs";

const FAST = { retry: 1 };

test("events come by name, to all, and to a loop", async (t) => {
  const server = await scripted(t, events("retry: 1\nid: 1\nevent: a\ndata: x\n\ndata: y\n\n"), status(204));
  const stream = connect(server.url);
  const heard = [];
  stream.on("a", ({ data }) => heard.push(`a ${data}`));
  stream.on("message", ({ data, id }) => heard.push(`message ${data} ${id}`));
  const stop = stream.on("", ({ event }) => heard.push(`any ${event}`));
  stream.on("message", stop);
  const { data, error } = await drained(stream);
  assert.deepEqual(data, ["x", "y"]);
  assert.equal(error, undefined);
  assert.deepEqual(heard, ["a x", "any a", "message y 1", ]);
  assert.equal(stream.state, "closed");
});

test("a reconnect sends the last id, until 204 ends the stream", async (t) => {
  const server = await scripted(t, events("retry: 1\nid: 1\ndata: a\n\n"), cut("id: 2…é\ndata: b\n\n"), events("data: c\n\n"), status(204));
  const stream = connect(server.url);
  const log = told(stream);
  assert.deepEqual(await drained(stream), { data: ["a", "b", "c"], error: undefined });
  const ids = server.requests.map(({ headers }) => headers["last-event-id"] && Buffer.from(headers["last-event-id"], "latin1").toString());
  assert.deepEqual(ids, [undefined, "1", "2…é", "2…é"]);
  const names = log.map(([name, kind]) => (kind ? `${name} ${kind}` : name));
  assert.deepEqual(names, ["open", "waiting", "open", "waiting network", "open", "waiting", "finished", "end"]);
  assert.equal(server.requests[0].headers.accept, "text/event-stream");
});

test("the id may be given from the beginning", async (t) => {
  const server = await scripted(t, status(204));
  await drained(connect(server.url, { lastEventId: "7" }));
  assert.equal(server.requests[0].headers["last-event-id"], "7");
});

test("method, headers, body and token are asked for before each connection", async (t) => {
  const server = await scripted(t, events("retry: 1\ndata: a\n\n"), status(204));
  let count = 0;
  const stream = connect(server.url, {
    method: "PUT",
    headers: async () => ({ "x-count": String(++count) }),
    body: () => `body ${count}`,
    token: async () => `token ${count}`,
  });
  await drained(stream);
  const seen = server.requests.map(({ method, headers, body }) => [method, headers["x-count"], headers.authorization, body]);
  assert.deepEqual(seen, [["PUT", "1", "Bearer token 1", "body 1"], ["PUT", "2", "Bearer token 2", "body 2"]]);
});

test("a body is posted and plain values are taken too", async (t) => {
  const server = await scripted(t, status(204));
  await drained(connect(server.url, { headers: { "x-a": "b" }, token: "t", body: "{}" }));
  const [{ method, headers, body }] = server.requests;
  assert.deepEqual([method, headers["x-a"], headers.authorization, body], ["POST", "b", "Bearer t", "{}"]);
});

test("no reconnect comes earlier than the server has said", async (t) => {
  const server = await scripted(t, events("retry: 150\ndata: a\n\n"), cut("data: b\n\n"), status(204));
  await drained(connect(server.url, FAST));
  const [first, second, third] = server.requests.map(({ at }) => at);
  // A timer may ring a millisecond early by another clock.
  assert.ok(second - first >= 149, `${second - first}`);
  assert.ok(third - second >= 149, `${third - second}`);
});

for (const code of [429, 500, 503]) {
  test(`${code} is tried again after Retry-After`, async (t) => {
    const server = await scripted(t, status(code, { "retry-after": "1" }), events("data: a\n\n"), status(204));
    const stream = connect(server.url, FAST);
    const { error, delay } = await next(stream, "waiting");
    assert.deepEqual([error.kind, error.status, error.retryAfter], ["status", code, 1000]);
    assert.ok(delay >= 1000);
    assert.deepEqual(await drained(stream), { data: ["a"], error: undefined });
    assert.ok(server.requests[1].at - server.requests[0].at >= 999);
  });
}

test("Retry-After may be a date", async (t) => {
  const server = await scripted(t, (response) => status(503, { "retry-after": new Date(Date.now() + 30_000).toUTCString() })(response));
  const stream = connect(server.url, FAST);
  const { delay } = await next(stream, "waiting");
  stream.close();
  assert.ok(delay > 28_000 && delay <= 30_000, `${delay}`);
});

for (const code of [201, 205, 400, 404, 406, 410]) {
  test(`${code} ends the stream with an error`, async (t) => {
    const server = await scripted(t, status(code));
    const { error } = await drained(connect(server.url, FAST));
    assert.ok(error instanceof ClientError);
    assert.deepEqual([error.kind, error.status, server.requests.length], ["status", code, 1]);
  });
}

test("another content type ends the stream with an error that names it", async (t) => {
  const server = await scripted(t, (response) => response.writeHead(200, { "content-type": "text/html" }).end("data: a\n\n"));
  const { data, error } = await drained(connect(server.url, FAST));
  assert.deepEqual(data, []);
  assert.deepEqual([error.kind, error.message], ["content-type", "the answer is text/html, not text/event-stream"]);
});

test("after 401 the token is asked for once more, and a second one ends the stream", async (t) => {
  const server = await scripted(t, status(401), status(403));
  const tokens = ["old", "new"];
  const stream = connect(server.url, { ...FAST, token: () => tokens.shift() });
  const log = told(stream);
  const { error } = await drained(stream);
  assert.deepEqual([error.kind, error.status], ["unauthorized", 403]);
  assert.deepEqual(server.requests.map(({ headers }) => headers.authorization), ["Bearer old", "Bearer new"]);
  assert.deepEqual(log, [["unauthorized", { status: 401 }], ["unauthorized", { status: 403 }], ["end", "unauthorized"]]);
});

test("a fresh token goes on where the old one was refused, each time", async (t) => {
  const good = events("retry: 1\ndata: a\n\n");
  const server = await scripted(t, status(401), good, status(401), good, status(204));
  assert.deepEqual(await drained(connect(server.url, { token: () => "t" })), { data: ["a", "a"], error: undefined });
});

test("without a callback for the token 401 is final", async (t) => {
  const server = await scripted(t, status(401));
  const { error } = await drained(connect(server.url, { ...FAST, token: "t" }));
  assert.equal(error.kind, "unauthorized");
  assert.equal(server.requests.length, 1);
});

test("a token callback that fails is asked again later", async (t) => {
  const server = await scripted(t, status(204));
  let asked = 0;
  const stream = connect(server.url, {
    ...FAST,
    token: () => {
      if (!asked++) throw new Error("no session");
      return "t";
    },
  });
  const { error } = await next(stream, "waiting");
  assert.deepEqual([error.kind, error.message], ["request", "no request could be made: no session"]);
  assert.equal((await drained(stream)).error, undefined);
});

test("a gap is told with its data, and its id counts", async (t) => {
  const gap = '{"reason":"trimmed","asked":"1","lost":28}';
  const server = await scripted(t, events(`retry: 1\nevent: bellwether.gap\ndata: ${gap}\nid: 5\n\ndata: a\n\n`), status(204));
  const stream = connect(server.url);
  const log = told(stream);
  const { data } = await drained(stream);
  assert.deepEqual(data, ["a"]);
  assert.deepEqual(log[1], ["gap", { reason: "trimmed", asked: "1", lost: 28 }]);
  assert.equal(server.requests[1].headers["last-event-id"], "5");
});

test("no event of the server about the stream reaches a listener of the page", async (t) => {
  const names = ["open", "gap", "error", "stopping", "later"];
  const text = names.map((name) => `event: bellwether.${name}\ndata: {}\n\n`).join("");
  const server = await scripted(t, events(`retry: 1\n${text}`), events("event: bellwether.finished\ndata: {}\nid: x\n\ndata: late\n\n"));
  const stream = connect(server.url);
  for (const name of ["", "message", ...names.map((name) => `bellwether.${name}`)]) stream.on(name, (event) => assert.fail(JSON.stringify(event)));
  assert.deepEqual(await drained(stream), { data: [], error: undefined });
});

test("a finished stream ends for good, whatever comes after", async (t) => {
  const server = await scripted(t, held("id: 1\ndata: a\n\nretry: 1\nevent: bellwether.finished\ndata: {\"n\":1}\nid: bellwether.finished\n\n"));
  const stream = connect(server.url);
  const log = told(stream);
  assert.deepEqual(await drained(stream), { data: ["a"], error: undefined });
  assert.deepEqual(log, [["open", undefined], ["finished", { n: 1 }], ["end", undefined]]);
  await server.requests[0].closed;
  assert.equal(stream.lastEventId, "bellwether.finished");
});

test("a failure of the server is told, and the client comes back", async (t) => {
  const server = await scripted(t, cut('retry: 1\nid: 1\ndata: a\n\nevent: bellwether.error\ndata: {"error":{"message":"m"}}\n\n'), status(204));
  const stream = connect(server.url);
  const log = told(stream);
  await drained(stream);
  assert.deepEqual(log.slice(1, 3), [["failed", { error: { message: "m" } }], ["waiting", log[2][1]]]);
  assert.equal(server.requests[1].headers["last-event-id"], "1");
});

test("a clean end after an event that tells a failure is no clean end", async (t) => {
  const server = await scripted(t, events("retry: 1\nevent: bellwether.error\ndata: {}\n\n"), status(204));
  const stream = connect(server.url);
  const log = told(stream);
  await drained(stream);
  assert.deepEqual(log[2], ["waiting", "failed"]);
});

test("a server that stops says so by its retry line, and the client comes back when it was told to", async (t) => {
  const server = await scripted(t, events("data: a\n\nretry: 120\n"), status(204));
  const stream = connect(server.url, FAST);
  const log = told(stream);
  await drained(stream);
  assert.deepEqual(log.slice(1, 3), [["stopping", undefined], ["waiting", undefined]]);
  assert.ok(server.requests[1].at - server.requests[0].at >= 119);
});

test("an event over the limit ends the stream and says so", async (t) => {
  const server = await scripted(t, held("data: 1\n\ndata: 123456\n\n"));
  const { data, error } = await drained(connect(server.url, { limits: { maxEventLength: 5 } }));
  assert.deepEqual(data, ["1"]);
  assert.deepEqual([error.kind, error.message], ["limit", "event longer than the limit of 5"]);
  await server.requests[0].closed;
});

test("leaving a loop, close() and the signal each end the request", async (t) => {
  const server = await scripted(t, held("data: a\n\n"));
  for await (const { data } of connect(server.url)) {
    assert.equal(data, "a");
    break;
  }
  await (await server.request(1)).closed;
  const stream = connect(server.url);
  stream.on("message", () => stream.close());
  await next(stream, "end");
  await (await server.request(2)).closed;
  const controller = new AbortController();
  const third = connect(server.url, { signal: controller.signal });
  third.on("message", () => controller.abort());
  assert.deepEqual(await drained(third), { data: ["a"], error: undefined });
  await (await server.request(3)).closed;
  assert.deepEqual(await drained(connect(server.url, { signal: AbortSignal.abort() })), { data: [], error: undefined });
  assert.equal(server.requests.length, 3);
});

test("what the loop does not take is not read from the server", async (t) => {
  let written = 0;
  const server = await scripted(t, (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const fill = () => {
      while (written < 100_000 && response.write(`data: ${written++} ${"x".repeat(1000)}\n\n`));
    };
    response.on("drain", fill);
    fill();
  });
  const stream = connect(server.url);
  stream[Symbol.asyncIterator]();
  let given = 0;
  let last = -1;
  stream.on("message", () => given++);
  // Nothing is taken until nothing more comes.
  while (given !== last || given === 0) {
    last = given;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert.ok(written < 50_000, `the server has written ${written}`);
  let number = 0;
  for await (const { data } of stream) {
    assert.equal(Number.parseInt(data), number++);
    if (number === 100_000) break;
  }
});

test("a listener that throws disturbs neither the others nor the stream", async (t) => {
  const server = await scripted(t, events("retry: 1\ndata: a\n\n"), status(204));
  const thrown = [];
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => thrown.push(error.message));
  const stream = connect(server.url);
  stream.on("message", () => {
    throw new Error("mine");
  });
  assert.deepEqual(await drained(stream), { data: ["a"], error: undefined });
  process.removeAllListeners("uncaughtException");
  for (const listener of listeners) process.on("uncaughtException", listener);
  assert.deepEqual(thrown, ["mine"]);
});

test("an address that is none is refused at once", () => {
  assert.throws(() => connect("http://"), TypeError);
});

//! The transport that asks again and again, and the change to it where streams are held back.

import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "../dist/index.js";
import { drained, events, held, next, scripted, status, told } from "./server.mjs";

const answer = (value) => (response) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
const nothing = (cursor) => status(204, { "bellwether-cursor": cursor });

test("each poll asks after the last cursor, and events come as from a stream", async (t) => {
  const server = await scripted(
    t,
    answer({ events: [{ id: "1", event: "message", data: "a" }, { id: "2", event: "named", data: "b" }], cursor: "2" }),
    nothing("5"),
    answer({ events: [{ id: "6", event: "message", data: "c" }], cursor: "6" }),
    status(204),
  );
  const stream = connect(server.url, { transport: "poll", retry: 1 });
  const named = [];
  stream.on("named", ({ data, id }) => named.push([data, id]));
  const log = told(stream);
  assert.deepEqual(await drained(stream), { data: ["a", "b", "c"], error: undefined });
  assert.deepEqual(named, [["b", "2"]]);
  assert.deepEqual(server.requests.map(({ headers }) => headers["last-event-id"]), [undefined, "2", "5", "6"]);
  assert.equal(server.requests[0].headers.accept, "application/json");
  assert.deepEqual(log.map(([name]) => name), ["open", "waiting", "open", "finished", "end"]);
});

test("the server's own events keep their meaning", async (t) => {
  const server = await scripted(
    t,
    answer({ events: [{ id: "3", event: "bellwether.gap", data: '{"reason":"lag"}' }, { id: "4", event: "message", data: "a" }], cursor: "4" }),
    answer({ events: [{ id: "x", event: "bellwether.finished", data: "{}" }], cursor: "x" }),
  );
  const stream = connect(server.url, { transport: "poll" });
  const log = told(stream);
  assert.deepEqual(await drained(stream), { data: ["a"], error: undefined });
  assert.deepEqual(log, [["open", undefined], ["gap", { reason: "lag" }], ["finished", {}], ["end", undefined]]);
});

test("an answer that is not JSON ends the stream", async (t) => {
  const server = await scripted(t, (response) => response.writeHead(200, { "content-type": "application/json" }).end("<html>"));
  const { error } = await drained(connect(server.url, { transport: "poll" }));
  assert.equal(error.kind, "content-type");
});

test("a stream of which no byte comes in time is polled instead", async (t) => {
  const server = await scripted(t, held(""), answer({ events: [{ id: "1", event: "message", data: "a" }], cursor: "1" }), status(204));
  const stream = connect(server.url, { transport: "auto", firstByteTimeout: 50 });
  assert.deepEqual(await drained(stream), { data: ["a"], error: undefined });
  assert.deepEqual(server.requests.map(({ headers }) => headers.accept), ["text/event-stream", "application/json", "application/json"]);
});

test("a stream whose first byte comes in time is not polled", async (t) => {
  const server = await scripted(t, held("data: a\n\n"));
  const stream = connect(server.url, { transport: "auto", firstByteTimeout: 100 });
  await stream.next();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(stream.state, "open");
  assert.equal(server.requests.length, 1);
  stream.close();
});

test("where polls are refused the stream is waited for after all", async (t) => {
  const server = await scripted(t, held(""), status(406), (response) => setTimeout(() => events("retry: 1\ndata: late\n\n")(response), 150), status(204));
  const stream = connect(server.url, { transport: "auto", firstByteTimeout: 50 });
  assert.deepEqual(await drained(stream), { data: ["late"], error: undefined });
});

test("without transport: auto nothing is polled", async (t) => {
  const server = await scripted(t, held(""));
  const stream = connect(server.url, { firstByteTimeout: 20 });
  await next(stream, "open");
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(server.requests.length, 1);
  stream.close();
});

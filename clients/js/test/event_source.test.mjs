//! The drop-in `EventSource`: what a page that was written for the browser's own sees.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EventSource } from "../dist/index.js";
import { cut, events, held, scripted, status } from "./server.mjs";

/** Resolves at the next event of this type. */
const once = (source, type) => new Promise((resolve) => source.addEventListener(type, resolve, { once: true }));

test("constants, url and state are those of the standard", async (t) => {
  const server = await scripted(t, held("data: a\n\n"));
  assert.deepEqual([EventSource.CONNECTING, EventSource.OPEN, EventSource.CLOSED], [0, 1, 2]);
  const source = new EventSource(server.url);
  assert.deepEqual([source.CONNECTING, source.OPEN, source.CLOSED], [0, 1, 2]);
  assert.ok(source instanceof EventTarget);
  assert.deepEqual([source.url, source.withCredentials, source.readyState], [server.url, false, 0]);
  await once(source, "open");
  assert.equal(source.readyState, 1);
  source.close();
  assert.equal(source.readyState, 2);
  assert.equal(new EventSource(server.url, { withCredentials: true, signal: AbortSignal.abort() }).withCredentials, true);
  assert.throws(() => new EventSource("http://"));
});

test("messages carry data, id and origin, to handlers and to listeners", async (t) => {
  const server = await scripted(t, held("id: 7\ndata: a\n\nevent: named\ndata: b\n\n"));
  const source = new EventSource(server.url);
  const seen = [];
  const see = ({ type, data, lastEventId, origin }) => seen.push([type, data, lastEventId, origin]);
  source.onmessage = see;
  source.addEventListener("message", { handleEvent: see });
  source.addEventListener("named", see);
  await once(source, "named");
  const { origin } = new URL(server.url);
  assert.deepEqual(seen, [["message", "a", "7", origin], ["message", "a", "7", origin], ["named", "b", "7", origin]]);
  source.close();
});

test("a lost connection is an error while connecting, and an end is one when closed", async (t) => {
  const server = await scripted(t, cut("retry: 1\ndata: a\n\n"), events("data: b\n\n"), status(204));
  const source = new EventSource(server.url);
  const seen = [];
  source.onopen = () => seen.push("open");
  source.onmessage = ({ data }) => seen.push(data);
  const closed = new Promise((resolve) => {
    source.onerror = () => {
      seen.push(`error ${source.readyState}`);
      if (source.readyState === 2) resolve();
    };
  });
  await closed;
  assert.deepEqual(seen, ["open", "a", "error 0", "open", "b", "error 0", "error 2"]);
});

test("after close() nothing comes", async (t) => {
  const server = await scripted(t, events("data: a\n\ndata: b\n\n"));
  const source = new EventSource(server.url);
  const seen = [];
  source.onerror = () => seen.push("error");
  source.onmessage = ({ data }) => {
    seen.push(data);
    source.close();
  };
  await server.requests[0]?.closed;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(seen, ["a"]);
});

test("what the server says of the stream reaches only who listens to it", async (t) => {
  const server = await scripted(t, held('event: bellwether.open\ndata: {}\n\nevent: bellwether.gap\ndata: {"reason":"epoch"}\nid: 3\n\ndata: a\n\n'));
  const source = new EventSource(server.url);
  source.addEventListener("bellwether.open", () => assert.fail("open is shown nowhere"));
  const messages = [];
  source.onmessage = ({ data }) => messages.push(data);
  const gap = await once(source, "bellwether.gap");
  assert.deepEqual([JSON.parse(gap.data), gap.lastEventId], [{ reason: "epoch" }, "3"]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(messages, ["a"]);
  source.close();
});

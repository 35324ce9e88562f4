//! Back-off, watchdog, sleep, and the page around a stream. The clock is the test's.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { connect } from "../dist/index.js";
import { delay } from "../dist/time.js";
import { told } from "./server.mjs";

/** Lets everything that waits for no timer run. */
const settled = async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** A clock that stands, and a `fetch` whose answers are streams that the test writes to. */
function stage(t, { random = 0 } = {}) {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  mock.method(Math, "random", () => random);
  t.after(() => {
    mock.timers.reset();
    mock.restoreAll();
  });
  const requests = [];
  const fetch = (url, { signal, headers }) => {
    const request = { url, signal, headers, at: Date.now() };
    requests.push(request);
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      request.fail = () => reject(new TypeError("refused"));
      request.answer = (text = "") => {
        const body = new ReadableStream({ start: (controller) => (request.body = controller) });
        resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }));
        if (text) request.write(text);
      };
      request.write = (text) => request.body.enqueue(new TextEncoder().encode(text));
    });
  };
  const tick = async (ms) => {
    mock.timers.tick(ms);
    await settled();
  };
  return { fetch, requests, tick };
}

/** Closes the stream when the test ends, whatever it says. */
const connected = async (t, options) => {
  const stream = connect("http://127.0.0.1:9/", options);
  t.after(() => stream.close());
  const log = told(stream);
  await settled();
  return { stream, log };
};

test("a wait is never shorter than retry, and its range doubles with each failure up to a minute", () => {
  for (const retry of [0, 1, 100, 3000, 59_999, 60_000, 600_000, 2 ** 53]) {
    for (let failures = 0; failures < 2000; failures += 1 + failures) {
      for (const random of [0, 0.5, 0.999]) assert.ok(delay(retry, failures, random) >= retry);
      assert.ok(delay(retry, failures, 1) <= Math.max(60_000, retry * 1.1));
    }
  }
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6].map((failures) => delay(1000, failures, 1)), [1100, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
  assert.deepEqual([0, 1, 2].map((failures) => delay(0, failures, 1)), [0, 1000, 2000]);
});

test("a stream that is silent for twice the promised keep-alive is cut, and resumed", async (t) => {
  const { fetch, requests, tick } = stage(t);
  const { log } = await connected(t, { fetch });
  requests[0].answer('retry: 2000\nevent: bellwether.open\ndata: {"keep_alive_ms":15000}\nid: 1.a\n\n');
  await tick(29_999);
  assert.equal(requests[0].signal.aborted, false);
  requests[0].write(": keep-alive\n");
  await settled();
  await tick(29_999);
  assert.equal(requests[0].signal.aborted, false);
  await tick(1);
  assert.equal(requests[0].signal.aborted, true);
  assert.deepEqual(log, [["open", undefined], ["waiting", "silent"]]);
  await tick(2000);
  assert.equal(requests[1].headers.get("last-event-id"), "1.a");
});

test("without a promise a minute of silence is too long, also for a server that never answers", async (t) => {
  const { fetch, requests, tick } = stage(t);
  await connected(t, { fetch });
  await tick(59_999);
  assert.equal(requests[0].signal.aborted, false);
  await tick(1);
  assert.equal(requests[0].signal.aborted, true);
  await tick(3000);
  requests[1].answer("data: a\n\n");
  await settled();
  await tick(59_999);
  assert.equal(requests[1].signal.aborted, false);
  await tick(1);
  assert.equal(requests[1].signal.aborted, true);
});

test("a server that says that it sends no keep-alive may be silent", async (t) => {
  const { fetch, requests, tick } = stage(t);
  await connected(t, { fetch });
  requests[0].answer('event: bellwether.open\ndata: {"keep_alive_ms":null}\n\n');
  await settled();
  await tick(10_000_000);
  assert.equal(requests[0].signal.aborted, false);
});

test("the watchdog can be set and turned off", async (t) => {
  const { fetch, requests, tick } = stage(t);
  await connected(t, { fetch, watchdog: 500 });
  await connected(t, { fetch, watchdog: false });
  await tick(500);
  assert.deepEqual(requests.map(({ signal }) => signal.aborted), [true, false]);
  await tick(10_000_000);
  assert.equal(requests[1].signal.aborted, false);
});

test("a stream that is not read because the loop is slow is not silent", async (t) => {
  const { fetch, requests, tick } = stage(t);
  const { stream } = await connected(t, { fetch, watchdog: 1000 });
  stream[Symbol.asyncIterator]();
  requests[0].answer("data: a\n\n".repeat(300));
  await settled();
  await tick(100_000);
  assert.equal(requests[0].signal.aborted, false);
  for (let taken = 0; taken < 300; taken++) await stream.next();
  await tick(999);
  assert.equal(requests[0].signal.aborted, false);
  await tick(1);
  assert.equal(requests[0].signal.aborted, true);
});

test("a machine that slept past the watchdog reconnects as soon as it is awake", async (t) => {
  const { fetch, requests, tick } = stage(t);
  await connected(t, { fetch, retry: 1000 });
  requests[0].answer("data: a\n\n");
  await settled();
  // The wall clock goes on while the timers stand; the next tick is at most 5 s away.
  mock.timers.setTime(Date.now() + 3_600_000);
  await tick(5000);
  assert.equal(requests[0].signal.aborted, true);
  await tick(1000);
  assert.equal(requests.length, 2);
});

test("failures lengthen the wait, and an event makes it short again", async (t) => {
  const { fetch, requests, tick } = stage(t, { random: 0.5 });
  const { stream } = await connected(t, { fetch, retry: 1000 });
  const delays = [];
  stream.when("waiting", ({ delay }) => delays.push(delay));
  for (let failure = 0; failure < 8; failure++) {
    requests.at(-1).fail();
    await settled();
    await tick(delays.at(-1));
  }
  assert.deepEqual(delays, [1500, 2500, 4500, 8500, 16_500, 30_500, 30_500, 30_500]);
  requests.at(-1).answer("data: a\n\n");
  await settled();
  requests.at(-1).body.close();
  await settled();
  assert.equal(delays.at(-1), 1050);
});

test("a server that answers well and sends nothing is asked less and less often", async (t) => {
  const { fetch, requests, tick } = stage(t, { random: 0.5 });
  const { stream } = await connected(t, { fetch, retry: 1000 });
  const delays = [];
  stream.when("waiting", ({ delay }) => delays.push(delay));
  for (let turn = 0; turn < 4; turn++) {
    requests.at(-1).answer();
    await settled();
    requests.at(-1).body.close();
    await settled();
    await tick(delays.at(-1));
  }
  assert.deepEqual(delays, [1050, 1500, 2500, 4500]);
});

/** A window and its state, for as long as the test lasts. */
function page(t) {
  const window = new EventTarget();
  globalThis.addEventListener = window.addEventListener.bind(window);
  globalThis.removeEventListener = window.removeEventListener.bind(window);
  const navigator = { onLine: true };
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  t.after(() => {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else delete globalThis.navigator;
  });
  return {
    navigator,
    fire: async (name, more = {}) => {
      window.dispatchEvent(Object.assign(new Event(name), more));
      await settled();
    },
  };
}

test("a page that is shown again looks at the clock at once", async (t) => {
  const { fire } = page(t);
  const { fetch, requests } = stage(t);
  await connected(t, { fetch });
  requests[0].answer("data: a\n\n");
  await settled();
  await fire("visibilitychange");
  assert.equal(requests[0].signal.aborted, false);
  mock.timers.setTime(Date.now() + 61_000);
  assert.equal(requests[0].signal.aborted, false);
  await fire("visibilitychange");
  assert.equal(requests[0].signal.aborted, true);
  // The time to wait has passed as well when the page is shown the next time.
  mock.timers.setTime(Date.now() + 3000);
  await fire("pageshow", { persisted: false });
  assert.equal(requests.length, 2);
});

test("the page cache closes the connection and brings it back with its id", async (t) => {
  const { fire } = page(t);
  const { fetch, requests, tick } = stage(t);
  const { stream, log } = await connected(t, { fetch });
  requests[0].answer("id: 4\ndata: a\n\n");
  await settled();
  await fire("pagehide");
  assert.equal(requests[0].signal.aborted, true);
  await tick(1_000_000);
  assert.equal(requests.length, 1);
  await fire("pageshow", { persisted: true });
  assert.equal(requests.length, 2);
  assert.equal(requests[1].headers.get("last-event-id"), "4");
  assert.deepEqual(log, [["open", undefined]]);
  // Away and back within one turn.
  requests[1].answer();
  await settled();
  void fire("pagehide");
  await fire("pageshow", { persisted: true });
  assert.equal(requests.length, 3);
  // Away while it waits.
  requests[2].fail();
  await settled();
  assert.equal(stream.state, "waiting");
  await fire("pagehide");
  await tick(1_000_000);
  assert.equal(requests.length, 3);
  await fire("pageshow", { persisted: true });
  assert.equal(requests.length, 4);
});

test("without a network the next attempt waits for it, but not before retry has passed", async (t) => {
  const { navigator, fire } = page(t);
  const { fetch, requests, tick } = stage(t);
  await connected(t, { fetch, retry: 1000 });
  navigator.onLine = false;
  requests[0].fail();
  await settled();
  await tick(500);
  await fire("online");
  assert.equal(requests.length, 1);
  await tick(500);
  assert.equal(requests.length, 2);
  requests[1].fail();
  await settled();
  await tick(30_000);
  assert.equal(requests.length, 2);
  await fire("online");
  assert.equal(requests.length, 3);
  // A browser that errs about its network does not keep the page away for good.
  requests[2].fail();
  await settled();
  await tick(60_000);
  assert.equal(requests.length, 4);
});

test("the last id is kept over a reload where the page wants that", async (t) => {
  const store = new Map();
  globalThis.sessionStorage = { getItem: (key) => store.get(key) ?? null, setItem: (key, value) => store.set(key, value) };
  t.after(() => delete globalThis.sessionStorage);
  const { fetch, requests } = stage(t);
  const { stream } = await connected(t, { fetch, remember: "news", lastEventId: "1" });
  assert.equal(requests[0].headers.get("last-event-id"), "1");
  requests[0].answer("id: 2\ndata: a\n\n");
  await settled();
  assert.deepEqual([...store], [["news", "2"]]);
  stream.close();
  await connected(t, { fetch, remember: "news", lastEventId: "1" });
  assert.equal(requests[1].headers.get("last-event-id"), "2");
});

test("forbidden storage does not disturb the stream", async (t) => {
  const forbidden = () => {
    throw new Error("forbidden");
  };
  globalThis.sessionStorage = { getItem: forbidden, setItem: forbidden };
  t.after(() => delete globalThis.sessionStorage);
  const { fetch, requests } = stage(t);
  const { stream } = await connected(t, { fetch, remember: "news" });
  requests[0].answer("id: 2\ndata: a\n\n");
  await settled();
  assert.equal(stream.lastEventId, "2");
});

test("a closed stream leaves no timer and no listener behind", async (t) => {
  const { fire } = page(t);
  const { fetch, requests, tick } = stage(t);
  const { stream } = await connected(t, { fetch });
  requests[0].fail();
  await settled();
  stream.close();
  await fire("online");
  await fire("pageshow", { persisted: true });
  await tick(1_000_000);
  assert.equal(requests.length, 1);
});

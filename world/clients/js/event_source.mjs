// Clients that are an `EventSource`: node event_source.mjs URL PACKAGE
import { createRequire } from "node:module";
import { names, tell, tellEvent, url } from "./tell.mjs";

const require = createRequire(import.meta.url);
const name = process.argv[3];
let EventSource;
if (name === "launchdarkly-eventsource" || name === "eventsource-2") {
  // Written before modules had names.
  const found = require(name);
  EventSource = found.EventSource ?? found;
} else {
  const found = await import(name);
  EventSource = found.EventSource ?? found.EventSourcePolyfill ?? found.default.EventSourcePolyfill;
}

const source = new EventSource(url);
for (const name of names) source.addEventListener(name, (event) => tellEvent(event, name));
// launchdarkly-eventsource says "closed" with an event of its own, and throws an error without a listener.
let isOver = false;
const end = () => {
  if (!isOver) tell({ end: "closed" });
  isOver = true;
};
source.addEventListener("end", () => source.readyState === 2 && end());
source.addEventListener("closed", end);
source.onerror = () => setImmediate(() => source.readyState === 2 && end());

// A program has more to do than to read a stream; undici's waits to reconnect do not keep it alive.
setInterval(() => {}, 2 ** 30);

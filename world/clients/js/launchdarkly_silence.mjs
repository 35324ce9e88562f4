// launchdarkly-eventsource passes on the 5 s after which Node's agent gives a silent socket up: an agent of one's own
// has none.
import http from "node:http";
import { createRequire } from "node:module";
import { names, tell, tellEvent, url } from "./tell.mjs";

const { EventSource } = createRequire(import.meta.url)("launchdarkly-eventsource");
const source = new EventSource(url, { agent: new http.Agent({ keepAlive: true }) });
for (const name of names) source.addEventListener(name, (event) => tellEvent(event, name));
source.addEventListener("closed", () => tell({ end: "closed" }));
source.onerror = () => {};

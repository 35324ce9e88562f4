// eventsource-client, which is no `EventSource`: node eventsource_client.mjs URL
import { createEventSource } from "eventsource-client";
import { tell, tellEvent, url } from "./tell.mjs";

const source = createEventSource({
  url,
  onMessage: (event) => tellEvent(event),
  onDisconnect: () => setImmediate(() => source.readyState === "closed" && tell({ end: "closed" })),
});

// @microsoft/fetch-event-source takes a clean end for the end of all: here it comes back, until the stream is whole.
import "./page_for_fetch_event_source.mjs";
import { fetchEventSource } from "@microsoft/fetch-event-source";
import { tellEnd, tellEvent, url } from "./tell.mjs";

class Over extends Error {}

fetchEventSource(url, {
  async onopen(response) {
    if (response.status === 204) throw new Over("no more");
    if (!response.ok) throw new Error(`status ${response.status}`);
  },
  onmessage(message) {
    tellEvent(message, message.event || "message");
    if (message.event === "bellwether.finished") throw new Over("the stream is whole");
  },
  onclose() {
    throw new Error("the server ended the stream: come back");
  },
  onerror(error) {
    // What is thrown here ends it; anything else waits for `retry:` and comes back.
    if (error instanceof Over) throw error;
  },
}).then(() => tellEnd(), (error) => tellEnd(error instanceof Over ? undefined : error));

// @microsoft/fetch-event-source as its README begins: node fetch_event_source.mjs URL
import "./page_for_fetch_event_source.mjs";
import { fetchEventSource } from "@microsoft/fetch-event-source";
import { tellEnd, tellEvent, url } from "./tell.mjs";

fetchEventSource(url, {
  onmessage(message) {
    // Most users do this, and one event that is no JSON would end it all.
    if (message.event.startsWith("bellwether.")) return tellEvent(message, message.event);
    tellEvent(message, message.event || "message");
  },
}).then(() => tellEnd(), tellEnd);

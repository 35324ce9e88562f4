// @microsoft/fetch-event-source as its README begins: node fetch_event_source.mjs URL
import "./page_for_fetch_event_source.mjs";
import { fetchEventSource } from "@microsoft/fetch-event-source";
import { tellEnd, tellEvent, url } from "./tell.mjs";

fetchEventSource(url, {
  onmessage: (message) => tellEvent(message, message.event || "message"),
}).then(() => tellEnd(), tellEnd);

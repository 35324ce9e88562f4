//! The transport that asks again and again, for networks that hold streams back.
//!
//! An answer is `{"events": [{"id", "event", "data"}], "cursor": "…"}`, or 204 with the header `bellwether-cursor`
//! when nothing came in the time that the server holds a request.

import { ClientError } from "./error.js";
import type { Transport } from "./link.js";

interface Answer {
  events?: Array<{ id?: string; event?: string; data: string }>;
  cursor?: string;
}

/** An empty answer that comes sooner than this was not held, so the next request waits. */
const HELD_MS = 1_000;

export const poll: Transport = async (link) => {
  const began = Date.now();
  const response = await link.request("application/json", link.signal);
  link.opened();
  let answer: Answer = { cursor: response.headers.get("bellwether-cursor") ?? "" };
  if (response.status !== 204) {
    const text = await response.text();
    try {
      answer = JSON.parse(text) as Answer;
    } catch {
      throw new ClientError("content-type", "the answer to a poll is not JSON", response.status);
    }
  }
  link.heard();
  const { events = [], cursor } = answer;
  for (const { id = link.lastEventId, event = "message", data } of events) {
    if (link.signal.aborted) return;
    link.lastEventId = id;
    link.take({ event, data, id });
    await link.room();
  }
  if (link.signal.aborted) return;
  link.lastEventId = cursor || link.lastEventId;
  return events.length > 0 || Date.now() - began >= HELD_MS;
};

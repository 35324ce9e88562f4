//! The transport that reads an event stream.

import { Decoder, LimitError } from "./decoder.js";
import { ClientError } from "./error.js";
import type { Transport } from "./link.js";

export const sse: Transport = async (link) => {
  const response = await link.request("text/event-stream", link.signal);
  link.opened();
  const reader = response.body?.getReader();
  if (!reader) return;
  const cancel = (): unknown => reader.cancel().catch(() => {});
  // A stream that does not heed the signal is left as well.
  link.signal.addEventListener("abort", cancel);
  if (link.signal.aborted) cancel();
  const decoder = new Decoder((event) => link.take(event), link.limits);
  decoder.lastEventId = link.lastEventId;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      link.heard();
      try {
        decoder.push(value);
      } finally {
        link.retry = decoder.retry ?? link.retry;
      }
      link.lastEventId = decoder.lastEventId;
      await link.room();
    }
    if (decoder.endsInRetry && !link.signal.aborted) link.stopping();
  } catch (error) {
    if (error instanceof LimitError) throw new ClientError("limit", error.message);
    throw error;
  } finally {
    link.signal.removeEventListener("abort", cancel);
    cancel();
  }
};

//! A drop-in for the browser's `EventSource`, with the options of `connect`.

import { connect } from "./connect.js";
import type { Options } from "./options.js";
import { resolved } from "./page.js";
import type { EventStream } from "./stream.js";

export interface EventSourceOptions extends Options {
  /** Sends cookies to other origins too. */
  withCredentials?: boolean;
}

type Handler = ((event: Event) => void) | null;

/**
 * As the browser's own: `open` and `error` events, and a `MessageEvent` for each event of the stream under its name.
 *
 * What the server says about the stream comes under its own names, such as `bellwether.gap`, to those that listen to them.
 */
export class EventSource extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSED = 2;
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSED = 2;

  readonly url: string;
  readonly withCredentials: boolean;
  onopen: Handler = null;
  onmessage: ((event: MessageEvent<string>) => void) | null = null;
  onerror: Handler = null;
  #stream: EventStream;
  #isClosed = false;

  constructor(url: string | URL, options: EventSourceOptions = {}) {
    super();
    this.url = resolved(url);
    const { origin } = new URL(this.url);
    this.withCredentials = options.withCredentials ?? false;
    const credentials = this.withCredentials ? "include" : "same-origin";
    const stream = (this.#stream = connect(this.url, { credentials, ...options }));
    const message = (type: string, data: string, lastEventId: string): void =>
      this.#send(new MessageEvent(type, { data, lastEventId, origin }));
    stream.on("", ({ event, data, id }) => message(event, data, id));
    stream.when("open", () => this.#send(new Event("open")));
    stream.when("waiting", () => this.#send(new Event("error")));
    stream.when("end", () => this.#send(new Event("error")));
    for (const [name, type] of [["gap", "gap"], ["failed", "error"], ["finished", "finished"]] as const) {
      stream.when(name, (value: unknown) => message(`bellwether.${type}`, JSON.stringify(value ?? {}), stream.lastEventId));
    }
  }

  get readyState(): 0 | 1 | 2 {
    const { state } = this.#stream;
    return state === "open" ? 1 : state === "closed" ? 2 : 0;
  }

  close(): void {
    this.#isClosed = true;
    this.#stream.close();
  }

  #send(event: Event): void {
    // After `close()` nothing comes any more.
    if (this.#isClosed) return;
    this.dispatchEvent(event);
    const handler = { open: this.onopen, message: this.onmessage, error: this.onerror }[event.type] as Handler | undefined;
    handler?.call(this, event);
  }
}

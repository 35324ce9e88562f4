//! What a page holds in its hands: events by name, by `for await`, and what the server says about the stream.

import type { StreamEvent } from "./decoder.js";
import type { ClientError } from "./error.js";

/** History that is lost, from the event `bellwether.gap`. Fetch the present state again. */
export interface Gap {
  /** `unknown`, `epoch`, `trimmed`, `regressed`, `lag` or `damaged` from the server; `away` for a tab that was put away. */
  reason: string;
  /** The id that could not be resumed from. */
  asked?: string;
  /** How many events are lost, where that is known. */
  lost?: number;
  [more: string]: unknown;
}

/** What a stream tells beside its events, by name. */
export interface Signals {
  /** A connection stands: the head is there. */
  open: undefined;
  /** The connection has ended. The next one is asked for in `delay` ms; `error` says why, unless it ended cleanly. */
  waiting: { delay: number; error: ClientError | undefined };
  /** History is lost; what follows is whole again. */
  gap: Gap;
  /** The server has said all that it had to say: the stream ends for good. */
  finished: unknown;
  /** The server has failed in the middle of the stream and says what it may say. The client reconnects. */
  failed: unknown;
  /** The server stops. The client comes back when it was told to. */
  stopping: undefined;
  /** 401 or 403. The token is asked for once more if there is a callback for it; a second refusal ends the stream. */
  unauthorized: { status: number };
  /** The last id has changed without an event for the page. */
  place: string;
  /** The stream has ended for good: by an error, or without one by `close()` or because it is finished. */
  end: ClientError | undefined;
}

/** `waiting` is between two connections. */
export type State = "connecting" | "open" | "waiting" | "closed";

/** So many events may wait for the loop that reads them before no more are read from the connection. */
const MAX_WAITING = 256;

type Listener = (value: never) => void;

/** A stream of events. Listeners are set before its first event if they are set in the same turn in which it was made. */
export class EventStream implements AsyncIterableIterator<StreamEvent> {
  /** What the stream is doing. */
  state: State = "connecting";
  /** The last event id; a reconnect resumes after it. */
  lastEventId = "";

  #on = new Map<string, Set<Listener>>();
  #when = new Map<string, Set<Listener>>();
  /** Events that wait for `next`, once something iterates. */
  #waiting: StreamEvent[] | undefined;
  #takers: Array<() => void> = [];
  #taken: (() => void) | undefined;
  #error: ClientError | undefined;

  /** Calls `listener` for each event of this name: `message` for events without one, `""` for all events. Returns how to stop that. */
  on(name: string, listener: (event: StreamEvent) => void): () => void {
    return add(this.#on, name, listener);
  }

  /** @internal Called with everything that is told. */
  onTell: ((name: keyof Signals, value: unknown) => void) | undefined;

  /** Calls `listener` when the stream tells this. Returns how to stop that. */
  when<Name extends keyof Signals>(name: Name, listener: (value: Signals[Name]) => void): () => void {
    return add(this.#when, name, listener);
  }

  /** Ends the stream for good. Loops over it end. */
  close(): void {
    this.finish();
  }

  [Symbol.asyncIterator](): this {
    this.#waiting ??= [];
    return this;
  }

  /** The next event of any name. Rejects with the error by which the stream has ended. */
  async next(): Promise<IteratorResult<StreamEvent, undefined>> {
    const waiting = (this.#waiting ??= []);
    while (!waiting.length && this.state !== "closed") await new Promise<void>((resolve) => this.#takers.push(resolve));
    const value = waiting.shift();
    if (waiting.length < MAX_WAITING) this.#taken?.();
    if (value) return { done: false, value };
    const error = this.#error;
    this.#error = undefined;
    if (error) throw error;
    return { done: true, value: undefined };
  }

  /** Leaving a loop closes the stream. */
  async return(): Promise<IteratorResult<StreamEvent, undefined>> {
    this.#waiting = [];
    this.close();
    return { done: true, value: undefined };
  }

  /** @internal Gives an event to the page. */
  give(event: StreamEvent): void {
    this.#waiting?.push(event);
    this.#takers.shift()?.();
    call(this.#on, event.event, event);
    call(this.#on, "", event);
  }

  /** @internal Tells the page something about the stream. */
  tell<Name extends keyof Signals>(name: Name, value: Signals[Name]): void {
    this.onTell?.(name, value);
    call(this.#when, name, value);
  }

  /** @internal How many events wait for the loop that reads them. */
  get behind(): number {
    return this.#waiting?.length ?? 0;
  }

  /** @internal Waits for the loop that reads events, if it is too far behind. */
  room(): Promise<void> | undefined {
    if (this.behind < MAX_WAITING || this.state === "closed") return undefined;
    return new Promise((resolve) => (this.#taken = resolve));
  }

  /** @internal Ends the stream; `false` if it had ended before. */
  finish(error?: ClientError): boolean {
    if (this.state === "closed") return false;
    this.state = "closed";
    this.#error = error;
    this.#taken?.();
    for (const take of this.#takers.splice(0)) take();
    this.tell("end", error);
    return true;
  }
}

function add(all: Map<string, Set<Listener>>, name: string, listener: Listener): () => void {
  let listeners = all.get(name);
  if (!listeners) all.set(name, (listeners = new Set()));
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** A listener that throws does not disturb the stream: the error is reported as one of the page. */
function call(all: Map<string, Set<Listener>>, name: string, value: unknown): void {
  for (const listener of all.get(name) ?? []) {
    try {
      listener(value as never);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

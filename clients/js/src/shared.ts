//! One connection for all tabs of an origin: the tab that holds a lock connects and tells the others.
//!
//! Locks are granted in the order in which they were asked for, so the oldest tab leads. Its messages reach every other
//! tab in their order. A new leader may have seen less of the old one than a third tab, which it resumes before; that tab
//! then knows the first events and leaves them out.

import { Connection } from "./connection.js";
import type { StreamEvent } from "./decoder.js";
import { ClientError } from "./error.js";
import type { Options } from "./options.js";
import { keep, watchPage } from "./page.js";
import type { EventStream, Signals, State } from "./stream.js";

/** So many ids are known again after a change of the leader. */
const MAX_KNOWN = 1024;
/** So many events may wait for a loop that reads them: a tab cannot hold the others up. */
const MAX_BEHIND = 16_384;

/** What tabs tell each other. `from` is the sender, `id` the leader's last id. */
type Message =
  | { kind: "hello"; from: string }
  | { kind: "lead"; from: string; id: string; to: string | undefined; state: State }
  | { kind: "event"; from: string; event: StreamEvent; hasId: boolean }
  | { kind: "signal"; from: string; id: string; name: keyof Signals; value: unknown; state: State };

/** Makes `page` one of the tabs that share a connection. Returns how to leave them. */
export function share(page: EventStream, url: string, options: Options): () => void {
  const { shared, remember, ...rest } = options;
  const name = `bellwether-client:${shared}`;
  const me = String(Math.random());
  let channel: BroadcastChannel | undefined;
  let connection: Connection | undefined;
  /** Aborts when this tab closes the stream or is put away. */
  let leaving: AbortController | undefined;
  /** Until a leader has said where it is, its events are before our beginning. */
  let isJoining = true;
  let leader = "";
  /** The ids of the last events, and whether the leader has just changed, so that its first ones may be among them. */
  const known = new Set<string>();
  let mayKnow = false;

  const post = (message: Message): void => channel?.postMessage(message);
  const tellPlace = (to?: string): void => post({ kind: "lead", from: me, to, id: page.lastEventId, state: page.state });
  const mark = (id: string): void => {
    page.lastEventId = id;
    keep(remember, id);
  };

  function join(): void {
    if (leaving) return;
    isJoining = true;
    const { signal } = (leaving = new AbortController());
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => hear(data as Message);
    post({ kind: "hello", from: me });
    const hold = (): Promise<void> => {
      if (!signal.aborted) lead();
      return new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve())));
    };
    navigator.locks.request(name, { signal }, hold).catch(() => {
      // Left before the lock was ours.
    });
  }

  function leave(): void {
    const own = connection;
    connection = undefined;
    own?.close();
    channel?.close();
    leaving?.abort();
    leaving = undefined;
  }

  function lead(): void {
    let last = page.lastEventId;
    const own = (connection = new Connection(url, { ...rest, lastEventId: last }));
    isJoining = false;
    hearLeader(me);
    tellPlace();
    own.on("", (event) => {
      const hasId = event.id !== last;
      last = event.id;
      post({ kind: "event", from: me, event, hasId });
      receive(event, hasId);
    });
    own.onTell = (name, value) => {
      const { lastEventId: id, state } = own;
      last = id;
      // What was closed on this side alone goes on in the other tabs.
      if (connection !== own) return;
      post({ kind: "signal", from: me, id, name, value: plain(value), state });
      signal(name, value, id, state);
    };
  }

  function hear(message: Message): void {
    const { kind, from } = message;
    if (kind === "hello") return connection && tellPlace(from);
    // What an old leader has said last comes to a new one from its own connection.
    if (connection) return;
    if (kind === "lead") {
      hearLeader(from);
      if (!isJoining || (message.to ?? me) !== me) return;
      isJoining = false;
      const asked = page.lastEventId;
      mark(message.id);
      page.state = message.state;
      if (page.state === "open") page.tell("open", undefined);
      if (asked && asked !== message.id) page.tell("gap", { reason: "away", asked });
    } else if (!isJoining) {
      hearLeader(from);
      if (kind === "event") receive(message.event, message.hasId);
      else signal(message.name, revived(message.value), message.id, message.state);
    }
  }

  function hearLeader(from: string): void {
    mayKnow ||= from !== leader;
    leader = from;
  }

  function receive(event: StreamEvent, hasId: boolean): void {
    const { id } = event;
    if (hasId) {
      if (mayKnow && known.has(id)) return;
      mayKnow = false;
      known.delete(id);
      known.add(id);
      if (known.size > MAX_KNOWN) known.delete(known.values().next().value!);
    }
    mark(id);
    if (page.behind < MAX_BEHIND) page.give(event);
    else page.finish(new ClientError("limit", `${MAX_BEHIND} events wait for the loop that reads them`));
  }

  function signal(name: keyof Signals, value: unknown, id: string, state: State): void {
    if (name === "end") return void page.finish(value as ClientError | undefined);
    // While the leader repeats what this tab knows, its place is behind our own.
    if (!mayKnow || name === "gap") mark(id);
    page.state = state;
    page.tell(name, value as never);
  }

  const unwatch = watchPage({ hide: leave, show: join });
  join();
  return () => {
    unwatch();
    leave();
  };
}

/** A value with its error as what a channel carries: a channel keeps an error's message only. */
function plain(value: unknown): unknown {
  const { error = value, delay } = (value ?? {}) as Signals["waiting"];
  if (!(error instanceof ClientError)) return value;
  const { kind, message, status } = error;
  return { delay, refused: { kind, message, status } };
}

/** What {@link plain} has made plain. */
function revived(value: unknown): unknown {
  const { delay, refused } = (value ?? {}) as { delay?: number; refused?: ClientError };
  if (!refused) return value;
  const error = new ClientError(refused.kind, refused.message, refused.status);
  return delay === undefined ? error : { delay, error };
}

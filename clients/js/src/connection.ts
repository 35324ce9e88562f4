//! A stream over one connection after another: when to connect, when to give up, what the server's own events mean.

import type { StreamEvent } from "./decoder.js";
import { ClientError, isFinal, refusal } from "./error.js";
import type { Link, Transport } from "./link.js";
import type { Asked, Options } from "./options.js";
import { isOffline, keep, recall, resolved, watchPage } from "./page.js";
import { sse } from "./sse.js";
import { EventStream, type Gap } from "./stream.js";
import { type Alarm, alarm, delay } from "./time.js";

const SILENCE_MS = 60_000;
const FIRST_BYTE_MS = 5_000;
const RETRY_MS = 3_000;
/** Loaded when it is asked for. */
const loadedPoll: Transport = async (link) => (await import("./poll.js")).poll(link);

/** An event of the server about the stream. */
const OWN = "bellwether.";

export class Connection extends EventStream {
  readonly #url: string;
  readonly #options: Options;
  /** What ends with the stream: listeners to the page, a share in the connection of another tab. */
  #leave: (() => void) | undefined;
  #retry: number;
  /** Connections in a row that have brought nothing. */
  #failures = 0;
  /** Twice the keep-alive that the server has promised; infinite if it has said that it sends none. */
  #silence = SILENCE_MS;
  #heard = 0;
  #transport: Transport;
  /** Whether silence at the beginning leads to polling. */
  #isAuto: boolean;
  /** Whether the token was asked for after a refusal, and no connection stood since. */
  #isSecondAsk = false;
  #isHidden = false;
  /** Whether the page was put away since the last connection began. */
  #wasHidden = false;
  #isFailed = false;
  #ending: AbortController | undefined;
  #alarm: Alarm | undefined;
  #wake: (() => void) | undefined;
  #due = 0;
  #soonest = 0;

  constructor(url: string | URL, options: Options = {}) {
    super();
    this.#url = resolved(url);
    this.#options = options;
    this.#retry = options.retry ?? RETRY_MS;
    this.#transport = options.transport === "poll" ? loadedPoll : sse;
    this.#isAuto = options.transport === "auto";
    this.lastEventId = recall(options.remember) || (options.lastEventId ?? "");
    options.signal?.addEventListener("abort", () => this.close(), { once: true });
    // The page sets its listeners in the same turn.
    queueMicrotask(() => (options.signal?.aborted ? this.close() : void this.#start()));
  }

  async #start(): Promise<void> {
    if (this.#options.shared && globalThis.navigator?.locks && globalThis.BroadcastChannel) {
      // Loaded when it is asked for.
      const { share } = await import("./shared.js");
      if (!this.#isClosed()) this.#leave = share(this, this.#url, this.#options);
      return;
    }
    this.#leave = watchPage({
      hide: () => {
        this.#isHidden = this.#wasHidden = true;
        this.#ending?.abort();
      },
      show: () => {
        this.#isHidden = false;
        this.#wake?.();
      },
      check: () => this.#alarm?.check(),
      online: () => {
        this.#due = this.#soonest;
        this.#alarm?.check();
      },
    });
    await this.#run();
  }

  async #run(): Promise<void> {
    let again: boolean | void = false;
    while (this.state !== "closed") {
      // A poll that follows another at once is still the same stream.
      if (!again) this.state = "connecting";
      const ending = (this.#ending = new AbortController());
      let error: ClientError | undefined;
      this.#wasHidden = again = false;
      try {
        again = await this.#connect(ending);
      } catch (thrown) {
        error = thrown instanceof ClientError ? thrown : new ClientError("network", String((thrown as Error)?.message ?? thrown));
      }
      this.#alarm?.stop();
      ending.abort();
      keep(this.#options.remember, this.lastEventId);
      if (this.#isClosed()) return;
      if (again) this.#failures = 0;
      else if (!this.#wasHidden) await this.#wait(error);
      while (this.#isHidden && !this.#isClosed()) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** One connection, from the request to its end; whether the next one follows at once. */
  async #connect(ending: AbortController): Promise<boolean | void> {
    const { watchdog, limits = {}, firstByteTimeout = FIRST_BYTE_MS } = this.#options;
    const { signal } = ending;
    let reason: ClientError | undefined;
    let isOpen = false;
    let isHeard = false;
    this.#heard = Date.now();
    this.#isFailed = false;
    const began = this.#heard;
    const isFirst = (): boolean => this.#isAuto && this.#transport === sse && !isHeard;
    const due = (): number => {
      const silence = watchdog === false ? Infinity : (watchdog ?? (isOpen ? this.#silence : SILENCE_MS));
      return Math.min(this.#heard + silence, isFirst() ? began + firstByteTimeout : Infinity);
    };
    let isSwitch = false;
    this.#alarm = alarm(due, () => {
      isSwitch = isFirst();
      if (isSwitch) this.#transport = loadedPoll;
      reason = new ClientError("silent", "nothing came for too long");
      ending.abort();
    });
    const stream = this;
    const link: Link = {
      limits,
      signal,
      get lastEventId() {
        return stream.lastEventId;
      },
      set lastEventId(id) {
        if (id !== stream.lastEventId && !signal.aborted) stream.#mark(id);
      },
      get retry() {
        return stream.#retry;
      },
      set retry(ms) {
        stream.#retry = ms;
      },
      request: (accept) => this.#request(accept, signal),
      opened: () => {
        this.#isSecondAsk = false;
        this.#heard = Date.now();
        isOpen = true;
        if (this.state === "open") return;
        this.state = "open";
        this.tell("open", undefined);
      },
      heard: () => {
        isHeard = true;
        this.#heard = Date.now();
      },
      take: (event) => {
        if (!signal.aborted) this.#take(event);
      },
      room: async () => {
        const room = this.room();
        if (room) {
          // What is not read is not silent.
          this.#heard = Infinity;
          await room;
          this.#heard = Date.now();
          this.#alarm?.check();
        }
        keep(this.#options.remember, this.lastEventId);
      },
      stopping: () => this.tell("stopping", undefined),
    };
    try {
      const again = await this.#transport(link);
      if (!signal.aborted) {
        if (this.#isFailed) throw new ClientError("failed", "the server has failed");
        return again;
      }
    } catch (error) {
      // An own abort shows as an error of the platform; what led to it says more.
      if (!signal.aborted) throw error;
    }
    if (isSwitch) return true;
    if (reason) throw reason;
  }

  async #request(accept: string, signal: AbortSignal): Promise<Response> {
    const { credentials = "same-origin", fetch = globalThis.fetch, token, method } = this.#options;
    let request: RequestInit;
    try {
      const headers = new Headers(await ask(this.#options.headers));
      headers.set("accept", accept);
      if (this.lastEventId) headers.set("last-event-id", bytesAsText(this.lastEventId));
      const bearer = await ask(token);
      if (bearer) headers.set("authorization", `Bearer ${bearer}`);
      const body = await ask(this.#options.body);
      request = { headers, credentials, signal, cache: "no-store", method: method ?? (body === undefined ? "GET" : "POST") };
      if (body !== undefined) request.body = body;
    } catch (error) {
      throw new ClientError("request", `no request could be made: ${(error as Error)?.message ?? error}`);
    }
    signal.throwIfAborted();
    const response = await fetch(this.#url, request);
    const { status, headers } = response;
    const type = headers.get("content-type") ?? "";
    const isEmptyPoll = status === 204 && headers.has("bellwether-cursor");
    if (status === 200 && type.split(";")[0]!.trim().toLowerCase() === accept) return response;
    if (isEmptyPoll) return response;
    void response.body?.cancel().catch(() => {});
    if (signal.aborted) throw signal.reason;
    if (status === 204) {
      this.tell("finished", undefined);
      this.finish();
      throw signal.reason;
    }
    if (status !== 200) throw refusal(response);
    throw new ClientError("content-type", `the answer is ${type || "of no type"}, not ${accept}`, status);
  }

  /** Waits for the next connection, or gives up. */
  async #wait(error: ClientError | undefined): Promise<void> {
    if (error?.kind === "unauthorized") {
      this.tell("unauthorized", { status: error.status! });
      const { token, headers } = this.#options;
      if (!this.#isSecondAsk && (typeof token === "function" || typeof headers === "function")) {
        this.#isSecondAsk = true;
        return;
      }
    }
    if (error && this.#isAuto && this.#transport === loadedPoll && isFinal(error) && error.kind !== "unauthorized") {
      // The server does not answer polls, so it is better to wait longer for its stream.
      this.#isAuto = false;
      this.#transport = sse;
      return;
    }
    if (error && isFinal(error)) return void this.finish(error);
    if (this.#isClosed()) return;
    // A clean end counts too, for the time after it, until an event comes.
    const wait = Math.max(delay(this.#retry, error ? ++this.#failures : this.#failures++), error?.retryAfter ?? 0);
    const now = Date.now();
    this.#soonest = now + Math.max(this.#retry, error?.retryAfter ?? 0);
    this.#due = now + wait;
    // Without a network the first word is that of `online`; a browser that errs about it tries all the same.
    if (isOffline()) this.#due = Math.max(this.#due, now + SILENCE_MS);
    this.state = "waiting";
    this.tell("waiting", { delay: wait, error });
    if (this.#isClosed()) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#alarm = alarm(() => this.#due, resolve);
    });
    this.#alarm?.stop();
  }

  #take(event: StreamEvent): void {
    this.#failures = 0;
    const { event: name, data, id } = event;
    if (!name.startsWith(OWN)) {
      this.lastEventId = id;
      return this.give(event);
    }
    this.#mark(id);
    const value = json(data);
    switch (name.slice(OWN.length)) {
      case "open": {
        const ms = (value as { keep_alive_ms?: unknown } | undefined)?.keep_alive_ms;
        this.#silence = typeof ms === "number" && ms > 0 ? 2 * ms : ms === null ? Infinity : SILENCE_MS;
        break;
      }
      case "gap":
        this.tell("gap", (value ?? { reason: "unknown" }) as Gap);
        break;
      case "error":
        this.#isFailed = true;
        this.tell("failed", value);
        break;
      case "stopping":
        this.tell("stopping", undefined);
        break;
      case "finished":
        this.tell("finished", value);
        this.finish();
    }
  }

  #mark(id: string): void {
    this.lastEventId = id;
    this.tell("place", id);
  }

  /** @internal */
  override finish(error?: ClientError): boolean {
    if (!super.finish(error)) return false;
    this.#leave?.();
    this.#alarm?.stop();
    this.#ending?.abort();
    this.#wake?.();
    keep(this.#options.remember, this.lastEventId);
    return true;
  }

  /** Asked as a method, since the compiler believes that a property keeps its value over an `await`. */
  #isClosed(): boolean {
    return this.state === "closed";
  }
}

async function ask<T>(asked: Asked<T> | undefined): Promise<T | undefined> {
  return typeof asked === "function" ? await (asked as () => T | Promise<T>)() : asked;
}

/** A header's value holds bytes, each given as one character; ids are sent as UTF-8. */
function bytesAsText(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

//! What a caller may ask for.

import type { Limits } from "./decoder.js";

/** A value, or a function that is asked for it before each connection. */
export type Asked<T> = T | (() => T | Promise<T>);

/** Each one may be left out. */
export interface Options {
  /** The method. Default `GET`, or `POST` with a body. */
  method?: string;
  /** Further headers. */
  headers?: Asked<HeadersInit>;
  /** The body, sent with each connection; a stream must come from a function. */
  body?: Asked<BodyInit>;
  /** Sent as `Authorization: Bearer`. A function is asked before each connection, and once more after 401 or 403. */
  token?: Asked<string>;
  /** As for `fetch`. Default `same-origin`. */
  credentials?: RequestCredentials;
  /** Closes the stream. */
  signal?: AbortSignal;
  /** What to use in the place of `fetch`. */
  fetch?: typeof fetch;
  /** Resumes after this id. */
  lastEventId?: string;
  /** Keeps the last id in `sessionStorage` under this key, so that a reload goes on after it. */
  remember?: string;
  /** The time between two connections, in ms, until the server sends a `retry`. Default 3,000. */
  retry?: number;
  /**
   * So many ms of silence end a connection, and a new one is made; `false` turns that off.
   *
   * Default: twice the keep-alive that the server has promised, or 60,000 where it has promised none.
   */
  watchdog?: number | false;
  /** Bounds on what the server sends. A larger event ends the stream. */
  limits?: Limits;
  /**
   * `sse` (the default) reads an event stream; `poll` asks again and again, each answer a list of events; `auto` reads
   * an event stream, but polls once no byte of one has come within `firstByteTimeout`, as behind a proxy that buffers.
   */
  transport?: "sse" | "poll" | "auto";
  /** In ms. Default 5,000. */
  firstByteTimeout?: number;
  /** One connection for all tabs of this origin that use this name. All of them must ask for the same stream. */
  shared?: string;
}

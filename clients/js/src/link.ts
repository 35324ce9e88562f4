//! What a transport and a connection know of each other.

import type { Limits, StreamEvent } from "./decoder.js";

/** One connection's way to the page, as its transport sees it. */
export interface Link {
  readonly limits: Limits;
  /** Aborts when the connection is to end. */
  readonly signal: AbortSignal;
  lastEventId: string;
  /** The server's reconnection time in ms. */
  retry: number;
  /** Sends the request that the page wants, for this content type. Rejects with what a bad answer means. */
  request(accept: string, signal: AbortSignal): Promise<Response>;
  /** The head is good: the connection stands. */
  opened(): void;
  /** Something came. */
  heard(): void;
  /** Gives an event to the page, or takes it as one of the server about the stream. */
  take(event: StreamEvent): void;
  /** Waits until the page can take more. */
  room(): Promise<void>;
  /** The server stops. */
  stopping(): void;
}

/** Brings events until its connection ends: cleanly if it resolves, and whether to ask again at once. */
export type Transport = (link: Link) => Promise<boolean | void>;

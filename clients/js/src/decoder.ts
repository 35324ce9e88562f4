//! The decoder of `text/event-stream`, exact to the WHATWG standard (HTML, section 9.2), usable without the rest.

/** An event as it is dispatched. */
export interface StreamEvent {
  /** The name; `message` if the server gave none. */
  event: string;
  /** The lines of data, joined by LF. */
  data: string;
  /** The last event id when this event was dispatched, `""` if there has been none. */
  id: string;
}

/** Bounds in UTF-16 units, as `String.length` counts. */
export interface Limits {
  /** The longest line, line end not included. Default 1,048,576. */
  maxLineLength?: number;
  /** The largest event: data, name and id together. Default 1,048,576. */
  maxEventLength?: number;
}

/** A line or an event is larger than the limit. Nothing more can be read from the connection. */
export class LimitError extends Error {
  constructor(
    /** Which limit it is. */
    readonly limit: "line" | "event",
    max: number,
  ) {
    super(`${limit} longer than the limit of ${max}`);
  }
}

const LF = 10;
const SPACE = 32;
const COLON = 58;
const DEFAULT_MAX = 1 << 20;
const MAX_RETRY_MS = 2 ** 53;

/** Bytes in, events out. How the bytes are cut does not matter. */
export class Decoder {
  /** The last event id: what a reconnect sends as `Last-Event-ID`. May be set before the first byte. */
  lastEventId = "";
  /** The reconnection time in milliseconds, if the stream has set one. At most 2⁵³. */
  retry: number | undefined;
  /** Called for each comment line, with its text. */
  onComment: ((text: string) => void) | undefined;
  /** Whether a `retry` line is the last thing that came: a server that stops sends it and ends. */
  endsInRetry = false;

  // The byte-order mark is taken off by hand, since each chunk is decoded as a whole.
  #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  #wide = new TextDecoder("utf-8", { ignoreBOM: true });
  #isAscii = true;
  #isStart = true;
  #cut: Uint8Array | undefined;
  #line = "";
  #isAfterCr = false;
  #data: string | undefined;
  #event = "";
  #id: string | undefined;
  #maxLine: number;
  #maxEvent: number;
  #onEvent: (event: StreamEvent) => void;

  constructor(onEvent: (event: StreamEvent) => void, limits: Limits = {}) {
    this.#onEvent = onEvent;
    this.#maxLine = limits.maxLineLength ?? DEFAULT_MAX;
    this.#maxEvent = limits.maxEventLength ?? DEFAULT_MAX;
  }

  /**
   * Takes the next bytes and calls `onEvent` for each event that they complete.
   *
   * Throws {@link LimitError}; the events before the fault have been given by then.
   */
  push(bytes: Uint8Array): void {
    if (this.#cut) {
      const joined = new Uint8Array(this.#cut.length + bytes.length);
      joined.set(this.#cut);
      joined.set(bytes, this.#cut.length);
      bytes = joined;
      this.#cut = undefined;
    }
    const end = wholeCharacters(bytes);
    if (end < bytes.length) {
      this.#cut = bytes.slice(end);
      bytes = bytes.subarray(0, end);
    }
    if (!bytes.length) return;
    // What is decoded never ends within a character, so the form for streams keeps nothing. It is the faster one in Node
    // for text beyond ASCII, and the slower one for ASCII.
    let text = this.#isAscii ? this.#utf8.decode(bytes) : this.#wide.decode(bytes, { stream: true });
    this.#isAscii = text.length === bytes.length;
    if (this.#isStart) {
      this.#isStart = false;
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    }
    this.#read(text);
  }

  /** The connection has ended: drops what is unfinished. The id and the reconnection time stay for the next one. */
  reset(): void {
    this.#isStart = true;
    this.#cut = undefined;
    this.#line = "";
    this.#isAfterCr = this.endsInRetry = false;
    this.#data = this.#id = undefined;
    this.#event = "";
  }

  #read(text: string): void {
    let at = 0;
    if (this.#isAfterCr && text) {
      this.#isAfterCr = false;
      if (text.charCodeAt(0) === LF) at = 1;
    }
    // Each is looked for again only once it has been passed, so that a text without one of them is read once.
    let cr = text.indexOf("\r", at);
    let lf = text.indexOf("\n", at);
    if (this.#line && (cr >= 0 || lf >= 0)) {
      // The rest of a line goes with its beginning; its end stays, for the loop to find.
      const end = cr < 0 || (lf >= 0 && lf < cr) ? lf : cr;
      const line = this.#line + text.slice(at, end);
      this.#line = "";
      text = line + text.slice(end);
      at = 0;
      if (cr >= 0) cr += line.length - end;
      if (lf >= 0) lf += line.length - end;
    }
    for (;;) {
      let end = lf;
      let next = lf + 1;
      if (cr >= 0 && (lf < 0 || cr < lf)) {
        end = cr;
        next = cr + 1;
        if (next === text.length) this.#isAfterCr = true;
        else if (next === lf) lf = text.indexOf("\n", ++next);
        cr = text.indexOf("\r", next);
      } else if (lf < 0) break;
      else if (text.charCodeAt(next) === LF) lf = next;
      else lf = text.indexOf("\n", next);
      if (at === end) this.#dispatch();
      else {
        if (end - at > this.#maxLine) this.#refuse("line", this.#maxLine);
        if (isData(text, at)) this.#append(text.slice(text.charCodeAt(at + 5) === SPACE ? at + 6 : at + 5, end));
        else this.#field(text, at, end);
        if (lf === next) {
          // The empty line that ends most events.
          this.#dispatch();
          lf = text.indexOf("\n", ++next);
        }
      }
      at = next;
    }
    if (at < text.length) this.#line += at ? text.slice(at) : text;
    if (this.#line.length > this.#maxLine) this.#refuse("line", this.#maxLine);
  }

  /** Reads the line that is not empty and is `text` from `at` to `end`. */
  #field(text: string, at: number, end: number): void {
    this.endsInRetry = false;
    switch (text.charCodeAt(at)) {
      case 100:
        return this.#append(valueOf(text, at, end, "data"));
      case 101: {
        const value = valueOf(text, at, end, "event");
        if (value !== undefined) this.#event = value;
        return this.#measure();
      }
      case 105: {
        const value = valueOf(text, at, end, "id");
        if (value !== undefined && !value.includes("\0")) this.#id = value;
        return this.#measure();
      }
      case 114: {
        const value = valueOf(text, at, end, "retry");
        if (!value || !/^[0-9]+$/.test(value)) return;
        this.retry = Math.min(Number(value), MAX_RETRY_MS);
        this.endsInRetry = true;
        return;
      }
      case COLON:
        this.onComment?.(text.slice(at + 1, end));
    }
  }

  #append(value: string | undefined): void {
    if (value === undefined) return;
    this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
    this.#measure();
  }

  #measure(): void {
    const length = (this.#data?.length ?? 0) + this.#event.length + (this.#id?.length ?? 0);
    if (length > this.#maxEvent) this.#refuse("event", this.#maxEvent);
  }

  #refuse(limit: "line" | "event", max: number): never {
    this.reset();
    throw new LimitError(limit, max);
  }

  #dispatch(): void {
    const data = this.#data;
    const event = this.#event || "message";
    this.endsInRetry = false;
    if (this.#id !== undefined) this.lastEventId = this.#id;
    this.#data = this.#id = undefined;
    this.#event = "";
    if (data !== undefined) this.#onEvent({ event, data, id: this.lastEventId });
  }
}

/** Whether `data:` stands there; the most frequent line by far, so that a look at each letter pays. */
function isData(text: string, at: number): boolean {
  return (
    text.charCodeAt(at + 4) === COLON &&
    text.charCodeAt(at) === 100 &&
    text.charCodeAt(at + 1) === 97 &&
    text.charCodeAt(at + 2) === 116 &&
    text.charCodeAt(at + 3) === 97
  );
}

/** The value of the field that is `text` from `at` to `end`, if that is its name. */
function valueOf(text: string, at: number, end: number, name: string): string | undefined {
  const colon = at + name.length;
  if (colon < end && text.charCodeAt(colon) !== COLON) return undefined;
  if (colon > end || !text.startsWith(name, at)) return undefined;
  if (colon === end) return "";
  return text.slice(text.charCodeAt(colon + 1) === SPACE && colon + 1 < end ? colon + 2 : colon + 1, end);
}

/**
 * Up to where the bytes hold whole characters: short of a sequence at the end that more bytes may complete.
 *
 * A decoder starts afresh at every leading byte, valid or not, so a cut before one changes nothing.
 */
function wholeCharacters(bytes: Uint8Array): number {
  const { length } = bytes;
  for (let back = 1; back <= 3 && back <= length; back++) {
    const byte = bytes[length - back]!;
    if (byte < 0x80) break;
    if (byte >= 0xc2) return byte < 0xf5 && back < (byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4) ? length - back : length;
  }
  return length;
}

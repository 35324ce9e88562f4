//! `connect`: the door to the package.

import { Connection } from "./connection.js";
import type { Options } from "./options.js";
import type { EventStream } from "./stream.js";

/** Connects to `url` and stays connected until `close()`, an error that is final, or the server's word that it is finished. */
export function connect(url: string | URL, options: Options = {}): EventStream {
  return new Connection(url, options);
}

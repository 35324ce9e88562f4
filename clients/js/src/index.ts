//! The whole package: `connect`, a drop-in `EventSource`, the decoder.

export { connect } from "./connect.js";
export { Decoder, type Limits, LimitError, type StreamEvent } from "./decoder.js";
export { ClientError, type Kind } from "./error.js";
export { EventSource, type EventSourceOptions } from "./event_source.js";
export type { Asked, Options } from "./options.js";
export type { EventStream, Gap, Signals, State } from "./stream.js";

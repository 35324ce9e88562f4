//! The decoder against the vectors of the project, in every cutting of their bytes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Decoder, LimitError } from "../dist/decoder.js";

const VECTORS = new URL("../../../crates/bellwether-wire/vectors/", import.meta.url);
const NAMES = ["standard", "wpt", "hostile", "limits"];

/** Limits here count UTF-16 units. In this vector alone, that differs from bytes. */
const COUNTED_OTHERWISE = "half a byte-order mark counts";

function bytesOf(part) {
  if (Array.isArray(part)) return Buffer.concat(part.map(bytesOf));
  if (typeof part === "string") return Buffer.from(part);
  if (part.hex !== undefined) return Buffer.from(part.hex.replaceAll(" ", ""), "hex");
  return Buffer.from(part.repeat.repeat(part.times));
}

/** What a decoder makes of these connections, each given as a list of chunks. */
function decode(connections, limits = {}) {
  const events = [];
  let comments = 0;
  const decoder = new Decoder(({ event, data, id }) => events.push({ event, data, last_event_id: id }), {
    maxLineLength: limits.max_line_bytes,
    maxEventLength: limits.max_event_bytes,
  });
  decoder.onComment = () => comments++;
  const errors = connections.map((chunks) => {
    let limit = null;
    try {
      for (const chunk of chunks) decoder.push(chunk);
    } catch (error) {
      assert.ok(error instanceof LimitError, error);
      limit = error.limit;
    }
    decoder.reset();
    return limit;
  });
  return { events, last_event_id: decoder.lastEventId, retry_ms: decoder.retry ?? null, comments, errors };
}

/** Whole, byte by byte, and with one cut at each place of the longest connection (at 4,096 places of long ones). */
function* cuttings(connections) {
  const cut = (bytes, at) => [bytes.subarray(0, at), bytes.subarray(at)];
  yield connections.map((bytes) => [bytes]);
  yield connections.map((bytes) => [...bytes].map((byte) => Uint8Array.of(byte)));
  yield connections.map((bytes) => [new Uint8Array(), ...cut(bytes, 3), new Uint8Array()]);
  const longest = Math.max(...connections.map((bytes) => bytes.length));
  const step = Math.max(1, Math.floor(longest / 4096));
  for (let at = 0; at <= longest; at += step) yield connections.map((bytes) => cut(bytes, at));
}

for (const name of NAMES) {
  const vectors = JSON.parse(readFileSync(new URL(`decode-${name}.json`, VECTORS)));
  for (const vector of vectors) {
    test(`decode-${name}: ${vector.name}`, { skip: vector.name === COUNTED_OTHERWISE }, () => {
      const connections = vector.connections.map(bytesOf);
      const expected = {
        events: vector.events,
        last_event_id: vector.last_event_id,
        retry_ms: vector.retry_ms,
        errors: vector.errors ?? connections.map(() => null),
      };
      for (const chunks of cuttings(connections)) {
        const { comments, ...found } = decode(chunks, vector.limits);
        assert.deepEqual(found, expected);
        if (vector.comments !== undefined) assert.equal(comments, vector.comments);
      }
    });
  }
}

test("every cutting of random bytes decodes to the same as the whole", () => {
  const alphabet = ["data", "id", "event", "retry", ":", ": ", "\r", "\n", "\r\n", "\0", "7", "x", "\ufeff", "€", "😀"];
  const pieces = [...alphabet.map((text) => Buffer.from(text)), ...[0x80, 0xc0, 0xe0, 0xe2, 0xf0, 0x9f, 0xf4, 0xff].map((byte) => Buffer.of(byte))];
  let seed = 7;
  const random = (below) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * below);
  };
  for (let round = 0; round < 2000; round++) {
    const bytes = Buffer.concat(Array.from({ length: random(40) }, () => pieces[random(pieces.length)]));
    const whole = decode([[bytes]]);
    const chunks = [];
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + random(4);
      chunks.push(bytes.subarray(at, end));
      at = end;
    }
    assert.deepEqual(decode([chunks]), whole, bytes.toString("hex"));
    // The text, decoded by the platform in one go, gives the same events.
    const text = new TextDecoder().decode(Buffer.concat([bytes, Buffer.from("\n\n")]));
    const again = decode([[Buffer.from(`\ufeff${text}`)]]);
    assert.deepEqual(decode([[bytes, Buffer.from("\n\n")]]), again, bytes.toString("hex"));
  }
});

test("an event over the limit is refused with the limit in words", () => {
  const decoder = new Decoder(() => {}, { maxEventLength: 5 });
  assert.throws(() => decoder.push(Buffer.from("data: 123456\n\n")), { message: "event longer than the limit of 5", limit: "event" });
});

test("a stream that ends in its retry line says so", () => {
  const decoder = new Decoder(() => {});
  decoder.push(Buffer.from("data: 1\n\nretry: 1500\n"));
  assert.equal(decoder.endsInRetry, true);
  decoder.push(Buffer.from("data: 2\n\n"));
  assert.equal(decoder.endsInRetry, false);
});

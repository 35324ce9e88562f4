//! How fast bytes become events, beside `eventsource-parser`: `npm ci && npm run bench`, after a build of the package.
//!
//! Both get the same chunks of bytes and count the same events; the other parser reads text, so it gets a `TextDecoder`,
//! as its own stream form does. Each line is the best of several rounds, taken in turn in one process.

import { createParser } from "eventsource-parser";

import { Decoder } from "../dist/decoder.js";

const BYTES = 4 << 20;
const ROUNDS = 15;

const token = (i) => `data: {"id":"chatcmpl-7","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" word${i}"}}]}\n\n`;
const STREAMS = {
  "tokens of a language model": token,
  "with id and name": (i) => `event: price\ndata: {"good":"Hay","price":${i}}\nid: 1.8IVoySXYEFp.${i}.0fK3cA\n\n`,
  "small": (i) => `data: ${i}\n\n`,
  "small, with CRLF": (i) => `data: ${i}\r\n\r\n`,
  "beyond ASCII": (i) => `data: größer als €${i} 😀 ${"ü".repeat(40)}\n\n`,
  "4 KiB of data": (i) => `data: ${i} ${"x".repeat(4096)}\n\n`,
};
const CHUNKS = [1 << 10, 16 << 10, 64 << 10];

function ours(chunks) {
  let count = 0;
  let length = 0;
  const decoder = new Decoder(({ data }) => {
    count++;
    length += data.length;
  });
  for (const chunk of chunks) decoder.push(chunk);
  return `${count} ${length}`;
}

function other(chunks) {
  let count = 0;
  let length = 0;
  const parser = createParser({
    onEvent({ data }) {
      count++;
      length += data.length;
    },
  });
  const utf8 = new TextDecoder();
  for (const chunk of chunks) parser.feed(utf8.decode(chunk, { stream: true }));
  return `${count} ${length}`;
}

/** Of this process's time on a processor, so that a busy machine does not show. */
function seconds(run, chunks) {
  const began = process.cpuUsage();
  run(chunks);
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1e6;
}

console.log(`node ${process.version}, ${BYTES >> 20} MiB each, best of ${ROUNDS}\n`);
console.log("| stream | chunks | bellwether-client | eventsource-parser | ratio |\n|---|---:|---:|---:|---:|");
for (const [name, event] of Object.entries(STREAMS)) {
  const parts = [];
  for (let i = 0, length = 0; length < BYTES; i++) length += parts[parts.push(Buffer.from(event(i))) - 1].length;
  const bytes = new Uint8Array(Buffer.concat(parts));
  for (const size of CHUNKS) {
    const chunks = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
    if (ours(chunks) !== other(chunks)) throw new Error(`${name}: ${ours(chunks)} is not ${other(chunks)}`);
    const best = [Infinity, Infinity];
    for (let round = 0; round < ROUNDS; round++) {
      [ours, other].forEach((run, i) => (best[i] = Math.min(best[i], seconds(run, chunks))));
    }
    const rate = (time) => `${(bytes.length / time / 1e6).toFixed(0)} MB/s`;
    console.log(`| ${name} | ${size >> 10} KiB | ${rate(best[0])} | ${rate(best[1])} | ${(best[1] / best[0]).toFixed(2)} |`);
  }
}

//! The examples of the README run.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { events, scripted } from "./server.mjs";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const blocks = [...readFileSync(`${PACKAGE}/README.md`, "utf8").matchAll(/^```js\n(.*?)^```/gms)].map(([, code]) => code);

test("there are examples", () => assert.ok(blocks.length >= 5));

for (const [number, code] of blocks.entries()) {
  const title = code.split("\n").find((line) => /connect\(|new /.test(line));
  test(`README, example ${number + 1}: ${title.trim()}`, async (t) => {
    // Inside the package, so that its name leads to it.
    const folder = mkdtempSync(`${PACKAGE}/test/readme-`);
    t.after(() => rmSync(folder, { recursive: true }));
    const server = await scripted(t, events("id: 1\ndata: a\n\nevent: bellwether.finished\ndata: {}\nid: bellwether.finished\n\n"));
    globalThis.location = { href: server.url };
    t.after(() => delete globalThis.location);
    const said = [];
    t.mock.method(console, "log", (...words) => said.push(words.join(" ")));
    const file = `${folder}/example.mjs`;
    writeFileSync(file, code);
    await import(pathToFileURL(file));
    if (code.includes("Decoder")) return assert.deepEqual(said, ["message hello 7", "7 "]);
    await (await server.request(1)).closed;
    while (!said.some((line) => /\ba\b/.test(line))) await new Promise((resolve) => setTimeout(resolve, 5));
  });
}

//! What is published: its files, its one file for pages without a bundler, and the copies of that in the examples.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import * as bundle from "../dist/bellwether-client.js";
import * as modules from "../dist/index.js";
import { drained, events, scripted, status } from "./server.mjs";

const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

test("the bundle has what the modules have", () => {
  assert.deepEqual(Object.keys(bundle).sort(), Object.keys(modules).sort());
  assert.doesNotMatch(read("dist/bellwether-client.js"), /\bimport\b/);
});

test("the bundle reads streams and polls", async (t) => {
  const server = await scripted(t, events("retry: 1\ndata: a\n\n"), status(204));
  assert.deepEqual(await drained(bundle.connect(server.url)), { data: ["a"], error: undefined });
  const polled = await scripted(t, status(204));
  assert.deepEqual(await drained(bundle.connect(polled.url, { transport: "poll" })), { data: [], error: undefined });
  assert.equal(polled.requests[0].headers.accept, "application/json");
});

test("the examples have the bundle as it is built: npm run examples", () => {
  assert.equal(read("../../examples/chat/bellwether-client.js"), read("dist/bellwether-client.js"));
});

test("nothing is published but the build, the licences and the README", () => {
  const npm = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: new URL("..", import.meta.url), encoding: "utf8" });
  const packed = JSON.parse(npm);
  const { files } = packed[0] ?? Object.values(packed)[0];
  const built = readdirSync(new URL("../dist", import.meta.url)).map((name) => `dist/${name}`);
  const expected = [...built, "LICENSE-APACHE", "LICENSE-MIT", "README.md", "package.json"];
  assert.deepEqual(files.map(({ path }) => path).sort(), expected.sort());
});

test("the package has no dependency and no side effect", () => {
  const { dependencies, devDependencies, sideEffects, type } = JSON.parse(read("package.json"));
  assert.deepEqual([dependencies, Object.keys(devDependencies), sideEffects, type], [undefined, ["typescript"], false, "module"]);
});

//! The client against a real server, which is killed and started again.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { connect } from "../dist/index.js";
import { told } from "./server.mjs";

const PROGRAM = process.env.BELLWETHER_BIN ?? fileURLToPath(new URL("../../../target/debug/bellwether", import.meta.url));
const isThere = existsSync(PROGRAM);
if (!isThere && process.env.BELLWETHER_REQUIRE_TOOLS) throw new Error(`no program at ${PROGRAM}: build it or set BELLWETHER_BIN`);
const skip = isThere ? false : "build it first: cargo build -p bellwether-cli";

/** Starts `bellwether serve` and waits for the line that tells its address. */
async function serve(t, address, file) {
  const child = spawn(PROGRAM, ["serve", "--bind", address, "--broker", `sqlite:${file}`], { stdio: ["ignore", "pipe", "pipe"] });
  const gone = once(child, "exit");
  t.after(() => child.kill("SIGKILL"));
  child.stderr.resume();
  for await (const line of createInterface({ input: child.stdout })) {
    const [url] = /http:\/\/[\d.:]+/.exec(line) ?? [];
    if (!url) continue;
    child.stdout.resume();
    return {
      url,
      end: async (signal) => {
        child.kill(signal);
        await gone;
      },
    };
  }
  throw new Error("the server ended without an address");
}

test("over kills and restarts on SQLite a reader gets every number once", { skip, timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "bellwether-client-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "events.db");
  let server = await serve(t, "127.0.0.1:0", file);
  const { url } = server;

  // Each number is published until the server has confirmed it; its key makes it one event.
  let published = 0;
  let isOver = false;
  const publishing = (async () => {
    while (!isOver) {
      const number = published + 1;
      const answer = await fetch(`${url}/publish?topic=numbers`, {
        method: "POST",
        headers: { "idempotency-key": `number ${number}` },
        body: String(number),
      }).catch(() => undefined);
      await answer?.arrayBuffer().catch(() => {});
      if (answer?.ok) published = number;
      else await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();

  const stream = connect(`${url}/events?topic=numbers`);
  const log = told(stream);
  const read = [];
  let opened;
  const open = new Promise((resolve) => (opened = resolve));
  stream.when("open", opened);
  stream.on("message", ({ data }) => read.push(Number(data)));
  await open;
  const reaches = async (number) => {
    while ((read.at(-1) ?? 0) < number) await new Promise((resolve) => setTimeout(resolve, 10));
  };

  for (const signal of ["SIGKILL", "SIGTERM", "SIGKILL"]) {
    await reaches(published + 20);
    await server.end(signal);
    server = await serve(t, new URL(url).host, file);
  }
  await reaches(published + 20);
  isOver = true;
  await publishing;
  await reaches(published);
  stream.close();

  const first = read[0];
  assert.deepEqual(read, Array.from({ length: published - first + 1 }, (_, at) => first + at));
  assert.ok(log.filter(([name]) => name === "open").length >= 4);
  assert.ok(log.some(([name]) => name === "stopping"), "the stop in good order was told");
  assert.deepEqual(log.filter(([name]) => name === "gap" || name === "failed"), []);
  t.diagnostic(`${read.length} numbers over ${log.filter(([name]) => name === "open").length} connections`);
});

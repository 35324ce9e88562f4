//! Drives Chromium for the tests: one JSON object per line in, one per line out.
//!
//! In:  {"id": 1, "command": "open", "url": "http://…"}     a new tab; its number comes back
//!      {"id": 2, "command": "eval", "tab": 1, "expression": "1 + 1"}
//!      {"id": 3, "command": "wait", "tab": 1, "expression": "count > 3", "timeout_ms": 10000}
//!      {"id": 4, "command": "screenshot", "tab": 1, "path": "page.png"}
//!      {"id": 5, "command": "close", "tab": 1}
//!      {"id": 6, "command": "crash", "tab": 1}              its process ends, and with it the page
//!      {"id": 7, "command": "quit"}
//! Out: {"id": 1, "value": …} or {"id": 1, "error": "…"}; first of all {"id": 0} with the browser's version
//!      as the value, or with the reason why there is no browser.
//!
//! Commands run side by side, each answered when it is done. The end of stdin quits as well, so no
//! browser outlives its test. Expressions go through the debugging protocol and not through `eval` in
//! the page, so a page's Content-Security-Policy stays in force and does not disturb them.

import { createInterface } from "node:readline";
import { existsSync } from "node:fs";

const FLAGS = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--no-first-run",
];
const POLL_MS = 20;

const reply = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** Starts the system's Chromium with a fresh profile. */
async function launch() {
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  if (!existsSync(executablePath)) {
    throw new Error(`no Chromium at ${executablePath}: install it or set CHROMIUM`);
  }
  const { chromium } = await import("playwright-core").catch(() => {
    throw new Error("playwright-core is not installed: run `npm ci` in tests/browser");
  });
  return chromium.launch({ executablePath, headless: true, chromiumSandbox: false, args: FLAGS });
}

/** One page with its debugging session and what it has said on its console. */
class Tab {
  constructor(page, session) {
    this.page = page;
    this.session = session;
    this.console = [];
    page.on("console", (message) => this.console.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => this.console.push(`uncaught: ${error.message}`));
  }

  async eval(expression) {
    const { result, exceptionDetails } = await this.session.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value ?? null;
  }

  /** Waits until the expression is truthy; a page that is being replaced meanwhile is asked again. */
  async wait(expression, timeoutMs) {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const last = await this.eval(expression).catch((error) => error);
      if (last && !(last instanceof Error)) return last;
      if (Date.now() > deadline) {
        const found = last instanceof Error ? last.message : JSON.stringify(last);
        const said = this.console.slice(-20).join("\n  ") || "nothing";
        throw new Error(
          `waited ${timeoutMs} ms for ${expression}, which is ${found}; the page's console said:\n  ${said}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

let browser;
try {
  browser = await launch();
} catch (error) {
  reply({ id: 0, error: error.message });
  process.exit(1);
}
const context = await browser.newContext();
const tabs = new Map();
let lastTab = 0;

const commands = {
  async open({ url }) {
    const page = await context.newPage();
    const tab = new Tab(page, await context.newCDPSession(page));
    await page.goto(url, { waitUntil: "domcontentloaded" });
    tabs.set(++lastTab, tab);
    return lastTab;
  },
  eval: ({ tab, expression }) => known(tab).eval(expression),
  wait: ({ tab, expression, timeout_ms }) => known(tab).wait(expression, timeout_ms),
  async screenshot({ tab, path }) {
    await known(tab).page.screenshot({ path });
  },
  async close({ tab }) {
    await known(tab).page.close();
    tabs.delete(tab);
  },
  async crash({ tab }) {
    const { page, session } = known(tab);
    const crashed = new Promise((resolve) => page.once("crash", resolve));
    // The command itself is never answered.
    session.send("Page.crash").catch(() => {});
    await crashed;
    tabs.delete(tab);
  },
  async quit() {
    await browser.close();
  },
};

function known(number) {
  const tab = tabs.get(number);
  if (!tab) throw new Error(`no open tab ${number}`);
  return tab;
}

async function run(line) {
  const { id, command, ...rest } = JSON.parse(line);
  try {
    if (!Object.hasOwn(commands, command)) throw new Error(`unknown command ${command}`);
    reply({ id, value: (await commands[command](rest)) ?? null });
  } catch (error) {
    reply({ id, error: error.message });
  }
  if (command === "quit") process.exit(0);
}

reply({ id: 0, value: browser.version() });
createInterface({ input: process.stdin })
  .on("line", run)
  .on("close", async () => {
    await browser.close();
    process.exit(0);
  });

// A browser with a page that has an `EventSource`: node browser.mjs URL PROGRAM [ARGUMENT…]
//
// The page tells each event to this program, which prints it. The browser gets a profile of its own and is ended with
// this program.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const stream = new URL(process.argv[2]);
const [program, ...fixed] = process.argv.slice(3);
const profile = mkdtempSync(join(tmpdir(), "world-browser-"));

const heard = http.createServer((request, response) => {
  let line = "";
  request.setEncoding("utf8").on("data", (part) => (line += part)).on("end", () => {
    process.stdout.write(line + "\n");
    response.end();
  });
});
await new Promise((resolve) => heard.listen(0, "127.0.0.1", resolve));

const page = new URL("/page", stream);
page.searchParams.set("url", stream.pathname + stream.search);
page.searchParams.set("report", `http://127.0.0.1:${heard.address().port}/`);

const isFirefox = program.includes("firefox");
if (isFirefox) {
  // Nothing but our own page is asked for.
  const quiet = ["app.normandy.enabled", "datareporting.policy.dataSubmissionEnabled", "extensions.update.enabled",
    "browser.safebrowsing.malware.enabled", "browser.safebrowsing.phishing.enabled", "network.captive-portal-service.enabled",
    "network.connectivity-service.enabled", "app.update.enabled", "services.settings.enabled"];
  const lines = quiet.map((name) => `user_pref("${name}", false);\n`);
  writeFileSync(join(profile, "user.js"), lines.join(""));
}
const how = isFirefox
  ? ["--headless", "--no-remote", "--profile", profile]
  : ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", `--user-data-dir=${profile}`];
const browser = spawn(program, [...fixed, ...how, page.href], { stdio: "ignore", detached: true });

const quit = () => {
  try {
    // The browser and the processes of its own group.
    process.kill(-browser.pid, "SIGKILL");
  } catch {
    // It has gone already.
  }
  // A process of the browser that is just ending may still write.
  rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  process.exit(0);
};
process.on("SIGTERM", quit);
process.on("SIGINT", quit);
// The end of the program that drives us.
process.stdin.on("end", quit).resume();
browser.on("exit", () => {
  process.stdout.write(JSON.stringify({ end: "the browser ended" }) + "\n");
  quit();
});

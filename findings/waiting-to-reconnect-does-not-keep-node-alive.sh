#!/usr/bin/env bash
# Package: undici (npm)
# Version: 7.16.0
# Behaviour: the timer before a reconnect is one that Node does not wait for. A program that does nothing but read a stream
#   ends with status 0 and without a word when the server ends the stream once.
# Standard: WHATWG HTML, section 9.2.3: "Wait a delay equal to the reconnection time of the event source", then fetch again;
#   an EventSource that is not closed is alive. The docs of undici say nothing of it.
# Seen:
#   'one', then the program ended with status 0; requests: 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund undici@7.16.0
cat >reader.mjs <<'EOF'
import { EventSource } from "undici";

new EventSource(process.argv[2]).onmessage = (event) => console.log(`'${event.data}'`);
EOF
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import http from "node:http";

let requests = 0;
const server = http.createServer((request, response) => {
  requests += 1;
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.end("retry: 500\ndata: one\n\n");
});
server.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}/`;
  const reader = spawn(process.execPath, ["reader.mjs", url], { stdio: ["ignore", "pipe", "ignore"] });
  let said = "";
  reader.stdout.on("data", (part) => (said += part));
  // A reader that is still there after 10 s has come back, as it should.
  const late = setTimeout(() => reader.kill(), 10000);
  reader.on("close", (status, signal) => {
    clearTimeout(late);
    const end = signal ? "was still reading after 10 s" : `ended with status ${status}`;
    console.log(`${said.trim().split("\n").join(", ")}, then the program ${end}; requests: ${requests}`);
    process.exit(0);
  });
});
EOF
got=$(timeout 30 node probe.mjs)
echo "$got"
[[ $got == "'one', then the program ended with status 0; requests: 1" ]] || { echo "the behaviour has changed" >&2; exit 1; }

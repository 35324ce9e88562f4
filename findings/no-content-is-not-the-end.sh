#!/usr/bin/env bash
# Package: event-source-polyfill (npm)
# Version: 1.0.31
# Behaviour: the answer 204, by which a server tells an EventSource that there is nothing more, is taken for a failed
#   connection: the client asks again and again, each time after twice the wait.
# Standard: WHATWG HTML, section 9.2.1: "Clients will reconnect if the connection is closed; a client can be told to stop
#   reconnecting using the HTTP 204 No Content response code"; 9.2.2, for any status but 200: "fail the connection".
# Seen:
#   200, 204, 204, 204; readyState 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund event-source-polyfill@1.0.31
cat >probe.mjs <<'EOF'
import http from "node:http";
import polyfill from "event-source-polyfill";

const answers = [];
const server = http.createServer((request, response) => {
  if (answers.length === 0) {
    answers.push(200);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end("retry: 1000\ndata: all\n\n");
  } else {
    answers.push(204);
    response.writeHead(204).end();
  }
});
server.listen(0, "127.0.0.1", () => {
  const source = new polyfill.EventSourcePolyfill(`http://127.0.0.1:${server.address().port}/`);
  source.onerror = () => {};
  setTimeout(() => {
    console.log(`${answers.join(", ")}; readyState ${source.readyState}`);
    process.exit(0);
  }, 10000);
});
EOF
# The package writes a line of its own for each connection that ends.
got=$(timeout 30 node probe.mjs 2>/dev/null | tail -n 1)
echo "$got"
[[ $got == "200, 204, 204, 204; readyState 0" ]] || { echo "the behaviour has changed" >&2; exit 1; }

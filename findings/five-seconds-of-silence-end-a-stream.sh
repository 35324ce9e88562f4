#!/usr/bin/env bash
# Package: launchdarkly-eventsource (npm)
# Version: 2.2.0, on Node 20
# Behaviour: without options, a stream on which nothing comes for 5 s is closed and opened again, as often as it
#   falls silent. The 5 s are the time-out of Node's default agent (since Node 19), which the client takes for its own.
# Standard: the client's README: "Setting a `readTimeoutMillis` will cause EventSource to drop and retry the connection if
#   that number of milliseconds ever elapses without receiving any new data"; it says nothing of a time-out without it.
#   WHATWG HTML, section 9.2.7, advises servers to send a comment "every 15 seconds or so".
# Seen:
#   2 connections in 9 s of silence
#   1 connection in 9 s of silence, with an agent of one's own
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund launchdarkly-eventsource@2.2.0
cat >probe.cjs <<'EOF'
const http = require("node:http");
const { EventSource } = require("launchdarkly-eventsource");

const count = (options) => new Promise((resolve) => {
  let connections = 0;
  const server = http.createServer((request, response) => {
    connections += 1;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: hello\n\n");
  });
  server.listen(0, "127.0.0.1", () => {
    const source = new EventSource(`http://127.0.0.1:${server.address().port}/`, options);
    source.onerror = () => {};
    setTimeout(() => {
      source.close();
      resolve(connections);
    }, 9000);
  });
});

const own = { agent: new http.Agent({ keepAlive: true }) };
Promise.all([count({}), count(own)]).then(([plain, helped]) => {
  console.log(`${plain} connections in 9 s of silence`);
  console.log(`${helped} connection in 9 s of silence, with an agent of one's own`);
  process.exit(0);
});
EOF
got=$(timeout 30 node probe.cjs)
echo "$got"
[[ $got == "2 connections in 9 s of silence
1 connection in 9 s of silence, with an agent of one's own" ]] || { echo "the behaviour has changed" >&2; exit 1; }

#!/usr/bin/env bash
# Package: eventsource (npm)
# Version: 2.0.2
# Behaviour: the lines of an event whose connection broke before its blank line are kept, and the next connection's
#   first event is appended to them. A server that resumes properly sends the broken event again, so its user gets the
#   data twice in one event: two JSON texts with a line break between them.
# Standard: WHATWG HTML, section 9.2.6: "Once the end of the file is reached, any pending data must be discarded. (If the
#   file ends in the middle of an event, before the final empty line, the incomplete event is not dispatched.)"
# Seen:
#   "{\"n\":1}"
#   "{\"n\":2}\n{\"n\":2}"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund eventsource@2.0.2
cat >probe.cjs <<'EOF'
const http = require("node:http");
const EventSource = require("eventsource");

const server = http.createServer((request, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  if (request.headers["last-event-id"] === "1") {
    response.write('data: {"n":2}\nid: 2\n\n');
  } else {
    response.write('retry: 50\ndata: {"n":1}\nid: 1\n\ndata: {"n":2}\n');
    setTimeout(() => response.destroy(), 300);
  }
});
server.listen(0, "127.0.0.1", () => {
  let count = 0;
  const source = new EventSource(`http://127.0.0.1:${server.address().port}/`);
  source.onmessage = (event) => {
    console.log(JSON.stringify(event.data));
    if (++count === 2) process.exit(0);
  };
  source.onerror = () => {};
});
EOF
got=$(timeout 30 node probe.cjs)
echo "$got"
[[ $got == '"{\"n\":1}"
"{\"n\":2}\n{\"n\":2}"' ]] || { echo "the behaviour has changed" >&2; exit 1; }

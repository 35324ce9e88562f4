#!/usr/bin/env bash
# Package: @microsoft/fetch-event-source and extended-eventsource (npm)
# Version: 2.0.1 and 2.1.0
# Behaviour: the id for `Last-Event-ID` is taken over at the line `id:`, not when the event is dispatched. If the
#   connection breaks between that line and the end of the event, the client asks for what follows an event that its
#   user never got, and the event is lost.
# Standard: WHATWG HTML, section 9.2.6: `id` sets the last event ID buffer; "Set the last event ID string of the event
#   source to the value of the last event ID buffer" is a step of dispatching, at the blank line. The README of the
#   first calls itself "fully compatible with the Event Stream format", that of the second "fully compliant".
# Seen:
#   @microsoft/fetch-event-source: got one; came back with 2
#   extended-eventsource: got one; came back with 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @microsoft/fetch-event-source@2.0.1 extended-eventsource@2.1.0
cat >probe.mjs <<'EOF'
import http from "node:http";

// The first answer breaks within its second event; the second says with which id the client came.
const ask = (read) => new Promise((resolve) => {
  const got = [];
  const server = http.createServer((request, response) => {
    const id = request.headers["last-event-id"];
    if (id !== undefined) {
      response.destroy();
      resolve(`got ${got.join(", ")}; came back with ${id}`);
      return server.close();
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("retry: 50\nid: 1\ndata: one\n\nid: 2\ndata: tw");
    setTimeout(() => response.destroy(), 300);
  });
  server.listen(0, "127.0.0.1", () => read(`http://127.0.0.1:${server.address().port}/`, (data) => got.push(data)));
});

// Written for pages: the three things of one that it looks at.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = await import("@microsoft/fetch-event-source");
const { EventSource } = await import("extended-eventsource");
console.log("@microsoft/fetch-event-source:", await ask((url, got) => {
  fetchEventSource(url, { onmessage: (message) => got(message.data) });
}));
console.log("extended-eventsource:", await ask((url, got) => {
  new EventSource(url).onmessage = (event) => got(event.data);
}));
process.exit(0);
EOF
got=$(timeout 30 node probe.mjs)
echo "$got"
[[ $got == "@microsoft/fetch-event-source: got one; came back with 2
extended-eventsource: got one; came back with 2" ]] || { echo "the behaviour has changed" >&2; exit 1; }

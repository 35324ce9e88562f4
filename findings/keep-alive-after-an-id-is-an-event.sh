#!/usr/bin/env bash
# Package: httpx-sse (PyPI)
# Version: 0.4.3, with httpx 0.28.1
# Behaviour: once an event has brought an id, each keep-alive that is a comment and a blank line is handed over as an
#   event with empty data. Before the first id the same bytes are nothing. Many servers send keep-alives in this form.
# Standard: WHATWG HTML, section 9.2.6: a line that starts with a colon is ignored; and for browsers, a blank line with an
#   empty data buffer dispatches nothing, whatever the last event id is.
# Seen:
#   message 'one' 7
#   message '' 7
#   message 'two' 7
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet httpx-sse==0.4.3 httpx==0.28.1
cat >probe.py <<'EOF'
import http.server
import threading

import httpx
from httpx_sse import connect_sse

BODY = b": keep-alive\n\nid: 7\ndata: one\n\n: keep-alive\n\ndata: two\n\n"


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
with httpx.Client() as client:
    with connect_sse(client, "GET", f"http://127.0.0.1:{server.server_port}/") as source:
        for event in source.iter_sse():
            print(event.event, repr(event.data), event.id)
EOF
got=$(NO_PROXY=127.0.0.1 timeout 60 venv/bin/python probe.py)
echo "$got"
[[ $got == "message 'one' 7
message '' 7
message 'two' 7" ]] || { echo "the behaviour has changed" >&2; exit 1; }

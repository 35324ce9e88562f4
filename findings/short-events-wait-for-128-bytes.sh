#!/usr/bin/env bash
# Package: sseclient-py over requests (PyPI), as the README of sseclient-py shows them
# Version: 1.8.0, with requests 2.34.2 and urllib3 2.8.0
# Behaviour: a stream without chunked encoding, such as an answer of HTTP/1.0, is read in pieces of 128 bytes, since that
#   is what iterating over a response of requests does. An event of 12 bytes is handed over only when 128 bytes have
#   come, which on a quiet stream is much later. With chunked encoding it comes at once.
# Standard: WHATWG HTML, section 9.2.6: an event is dispatched when its blank line has been processed.
# Seen:
#   chunked: at once
#   plain: with the later events
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet sseclient-py==1.8.0 requests==2.34.2 urllib3==2.8.0
cat >probe.py <<'EOF'
import http.server
import threading
import time

import requests
from sseclient import SSEClient

PAUSE = 2


class Server(http.server.BaseHTTPRequestHandler):
    def say(self, data):
        if self.path == "/chunked":
            data = b"%x\r\n%s\r\n" % (len(data), data)
        self.wfile.write(data)
        self.wfile.flush()

    def do_GET(self):
        self.protocol_version = "HTTP/1.1" if self.path == "/chunked" else "HTTP/1.0"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        if self.path == "/chunked":
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.say(b"data: first\n\n")
        time.sleep(PAUSE)
        self.say(b"data: later\n\n" * 20)
        self.close_connection = True

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
for name in ["chunked", "plain"]:
    response = requests.get(f"http://127.0.0.1:{server.server_port}/{name}", stream=True)
    start = time.monotonic()
    next(SSEClient(response).events())
    is_soon = time.monotonic() - start < PAUSE / 2
    print(f"{name}: {'at once' if is_soon else 'with the later events'}")
EOF
got=$(NO_PROXY=127.0.0.1 timeout 60 venv/bin/python probe.py)
echo "$got"
[[ $got == "chunked: at once
plain: with the later events" ]] || { echo "the behaviour has changed" >&2; exit 1; }

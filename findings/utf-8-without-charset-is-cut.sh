#!/usr/bin/env bash
# Package: sseclient (PyPI)
# Version: 0.0.27, with requests 2.34.2
# Behaviour: without `charset` in Content-Type the stream is read as Latin-1, and lines are split by `splitlines`, for
#   which the byte 0x85 is a line's end. Text with letters such as Å or х, whose UTF-8 has that byte, loses its rest;
#   other text outside ASCII is garbled. With `charset=utf-8` the same bytes arrive whole.
# Standard: WHATWG HTML, section 9.2.5: "Event streams in this format must always be encoded as UTF-8", and 9.2.6: "Streams
#   must be decoded using the UTF-8 decode algorithm"; lines end with CR, LF or CRLF alone.
# Seen:
#   text/event-stream: 'Ã'
#   text/event-stream; charset=utf-8: 'Ångström'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet sseclient==0.0.27 requests==2.34.2
cat >probe.py <<'EOF'
import http.server
import threading

from sseclient import SSEClient

TYPES = {"/plain": "text/event-stream", "/said": "text/event-stream; charset=utf-8"}


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", TYPES[self.path])
        self.end_headers()
        self.wfile.write("data: Ångström\n\n".encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
for path, kind in TYPES.items():
    event = next(SSEClient(f"http://127.0.0.1:{server.server_port}{path}"))
    print(f"{kind}: {event.data!r}")
EOF
got=$(NO_PROXY=127.0.0.1 PYTHONIOENCODING=utf-8 timeout 60 venv/bin/python probe.py)
echo "$got"
[[ $got == "text/event-stream: 'Ã'
text/event-stream; charset=utf-8: 'Ångström'" ]] || { echo "the behaviour has changed" >&2; exit 1; }

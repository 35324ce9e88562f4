#!/usr/bin/env bash
# Package: sseclient (PyPI)
# Version: 0.0.27, with requests 2.34.2 and urllib3 2.8.0
# Behaviour: the client reads below the layer that takes chunked encoding apart. The lengths of chunks come into the
#   stream as lines of their own. That does no harm while each event is one chunk; an event in two chunks is cut where
#   the first ends, and the last chunk is one more event, with empty data. The end of a stream on a connection that stays
#   open is not seen at all.
# Standard: RFC 9112, section 7.1: "A recipient MUST be able to parse and decode the chunked transfer coding." Where a chunk
#   ends says nothing about the content.
# Seen:
#   'he'
#   'two'
#   ''
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet sseclient==0.0.27 requests==2.34.2 urllib3==2.8.0
cat >probe.py <<'EOF'
import http.server
import threading
import time

from sseclient import SSEClient


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for part in [b"data: he", b"llo\n\n", b"data: two\n\n", b""]:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
            time.sleep(0.1)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
for _, event in zip(range(3), SSEClient(f"http://127.0.0.1:{server.server_port}/")):
    print(repr(event.data), flush=True)
EOF
got=$(NO_PROXY=127.0.0.1 timeout 60 venv/bin/python probe.py)
echo "$got"
[[ $got == "'he'
'two'
''" ]] || { echo "the behaviour has changed" >&2; exit 1; }

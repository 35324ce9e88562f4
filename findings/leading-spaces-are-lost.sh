#!/usr/bin/env bash
# Package: requests-sse and aiohttp-sse-client (PyPI)
# Version: 0.5.3 and 0.2.1
# Behaviour: every space behind `data:` is taken away, not only the first. Indented text is flattened, and words that a
#   model sends with their spaces, " is", " well", run together.
# Standard: WHATWG HTML, section 9.2.6: "If value starts with a U+0020 SPACE character, remove it from value"; one.
# Seen:
#   requests-sse: 'All' 'is' 'well'
#   aiohttp-sse-client: 'All' 'is' 'well'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet requests-sse==0.5.3 aiohttp-sse-client==0.2.1
cat >probe.py <<'EOF'
import asyncio
import http.server
import threading

import aiohttp_sse_client.client
import requests_sse


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for word in ["All", " is", " well"]:
            self.wfile.write(f"data: {word}\n\n".encode())

    def log_message(self, *_):
        pass


def with_requests():
    with requests_sse.EventSource(url) as source:
        return [event.data for event, _ in zip(source, range(3))]


async def with_aiohttp():
    async with aiohttp_sse_client.client.EventSource(url) as source:
        return [(await source.__anext__()).data for _ in range(3)]


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
print("requests-sse:", *map(repr, with_requests()))
print("aiohttp-sse-client:", *map(repr, asyncio.run(with_aiohttp())))
EOF
got=$(NO_PROXY=127.0.0.1 timeout 60 venv/bin/python probe.py)
echo "$got"
[[ $got == "requests-sse: 'All' 'is' 'well'
aiohttp-sse-client: 'All' 'is' 'well'" ]] || { echo "the behaviour has changed" >&2; exit 1; }

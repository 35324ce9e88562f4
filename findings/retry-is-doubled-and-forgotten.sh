#!/usr/bin/env bash
# Package: requests-sse and aiohttp-sse-client (PyPI)
# Version: 0.5.3 and 0.2.1
# Behaviour: after a clean end the client waits twice what `retry:` said, and forgets it: unless the next stream says it
#   too, the next wait is twice the client's own default, 10 s. A server that says `retry:` once is not heeded.
# Standard: WHATWG HTML, section 9.2.6: `retry` sets "the event stream's reconnection time to that integer"; 9.2.3: "Wait a
#   delay equal to the reconnection time of the event source", and more only at will, for instance after a failure.
# Seen:
#   requests-sse: asked for 300 ms once, waited about 600 ms and then 10 s
#   aiohttp-sse-client: asked for 300 ms once, waited about 600 ms and then 10 s
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
import time

import aiohttp_sse_client.client
import requests_sse


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.times.append(time.monotonic())
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        retry = b"retry: 300\n" if len(self.server.times) == 1 else b""
        self.wfile.write(retry + b"data: hello\n\n")

    def log_message(self, *_):
        pass


def with_requests(url):
    with requests_sse.EventSource(url) as source:
        for _, _ in zip(range(3), source):
            pass


def with_aiohttp(url):
    async def read():
        async with aiohttp_sse_client.client.EventSource(url) as source:
            for _ in range(3):
                await source.__anext__()

    asyncio.run(read())


def measure(name, read):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.times = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    read(f"http://127.0.0.1:{server.server_port}/")
    first, second = [later - time for time, later in zip(server.times, server.times[1:])]
    is_so = 0.55 < first < 1.2 and 9.5 < second < 12
    words = "about 600 ms and then 10 s" if is_so else f"{first:.2f} s and then {second:.2f} s"
    print(f"{name}: asked for 300 ms once, waited {words}", flush=True)


measure("requests-sse", with_requests)
measure("aiohttp-sse-client", with_aiohttp)
EOF
got=$(NO_PROXY=127.0.0.1 timeout 60 venv/bin/python probe.py)
echo "$got"
[[ $got == "requests-sse: asked for 300 ms once, waited about 600 ms and then 10 s
aiohttp-sse-client: asked for 300 ms once, waited about 600 ms and then 10 s" ]] || { echo "the behaviour has changed" >&2; exit 1; }

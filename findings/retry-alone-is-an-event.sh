#!/usr/bin/env bash
# Package: openai (PyPI)
# Version: 3.57.0
# Behaviour: a block that holds only `retry:` is taken for an event with empty data, which is no JSON, so the stream of
#   chat chunks dies with JSONDecodeError before its first chunk.
# Standard: WHATWG HTML, section 9.2.6, for browsers: "If the data buffer is an empty string, set the data buffer and the
#   event type buffer to the empty string and return"; no event is dispatched. Other clients may do otherwise, but
#   `retry` sets a time of the stream and may stand in a block of its own.
# Seen:
#   JSONDecodeError: Expecting value: line 1 column 1 (char 0)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet openai==3.57.0
cat >probe.py <<'EOF'
import http.server
import json
import threading

from openai import OpenAI

chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
         "choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": "stop"}]}
BODY = f"retry: 3000\n\ndata: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = OpenAI(base_url=f"http://127.0.0.1:{server.server_port}", api_key="none", max_retries=0)
try:
    for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
        print(chunk.choices[0].delta.content)
except Exception as error:
    print(f"{type(error).__name__}: {error}")
EOF
got=$(NO_PROXY=127.0.0.1 timeout 60 venv/bin/python probe.py)
echo "$got"
[[ $got == "JSONDecodeError: Expecting value: line 1 column 1 (char 0)" ]] || { echo "the behaviour has changed" >&2; exit 1; }

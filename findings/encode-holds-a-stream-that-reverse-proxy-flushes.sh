#!/usr/bin/env bash
# Package: caddy (Debian 12)
# Version: 2.6.2-5; curl 7.88.1
# Behaviour: with `encode gzip`, events stay in the compressor until the stream ends, if the first write has 512 bytes or
#   more. A stream without an end shows nothing, and a keep-alive pushes nothing out. With a shorter first write the same
#   stream is not compressed and comes at once, so that a test with small events does not see it.
# Standard: the docs of Caddy, reverse_proxy, flush_interval: "responses are flushed immediately to the client if ...
#   Content-Type: text/event-stream". The docs of encode name no exception.
# Seen:
#   first event of 20 bytes: plain, at once, at once, at once
#   first event of 2000 bytes: gzip, 4 s late, 2 s late, at once
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
cat >server.py <<'PY'
import http.server, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number in range(3):
            time.sleep(2 if number else 0)
            size = int(self.path[1:]) if number == 0 else 20
            event = f"data: {time.time():.3f} {'x' * size}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *words):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY
cat >reader.py <<'PY'
import sys, time

words = []
for line in sys.stdin:
    if line.lower().startswith("content-encoding:"):
        words.append(line.split(":")[1].strip())
    if line.startswith("data: "):
        late = round(time.time() - float(line.split()[1]))
        words.append(f"{late} s late" if late else "at once")
if words[0] != "gzip":
    words.insert(0, "plain")
print(", ".join(words))
PY
python3 server.py >port &
until [[ -s port ]]; do sleep 0.1; done
free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >Caddyfile <<CADDY
{
	admin off
}
http://localhost:$free {
	bind 127.0.0.1
	encode gzip
	reverse_proxy 127.0.0.1:$(cat port)
}
CADDY
HOME=$folder caddy run --adapter caddyfile --config Caddyfile 2>log &
timeout 20 bash -c "until (exec 3<>/dev/tcp/127.0.0.1/$free) 2>/dev/null; do sleep 0.2; done"
ask() {
  local words
  words=$(timeout 20 curl -sNi4 --compressed "http://localhost:$free/$1" | python3 reader.py)
  echo "first event of $1 bytes: $words"
}
got=$(ask 20; ask 2000)
echo "$got"
[[ $got == "first event of 20 bytes: plain, at once, at once, at once
first event of 2000 bytes: gzip, 4 s late, 2 s late, at once" ]] || { echo "the behaviour has changed" >&2; exit 1; }

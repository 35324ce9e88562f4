#!/usr/bin/env bash
# Package: varnish (Debian 12)
# Version: 7.1.1-2+deb12u1; curl 7.88.1
# Behaviour: with `set beresp.do_gzip = true`, nothing but the head of gzip reaches the client before the response ends,
#   though it is streamed. Of an event stream the client sees no event, however long it waits.
# Standard: vcl-var(7): beresp.do_stream, default true: "Deliver the object to the client while fetching the whole object
#   into varnish." beresp.do_gzip: "Set to true to gzip the object while storing it"; it names no effect on do_stream.
# Seen:
#   as it is: at once, at once, at once
#   do_gzip: 4 s late, 2 s late, at once
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
            event = f"data: {time.time():.3f}\n\n".encode()
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
    if line.startswith("data: "):
        late = round(time.time() - float(line.split()[1]))
        words.append(f"{late} s late" if late else "at once")
print(", ".join(words))
PY
python3 server.py >port &
until [[ -s port ]]; do sleep 0.1; done
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
is_up() { timeout 20 bash -c "until (exec 3<>/dev/tcp/127.0.0.1/$1) 2>/dev/null; do sleep 0.2; done"; }
ask() {
  local name=$1 rule=$2 port
  port=$(free)
  cat >"$name.vcl" <<VCL
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "$(cat port)"; }
sub vcl_backend_response { $rule }
VCL
  varnishd -F -n "$folder/state-$name" -f "$folder/$name.vcl" -a "127.0.0.1:$port" -s malloc,16m >/dev/null 2>&1 &
  is_up "$port"
  timeout 20 curl -sN4 --compressed "http://127.0.0.1:$port/" | python3 reader.py
}
chmod 755 "$folder"
ask plain "" >plain.words
ask gzip "set beresp.do_gzip = true;" >gzip.words
got="as it is: $(cat plain.words)
do_gzip: $(cat gzip.words)"
echo "$got"
[[ $got == "as it is: at once, at once, at once
do_gzip: 4 s late, 2 s late, at once" ]] || { echo "the behaviour has changed" >&2; exit 1; }

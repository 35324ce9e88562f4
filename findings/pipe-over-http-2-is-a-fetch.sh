#!/usr/bin/env bash
# Package: varnish (Debian 12)
# Version: 7.1.1-2+deb12u1; curl 7.88.1
# Behaviour: `return (pipe)`, the usual advice for event streams, does nothing for a request over HTTP/2: vcl_pass runs, and
#   the response is fetched. Only the log says so ("Doing pass"). A server behind it learns late that a client has left, and
#   a cut stream looks finished, as if the rule were not there.
# Standard: vcl-step(7) of Varnish, pipe: "Switch to pipe mode. Control will eventually pass to vcl_pipe." It names no
#   protocol, and nor do the docs of feature=+http2.
# Seen:
#   HTTP/1.1: vcl_pipe
#   HTTP/2: vcl_pass
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
cat >server.py <<'PY'
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(f"data: {self.headers['x-way']}\n\n".encode())

    def log_message(self, *words):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 server.py >port &
until [[ -s port ]]; do sleep 0.1; done
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
is_up() { timeout 20 bash -c "until (exec 3<>/dev/tcp/127.0.0.1/$1) 2>/dev/null; do sleep 0.2; done"; }
chmod 755 "$folder"
port=$(free)
cat >default.vcl <<VCL
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "$(cat port)"; }
sub vcl_recv { return (pipe); }
sub vcl_pipe { set bereq.http.x-way = "vcl_pipe"; }
sub vcl_pass { set req.http.x-way = "vcl_pass"; }
VCL
varnishd -F -n "$folder/v" -f "$folder/default.vcl" -a "127.0.0.1:$port" -s malloc,16m -p feature=+http2 >/dev/null 2>&1 &
is_up "$port"
ask() { timeout 20 curl -sN "$@" "http://127.0.0.1:$port/" | sed -n 's/^data: //p'; }
got="HTTP/1.1: $(ask --http1.1)
HTTP/2: $(ask --http2-prior-knowledge)"
echo "$got"
[[ $got == "HTTP/1.1: vcl_pipe
HTTP/2: vcl_pass" ]] || { echo "the behaviour has changed" >&2; exit 1; }

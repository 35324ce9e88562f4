#!/usr/bin/env bash
# Package: haproxy (Debian 12)
# Version: 2.6.12-1+deb12u4; curl 7.88.1
# Behaviour: `option abortonclose` closes the connection to the server when a client of HTTP/1.1 leaves, but only where
#   it also stands in the frontend's own settings, that is in `defaults`. In `backend` it does nothing: a server that
#   streams keeps each client that has left, until it writes again.
# Standard: configuration manual of 2.6, option abortonclose: "May be used in sections: defaults yes, frontend no, listen
#   yes, backend yes". HAProxy accepts it in backend without a warning.
# Seen:
#   nowhere: not seen within 5 s
#   backend: not seen within 5 s
#   defaults: seen
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
        self.wfile.write(b"b\r\ndata: one\n\n\r\n")
        # Says nothing more, and waits for the other side to close.
        self.connection.settimeout(8)
        try:
            has_left = not self.connection.recv(1)
        except OSError as error:
            has_left = isinstance(error, ConnectionResetError)
        if has_left:
            open("left" + self.path.replace("/", "-"), "w").close()
        self.close_connection = True

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
ask() {
  local name=$1 in_defaults=$2 in_backend=$3 port reader
  port=$(free)
  cat >"$name.cfg" <<CFG
defaults
    mode http
    $in_defaults
    timeout connect 5s
    timeout client 50s
    timeout server 50s
frontend web
    bind 127.0.0.1:$port
    default_backend one
backend one
    $in_backend
    server one 127.0.0.1:$(cat port)
CFG
  haproxy -db -f "$name.cfg" >"$name.log" 2>&1 &
  is_up "$port"
  timeout 20 curl -sN "http://127.0.0.1:$port/$name" >"$name.events" &
  reader=$!
  until [[ -s $name.events ]]; do sleep 0.1; done
  kill "$reader"
  for _ in {1..50}; do
    [[ ! -e left-$name ]] || { echo "$name: seen" && return; }
    sleep 0.1
  done
  echo "$name: not seen within 5 s"
}
option="option abortonclose"
ask nowhere "" "" >>got
ask backend "" "$option" >>got
ask defaults "$option" "" >>got
cat got
[[ $(cat got) == "nowhere: not seen within 5 s
backend: not seen within 5 s
defaults: seen" ]] || { echo "the behaviour has changed" >&2; exit 1; }

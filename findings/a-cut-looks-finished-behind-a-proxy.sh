#!/usr/bin/env bash
# Package: haproxy, varnish, caddy (Debian 12)
# Version: 2.6.12-1+deb12u4, 7.1.1-2+deb12u1, 2.6.2-5; curl 7.88.1
# Behaviour: the server's connection breaks in the middle of a chunked response. HAProxy and Varnish tell a client of
#   HTTP/1.1, and end the stream of a client of HTTP/2 as if the response were whole (END_STREAM). Caddy does so in both.
#   The client cannot tell half an answer from a whole one.
# Standard: RFC 9112, section 8: "A message body that uses the chunked transfer coding is incomplete if the zero-sized chunk
#   that terminates the encoding has not been received." RFC 9113, section 8.1: END_STREAM on the last frame of a response
#   ends a complete one; RST_STREAM is for an error.
# Seen:
#   directly: HTTP/1.1 an error
#   haproxy: HTTP/1.1 an error, HTTP/2 a good end
#   varnish: HTTP/1.1 an error, HTTP/2 a good end
#   caddy: HTTP/1.1 a good end, HTTP/2 a good end
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
        time.sleep(1)
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
  local status=0 body
  body=$(timeout 20 curl -sNk4 "$@") || status=$?
  [[ $body == "data: one" ]] || echo -n "not the event, "
  ((status == 0)) && echo "a good end" || echo "an error"
}
chmod 755 "$folder"
export HOME=$folder
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out both.pem 2>/dev/null
cat key.pem >>both.pem
h1=$(free) h2=$(free)
cat >haproxy.cfg <<CFG
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
frontend web
    bind 127.0.0.1:$h1
    bind 127.0.0.1:$h2 ssl crt both.pem alpn h2
    default_backend one
backend one
    server one 127.0.0.1:$(cat port)
CFG
haproxy -db -f haproxy.cfg >/dev/null 2>&1 &
v=$(free)
cat >default.vcl <<VCL
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "$(cat port)"; }
VCL
varnishd -F -n "$folder/v" -f "$folder/default.vcl" -a "127.0.0.1:$v" -s malloc,16m -p feature=+http2 >/dev/null 2>&1 &
c1=$(free) c2=$(free)
cat >Caddyfile <<CADDY
{
	admin off
	auto_https disable_redirects
}
http://localhost:$c1 {
	bind 127.0.0.1
	reverse_proxy 127.0.0.1:$(cat port)
}
https://localhost:$c2 {
	bind 127.0.0.1
	tls both.pem both.pem
	reverse_proxy 127.0.0.1:$(cat port)
}
CADDY
caddy run --adapter caddyfile --config Caddyfile >/dev/null 2>&1 &
for port in "$h1" "$v" "$c1"; do is_up "$port"; done
got="directly: HTTP/1.1 $(ask "http://127.0.0.1:$(cat port)/")
haproxy: HTTP/1.1 $(ask "http://localhost:$h1/"), HTTP/2 $(ask --http2 "https://localhost:$h2/")
varnish: HTTP/1.1 $(ask "http://localhost:$v/"), HTTP/2 $(ask --http2-prior-knowledge "http://localhost:$v/")
caddy: HTTP/1.1 $(ask "http://localhost:$c1/"), HTTP/2 $(ask --http2 "https://localhost:$c2/")"
echo "$got"
[[ $got == "directly: HTTP/1.1 an error
haproxy: HTTP/1.1 an error, HTTP/2 a good end
varnish: HTTP/1.1 an error, HTTP/2 a good end
caddy: HTTP/1.1 a good end, HTTP/2 a good end" ]] || { echo "the behaviour has changed" >&2; exit 1; }
